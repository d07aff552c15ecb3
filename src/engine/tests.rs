//! The engine with real worker threads: writes, views on views, attach, drop, sources, many idle views.

pub(crate) mod hand; // the wall clock of tests
mod log; // the epoch log of tests
mod checkpoint; // a restart from a checkpoint
mod late; // which late rows are meant, and kept
mod memory; // the memory limit
mod operators; // memory by operator
mod other_plan; // a restart with a version that computes a view otherwise
mod replay; // a restart
mod subscribe; // who subscribes while results change that are final
mod temporal; // rows that come and go with the wall clock
mod watermarks; // watermarks that go on by themselves

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use weir_common::clock::SystemClock;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::Delta;
use weir_common::epoch_log::Forgetful;
use weir_common::error::{Result, SqlState};
use weir_common::expr::Column;
use weir_common::ids::RelationId;
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::{AggregateCall, AggregateFunction, Facts, Node, Op};
use weir_common::snapshot::Snapshot;
use weir_common::source::{Position, Read, Source, SourceBatch, SourceReader, Watermark};
use weir_dataflow::lower::lower;

use self::log::Log;
use crate::engine::{Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::feed::FeedLimits;
use crate::reader::SourceSpec;

fn engine(workers: usize) -> Engine {
    engine_that_waits_at(workers, FILLING_ROWS_MAX)
}

fn engine_that_waits_at(workers: usize, filling_rows_max: usize) -> Engine {
    let (clock, log) = (Arc::new(SystemClock), Box::new(Forgetful));
    Engine::start(EngineConfig {
        workers,
        clock,
        log,
        filling_rows_max,
        recovery: None,
        checkpoints: None,
        memory_limit: None,
        feeds: FeedLimits::default(),
    })
    .unwrap()
    .0
}

fn ints(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
}

fn rows(schema: &SchemaRef, rows: &[Vec<i64>]) -> RecordBatch {
    let columns = (0..schema.fields().len())
        .map(|column| Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row[column]))) as ArrayRef)
        .collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

fn read(snapshot: &Snapshot) -> BTreeSet<Vec<i64>> {
    let mut found = BTreeSet::new();
    for batch in snapshot.batches().unwrap() {
        for row in 0..batch.num_rows() {
            let values: Vec<i64> = batch.columns().iter().map(|column| column.as_primitive::<Int64Type>().value(row)).collect();
            assert!(found.insert(values.clone()), "{values:?} twice");
        }
    }
    found
}

fn import(relation: RelationId, schema: &SchemaRef, facts: Facts) -> Node {
    let columns = (0..schema.fields().len()).collect();
    Node { op: Op::Import { relation, name: format!("r{relation}"), columns }, inputs: vec![], schema: schema.clone(), facts }
}

/// `SELECT k, count(*) GROUP BY k` over the first column of a relation.
fn count(relation: RelationId, schema: &SchemaRef, append_only: bool) -> Node {
    let key = Arc::new(Column { index: 0, name: "k".into(), data_type: DataType::Int64 });
    let keys = Node {
        op: Op::Project { exprs: vec![key] },
        inputs: vec![import(relation, schema, Facts { append_only, ..Facts::default() })],
        schema: ints(&["k"]),
        facts: Facts { append_only, ..Facts::default() },
    };
    let call = AggregateCall {
        function: AggregateFunction::Count,
        argument: None,
        distinct: false,
        filter: None,
        input: DataType::Null,
        output: DataType::Int64,
        name: "count(*)".into(),
    };
    Node {
        op: Op::Aggregate { keys: 1, calls: vec![call], life: None },
        inputs: vec![keys],
        schema: ints(&["k", "n"]),
        facts: Facts { key: Some(vec![0]), ..Facts::default() },
    }
}

fn view(engine: &Engine, id: u32, plan: &Node, sources: BTreeMap<RelationId, SourceSpec>) -> ViewSpec {
    let name = format!("v{id}");
    ViewSpec {
        id: RelationId(id),
        late: None,
        late_entries_max: 0,
        plan: Arc::new(lower(plan, &name, engine.workers()).unwrap()),
        name,
        sources,
        keep: true,
        temporary: false,
    }
}

#[tokio::test]
async fn a_write_that_returned_is_seen_in_views_on_views() {
    for workers in [1, 3] {
        let engine = engine(workers);
        let table = RelationId(20000);
        let schema = ints(&["k", "v"]);
        engine
            .create_table(
                TableSpec { id: table, name: "t".into(), schema: schema.clone(), key: Some(vec![1]), key_name: None, watermark: None },
                None,
                vec![],
            )
            .await
            .unwrap();
        // Half of the rows before the views exist, half after.
        for value in 0..20 {
            let delta = Delta::insert(rows(&schema, &[vec![value % 5, value]]));
            engine.write(vec![TableWrite { table, delta }]).await.unwrap();
        }
        engine.create_view(view(&engine, 20001, &count(table, &schema, false), BTreeMap::new()), vec![]).await.unwrap();
        // How many keys have how many rows: the view's columns the other way round.
        let counted = ints(&["k", "n"]);
        let swap = Node {
            op: Op::Project { exprs: vec![Arc::new(Column { index: 1, name: "n".into(), data_type: DataType::Int64 })] },
            inputs: vec![import(RelationId(20001), &counted, Facts { key: Some(vec![0]), ..Facts::default() })],
            schema: ints(&["n"]),
            facts: Facts::default(),
        };
        let mut on_view = count(table, &schema, false);
        on_view.inputs = vec![swap];
        engine.create_view(view(&engine, 20002, &on_view, BTreeMap::new()), vec![]).await.unwrap();
        for value in 20..40 {
            let delta = Delta::insert(rows(&schema, &[vec![value % 5, value]]));
            engine.write(vec![TableWrite { table, delta }]).await.unwrap();
            let wanted = [(RelationId(20001), counted.clone()), (RelationId(20002), counted.clone()), (table, schema.clone())];
            let (_, snapshots) = engine.snapshot(&wanted).await.unwrap();
            let per_key = (value + 1) / 5;
            let more = (value + 1) % 5;
            let expected: BTreeSet<Vec<i64>> = (0..5).map(|key| vec![key, per_key + i64::from(key < more)]).collect();
            assert_eq!(read(&snapshots[0]), expected);
            let expected: BTreeSet<Vec<i64>> =
                [vec![per_key, 5 - more], vec![per_key + 1, more]].into_iter().filter(|row| row[1] > 0).collect();
            assert_eq!(read(&snapshots[1]), expected);
            assert_eq!(snapshots[2].num_rows() as i64, value + 1);
        }
        let delta = Delta::retract(rows(&schema, &(0..40).map(|value| vec![value % 5, value]).collect::<Vec<_>>()));
        engine.write(vec![TableWrite { table, delta }]).await.unwrap();
        let (_, snapshots) = engine.snapshot(&[(RelationId(20001), counted.clone()), (RelationId(20002), counted)]).await.unwrap();
        assert_eq!((snapshots[0].num_rows(), snapshots[1].num_rows()), (0, 0));
        engine.stop();
    }
}

#[tokio::test]
async fn keys_are_checked_in_the_order_of_writes() {
    let engine = engine(2);
    let table = RelationId(20000);
    let schema = ints(&["k", "v"]);
    engine
        .create_table(
            TableSpec { id: table, name: "t".into(), schema: schema.clone(), key: Some(vec![0]), key_name: None, watermark: None },
            None,
            vec![],
        )
        .await
        .unwrap();
    let insert = |key: i64, value: i64| vec![TableWrite { table, delta: Delta::insert(rows(&schema, &[vec![key, value]])) }];
    engine.write(insert(1, 10)).await.unwrap();
    let error = engine.write(insert(1, 11)).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::UNIQUE_VIOLATION);
    assert_eq!(error.detail(), Some("Key (k)=(1) already exists."));
    // An update: the old row goes, the new one has the same key.
    let update = Delta::weighted(rows(&schema, &[vec![1, 10], vec![1, 12]]), vec![-1, 1]);
    engine.write(vec![TableWrite { table, delta: update }]).await.unwrap();
    let (_, snapshots) = engine.snapshot(&[(table, schema.clone())]).await.unwrap();
    assert_eq!(read(&snapshots[0]), BTreeSet::from([vec![1, 12]]));
    // Many writers of one key: exactly one wins.
    let writes = (0..50).map(|value| {
        let (engine, write) = (engine.clone(), insert(7, value));
        tokio::spawn(async move { engine.write(write).await.is_ok() })
    });
    let mut won = 0;
    for write in writes.collect::<Vec<_>>() {
        won += i32::from(write.await.unwrap());
    }
    assert_eq!(won, 1);
    engine.stop();
}

/// A source of `rows` rows (k = row % 7, event time = row seconds), some batches long; after each batch a record that is
/// no row, where there are any.
#[derive(Debug)]
struct Numbers {
    rows: i64,
    schema: SchemaRef,
    bad: bool,
}

struct NumbersReader {
    at: i64,
    rows: i64,
    bad: bool,
    schema: SchemaRef,
}

impl Numbers {
    fn spec(rows: i64) -> SourceSpec {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("ts", time, true)]));
        SourceSpec {
            name: "numbers".into(),
            source: Arc::new(Numbers { rows, schema, bad: false }),
            watermark: Some(Watermark::of(1, 5_000_000)),
        }
    }

    fn with_bad_records(rows: i64) -> SourceSpec {
        let plain = Numbers::spec(rows);
        SourceSpec { source: Arc::new(Numbers { rows, schema: plain.source.schema(), bad: true }), ..plain }
    }
}

impl Source for Numbers {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn finite(&self) -> bool {
        true
    }
    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let at = if from.is_start() { 0 } else { from.0.parse().unwrap() };
        Ok(Box::new(NumbersReader { at, rows: self.rows, bad: self.bad, schema: self.schema.clone() }))
    }
}

impl SourceReader for NumbersReader {
    fn next(&mut self) -> Result<Read> {
        let end = (self.at + 1000).min(self.rows);
        if self.at == end {
            return Ok(Read::End);
        }
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((self.at..end).map(|row| row % 7)));
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values((self.at..end).map(|row| row * 1_000_000)));
        self.at = end;
        let rows = RecordBatch::try_new(self.schema.clone(), vec![keys, times]).unwrap();
        let letter = || DeadLetter::of_bytes("numbers", Reason::Decode, "not a number", end.to_string().as_bytes());
        let dead = if self.bad { vec![letter()] } else { vec![] };
        Ok(Read::Batch(SourceBatch { partition: 0, rows, origins: None, dead, position: Position(end.to_string()), bytes: 0 }))
    }
}

#[tokio::test]
async fn views_of_a_source_created_at_any_time_see_all_of_it_and_share_the_reader_in_the_end() {
    for workers in [1, 4] {
        let engine = engine(workers);
        let source = RelationId(20000);
        let spec = Numbers::spec(200_000);
        let plan = count(source, &spec.source.schema(), true);
        let sources = BTreeMap::from([(source, spec.clone())]);
        engine.create_view(view(&engine, 20001, &plan, sources.clone()), vec![]).await.unwrap();
        let part_way = async |rows: u64| {
            while engine.status().await.unwrap().sources.iter().all(|reader| reader.rows < rows) {
                tokio::task::yield_now().await;
            }
        };
        part_way(20_000).await;
        engine.create_view(view(&engine, 20002, &plan, sources.clone()), vec![]).await.unwrap();
        engine.create_view(view(&engine, 20003, &plan, sources), vec![]).await.unwrap();
        part_way(50_000).await;
        engine.drop_relations(vec![RelationId(20003)]).await.unwrap();
        let status = loop {
            let status = engine.status().await.unwrap();
            if status.views.iter().all(|view| !view.filling) && status.sources.len() == 1 && status.in_flight == 0 {
                break status;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(status.sources[0].rows, 200_000);
        assert!(status.sources[0].at_end && status.sources[0].view.is_none());
        assert_eq!(status.sources[0].watermark, Some(i64::MAX), "a source at its end closes all windows");
        let counted = ints(&["k", "n"]);
        let (_, snapshots) = engine.snapshot(&[(RelationId(20001), counted.clone()), (RelationId(20002), counted)]).await.unwrap();
        let expected: BTreeSet<Vec<i64>> = (0..7).map(|key| vec![key, 200_000 / 7 + i64::from(key < 200_000 % 7)]).collect();
        assert_eq!(read(&snapshots[0]), expected);
        assert_eq!(read(&snapshots[1]), expected);
        assert!(engine.snapshot(&[(RelationId(20003), ints(&["k", "n"]))]).await.is_err(), "dropped");
        engine.stop();
    }
}

/// A source that grows: the numbers below a bound that the test moves.
#[derive(Debug)]
struct Growing {
    bound: Arc<AtomicI64>,
    schema: SchemaRef,
}

struct GrowingReader {
    numbers: NumbersReader,
    bound: Arc<AtomicI64>,
}

impl Source for Growing {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn finite(&self) -> bool {
        false
    }
    fn catches_up(&self) -> bool {
        true
    }
    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let at = if from.is_start() { 0 } else { from.0.parse().unwrap() };
        let numbers = NumbersReader { at, rows: 0, bad: false, schema: self.schema.clone() };
        Ok(Box::new(GrowingReader { numbers, bound: self.bound.clone() }))
    }
}

impl SourceReader for GrowingReader {
    fn next(&mut self) -> Result<Read> {
        self.numbers.rows = self.bound.load(Ordering::SeqCst);
        match self.numbers.next()? {
            Read::End => {
                std::thread::sleep(std::time::Duration::from_millis(1));
                Ok(Read::Idle)
            }
            batch => Ok(batch),
        }
    }
}

#[tokio::test]
async fn a_source_that_grows_is_at_its_end_whenever_all_of_it_can_be_read() {
    let engine = engine(2);
    let source = RelationId(20000);
    let bound = Arc::new(AtomicI64::new(10_000));
    let mut spec = Numbers::spec(0);
    spec.source = Arc::new(Growing { bound: bound.clone(), schema: spec.source.schema() });
    let plan = count(source, &spec.source.schema(), true);
    let sources = BTreeMap::from([(source, spec)]);
    engine.create_view(view(&engine, 20001, &plan, sources.clone()), vec![]).await.unwrap();
    let caught_up = async |rows: u64, readers: usize| loop {
        let status = engine.status().await.unwrap();
        if status.sources.iter().all(|reader| reader.at_end && reader.rows == rows) && status.sources.len() == readers {
            assert!(status.views.iter().all(|view| !view.filling));
            break;
        }
        assert!(status.sources.iter().all(|reader| !reader.at_end || reader.rows >= 10_000), "at its end before it was");
        tokio::task::yield_now().await;
    };
    caught_up(10_000, 1).await;
    bound.store(25_000, Ordering::SeqCst);
    caught_up(25_000, 1).await;
    // A later view reads from the start, and shares the reader once it stands at the same place.
    engine.create_view(view(&engine, 20002, &plan, sources), vec![]).await.unwrap();
    caught_up(25_000, 1).await;
    bound.store(25_001, Ordering::SeqCst);
    caught_up(25_001, 1).await;
    let counted = ints(&["k", "n"]);
    let (_, snapshots) = engine.snapshot(&[(RelationId(20001), counted.clone()), (RelationId(20002), counted)]).await.unwrap();
    let expected: BTreeSet<Vec<i64>> = (0..7).map(|key| vec![key, 25_001 / 7 + i64::from(key < 25_001 % 7)]).collect();
    assert_eq!(read(&snapshots[0]), expected);
    assert_eq!(read(&snapshots[1]), expected);
    engine.stop();
}

#[tokio::test]
async fn every_bad_record_of_a_source_is_told_once_whoever_reads_it_first() {
    for round in 0..4 {
        let engine = engine(2);
        let source = RelationId(20000);
        let spec = Numbers::with_bad_records(300_000);
        let plan = count(source, &spec.source.schema(), true);
        let sources = BTreeMap::from([(source, spec)]);
        let settled = async |views: usize| {
            while !engine.status().await.is_ok_and(|status| {
                status.views.len() == views
                    && status.views.iter().all(|view| !view.filling)
                    && status.sources.iter().all(|reader| reader.at_end)
                    && status.in_flight == 0
            }) {
                tokio::task::yield_now().await;
            }
        };
        engine.create_view(view(&engine, 20001, &plan, sources.clone()), vec![]).await.unwrap();
        while engine.status().await.unwrap().sources[0].rows < 50_000 * round {
            tokio::task::yield_now().await;
        }
        // A reader of its own begins anew; then the shared one goes, somewhere on its way.
        engine.create_view(view(&engine, 20002, &plan, sources.clone()), vec![]).await.unwrap();
        while round % 2 == 1 && engine.status().await.unwrap().sources.iter().all(|reader| reader.rows < 250_000) {
            tokio::task::yield_now().await;
        }
        engine.drop_relations(vec![RelationId(20001)]).await.unwrap();
        settled(1).await;
        // A third one reads all of it once more.
        engine.create_view(view(&engine, 20003, &plan, sources), vec![]).await.unwrap();
        settled(2).await;
        let status = engine.status().await.unwrap();
        let told: BTreeSet<String> = status.dead_letters.iter().map(|letter| letter.payload.clone()).collect();
        let expected: BTreeSet<String> = (1..=300).map(|batch| (batch * 1000).to_string()).collect();
        assert_eq!(told, expected);
        assert_eq!(status.dead_letter_counts.values().sum::<u64>(), 300, "each of them once");
        engine.stop();
    }
}

#[tokio::test]
async fn a_fast_source_waits_for_a_view_that_is_being_filled() {
    let engine = engine_that_waits_at(2, 1000);
    let (table, source) = (RelationId(20000), RelationId(20001));
    let spec = Numbers::spec(400_000);
    let schema = ints(&["k", "v"]);
    engine
        .create_table(
            TableSpec { id: table, name: "t".into(), schema: schema.clone(), key: None, key_name: None, watermark: None },
            None,
            vec![],
        )
        .await
        .unwrap();
    let many: Vec<Vec<i64>> = (0..500_000).map(|row| vec![row % 7, row]).collect();
    engine.write(vec![TableWrite { table, delta: Delta::insert(rows(&schema, &many)) }]).await.unwrap();
    // Both in one view: the table's rows have to be taken in before the source's can be worked off.
    let keys_of = |relation, schema: &SchemaRef| count(relation, schema, true).inputs.remove(0);
    let union = Node {
        op: Op::UnionAll,
        inputs: vec![keys_of(table, &schema), keys_of(source, &spec.source.schema())],
        schema: ints(&["k"]),
        facts: Facts::default(),
    };
    let plan = Node { inputs: vec![union], ..count(table, &schema, false) };
    engine.create_view(view(&engine, 20002, &plan, BTreeMap::from([(source, spec)])), vec![]).await.unwrap();
    let status = loop {
        let status = engine.status().await.unwrap();
        if !status.views[0].filling && status.in_flight == 0 {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert!(status.pauses > 0, "the clock never waited");
    let (_, snapshots) = engine.snapshot(&[(RelationId(20002), ints(&["k", "n"]))]).await.unwrap();
    let expected: BTreeSet<Vec<i64>> =
        (0..7).map(|key| vec![key, 500_000 / 7 + i64::from(key < 500_000 % 7) + 400_000 / 7 + i64::from(key < 400_000 % 7)]).collect();
    assert_eq!(read(&snapshots[0]), expected);
    engine.stop();
}

#[tokio::test]
async fn a_quiet_view_is_not_touched() {
    let engine = engine(2);
    let schema = ints(&["k", "v"]);
    let (busy, quiet) = (RelationId(20000), RelationId(20001));
    for id in [busy, quiet] {
        engine
            .create_table(
                TableSpec { id, name: format!("t{id}"), schema: schema.clone(), key: None, key_name: None, watermark: None },
                None,
                vec![],
            )
            .await
            .unwrap();
    }
    for number in 0..50 {
        engine.create_view(view(&engine, 20100 + number, &count(quiet, &schema, false), BTreeMap::new()), vec![]).await.unwrap();
    }
    engine.create_view(view(&engine, 20200, &count(busy, &schema, false), BTreeMap::new()), vec![]).await.unwrap();
    let write = |table| vec![TableWrite { table, delta: Delta::insert(rows(&schema, &[vec![1, 1]])) }];
    for _ in 0..100 {
        engine.write(write(busy)).await.unwrap();
    }
    // The quiet ones jump straight to the epoch that touches them.
    engine.write(write(quiet)).await.unwrap();
    let counted = ints(&["k", "n"]);
    let (_, snapshots) = engine.snapshot(&[(RelationId(20149), counted.clone()), (RelationId(20200), counted)]).await.unwrap();
    assert_eq!(read(&snapshots[0]), BTreeSet::from([vec![1, 1]]));
    assert_eq!(read(&snapshots[1]), BTreeSet::from([vec![1, 100]]));
    engine.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_dropped_under_its_writers_and_the_engine_stands() {
    let engine = engine(2);
    let schema = ints(&["k", "v"]);
    let stays = RelationId(20000);
    engine
        .create_table(
            TableSpec { id: stays, name: "stays".into(), schema: schema.clone(), key: Some(vec![0]), key_name: None, watermark: None },
            None,
            vec![],
        )
        .await
        .unwrap();
    engine.create_view(view(&engine, 20001, &count(stays, &schema, false), BTreeMap::new()), vec![]).await.unwrap();
    let mut kept = 0;
    for round in 0..20 {
        let goes = RelationId(30000 + round);
        engine
            .create_table(
                TableSpec { id: goes, name: "goes".into(), schema: schema.clone(), key: Some(vec![0]), key_name: None, watermark: None },
                None,
                vec![],
            )
            .await
            .unwrap();
        let writers = (0..8).map(|writer| {
            let (engine, schema) = (engine.clone(), schema.clone());
            tokio::spawn(async move {
                let mut kept = 0;
                for number in 0..20 {
                    let key = round as i64 * 1000 + writer * 100 + number;
                    let delta = Delta::insert(rows(&schema, &[vec![key, 0]]));
                    let both = [stays, goes].map(|table| TableWrite { table, delta: delta.clone() });
                    // All or nothing: once the one table is gone, the other does not get the row either.
                    kept += i64::from(engine.write(both.to_vec()).await.is_ok());
                }
                kept
            })
        });
        let writers: Vec<_> = writers.collect();
        tokio::task::yield_now().await;
        engine.drop_relations(vec![goes]).await.unwrap();
        for writer in writers {
            kept += writer.await.unwrap();
        }
    }
    let (_, snapshots) = engine.snapshot(&[(stays, schema), (RelationId(20001), ints(&["k", "n"]))]).await.unwrap();
    assert_eq!(read(&snapshots[0]).len() as i64, kept);
    assert_eq!(read(&snapshots[1]).len() as i64, kept);
    engine.stop();
}

#[tokio::test]
async fn a_table_that_is_given_up_before_it_is_made_leaves_no_rows() {
    let log = Log::default();
    log.hold();
    let (clock, boxed) = (Arc::new(SystemClock), Box::new(log.clone()));
    let (engine, _) = Engine::start(EngineConfig {
        workers: 2,
        clock,
        log: boxed,
        filling_rows_max: FILLING_ROWS_MAX,
        recovery: None,
        checkpoints: None,
        memory_limit: None,
        feeds: FeedLimits::default(),
    })
    .unwrap();
    let schema = ints(&["k", "v"]);
    let spec = |id: RelationId| TableSpec {
        id,
        name: format!("t{id}"),
        schema: schema.clone(),
        key: Some(vec![0]),
        key_name: None,
        watermark: None,
    };
    let create = |id: RelationId| {
        let (engine, spec, rows) = (engine.clone(), spec(id), Delta::insert(rows(&schema, &[vec![1, 1]])));
        tokio::spawn(async move { engine.create_table(spec, Some(rows), vec![]).await })
    };
    let (stays, goes) = (RelationId(20000), RelationId(20001));
    let first = create(stays);
    while log.records().is_empty() {
        tokio::task::yield_now().await;
    }
    // The second one waits behind it, and is given up meanwhile.
    let second = create(goes);
    tokio::task::yield_now().await;
    second.abort();
    engine.abandon(vec![goes]);
    // A question is answered behind both.
    engine.status().await.unwrap();
    log.release();
    first.await.unwrap().unwrap();
    let delta = Delta::insert(rows(&schema, &[vec![2, 2]]));
    engine.write(vec![TableWrite { table: stays, delta }]).await.unwrap();
    let (_, snapshots) = engine.snapshot(&[(stays, schema)]).await.unwrap();
    assert_eq!(read(&snapshots[0]).len(), 2);
    let written: Vec<RelationId> = log.records().iter().flat_map(|record| &record.writes).map(|written| written.table).collect();
    assert_eq!(written, [stays, stays]);
    engine.stop();
}

#[tokio::test]
async fn a_view_that_keeps_nothing_counts() {
    let engine = engine(2);
    let schema = ints(&["k", "v"]);
    let (table, counted, over) = (RelationId(20000), RelationId(20001), RelationId(20002));
    engine
        .create_table(
            TableSpec { id: table, name: "t".into(), schema: schema.clone(), key: Some(vec![1]), key_name: None, watermark: None },
            None,
            vec![],
        )
        .await
        .unwrap();
    engine.write(vec![TableWrite { table, delta: Delta::insert(rows(&schema, &[vec![1, 1], vec![2, 2]])) }]).await.unwrap();
    let spec = view(&engine, counted.0, &import(table, &schema, Facts::default()), BTreeMap::new());
    engine.create_view(ViewSpec { keep: false, ..spec }, vec![]).await.unwrap();
    engine.write(vec![TableWrite { table, delta: Delta::insert(rows(&schema, &[vec![3, 3], vec![4, 4]])) }]).await.unwrap();
    engine.write(vec![TableWrite { table, delta: Delta::retract(rows(&schema, &[vec![2, 2]])) }]).await.unwrap();
    let status = engine.status().await.unwrap();
    let of_view = status.views.iter().find(|view| view.view == counted).unwrap();
    assert_eq!((of_view.rows, of_view.served_bytes, of_view.filling), (3, 0, false));
    // Nobody can read it, and no view can be made of it.
    let error = engine.snapshot(&[(counted, schema.clone())]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
    let error = engine.create_view(view(&engine, over.0, &count(counted, &schema, false), BTreeMap::new()), vec![]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
    engine.stop();
}

//! The memory limit: the view that grew most is stopped, full tables take no more rows, and a restart knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef};
use weir_common::clock::SystemClock;
use weir_common::delta::Delta;
use weir_common::epoch_log::Forgetful;
use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::ExprRef;
use weir_common::ids::RelationId;
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::{AggregateCall, AggregateFunction, Facts, Node, Op};
use weir_common::state_store::{MemoryStore, Space, StateStore};
use weir_dataflow::lower::lower;

use super::{count, import, ints, read, rows};
use crate::checkpoint::layout;
use crate::engine::{CheckpointConfig, Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::feed::FeedLimits;
use crate::recovery::{Definer, Made, Recovery};
use crate::status::{CheckpointWhy, Status};

const TABLE: RelationId = RelationId(20000);
const QUIET: RelationId = RelationId(20001);
/// Every value of the table by key: takes much more than the table.
const BIG: RelationId = RelationId(20002);
/// Counts of BIG's rows.
const ON_BIG: RelationId = RelationId(20003);
/// Counts of QUIET's rows by key.
const SMALL: RelationId = RelationId(20004);
/// BIG once more.
const AGAIN: RelationId = RelationId(20005);

fn pairs() -> SchemaRef {
    ints(&["k", "v"])
}

fn table(id: RelationId) -> TableSpec {
    TableSpec { id, name: format!("t{id}"), schema: pairs(), key: Some(vec![1]), key_name: None, watermark: None }
}

/// `SELECT k, min(v), max(v), count(DISTINCT v) GROUP BY k`.
fn big() -> Node {
    let call = |function, distinct, name: &str| AggregateCall {
        function,
        argument: Some(1),
        distinct,
        filter: None,
        input: DataType::Int64,
        output: DataType::Int64,
        name: name.into(),
    };
    let calls = vec![
        call(AggregateFunction::Min, false, "min(v)"),
        call(AggregateFunction::Max, false, "max(v)"),
        call(AggregateFunction::Count, true, "count(DISTINCT v)"),
    ];
    Node {
        op: Op::Aggregate { keys: 1, calls, life: None },
        inputs: vec![import(TABLE, &pairs(), Facts { key: Some(vec![1]), ..Facts::default() })],
        schema: ints(&["k", "least", "most", "values"]),
        facts: Facts { key: Some(vec![0]), ..Facts::default() },
    }
}

fn spec(id: RelationId, workers: usize) -> ViewSpec {
    let plan = match id {
        ON_BIG => count(BIG, &big().schema, false),
        SMALL => count(QUIET, &pairs(), false),
        _ => big(),
    };
    let name = format!("v{id}");
    ViewSpec {
        id,
        late: None,
        late_entries_max: 0,
        plan: Arc::new(lower(&plan, &name, workers).unwrap()),
        name,
        sources: BTreeMap::new(),
        keep: true,
        temporary: false,
    }
}

/// Knows what there is: a definition's words are the relation's number.
struct World(usize);

impl Definer for World {
    fn made(&mut self, words: &[u8], _dropped: &BTreeSet<RelationId>) -> Result<Made> {
        let id = RelationId(u32::from_le_bytes(words.try_into().unwrap()));
        Ok(if [TABLE, QUIET].contains(&id) { Made::Table(table(id)) } else { Made::View(spec(id, self.0)) })
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted, but {words}")
    }
    fn dropped(&mut self, _relations: &[RelationId]) {}
    fn numbers_below(&mut self, _next: RelationId) {}
}

fn start(store: &MemoryStore, workers: usize, memory_limit: Option<u64>) -> Engine {
    let interval = Duration::from_secs(3600);
    let checkpoints = Some(CheckpointConfig { store: Arc::new(store.clone()), interval, bytes: u64::MAX, slice_rows: 1000 });
    let recovery = Some(Recovery { records: Box::new(std::iter::empty()), dropped: BTreeSet::new(), definer: Box::new(World(workers)) });
    let (clock, log) = (Arc::new(SystemClock), Box::new(Forgetful));
    let config = EngineConfig {
        workers,
        clock,
        log,
        filling_rows_max: FILLING_ROWS_MAX,
        recovery,
        checkpoints,
        memory_limit,
        feeds: FeedLimits::default(),
    };
    Engine::start(config).unwrap().0
}

async fn create(engine: &Engine, relations: &[RelationId]) {
    for id in relations {
        let words = id.0.to_le_bytes().to_vec();
        match *id {
            TABLE | QUIET => engine.create_table(table(*id), None, words).await.unwrap(),
            id => engine.create_view(spec(id, engine.workers()), words).await.unwrap(),
        }
    }
}

fn insert(table: RelationId, values: impl Iterator<Item = i64>) -> Vec<TableWrite> {
    let many: Vec<Vec<i64>> = values.map(|value| vec![value / 4, value]).collect();
    vec![TableWrite { table, delta: Delta::insert(rows(&pairs(), &many)) }]
}

/// The error of a view, once it has one.
fn stopped(status: &Status, view: RelationId) -> Option<&str> {
    status.views.iter().find(|status| status.view == view)?.error.as_deref()
}

async fn refused(engine: &Engine, view: RelationId, schema: SchemaRef) -> Error {
    let error = engine.snapshot(&[(view, schema)]).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::OUT_OF_MEMORY, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--memory-limit")), "{error}");
    error
}

/// Entries that the store has of a relation.
fn entries(store: &MemoryStore, relation: RelationId) -> usize {
    let (mut count, range) = (0, layout::relation(relation));
    for space in [Space::State, Space::Runs] {
        store
            .scan(space, &range.start, &range.end, &mut |_, _| {
                count += 1;
                Ok(())
            })
            .unwrap();
    }
    count
}

#[tokio::test]
async fn the_view_that_grew_most_is_stopped_and_the_others_go_on() {
    for workers in [1, 3] {
        let (store, limit) = (MemoryStore::default(), 4 << 20);
        let engine = start(&store, workers, Some(limit));
        create(&engine, &[TABLE, QUIET, BIG, ON_BIG, SMALL]).await;
        engine.write(insert(QUIET, 0..40)).await.unwrap();
        let mut written = 0;
        // Beforehand there is a checkpoint with some of it.
        engine.write(insert(TABLE, 0..1000)).await.unwrap();
        written += 1000;
        engine.checkpoint().await.unwrap();
        assert!(entries(&store, BIG) > 0);
        while stopped(&engine.status().await.unwrap(), BIG).is_none() {
            assert!(written < 1_000_000, "{:?}", engine.status().await.unwrap().views);
            engine.write(insert(TABLE, written..written + 1000)).await.unwrap();
            written += 1000;
        }
        let error = refused(&engine, BIG, big().schema).await;
        assert!(error.message().contains("\"v20002\"") && error.message().contains("limit of 4194304 bytes"), "{error}");
        refused(&engine, ON_BIG, pairs()).await;
        // It has let go of everything, and the rest goes on.
        let status = engine.status().await.unwrap();
        let of_big = status.views.iter().find(|view| view.view == BIG).unwrap();
        assert_eq!((of_big.rows, of_big.served_bytes, of_big.state_bytes, of_big.groups), (0, 0, 0, 0));
        assert!(status.memory_bytes() < limit && status.memory_limit == Some(limit));
        assert!(stopped(&status, SMALL).is_none());
        engine.write([insert(TABLE, written..written + 10), insert(QUIET, 40..44)].concat()).await.unwrap();
        written += 10;
        let delete = Delta::retract(rows(&pairs(), &[vec![0, 0], vec![0, 1]]));
        engine.write(vec![TableWrite { table: TABLE, delta: delete }]).await.unwrap();
        let (_, snapshots) = engine.snapshot(&[(TABLE, pairs()), (SMALL, pairs())]).await.unwrap();
        assert_eq!(snapshots[0].num_rows() as i64, written - 2);
        assert_eq!(read(&snapshots[1]), (0..11).map(|key| vec![key, 4]).collect());
        // The checkpoint that was forced has nothing of it.
        engine.checkpoint().await.unwrap();
        let status = engine.status().await.unwrap();
        assert!(status.checkpoint_counts.get(&CheckpointWhy::Memory) > Some(&0), "{:?}", status.checkpoint_counts);
        assert_eq!(entries(&store, BIG), 0);
        engine.stop();

        // After a restart it is as it was; more memory alone does not bring it back.
        for (workers, limit) in [(2, Some(limit)), (1, None)] {
            let engine = start(&store, workers, limit);
            assert_eq!(refused(&engine, BIG, big().schema).await.message(), error.message());
            refused(&engine, ON_BIG, pairs()).await;
            let status = engine.status().await.unwrap();
            let of_big = status.views.iter().find(|view| view.view == BIG).unwrap();
            assert_eq!((of_big.rows, of_big.state_bytes), (0, 0));
            engine.write(insert(TABLE, written..written + 10)).await.unwrap();
            written += 10;
            let (_, snapshots) = engine.snapshot(&[(TABLE, pairs()), (SMALL, pairs())]).await.unwrap();
            assert_eq!(snapshots[0].num_rows() as i64, written - 2);
            assert_eq!(read(&snapshots[1]), (0..11).map(|key| vec![key, 4]).collect());
            if limit.is_none() {
                engine.drop_relations(vec![ON_BIG, BIG]).await.unwrap();
                create(&engine, &[AGAIN]).await;
                let (_, snapshots) = engine.snapshot(&[(AGAIN, big().schema)]).await.unwrap();
                assert_eq!(snapshots[0].num_rows() as i64, (written + 3) / 4);
            }
            engine.checkpoint().await.unwrap();
            engine.stop();
        }
    }
}

#[tokio::test]
async fn a_view_that_does_not_fit_is_stopped_while_it_is_filled() {
    let engine = start(&MemoryStore::default(), 2, Some(16 << 20));
    create(&engine, &[TABLE]).await;
    engine.write(insert(TABLE, 0..200_000)).await.unwrap();
    let error = engine.create_view(spec(BIG, 2), BIG.0.to_le_bytes().to_vec()).await.unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::OUT_OF_MEMORY, "{error}");
    engine.abandon(vec![BIG]);
    let status = engine.status().await.unwrap();
    assert!(status.memory_bytes() < 16 << 20, "{:?}", status.operators);
    engine.write(insert(TABLE, 200_000..200_010)).await.unwrap();
    engine.stop();
}

#[tokio::test]
async fn full_tables_take_no_more_rows_until_some_have_gone() {
    for workers in [1, 3] {
        let limit = 2 << 20;
        let engine = start(&MemoryStore::default(), workers, Some(limit));
        create(&engine, &[TABLE, QUIET, SMALL]).await;
        engine.write(insert(QUIET, 0..4)).await.unwrap();
        let mut written = 0;
        let error = loop {
            match engine.write(insert(TABLE, written..written + 1000)).await {
                Ok(_) => written += 1000,
                Err(error) => break error,
            }
            assert!(written < 1_000_000, "{:?}", engine.status().await.unwrap().operators);
            engine.status().await.unwrap();
        };
        assert_eq!(error.sqlstate(), SqlState::OUT_OF_MEMORY);
        assert!(error.message().contains("memory limit of 2097152 bytes") && error.hint().is_some(), "{error}");
        let status = engine.status().await.unwrap();
        assert!(status.memory_bytes() > limit && stopped(&status, SMALL).is_none());
        // No table takes rows, nor comes with rows; what there is can be read, and taken away.
        let update = Delta::weighted(rows(&pairs(), &[vec![0, 0], vec![9, 0]]), vec![-1, 1]);
        for write in [insert(QUIET, 4..5), vec![TableWrite { table: TABLE, delta: update }]] {
            assert_eq!(engine.check(write.clone()).await.unwrap_err().sqlstate(), SqlState::OUT_OF_MEMORY);
            assert_eq!(engine.write(write).await.unwrap_err().sqlstate(), SqlState::OUT_OF_MEMORY);
        }
        let filled = TableSpec { id: RelationId(30000), ..table(TABLE) };
        let of_rows = Some(insert(TABLE, 0..1).remove(0).delta);
        assert_eq!(engine.create_table(filled, of_rows, vec![]).await.unwrap_err().sqlstate(), SqlState::OUT_OF_MEMORY);
        let (_, snapshots) = engine.snapshot(&[(TABLE, pairs()), (SMALL, pairs())]).await.unwrap();
        assert_eq!((snapshots[0].num_rows() as i64, read(&snapshots[1])), (written, BTreeSet::from([vec![0, 4]])));
        let all: Vec<Vec<i64>> = (0..written).map(|value| vec![value / 4, value]).collect();
        engine.write(vec![TableWrite { table: TABLE, delta: Delta::retract(rows(&pairs(), &all)) }]).await.unwrap();
        // The workers have counted that.
        engine.status().await.unwrap();
        engine.write(insert(TABLE, 0..1000)).await.unwrap();
        engine.write(insert(QUIET, 4..5)).await.unwrap();
        let (_, snapshots) = engine.snapshot(&[(TABLE, pairs())]).await.unwrap();
        assert_eq!(snapshots[0].num_rows(), 1000);
        // On its way there, checkpoints were forced.
        engine.checkpoint().await.unwrap();
        assert!(engine.status().await.unwrap().checkpoint_counts.contains_key(&CheckpointWhy::Memory));
        engine.stop();
    }
}

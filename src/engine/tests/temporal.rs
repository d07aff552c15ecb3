//! Rows that come and go with the wall clock: epochs come for their sake, and the same again after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use weir_common::clock::Clock;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::expr::{BatchExpr, ExprRef};
use weir_common::from_now::{FromNow, NowStep};
use weir_common::ids::{Epoch, RelationId};
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::{Facts, Node, Op};
use weir_common::state_store::MemoryStore;
use weir_common::temporal::{ClockCondition, Comparison, TimeCondition};
use weir_dataflow::lower::lower;

use super::hand::Hand;
use super::log::Log;
use super::{count, import, ints, read, rows};
use crate::checkpoint;
use crate::engine::{CheckpointConfig, Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::recovery::{Definer, Made, Recovered, Recovery};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// 2026-11-22.
const NOW: i64 = 20_779 * 86_400 * SECOND;
const TABLE: RelationId = RelationId(20000);
/// The rows of the table whose moment was less than a minute ago.
const RECENT: RelationId = RelationId(20001);
/// How many of these there are of each moment.
const COUNTS: RelationId = RelationId(20002);

/// The first column as a time.
#[derive(Debug)]
struct Moment(DataType);

impl BatchExpr for Moment {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        Ok(cast(batch.column(0), &self.0)?)
    }
    fn data_type(&self) -> &DataType {
        &self.0
    }
    fn columns(&self) -> Vec<usize> {
        vec![0]
    }
    fn describe(&self) -> String {
        "moment".to_string()
    }
}

/// All that outlives an engine.
#[derive(Clone)]
struct World {
    hand: Hand,
    log: Log,
    store: MemoryStore,
}

struct Remembering(usize);

impl Definer for Remembering {
    fn made(&mut self, words: &[u8], _dropped: &BTreeSet<RelationId>) -> Result<Made> {
        let id = RelationId(u32::from_le_bytes(words.try_into().unwrap()));
        Ok(if id == TABLE { Made::Table(table()) } else { Made::View(view(id, self.0)) })
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted, but {words}")
    }
    fn dropped(&mut self, _relations: &[RelationId]) {}
    fn numbers_below(&mut self, _next: RelationId) {}
}

fn table() -> TableSpec {
    TableSpec { id: TABLE, name: "t".into(), schema: ints(&["moment", "id"]), key: Some(vec![1]), key_name: None, watermark: None }
}

fn view(id: RelationId, workers: usize) -> ViewSpec {
    let schema = ints(&["moment", "id"]);
    let keyed = Facts { key: Some(vec![1]), ..Facts::default() };
    let plan = if id == RECENT {
        let value = Arc::new(Moment(DataType::Timestamp(TimeUnit::Microsecond, None)));
        let from_now = FromNow { steps: vec![NowStep::Shift(-MINUTE)] };
        let condition = TimeCondition::Clock(ClockCondition { from_now, comparison: Comparison::Before, value });
        let inputs = vec![import(TABLE, &schema, keyed.clone())];
        Node { op: Op::TemporalFilter(condition), inputs, schema, facts: keyed }
    } else {
        count(RECENT, &schema, false)
    };
    let name = format!("v{id}");
    let plan = Arc::new(lower(&plan, &name, workers).unwrap());
    ViewSpec { id, late: None, late_entries_max: 0, plan, name, sources: BTreeMap::new(), keep: true, temporary: false }
}

impl World {
    fn new() -> Self {
        World { hand: Hand::at(NOW), log: Log::default(), store: MemoryStore::default() }
    }

    /// An engine that goes on where the last one ended, or as of an earlier commit, without what came after it.
    fn start(&self, workers: usize, until: Option<Epoch>) -> (Engine, Recovered) {
        let store = if until.is_some() { MemoryStore::default() } else { self.store.clone() };
        let position = checkpoint::position(&store).unwrap().unwrap_or(0);
        let records =
            self.log.records().into_iter().filter(move |record| record.epoch > position && until.is_none_or(|until| record.epoch <= until));
        let recovery = Recovery { records: Box::new(records.map(Ok)), dropped: BTreeSet::new(), definer: Box::new(Remembering(workers)) };
        let (store, log) = (Arc::new(store), if until.is_some() { Log::default() } else { self.log.clone() });
        let checkpoints = CheckpointConfig { store, interval: Duration::from_secs(3600), bytes: u64::MAX, slice_rows: 3 };
        Engine::start(EngineConfig {
            workers,
            clock: Arc::new(self.hand.clone()),
            log: Box::new(log),
            filling_rows_max: FILLING_ROWS_MAX,
            recovery: Some(recovery),
            checkpoints: Some(checkpoints),
            memory_limit: None,
            feeds: Default::default(),
        })
        .unwrap()
    }

    async fn begin(&self, workers: usize) -> Engine {
        let engine = self.start(workers, None).0;
        engine.create_table(table(), None, words(TABLE)).await.unwrap();
        for id in [RECENT, COUNTS] {
            engine.create_view(view(id, workers), words(id)).await.unwrap();
        }
        engine
    }
}

fn words(id: RelationId) -> Vec<u8> {
    id.0.to_le_bytes().to_vec()
}

type Rows = BTreeSet<Vec<i64>>;

/// The rows of both views, at which commit.
async fn shown(engine: &Engine) -> (Epoch, Rows, Rows) {
    let wanted = [(RECENT, ints(&["moment", "id"])), (COUNTS, ints(&["k", "n"]))];
    let (epoch, snapshots) = engine.snapshot(&wanted).await.unwrap();
    (epoch, read(&snapshots[0]), read(&snapshots[1]))
}

/// Waits until the views show these rows, and nothing else.
async fn until_shown(engine: &Engine, expected: &Rows) -> Epoch {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    expected.iter().for_each(|row| *counts.entry(row[0]).or_insert(0) += 1);
    let counts: Rows = counts.into_iter().map(|(moment, rows)| vec![moment, rows]).collect();
    loop {
        let (epoch, recent, counted) = shown(engine).await;
        if recent == *expected && counted == counts {
            return epoch;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn write(engine: &Engine, changed: &[(Vec<i64>, i64)]) {
    let values: Vec<Vec<i64>> = changed.iter().map(|(row, _)| row.clone()).collect();
    let delta = Delta::weighted(rows(&ints(&["moment", "id"]), &values), changed.iter().map(|(_, weight)| *weight).collect());
    engine.write(vec![TableWrite { table: TABLE, delta }]).await.unwrap();
}

#[tokio::test]
async fn rows_go_by_themselves_and_nothing_happens_while_none_waits() {
    for workers in [1, 3] {
        let world = World::new();
        let engine = world.begin(workers).await;
        let row = |seconds: i64, id: i64| vec![NOW + seconds * SECOND, id];
        write(&engine, &[(row(0, 1), 1), (row(0, 2), 1), (row(5, 3), 1), (row(-60, 4), 1), (row(-59, 5), 1), (row(3600, 6), 1)]).await;
        until_shown(&engine, &[row(0, 1), row(0, 2), row(5, 3), row(-59, 5), row(3600, 6)].into()).await;
        let epochs = engine.status().await.unwrap().epochs;
        world.hand.forward(SECOND - 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(engine.status().await.unwrap().epochs, epochs, "the last microsecond is not over");
        world.hand.forward(1);
        until_shown(&engine, &[row(0, 1), row(0, 2), row(5, 3), row(3600, 6)].into()).await;
        assert_eq!(engine.status().await.unwrap().epochs, epochs + 1);
        // One that waits goes before its time.
        write(&engine, &[(row(0, 2), -1)]).await;
        until_shown(&engine, &[row(0, 1), row(5, 3), row(3600, 6)].into()).await;
        world.hand.forward(59 * SECOND);
        until_shown(&engine, &[row(5, 3), row(3600, 6)].into()).await;
        // Two moments have come at once.
        world.hand.forward(3700 * SECOND);
        let last = until_shown(&engine, &[].into()).await;
        // No row waits: whatever the time is, no epoch comes.
        world.hand.forward(86_400 * SECOND);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(shown(&engine).await.0, last);
        engine.stop();
    }
}

#[tokio::test]
async fn an_epoch_of_others_advances_the_view_once_a_tick() {
    let world = World::new();
    let engine = world.begin(2).await;
    write(&engine, &[(vec![NOW, 1], 1)]).await;
    world.hand.forward(MINUTE);
    // Of a table that the view does not read: the time of its epoch is that of all.
    let other = TableSpec { id: RelationId(20009), name: "u".into(), ..table() };
    engine.create_table(other, None, words(TABLE)).await.unwrap();
    let (_, recent, _) = shown(&engine).await;
    assert_eq!(recent, Rows::new());
    engine.stop();
}

#[tokio::test]
async fn rows_whose_moment_came_during_an_outage_go_after_it() {
    for with_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.begin(2).await;
        let mut all: Vec<Vec<i64>> = (0..40).map(|id| vec![NOW + (id % 20) * SECOND, id]).collect();
        write(&engine, &all.iter().map(|row| (row.clone(), 1)).collect::<Vec<_>>()).await;
        until_shown(&engine, &all.iter().cloned().collect()).await;
        if with_checkpoint {
            engine.checkpoint().await.unwrap();
        }
        engine.stop();
        world.hand.forward(56 * SECOND);
        for workers in [3, 1, 4] {
            world.hand.forward(6 * SECOND + SECOND / 5);
            let (engine, _) = world.start(workers, None);
            let now = world.hand.wall_micros();
            let expected: Rows = all.iter().filter(|row| row[0] > now - MINUTE).cloned().collect();
            until_shown(&engine, &expected).await;
            // Also those that come back with it can be taken back, and wait.
            let gone = all.pop().unwrap();
            write(&engine, &[(gone.clone(), -1)]).await;
            until_shown(&engine, &expected.into_iter().filter(|row| *row != gone).collect()).await;
            if with_checkpoint {
                engine.checkpoint().await.unwrap();
            }
            engine.stop();
        }
    }
}

#[tokio::test]
async fn every_commit_has_its_rows_again() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new();
    let engine = world.begin(2).await;
    let mut here: Vec<Vec<i64>> = vec![];
    let mut told: BTreeMap<Epoch, (Rows, Rows)> = BTreeMap::new();
    for id in 0..120 {
        world.hand.forward(random.i64(0..6) * SECOND + random.i64(0..SECOND));
        let now = world.hand.wall_micros();
        let row = vec![now - random.i64(-20..70) * SECOND, id];
        let mut changes = vec![(row.clone(), 1)];
        here.push(row);
        if random.bool() {
            changes.push((here.swap_remove(random.usize(..here.len())), -1));
        }
        if changes.len() == 2 && changes[0].0 == changes[1].0 {
            // A row that comes and goes at once is no change.
            continue;
        }
        write(&engine, &changes).await;
        let (epoch, recent, counts) = shown(&engine).await;
        assert_eq!(recent, here.iter().filter(|row| row[0] > now - MINUTE).cloned().collect(), "at {now}");
        told.insert(epoch, (recent, counts));
    }
    engine.stop();
    let walls: BTreeMap<Epoch, i64> = world.log.records().iter().map(|record| (record.epoch, record.wall_micros)).collect();
    let mut chosen: Vec<Epoch> = told.keys().copied().collect();
    random.shuffle(&mut chosen);
    for epoch in chosen.into_iter().take(10) {
        let workers = random.usize(1..=4);
        world.hand.set(walls[&epoch]);
        let (engine, recovered) = world.start(workers, Some(epoch));
        assert_eq!(recovered.committed, epoch);
        let (at, recent, counts) = shown(&engine).await;
        assert_eq!((at, &(recent, counts)), (epoch, &told[&epoch]), "commit {epoch}, now with {workers} workers");
        engine.stop();
    }
}

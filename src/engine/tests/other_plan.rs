//! A restart with a version that computes a view in another way: that view stops, with all that read it, and the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use weir_common::clock::SystemClock;
use weir_common::delta::Delta;
use weir_common::epoch_log::Forgetful;
use weir_common::error::{Result, SqlState};
use weir_common::expr::{Column, ExprRef};
use weir_common::ids::RelationId;
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::Op;
use weir_common::state_store::MemoryStore;
use weir_dataflow::lower::lower;

use super::{count, ints, read, rows};
use crate::engine::{CheckpointConfig, Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::feed::FeedLimits;
use crate::recovery::{Definer, Made, Recovery};

const TABLE: RelationId = RelationId(20000);
/// Counts of the table's rows by `k`, or by `v` where versions differ.
const DIFFERS: RelationId = RelationId(20001);
/// Counts of the rows of `DIFFERS`.
const ON_DIFFERS: RelationId = RelationId(20002);
/// Counts of the table's rows by `k`.
const SAME: RelationId = RelationId(20003);
/// `DIFFERS`, made anew.
const AGAIN: RelationId = RelationId(20004);

fn pairs() -> SchemaRef {
    ints(&["k", "v"])
}

/// How a version of Weir computes views: the newer one takes another column.
#[derive(Clone, Copy)]
struct Version {
    newer: bool,
    workers: usize,
}

impl Version {
    fn view(self, id: RelationId) -> ViewSpec {
        let mut plan = count(if id == ON_DIFFERS { DIFFERS } else { TABLE }, &pairs(), false);
        if self.newer && [DIFFERS, AGAIN].contains(&id) {
            let second = Column { index: 1, name: "v".into(), data_type: arrow::datatypes::DataType::Int64 };
            plan.inputs[0].op = Op::Project { exprs: vec![Arc::new(second)] };
        }
        let name = format!("v{id}");
        let plan = Arc::new(lower(&plan, &name, self.workers).unwrap());
        ViewSpec { id, late: None, late_entries_max: 0, plan, name, sources: BTreeMap::new(), keep: true, temporary: false }
    }

    fn start(self, store: &MemoryStore) -> Engine {
        let interval = Duration::from_secs(3600);
        let checkpoints = Some(CheckpointConfig { store: Arc::new(store.clone()), interval, bytes: u64::MAX, slice_rows: 1000 });
        let recovery = Some(Recovery { records: Box::new(std::iter::empty()), dropped: BTreeSet::new(), definer: Box::new(self) });
        let config = EngineConfig {
            workers: self.workers,
            clock: Arc::new(SystemClock),
            log: Box::new(Forgetful),
            filling_rows_max: FILLING_ROWS_MAX,
            recovery,
            checkpoints,
            memory_limit: None,
            feeds: FeedLimits::default(),
        };
        Engine::start(config).unwrap().0
    }
}

fn table() -> TableSpec {
    TableSpec { id: TABLE, name: "t".into(), schema: pairs(), key: Some(vec![1]), key_name: None, watermark: None }
}

/// A definition's words are the relation's number.
impl Definer for Version {
    fn made(&mut self, words: &[u8], _dropped: &BTreeSet<RelationId>) -> Result<Made> {
        let id = RelationId(u32::from_le_bytes(words.try_into().unwrap()));
        Ok(if id == TABLE { Made::Table(table()) } else { Made::View(self.view(id)) })
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted, but {words}")
    }
    fn dropped(&mut self, _relations: &[RelationId]) {}
    fn numbers_below(&mut self, _next: RelationId) {}
}

fn words(id: RelationId) -> Vec<u8> {
    id.0.to_le_bytes().to_vec()
}

async fn insert(engine: &Engine, values: std::ops::Range<i64>) {
    let many: Vec<Vec<i64>> = values.map(|value| vec![value % 3, value]).collect();
    engine.write(vec![TableWrite { table: TABLE, delta: Delta::insert(rows(&pairs(), &many)) }]).await.unwrap();
}

async fn shown(engine: &Engine, view: RelationId) -> BTreeSet<Vec<i64>> {
    read(&engine.snapshot(&[(view, pairs())]).await.unwrap().1[0])
}

#[tokio::test]
async fn a_view_that_would_be_computed_otherwise_stops_and_the_others_go_on() {
    let store = MemoryStore::default();
    let older = Version { newer: false, workers: 2 };
    let engine = older.start(&store);
    engine.create_table(table(), None, words(TABLE)).await.unwrap();
    for view in [DIFFERS, ON_DIFFERS, SAME] {
        engine.create_view(older.view(view), words(view)).await.unwrap();
    }
    insert(&engine, 0..9).await;
    engine.checkpoint().await.unwrap();
    engine.stop();
    // Also the older version has no use any more for what it kept, after a commit that was made without the view.
    let mut written = 9;
    for version in [Version { newer: true, workers: 2 }, Version { newer: true, workers: 3 }, older] {
        let engine = version.start(&store);
        for view in [DIFFERS, ON_DIFFERS] {
            let error = engine.snapshot(&[(view, pairs())]).await.unwrap_err();
            assert_eq!(error.sqlstate(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{error}");
            assert!(error.message().contains("computes it otherwise"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("drop the view and create it anew")), "{error}");
        }
        insert(&engine, written..written + 3).await;
        written += 3;
        let by_key = (0..3).map(|key| vec![key, written / 3]).collect();
        assert_eq!(shown(&engine, SAME).await, by_key);
        engine.checkpoint().await.unwrap();
        engine.stop();
    }
    let engine = older.start(&store);
    engine.drop_relations(vec![ON_DIFFERS, DIFFERS]).await.unwrap();
    engine.create_view(older.view(AGAIN), words(AGAIN)).await.unwrap();
    assert_eq!(shown(&engine, AGAIN).await, shown(&engine, SAME).await);
    engine.stop();
}

//! Subscriptions to results that never change, but for late rows that are admitted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use weir_common::clock::SystemClock;
use weir_common::delta::Delta;
use weir_common::error::SqlState;
use weir_common::ids::RelationId;
use weir_common::lateness::{Closed, Emit, LateRows, WindowLife};
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::{Closing, EventTime, Facts, Node, Op, WindowEnd};
use weir_common::source::Watermark;
use weir_dataflow::lower::lower;

use super::log::Log;
use crate::engine::{Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::feed::FeedLimits;
use crate::subscription::Wanted;

const MINUTE: i64 = 60_000_000;
pub(super) const TABLE: RelationId = RelationId(20000);
pub(super) const VIEW: RelationId = RelationId(20001);
pub(super) const LATE: RelationId = RelationId(20002);

fn moments() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true)]))
}

/// Rows of moments.
pub(super) fn table() -> TableSpec {
    let watermark = Some(Watermark { column: 0, delay: 0, idle_timeout: MINUTE, max_future: MINUTE });
    TableSpec { id: TABLE, name: "t".into(), schema: moments(), key: None, key_name: None, watermark }
}

/// The starts of windows of a minute, each once it is closed.
pub(super) fn finals(workers: usize) -> ViewSpec {
    let event_times = vec![EventTime { column: 0, source: TABLE, steps: vec![] }];
    let facts = Facts { append_only: true, event_times, ..Facts::default() };
    let op = Op::Import { relation: TABLE, name: "t".into(), columns: vec![0] };
    let import = Node { op, inputs: vec![], schema: moments(), facts: facts.clone() };
    let end = WindowEnd::After(MINUTE);
    let closed = Closed { source: TABLE, steps: vec![], named: vec![], end, lateness: 0 };
    let late = LateRows { input: "t".into(), column: 0, is_event_time: true, closed, positions: false };
    let taken = Node { op: Op::TakeLate(late), inputs: vec![import], schema: moments(), facts: facts.clone() };
    let closing = Closing { source: TABLE, steps: vec![], column: 0, end };
    let life = WindowLife { closing: closing.clone(), lateness: 0, emit: Emit::Final, retention: None, keeps_closed: true };
    let plan = Node {
        op: Op::Aggregate { keys: 1, calls: vec![], life: Some(life) },
        inputs: vec![taken],
        schema: moments(),
        facts: Facts { append_only: false, key: Some(vec![0]), closes: Some(closing), ..facts },
    };
    let (plan, sources) = (Arc::new(lower(&plan, "finals", workers).unwrap()), BTreeMap::new());
    ViewSpec { id: VIEW, late: Some(LATE), late_entries_max: 1000, plan, name: "finals".into(), sources, keep: true, temporary: false }
}

pub(super) async fn write(engine: &Engine, minutes: &[i64]) {
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(minutes.iter().map(|minute| minute * MINUTE)));
    let delta = Delta::insert(RecordBatch::try_new(moments(), vec![times]).unwrap());
    engine.write(vec![TableWrite { table: TABLE, delta }]).await.unwrap();
}

#[tokio::test]
async fn who_comes_while_final_results_change_is_shown_the_new_ones() {
    let log = Log::default();
    let config = EngineConfig {
        workers: 2,
        clock: Arc::new(SystemClock),
        log: Box::new(log.clone()),
        filling_rows_max: FILLING_ROWS_MAX,
        recovery: None,
        checkpoints: None,
        memory_limit: None,
        feeds: FeedLimits::default(),
    };
    let engine = Engine::start(config).unwrap().0;
    engine.create_table(table(), None, vec![]).await.unwrap();
    engine.create_view(finals(2), vec![]).await.unwrap();
    write(&engine, &[0, 5]).await;
    write(&engine, &[1]).await;
    log.hold();
    let admission = tokio::spawn({
        let engine = engine.clone();
        async move { engine.admit_late(VIEW, None, true).await }
    });
    while !log.is_waited_for() {
        tokio::task::yield_now().await;
    }
    // It cannot commit yet.
    let (now, _) = engine.snapshot(&[(VIEW, moments())]).await.unwrap();
    let subscribed = tokio::spawn({
        let engine = engine.clone();
        async move { engine.subscribe(VIEW, moments(), Wanted::default()).await }
    });
    tokio::task::yield_now().await;
    // A question is answered behind the subscription.
    engine.status().await.unwrap();
    log.release();
    assert_eq!(admission.await.unwrap().unwrap().entries, 1);
    let (start, subscription) = subscribed.await.unwrap().unwrap();
    let rows: usize = start.rows().unwrap().iter().map(Delta::num_rows).sum();
    assert_eq!((start.commit(), rows), (now + 1, 2), "windows 0 and 1");
    // From then on nothing is admitted, until it has ended.
    write(&engine, &[3]).await;
    let refused = engine.admit_late(VIEW, None, true).await.unwrap_err();
    assert_eq!(refused.sqlstate(), SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    drop(subscription);
    let (before, _) = engine.snapshot(&[(VIEW, moments())]).await.unwrap();
    let back = Wanted { as_of: Some(before), ..Wanted::default() };
    drop(engine.subscribe(VIEW, moments(), back).await.unwrap());
    assert_eq!(engine.admit_late(VIEW, None, true).await.unwrap().entries, 1);
    // Who comes back has heard other results.
    let error = engine.subscribe(VIEW, moments(), back).await.err().unwrap();
    assert!(error.message().contains("before the changes that are kept"), "{error:?}");
    engine.stop();
}

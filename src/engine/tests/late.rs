//! Late rows: which entries conditions mean, and which are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use weir_common::clock::SystemClock;
use weir_common::epoch_log::{EpochRecord, Forgetful};
use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::{BatchExpr, ExprRef};
use weir_common::ids::RelationId;
use weir_common::limits::FILLING_ROWS_MAX;

use super::log::Log;
use super::subscribe::{LATE, TABLE, VIEW, finals, table, write};
use crate::engine::{Engine, EngineConfig, ViewSpec};
use crate::feed::FeedLimits;
use crate::late::meant;
use crate::recovery::{Definer, Made, Recovery};

/// `10 / column 0 > 1`, which fails for 0.
#[derive(Debug)]
struct Divides;

impl BatchExpr for Divides {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        if numbers.iter().any(|number| number == Some(0)) {
            return Err(Error::new(SqlState("22012"), "division by zero"));
        }
        Ok(Arc::new(numbers.iter().map(|number| Some(10 / number? > 1)).collect::<BooleanArray>()))
    }
    fn data_type(&self) -> &DataType {
        &DataType::Boolean
    }
    fn columns(&self) -> Vec<usize> {
        vec![0]
    }
    fn describe(&self) -> String {
        "10 / n > 1".into()
    }
}

#[test]
fn entries_for_which_the_condition_fails_or_is_null_are_not_meant() {
    let condition: ExprRef = Arc::new(Divides);
    let numbers = [Some(0), Some(3), None, Some(20), Some(0), Some(0), Some(5), Some(4)];
    for from in 0..numbers.len() {
        for to in from..=numbers.len() {
            let all: ArrayRef = Arc::new(Int64Array::from(numbers[from..to].to_vec()));
            let entries = RecordBatch::try_from_iter_with_nullable([("n", all, true)]).unwrap();
            let found = meant(&entries, &condition).unwrap();
            let expected: Vec<i64> = numbers[from..to].iter().flatten().copied().filter(|number| [3, 5, 4].contains(number)).collect();
            assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &expected, "{from}..{to}");
            assert_eq!(found.column(0).null_count(), 0);
        }
    }
}

/// Knows the table and the view.
struct Both(usize);

impl Definer for Both {
    fn made(&mut self, words: &[u8], _dropped: &BTreeSet<RelationId>) -> Result<Made> {
        Ok(if words == b"t" { Made::Table(table()) } else { Made::View(spec(self.0)) })
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted where {words}")
    }
    fn dropped(&mut self, _relations: &[RelationId]) {}
    fn numbers_below(&mut self, _next: RelationId) {}
}

/// Of which two late rows are kept.
fn spec(workers: usize) -> ViewSpec {
    ViewSpec { late_entries_max: 2, ..finals(workers) }
}

fn config(workers: usize) -> EngineConfig {
    EngineConfig {
        workers,
        clock: Arc::new(SystemClock),
        log: Box::new(Forgetful),
        filling_rows_max: FILLING_ROWS_MAX,
        recovery: None,
        checkpoints: None,
        memory_limit: None,
        feeds: FeedLimits::default(),
    }
}

/// The minutes of the late rows with how often they are there, and how many were not kept.
async fn late(engine: &Engine) -> (BTreeMap<i64, usize>, u64) {
    let schema = finals(1).plan.late.as_ref().unwrap().schema.clone();
    let (_, snapshots) = engine.snapshot(&[(LATE, schema)]).await.unwrap();
    let mut minutes = BTreeMap::new();
    for rows in snapshots[0].batches().unwrap() {
        for micros in rows.column(0).as_primitive::<TimestampMicrosecondType>().values() {
            *minutes.entry(micros / 60_000_000).or_insert(0) += 1;
        }
    }
    (minutes, engine.status().await.unwrap().views[0].late_dropped)
}

#[tokio::test]
async fn the_record_says_of_which_epochs_no_late_rows_are_kept() {
    let log = Log::default();
    let engine = Engine::start(EngineConfig { log: Box::new(log.clone()), ..config(2) }).unwrap().0;
    engine.create_table(table(), None, b"t".to_vec()).await.unwrap();
    engine.create_view(spec(2), b"v".to_vec()).await.unwrap();
    // As many as come at once are kept at once; then none, until there is room.
    for minutes in [&[0, 9][..], &[1], &[2, 3, 4], &[5], &[6, 6]] {
        write(&engine, minutes).await;
    }
    assert_eq!(late(&engine).await, ([(1, 1), (2, 1), (3, 1), (4, 1)].into(), 3));
    assert_eq!(engine.discard_late(VIEW, None).await.unwrap().entries, 4);
    for minutes in [&[1, 2][..], &[3]] {
        write(&engine, minutes).await;
    }
    let (expected, dropped) = late(&engine).await;
    assert_eq!((&expected, dropped), (&[(1, 1), (2, 1)].into(), 4));
    let taken = engine.admit_late(VIEW, None, true).await.unwrap();
    assert_eq!((taken.entries, taken.left, taken.dropped), (2, 0, 4));
    engine.stop();

    // What was decided is done again, whatever would be decided now.
    let records = log.records();
    let full = |record: &&EpochRecord| record.full == [VIEW];
    // Those of rows that were not kept, of what made room, and of what was admitted.
    assert_eq!(records.iter().filter(full).count(), 5, "{records:?}");
    assert_eq!(records.iter().filter(|record| record.discarded == [VIEW] && record.admitted == [VIEW]).count(), 1);
    let admission = records.iter().rposition(|record| !record.admitted.is_empty()).unwrap();
    for workers in [1, 2, 3] {
        for forgets in [false, true] {
            let records: Vec<EpochRecord> = records[..admission].to_vec();
            let records =
                records.into_iter().map(move |record| EpochRecord { full: if forgets { vec![] } else { record.full.clone() }, ..record });
            let recovery = Recovery { records: Box::new(records.map(Ok)), dropped: BTreeSet::new(), definer: Box::new(Both(workers)) };
            let engine = Engine::start(EngineConfig { recovery: Some(recovery), ..config(workers) }).unwrap().0;
            match forgets {
                false => assert_eq!(late(&engine).await, (expected.clone(), dropped), "{workers} workers"),
                true => assert_eq!(late(&engine).await, ([(1, 1), (2, 1), (3, 1)].into(), 0), "{workers} workers"),
            }
            assert_eq!(engine.admit_late(VIEW, None, true).await.unwrap().dropped, if forgets { 0 } else { dropped });
            engine.stop();
        }
    }
    assert!(records.iter().any(|record| record.writes.iter().any(|written| written.table == TABLE)));
}

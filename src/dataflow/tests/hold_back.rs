//! Rows that wait until their window is closed, against doing it by hand: each comes once, as it is when its window closes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use fastrand::Rng;
use weir_common::delta::Delta;
use weir_common::ids::RelationId;
use weir_common::lateness::Final;
use weir_common::plan::{Closing, Facts, Node, Op, WindowEnd};

use crate::explain::explain;
use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::import;
use crate::times::EpochTimes;

const SOURCE: RelationId = RelationId(7);
const SIZE: i64 = 10;
const LATENESS: i64 = 3;

/// What names its window, and a value.
type Row = (i64, i64);

fn plan() -> Node {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let input = import("v", &[("window_start", time), ("x", DataType::Int64)], Facts::default());
    let closing = Closing { source: SOURCE, steps: vec![], column: 0, end: WindowEnd::After(SIZE) };
    let facts = Facts { append_only: true, ..Facts::default() };
    Node { op: Op::HoldBack(Final { closing, lateness: LATENESS }), schema: input.schema.clone(), inputs: vec![input], facts }
}

fn delta(plan: &Node, rows: &[(Row, i64)]) -> Delta {
    let starts = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|((start, _), _)| *start));
    let values = Int64Array::from_iter_values(rows.iter().map(|((_, value), _)| *value));
    let columns: Vec<ArrayRef> = vec![Arc::new(starts), Arc::new(values)];
    let batch = RecordBatch::try_new(plan.schema.clone(), columns).unwrap();
    Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect())
}

/// What one epoch gave, each row as often as it came.
fn counts(deltas: &[Delta]) -> BTreeMap<Vec<Option<String>>, i64> {
    let mut all = Integral::new();
    deltas.iter().for_each(|delta| all.add(delta));
    all.counts().clone()
}

#[test]
fn each_row_comes_once_as_it_is_when_its_window_closes() {
    let plan = plan();
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let workers = rng.usize(1..=3);
        let mut simulator = Simulator::new(&lower(&plan, "v", workers).unwrap(), workers);
        let (mut there, mut watermark): (Vec<Row>, Option<i64>) = (vec![], None);
        for epoch in 0..rng.usize(1..12) {
            for _ in 0..rng.usize(0..4) {
                let mut changes = vec![];
                for _ in 0..rng.usize(0..20) {
                    if !there.is_empty() && rng.bool() {
                        changes.push((there.swap_remove(rng.usize(..there.len())), -1));
                    } else {
                        let row = (rng.i64(-3..6) * SIZE, rng.i64(0..4));
                        there.push(row);
                        changes.push((row, 1));
                    }
                }
                simulator.push(0, delta(&plan, &changes), rng.usize(..workers));
            }
            let before = watermark;
            watermark = watermark.max(rng.bool().then(|| rng.i64(-40..90)));
            if rng.usize(..12) == 0 {
                watermark = Some(i64::MAX);
            }
            simulator.at(EpochTimes { wall_micros: 0, watermarks: vec![(SOURCE, before, watermark)], ..EpochTimes::NONE });
            let is_closed = |start: i64, by: Option<i64>| by.is_some_and(|by| start + SIZE + LATENESS <= by);
            let closes = |(start, _): &&Row| is_closed(*start, watermark) && !is_closed(*start, before);
            let final_now: Vec<(Row, i64)> = there.iter().filter(closes).map(|row| (*row, 1)).collect();
            let out = simulator.close_epoch();
            assert!(out.iter().all(Delta::is_append_only));
            assert_eq!(counts(&out), counts(&[delta(&plan, &final_now)]), "epoch {epoch}, seed {seed}, {workers} workers");
        }
    }
}

#[test]
fn what_is_held_is_what_is_there_however_often_it_was_revised() {
    let plan = plan();
    let mut simulator = Simulator::new(&lower(&plan, "v", 1).unwrap(), 1);
    for value in 0..20_000 {
        simulator.push(0, delta(&plan, &[((0, value), 1)]), 0);
        if value > 0 {
            simulator.push(0, delta(&plan, &[((0, value - 1), -1)]), 0);
        }
    }
    assert!(simulator.groups() < 2000, "{} rows are held for one", simulator.groups());
    simulator.at(EpochTimes { wall_micros: 0, watermarks: vec![(SOURCE, None, Some(SIZE + LATENESS))], ..EpochTimes::NONE });
    assert_eq!(simulator.close_epoch().iter().map(Delta::num_rows).sum::<usize>(), 1);
    assert_eq!((simulator.groups(), simulator.memory_bytes()), (0, 0));
}

#[test]
fn explain_tells_of_it() {
    let text = explain(&lower(&plan(), "v", 2).unwrap());
    assert!(
        text.contains("Hold back: until the watermark of relation 7 reaches window_start + 00:00:00.00001 + 00:00:00.000003"),
        "{text}"
    );
    assert!(text.contains("Exchange by (window_start, x): v"), "a delete finds its row\n{text}");
}

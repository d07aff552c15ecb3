//! Rows that come and go with a clock that a hand moves.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use weir_common::delta::Delta;
use weir_common::error::{Error, SqlState};
use weir_common::expr::ExprRef;
use weir_common::from_now::{FromNow, NowStep};
use weir_common::plan::{Facts, Node, Op};
use weir_common::temporal::{ClockCondition, Comparison, TimeCondition};

use crate::explain::explain;
use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::{append_only, column, expr, import, interrupted};
use crate::times::EpochTimes;

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A time, NULL or not, and a number.
type Row = (Option<i64>, i64);

fn calls(facts: Facts) -> Node {
    import("calls", &[("at", TIME), ("id", DataType::Int64)], facts)
}

fn temporal(input: Node, condition: TimeCondition) -> Node {
    let facts = Facts { key: input.facts.key.clone(), ..Facts::default() };
    Node { op: Op::TemporalFilter(condition), schema: input.schema.clone(), facts, inputs: vec![input] }
}

/// `now() + shift comparison value`
fn clock(shift: i64, comparison: Comparison, value: ExprRef) -> TimeCondition {
    TimeCondition::Clock(ClockCondition { from_now: FromNow { steps: vec![NowStep::Shift(shift)] }, comparison, value })
}

/// From its time on, for ten microseconds.
fn for_ten() -> TimeCondition {
    let at = || column(0, "at", TIME);
    TimeCondition::All(vec![clock(0, Comparison::NotBefore, at()), clock(-10, Comparison::Before, at())])
}

fn delta(input: &Node, rows: &[(Row, i64)]) -> Delta {
    let times: TimestampMicrosecondArray = rows.iter().map(|((time, _), _)| *time).collect();
    let ids = Int64Array::from_iter_values(rows.iter().map(|((_, id), _)| *id));
    let columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(ids)];
    let rows_of = RecordBatch::try_new(input.schema.clone(), columns).unwrap();
    Delta::weighted(rows_of, rows.iter().map(|(_, weight)| *weight).collect())
}

fn at(wall_micros: i64) -> EpochTimes {
    EpochTimes { wall_micros, ..EpochTimes::NONE }
}

/// The numbers of the rows that are shown.
fn ids(shown: &Integral) -> Vec<String> {
    let mut ids: Vec<String> = shown.rows().into_iter().map(|row| row[1].clone().unwrap()).collect();
    ids.sort();
    ids
}

#[test]
fn each_row_comes_and_goes_at_its_moments() {
    for workers in [1, 3] {
        let input = calls(Facts::default());
        let plan = lower(&temporal(input.clone(), for_ten()), "v", workers).unwrap();
        let mut simulator = Simulator::new(&plan, workers);
        let mut shown = Integral::new();
        let mut step = |now: i64, changes: &[(Row, i64)]| {
            simulator.at(at(now));
            if !changes.is_empty() {
                simulator.push(0, delta(&input, changes), 0);
            }
            let out = simulator.close_epoch();
            out.iter().for_each(|delta| shown.add(delta));
            (ids(&shown), simulator.groups(), out.iter().map(Delta::num_rows).sum::<usize>())
        };
        let of = |ids: &[&str]| ids.iter().map(|id| id.to_string()).collect::<Vec<_>>();
        // Over, there, to come (twice), never.
        let first = [((Some(80), 1), 1), ((Some(91), 2), 1), ((Some(105), 3), 2), ((None, 4), 1)];
        assert_eq!(step(100, &first), (of(&["2"]), 2, 1));
        assert_eq!(step(100, &[]), (of(&["2"]), 2, 0));
        assert_eq!(step(101, &[]), (of(&[]), 1, 1));
        assert_eq!(step(104, &[]), (of(&[]), 1, 0));
        assert_eq!(step(105, &[]), (of(&["3", "3"]), 1, 1));
        // One of two goes before its time; one comes whose time is over by the next epoch.
        assert_eq!(step(106, &[((Some(105), 3), -1), ((Some(97), 5), 1)]), (of(&["3", "5"]), 2, 2));
        // What is over is passed by, however late it is looked at.
        assert_eq!(step(1000, &[]), (of(&[]), 0, 2));
        assert_eq!(step(1000, &[((Some(80), 1), -1), ((None, 4), -1), ((Some(1000), 6), 1), ((Some(1000), 6), -1)]), (of(&[]), 0, 2));
    }
}

#[test]
fn what_leaves_at_once_may_be_more_than_one_delta() {
    let input = calls(append_only());
    let mut simulator = interrupted(&temporal(input.clone(), for_ten()), 2, 7);
    let mut shown = Integral::new();
    let rows: Vec<(Row, i64)> = (0..66_000).map(|id| ((Some(5), id), 1)).collect();
    for now in 0..3 {
        simulator.at(at(now));
        if now == 0 {
            let batch = delta(&input, &rows).rows;
            simulator.push(0, Delta::insert(batch), 0);
        }
        assert!(simulator.close_epoch().is_empty());
    }
    assert_eq!(simulator.groups(), rows.len());
    for (now, expected) in [(5, rows.len()), (15, 0)] {
        simulator.at(at(now));
        simulator.close_epoch().iter().for_each(|delta| shown.add(delta));
        assert_eq!(shown.rows().len(), expected);
    }
    assert_eq!(simulator.groups(), 0);
}

#[test]
fn a_row_without_a_value_is_a_dead_letter_once() {
    let input = calls(Facts::default());
    let failing = expr("1 / id", TIME, |rows| {
        let ids = rows.column(1).as_primitive::<arrow::datatypes::Int64Type>();
        match ids.values().contains(&0) {
            true => Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")),
            false => Ok(Arc::new(rows.column(0).as_primitive::<TimestampMicrosecondType>().clone())),
        }
    });
    let plan = lower(&temporal(input.clone(), clock(0, Comparison::Before, failing)), "v", 1).unwrap();
    let mut simulator = Simulator::new(&plan, 1);
    simulator.at(at(1));
    simulator.push(0, delta(&input, &[((Some(5), 0), 1), ((Some(5), 1), 1)]), 0);
    assert_eq!(simulator.close_epoch().iter().map(Delta::num_rows).sum::<usize>(), 1);
    assert_eq!(simulator.take_dead_letters().len(), 1);
    simulator.at(at(9));
    simulator.push(0, delta(&input, &[((Some(5), 0), -1)]), 0);
    assert_eq!(simulator.close_epoch().iter().map(Delta::num_rows).sum::<usize>(), 1);
    assert_eq!((simulator.take_dead_letters().len(), simulator.groups()), (0, 0));
}

#[test]
fn equal_rows_come_together_and_explain_says_what_is_kept() {
    let view = temporal(calls(append_only()), for_ten());
    let plan = lower(&view, "v", 2).unwrap();
    assert!(plan.is_timed() && plan.reads_clock());
    assert_eq!(
        explain(&plan),
        "View v on 2 workers: at, id
  with retractions
Fragment v.0
  Temporal filter: now() + 00:00:00 >= at AND now() - 00:00:00.00001 < at
    State: every row that is still to come or go as time passes, and its count; freed when its last moment has come
    Output: with retractions
    Exchange by (at, id): calls (at, id), append-only
"
    );
    let wrong = TimeCondition::Row(column(1, "id", DataType::Int64));
    assert!(lower(&temporal(calls(append_only()), wrong), "v", 2).is_err());
}

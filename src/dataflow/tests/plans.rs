//! Where exchanges are, and what EXPLAIN says.

use arrow::datatypes::{DataType, TimeUnit};
use weir_common::plan::{AggregateFunction, Closing, EventTime, Facts, Node, Op, WindowEnd};

use crate::explain::explain;
use crate::lower::{DataflowPlan, From, Route, lower};
use crate::tests::{aggregate, append_only, call, column, filter, import, project};

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn flights() -> Node {
    let mut node = import("flights", &[("window_start", TIME), ("origin", DataType::Utf8), ("delay", DataType::Float64)], append_only());
    let Op::Import { relation, .. } = node.op else { unreachable!() };
    node.facts.event_times = vec![EventTime { column: 0, source: relation, steps: vec![] }];
    node
}

fn by_hour() -> Node {
    let input = flights();
    let times = input.facts.event_times.clone();
    let closes = Some(Closing { source: times[0].source, steps: vec![], column: 0, end: WindowEnd::After(3_600_000_000) });
    let delay = || Some((2, DataType::Float64));
    let calls = vec![
        call(AggregateFunction::Count, None, None),
        call(AggregateFunction::Avg, delay(), None),
        call(AggregateFunction::Max, delay(), None),
    ];
    let mut node = aggregate(input, 2, calls);
    node.facts.event_times = times;
    node.facts.closes = closes;
    node
}

fn routes(plan: &DataflowPlan) -> Vec<Vec<(From, Route)>> {
    plan.fragments.iter().map(|fragment| fragment.inputs.iter().map(|input| (input.from, input.route.clone())).collect()).collect()
}

#[test]
fn one_worker_exchanges_nothing() {
    let plan = lower(&by_hour(), "v", 1).unwrap();
    assert_eq!(routes(&plan), vec![vec![(From::Import(0), Route::Local)]]);
}

#[test]
fn an_aggregate_sums_up_before_the_exchange() {
    let plan = lower(&by_hour(), "v", 2).unwrap();
    assert_eq!(routes(&plan), vec![vec![(From::Import(0), Route::Local)], vec![(From::Fragment(0), Route::Hash(vec![0, 1]))]]);
}

#[test]
fn a_maximum_that_may_be_taken_back_gets_the_rows() {
    let input = import("by_hour", &[("window_start", TIME), ("flights", DataType::Int64)], Facts::default());
    let plan = lower(&aggregate(input, 1, vec![call(AggregateFunction::Max, Some((1, DataType::Int64)), None)]), "busiest", 4).unwrap();
    assert_eq!(routes(&plan), vec![vec![(From::Import(0), Route::Hash(vec![0]))]]);
}

#[test]
fn what_is_together_stays() {
    // Groups of the groups by the same key: the second step finds them where they are.
    let inner = by_hour();
    let sum = call(AggregateFunction::Sum, Some((2, DataType::Int64)), None);
    let plan = lower(&aggregate(inner.clone(), 2, vec![sum.clone()]), "v", 3).unwrap();
    assert_eq!(plan.fragments.len(), 2);
    // By a part of the key they must move again.
    let plan = lower(&aggregate(inner, 1, vec![sum]), "v", 3).unwrap();
    assert_eq!(plan.fragments.len(), 3);
}

#[test]
fn a_view_sits_where_its_deletes_come() {
    let table = || import("t", &[("id", DataType::Int64), ("name", DataType::Utf8)], Facts { key: Some(vec![0]), ..Facts::default() });
    let name = || vec![("name", column(1, "name", DataType::Utf8))];
    let by_key = lower(&table(), "v", 2).unwrap();
    assert_eq!(routes(&by_key), vec![vec![(From::Import(0), Route::Hash(vec![0]))]]);
    let by_row = lower(&project(table(), name(), Facts::default()), "v", 2).unwrap();
    assert_eq!(routes(&by_row)[1], vec![(From::Fragment(0), Route::Hash(vec![0]))]);
    // Only added: it stays where it is.
    let added = import("s", &[("id", DataType::Int64), ("name", DataType::Utf8)], append_only());
    assert_eq!(routes(&lower(&added, "v", 2).unwrap()), vec![vec![(From::Import(0), Route::Local)]]);
    // An aggregate whose key is kept needs no exchange; one whose key is lost does.
    let keep = project(
        by_hour(),
        vec![("n", column(2, "n", DataType::Int64)), ("o", column(1, "o", DataType::Utf8)), ("w", column(0, "w", TIME))],
        Facts { key: Some(vec![1, 2]), ..Facts::default() },
    );
    assert_eq!(lower(&keep, "v", 2).unwrap().fragments.len(), 2);
    let lose = project(by_hour(), vec![("n", column(2, "n", DataType::Int64))], Facts::default());
    assert_eq!(lower(&lose, "v", 2).unwrap().fragments.len(), 3);
}

#[test]
fn a_union_is_one_fragment_and_imports_are_shared() {
    let condition = || column(0, "ok", DataType::Boolean);
    let table = || import("t", &[("ok", DataType::Boolean)], append_only());
    let union = Node {
        schema: table().schema,
        facts: append_only(),
        op: Op::UnionAll,
        inputs: vec![table(), filter(table(), condition()), filter(import("u", &[("ok", DataType::Boolean)], append_only()), condition())],
    };
    let plan = lower(&union, "v", 2).unwrap();
    assert_eq!(plan.imports.len(), 2);
    assert_eq!(routes(&plan), vec![vec![(From::Import(0), Route::Local), (From::Import(1), Route::Local)]]);
}

#[test]
fn what_cannot_be_maintained_is_refused() {
    let list = DataType::new_list(DataType::Int64, true);
    let by_list = aggregate(import("t", &[("a", list)], Facts::default()), 1, vec![]);
    assert_eq!(lower(&by_list, "v", 1).unwrap_err().sqlstate().0, "0A000");
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    let max = call(AggregateFunction::Max, Some((0, interval.clone())), None);
    assert_eq!(
        lower(&aggregate(import("t", &[("a", interval)], Facts::default()), 0, vec![max]), "v", 1).unwrap_err().sqlstate().0,
        "0A000"
    );
}

#[test]
fn explain_reads_from_the_view_down() {
    let text = explain(&lower(&by_hour(), "by_hour", 2).unwrap());
    let expected = "\
View by_hour on 2 workers: window_start, origin, count(*), avg(#2), max(#2)
  with retractions, key (window_start, origin), event time window_start from flights; never closes: the watermark of flights could close window_start + 01:00:00
Fragment by_hour.1
  Final aggregate by (window_start, origin): count(*), avg(#2), max(#2)
    State: a group for each key; never closes: the watermark of flights could close window_start + 01:00:00
    Output: with retractions, key (window_start, origin), event time window_start from flights
    Exchange by (window_start, origin): fragment by_hour.0
Fragment by_hour.0
  Partial aggregate by (window_start, origin): count(*), avg(#2), max(#2)
    State: a group for each key of the current epoch, sent on at its end
    Output: append-only
    Read flights (window_start, origin, delay), append-only
";
    assert_eq!(text, expected);
    let input = import("by_hour", &[("window_start", TIME), ("flights", DataType::Int64)], Facts::default());
    let text = explain(&lower(&aggregate(input, 0, vec![call(AggregateFunction::Max, Some((1, DataType::Int64)), None)]), "v", 2).unwrap());
    let expected = "\
View v on 2 workers: max(#1)
  with retractions, one row; never closes
Fragment v.0
  Aggregate: max(#1)
    State: one group, with every value of max(#1) and its count; never closes
    Output: with retractions, one row
    Exchange, all rows to one worker: by_hour (window_start, flights), with retractions
";
    assert_eq!(text, expected);
}

#[test]
fn what_decides_about_state_has_no_number_of_workers_and_never_other_words() {
    let mut view = by_hour();
    let identity = lower(&view, "v", 1).unwrap().identity;
    for workers in 2..5 {
        assert_eq!(lower(&view, "w", workers).unwrap().identity, identity);
    }
    let stored = "\
import 0: relation 17137 append-only, columns [0, 1, 2] of (Timestamp(µs), Utf8, Float64)
fragment 0 input 0: import 0, local
fragment 0 step 0 of input 0: aggregate partial append-only state 0 keys 2 calls (Count of none Null where none gives Int64, \
Avg of 2 Float64 where none gives Float64, Max of 2 Float64 where none gives Float64) gives \
(Timestamp(µs), Utf8, Int64, Int64, Float64, Float64, Binary, Float64)
fragment 0 output: step 0
fragment 1 input 0: fragment 0, by [0, 1]
fragment 1 step 0 of input 0: aggregate final append-only state 0 keys 2 calls (Count of none Null where none gives Int64, \
Avg of 2 Float64 where none gives Float64, Max of 2 Float64 where none gives Float64) gives (Timestamp(µs), Utf8, Int64, Float64, Float64)
fragment 1 output: step 0
state 0.0: 2 of (Timestamp(µs), Utf8, Int64, Int64, Float64, Float64, Binary, Float64) are the key, placed by [0, 1]
view: (Timestamp(µs), Utf8, Int64, Float64, Float64), placed by Some([0, 1])
";
    assert_eq!(identity, stored, "directories of earlier versions have these words");
    // What the view shows may change, and so may what it is made of.
    let Op::Aggregate { calls, .. } = &mut view.op else { unreachable!() };
    calls[2].function = AggregateFunction::Min;
    assert_ne!(lower(&view, "v", 1).unwrap().identity, identity);
}

//! Hopping and cumulating windows over random rows, against putting each row into each window by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use fastrand::Rng;
use weir_common::delta::Delta;
use weir_common::plan::{AggregateFunction, Facts, Node, Op};
use weir_common::window::{CumulateWindow, HopWindow, Windows};

use crate::explain::explain;
use crate::lower::lower;
use crate::simulator::Integral;
use crate::tests::{aggregate, append_only, call, column, import, interrupted, project};

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// One row: key, time, value.
type Row = (i64, i64, i64);

fn bids(facts: Facts) -> Node {
    import("bids", &[("k", DataType::Int64), ("ts", TIME), ("x", DataType::Int64)], facts)
}

fn copies(input: Node, windows: Windows) -> Node {
    Node {
        schema: input.schema.clone(),
        facts: input.facts.clone(),
        op: Op::Windows { column: 1, windows, closed: None },
        inputs: vec![input],
    }
}

fn delta(input: &Node, rows: &[(Row, i64)]) -> Delta {
    let word = |at: fn(&Row) -> i64| Int64Array::from_iter_values(rows.iter().map(|(row, _)| at(row)));
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(row, _)| row.1));
    let columns: Vec<ArrayRef> = vec![Arc::new(word(|row| row.0)), Arc::new(times), Arc::new(word(|row| row.2))];
    let batch = RecordBatch::try_new(input.schema.clone(), columns).unwrap();
    match input.facts.append_only {
        true => Delta::insert(batch),
        false => Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()),
    }
}

/// What a view gives over these rows, each row of it as often as it is there.
type Batch = fn(&[Row], Windows) -> Vec<Vec<Option<String>>>;

/// Runs random changes through the plan and compares after each epoch.
fn check(rng: &mut Rng, input: &Node, view: &Node, windows: Windows, batch: Batch) {
    let workers = rng.usize(1..=4);
    let plan = lower(view, "v", workers).unwrap();
    let mut simulator = interrupted(view, workers, rng.u64(..));
    let mut integral = Integral::new();
    let mut there: Vec<Row> = Vec::new();
    for _ in 0..rng.usize(1..6) {
        for _ in 0..rng.usize(0..4) {
            let mut changes = Vec::new();
            for _ in 0..rng.usize(0..20) {
                if !input.facts.append_only && !there.is_empty() && rng.bool() {
                    changes.push((there.swap_remove(rng.usize(..there.len())), -1));
                } else {
                    let row = (rng.i64(0..4), rng.i64(-60..60), rng.i64(-5..5));
                    there.push(row);
                    changes.push((row, 1));
                }
            }
            // Copies of a row may lie on several workers, its deletes too: only sums matter here.
            simulator.push(0, delta(input, &changes), rng.usize(..workers));
        }
        simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
        let mut expected = batch(&there, windows);
        expected.sort();
        assert_eq!(integral.rows(), expected, "{windows:?} on {workers} workers\n{}", explain(&plan));
    }
}

fn random_windows(rng: &mut Rng) -> Windows {
    let (every, offset) = (rng.i64(1..12), rng.i64(-20..20));
    match rng.bool() {
        true => Windows::Hop(HopWindow { slide: every, size: every + rng.i64(0..50), offset }),
        false => Windows::Cumulate(CumulateWindow { step: every, size: every * rng.i64(1..8), offset }),
    }
}

fn time(micros: i64) -> Option<String> {
    Some(chrono_text(micros))
}

fn chrono_text(micros: i64) -> String {
    let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]));
    arrow::util::display::array_value_to_string(&array, 0).unwrap()
}

/// Rows by window and key, put there one by one.
fn groups(rows: &[Row], windows: Windows) -> BTreeMap<(i64, i64), Vec<i64>> {
    // Start, end, and the one of them that tells the window.
    let all: Vec<(i64, i64, i64)> = match windows {
        Windows::Hop(HopWindow { slide, size, offset }) => {
            (-200..200).filter(|start| (start - offset) % slide == 0).map(|start| (start, start + size, start)).collect()
        }
        Windows::Cumulate(CumulateWindow { step, size, offset }) => {
            let starts = (-200..200).filter(|start| (start - offset) % size == 0);
            starts.flat_map(|start| (1..=size / step).map(move |steps| (start, start + steps * step, start + steps * step))).collect()
        }
    };
    let mut groups: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for (key, at, value) in rows {
        for (_, _, edge) in all.iter().filter(|(start, end, _)| start <= at && at < end) {
            groups.entry((*edge, *key)).or_default().push(*value);
        }
    }
    groups
}

#[test]
fn groups_of_overlapping_windows_equal_a_recomputation() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for run in 0..300 {
        let input = bids(if run % 2 == 0 { append_only() } else { Facts::default() });
        let windows = random_windows(&mut rng);
        let x = || Some((2, DataType::Int64));
        // (window, key): count, sum, and where it has no partial sums under retraction, max
        let keys = project(
            copies(input.clone(), windows),
            vec![("w", column(1, "ts", TIME)), ("k", column(0, "k", DataType::Int64)), ("x", column(2, "x", DataType::Int64))],
            input.facts.clone(),
        );
        let mut calls = vec![call(AggregateFunction::Count, None, None), call(AggregateFunction::Sum, x(), None)];
        let batch: Batch = if rng.bool() {
            calls.push(call(AggregateFunction::Max, x(), None));
            |rows, windows| {
                let row = |((start, key), values): ((i64, i64), Vec<i64>)| {
                    let text = |value: i64| Some(value.to_string());
                    let (count, sum) = (values.len() as i64, values.iter().sum::<i64>());
                    vec![time(start), text(key), text(count), text(sum), text(*values.iter().max().unwrap())]
                };
                groups(rows, windows).into_iter().map(row).collect()
            }
        } else {
            |rows, windows| {
                let row = |((start, key), values): ((i64, i64), Vec<i64>)| {
                    let text = |value: i64| Some(value.to_string());
                    vec![time(start), text(key), text(values.len() as i64), text(values.iter().sum::<i64>())]
                };
                groups(rows, windows).into_iter().map(row).collect()
            }
        };
        check(&mut rng, &input, &aggregate(keys, 2, calls), windows, batch);
    }
}

#[test]
fn rows_come_out_once_for_each_window() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for run in 0..200 {
        let input = bids(if run % 2 == 0 { append_only() } else { Facts::default() });
        let windows = random_windows(&mut rng);
        let batch: Batch = |rows, windows| {
            let text = |value: i64| Some(value.to_string());
            let rows =
                groups(rows, windows).into_iter().flat_map(|((start, key), values)| values.into_iter().map(move |x| (start, key, x)));
            rows.map(|(start, key, x)| vec![text(key), time(start), text(x)]).collect()
        };
        check(&mut rng, &input, &copies(input.clone(), windows), windows, batch);
        // Counted as a whole: the copies count, though nobody looks at their windows.
        let batch: Batch = |rows, windows| {
            let copies: usize = groups(rows, windows).values().map(Vec::len).sum();
            vec![vec![Some(copies.to_string())]]
        };
        let none = project(copies(input.clone(), windows), vec![("x", column(2, "x", DataType::Int64))], input.facts.clone());
        check(&mut rng, &input, &aggregate(none, 0, vec![call(AggregateFunction::Count, None, None)]), windows, batch);
    }
}

#[test]
fn sums_are_made_by_slice_before_they_are_copied() {
    let window = Windows::Hop(HopWindow { slide: 20_000_000, size: 50_000_000, offset: 0 });
    let keys = project(
        copies(bids(append_only()), window),
        vec![("w", column(1, "ts", TIME)), ("k", column(0, "k", DataType::Int64))],
        append_only(),
    );
    let view = aggregate(keys, 2, vec![call(AggregateFunction::Count, None, None)]);
    let text = explain(&lower(&view, "v", 2).unwrap());
    let expected = "\
View v on 2 workers: w, k, count(*)
  with retractions, key (w, k); never closes
Fragment v.1
  Final aggregate by (w, k): count(*)
    State: a group for each key; never closes
    Output: with retractions, key (w, k)
    Exchange by (w, k): fragment v.0
Fragment v.0
  Hop: w of each window of 00:00:50, one every 00:00:20
    Partial aggregate by (w, k): count(*)
      State: a group for each key of the current epoch, sent on at its end
      Project: slice of w, k
        Project: ts, k
          Output: append-only
          Read bids (k, ts, x), append-only
";
    assert_eq!(text, expected);
}

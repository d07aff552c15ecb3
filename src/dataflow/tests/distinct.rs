//! Each row once, however often its input has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::DataType;
use fastrand::Rng;
use weir_common::delta::{Delta, batch};
use weir_common::plan::{Facts, Node, Op};

use crate::explain::explain;
use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::{append_only, import, interrupted};

type Row = (Option<i64>, Option<f64>, Option<&'static str>);

fn distinct(input: Node) -> Node {
    let columns = (0..input.schema.fields().len()).collect();
    let facts = Facts { append_only: input.facts.append_only, key: Some(columns), ..Facts::default() };
    Node { op: Op::Distinct, schema: input.schema.clone(), facts, inputs: vec![input] }
}

fn table(facts: Facts) -> Node {
    import("t", &[("k", DataType::Int64), ("x", DataType::Float64), ("name", DataType::Utf8)], facts)
}

fn delta(input: &Node, rows: &[(Row, i64)]) -> Delta {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|((k, _, _), _)| *k).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|((_, x, _), _)| *x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|((_, _, name), _)| *name).collect::<StringArray>()),
    ];
    let batch = batch(input.schema.clone(), columns, rows.len()).unwrap();
    match rows.iter().all(|(_, weight)| *weight == 1) {
        true => Delta::insert(batch),
        false => Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()),
    }
}

fn row(rng: &mut Rng) -> Row {
    let x = [None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(1.5)][rng.usize(..5)];
    let name = [None, Some(""), Some("a"), Some("some longer text than others")][rng.usize(..4)];
    (rng.bool().then(|| rng.i64(0..3)), x, name)
}

/// Rows that are equal for SQL.
fn key(row: &Row) -> String {
    let (k, x, name) = row;
    format!("{k:?} {:?} {name:?}", x.map(|x| if x.is_nan() { "NaN".to_string() } else { (x + 0.0).to_string() }))
}

#[test]
fn rows_are_there_once() {
    let start = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("seeds from {start}; WEIR_SEED=n begins there");
    for seed in start..start + 300 {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let (workers, only_added) = (rng.usize(1..=4), rng.bool());
        let input = table(if only_added { append_only() } else { Facts::default() });
        let mut simulator = interrupted(&distinct(input.clone()), workers, seed);
        let (mut live, mut integral): (Vec<Row>, Integral) = (Vec::new(), Integral::new());
        for epoch in 0..8 {
            let mut changes: Vec<(Row, i64)> = Vec::new();
            for _ in 0..rng.usize(0..12) {
                let (row, copies) = (row(rng), if only_added { 1 } else { rng.i64(1..3) });
                (0..copies).for_each(|_| live.push(row));
                changes.push((row, copies));
            }
            let deletes = if only_added { 0 } else { rng.usize(0..=live.len()) };
            (0..deletes).for_each(|_| changes.push((live.swap_remove(rng.usize(..live.len())), -1)));
            rng.shuffle(&mut changes);
            for piece in changes.chunks(5) {
                simulator.push(0, delta(&input, piece), rng.usize(..workers));
            }
            let out = simulator.close_epoch();
            out.iter().for_each(|delta| integral.add(delta));
            assert!(!only_added || out.iter().all(Delta::is_append_only), "seed {seed}: nothing is taken back");
            let expected: BTreeMap<String, Row> = live.iter().map(|row| (key(row), *row)).collect();
            let counts: Vec<i64> = integral.counts().values().copied().collect();
            assert_eq!(counts, vec![1; expected.len()], "seed {seed}, epoch {epoch}: {integral:?}");
            let mut all = Integral::new();
            let canonical = |(k, x, name): &Row| ((*k, x.map(|x| x + 0.0), *name), 1);
            all.add(&delta(&input, &expected.values().map(canonical).collect::<Vec<_>>()));
            assert_eq!(integral, all, "seed {seed}, epoch {epoch}");
            assert_eq!(simulator.groups(), expected.len());
        }
        if !only_added {
            let all: Vec<(Row, i64)> = live.drain(..).map(|row| (row, -1)).collect();
            simulator.push(0, delta(&input, &all), 0);
            simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
            assert!(integral.is_empty() && simulator.groups() == 0, "seed {seed}: nothing is left of nothing");
        }
    }
}

#[test]
fn what_did_not_change_is_not_put_out() {
    let input = table(Facts::default());
    let mut simulator = Simulator::new(&lower(&distinct(input.clone()), "v", 2).unwrap(), 2);
    let one: Row = (Some(1), None, Some("a"));
    simulator.push(0, delta(&input, &[(one, 3)]), 0);
    assert_eq!(simulator.close_epoch().iter().map(Delta::num_rows).sum::<usize>(), 1);
    simulator.push(0, delta(&input, &[(one, -1), (one, 5)]), 1);
    simulator.push(0, delta(&input, &[(one, -6)]), 0);
    assert!(simulator.close_epoch().is_empty(), "a copy is left");
    simulator.push(0, delta(&input, &[((Some(2), None, None), 1), ((Some(2), None, None), -1)]), 0);
    assert!(simulator.close_epoch().is_empty(), "came and went");
}

#[test]
fn equal_rows_come_together_as_sums() {
    let text = explain(&lower(&distinct(table(append_only())), "v", 2).unwrap());
    let expected = "\
View v on 2 workers: k, x, name
  append-only, key (k, x, name); never closes
Fragment v.1
  Distinct
    State: every row and its count; never closes
    Output: append-only, key (k, x, name)
    Exchange by (k, x, name): fragment v.0
Fragment v.0
  Partial aggregate by (k, x, name)
    State: a group for each key of the current epoch, sent on at its end
    Output: append-only
    Read t (k, x, name), append-only
";
    assert_eq!(text, expected);
    let list = DataType::new_list(DataType::Int64, true);
    let refused = lower(&distinct(import("t", &[("a", list)], Facts::default())), "v", 1).unwrap_err();
    assert_eq!(refused.sqlstate().0, "0A000");
}

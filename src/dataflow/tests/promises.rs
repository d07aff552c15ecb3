//! The checker breaks off on broken promises; scatter and consolidate keep theirs.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::DataType;
use weir_common::delta::{Delta, Weights};
use weir_common::plan::{Facts, Node};

use crate::consolidate::consolidate;
use crate::lower::lower;
use crate::scatter::scatter;
use crate::simulator::{Integral, Simulator};
use crate::tests::{append_only, import};

fn pairs(input: &Node, rows: &[(i64, &str)], weights: Vec<i64>) -> Delta {
    let numbers = Int64Array::from_iter_values(rows.iter().map(|(number, _)| *number));
    let names = StringArray::from_iter_values(rows.iter().map(|(_, name)| *name));
    Delta::weighted(RecordBatch::try_new(input.schema.clone(), vec![Arc::new(numbers), Arc::new(names)]).unwrap(), weights)
}

fn relation(facts: Facts) -> Node {
    import("t", &[("id", DataType::Int64), ("name", DataType::Utf8)], facts)
}

fn run(facts: Facts, deltas: &[Delta]) {
    let view = relation(facts);
    let mut simulator = Simulator::new(&lower(&view, "v", 2).unwrap(), 2);
    deltas.iter().for_each(|delta| simulator.push(0, delta.clone(), 0));
    simulator.close_epoch();
}

#[test]
#[should_panic(expected = "the plan says append-only, but row (id = 1, name = a) has weight -1")]
fn append_only_is_held() {
    run(append_only(), &[pairs(&relation(append_only()), &[(1, "a")], vec![-1])]);
}

#[test]
#[should_panic(expected = "is there -1 times")]
fn multiplicities_are_held() {
    run(Facts::default(), &[pairs(&relation(Facts::default()), &[(1, "a"), (1, "a")], vec![1, -2])]);
}

#[test]
#[should_panic(expected = "2 rows share the key")]
fn keys_are_held() {
    let facts = || Facts { key: Some(vec![0]), ..Facts::default() };
    run(facts(), &[pairs(&relation(facts()), &[(1, "a"), (1, "b")], vec![1, 1])]);
}

#[test]
fn an_update_in_any_order_is_fine() {
    let facts = || Facts { key: Some(vec![0]), ..Facts::default() };
    let input = relation(facts());
    run(facts(), &[pairs(&input, &[(1, "b")], vec![1]), pairs(&input, &[(1, "a"), (1, "a")], vec![-1, 1])]);
}

#[test]
fn scatter_loses_nothing() {
    let input = relation(Facts::default());
    let rows: Vec<(i64, &str)> = (0..1000).map(|number| (number % 77, ["x", "y", ""][number as usize % 3])).collect();
    let delta = pairs(&input, &rows, (0..1000).map(|row| row % 5 - 2).collect());
    for (columns, workers) in [(vec![0], 4), (vec![1, 0], 3), (vec![], 4), (vec![0], 1)] {
        let parts = scatter(delta.clone(), &columns, workers).unwrap();
        assert_eq!(parts.iter().map(|(_, part)| part.num_rows()).sum::<usize>(), 1000);
        let (mut whole, mut sum) = (Integral::new(), Integral::new());
        whole.add(&delta);
        parts.iter().for_each(|(_, part)| sum.add(part));
        assert_eq!(whole, sum);
        assert_eq!(parts.len(), if columns.is_empty() { 1 } else { workers });
    }
    let one = pairs(&input, &[(5, "x"), (5, "y")], vec![1, -1]);
    let parts = scatter(one.clone(), &[0], 4).unwrap();
    assert!(Arc::ptr_eq(parts[0].1.rows.column(0), one.rows.column(0)), "passed on untouched");
}

#[test]
fn consolidate_sums_equal_rows() {
    let input = relation(Facts::default());
    let delta = pairs(&input, &[(1, "a"), (2, "b"), (1, "a"), (2, "b"), (3, "c")], vec![1, 1, 2, -1, 1]);
    let consolidated = consolidate(&delta).unwrap();
    assert_eq!(consolidated.num_rows(), 2);
    assert_eq!(consolidated.weights, Weights::Each(vec![3, 1].into()));
    let nothing = consolidate(&pairs(&input, &[(1, "a"), (1, "a")], vec![1, -1])).unwrap();
    assert!(nothing.is_empty());
    assert!(consolidate(&pairs(&input, &[(1, "a"), (2, "a")], vec![1, 1])).unwrap().is_append_only());
}

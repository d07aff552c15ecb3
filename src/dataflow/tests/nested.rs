//! Groups of groups, of a union, behind a filter: the same on any number of workers, and as recomputed from scratch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Int64Type};
use fastrand::Rng;
use weir_common::delta::{Delta, batch};
use weir_common::plan::{AggregateFunction, Facts, Node, Op};

use crate::simulator::Integral;
use crate::tests::{aggregate, call, column, expr, filter, import, interrupted, project};

fn table(name: &str) -> Node {
    import(name, &[("k", DataType::Int64), ("j", DataType::Int64)], Facts::default())
}

/// Of `t`: rows for each (k, j), those with more than one; of `u`: its rows as they are; of both for each k: rows,
/// greatest and sum.
fn view() -> Node {
    let counted = aggregate(table("t"), 2, vec![call(AggregateFunction::Count, None, None)]);
    let having = expr("count(*) > 1", DataType::Boolean, |batch| {
        Ok(Arc::new(batch.column(2).as_primitive::<Int64Type>().iter().map(|count| count.map(|count| count > 1)).collect::<BooleanArray>()))
    });
    let columns = || vec![("k", column(0, "k", DataType::Int64)), ("n", column(2, "n", DataType::Int64))];
    let counted = project(filter(counted, having), columns(), Facts::default());
    let inputs = vec![counted, table("u")];
    let union = Node { op: Op::UnionAll, schema: inputs[0].schema.clone(), facts: Facts::default(), inputs };
    let n = || Some((1, DataType::Int64));
    let calls =
        vec![call(AggregateFunction::Count, None, None), call(AggregateFunction::Max, n(), None), call(AggregateFunction::Sum, n(), None)];
    aggregate(union, 1, calls)
}

fn recompute(t: &[[i64; 2]], u: &[[i64; 2]]) -> Vec<Vec<Option<String>>> {
    let mut counts: BTreeMap<[i64; 2], i64> = BTreeMap::new();
    t.iter().for_each(|row| *counts.entry(*row).or_insert(0) += 1);
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    counts.into_iter().filter(|(_, count)| *count > 1).for_each(|([k, _], count)| groups.entry(k).or_default().push(count));
    u.iter().for_each(|[k, n]| groups.entry(*k).or_default().push(*n));
    let values = |(k, ns): (i64, Vec<i64>)| [k, ns.len() as i64, *ns.iter().max().unwrap(), ns.iter().sum()];
    groups.into_iter().map(|group| values(group).map(|value| Some(value.to_string())).to_vec()).collect()
}

fn delta(node: &Node, rows: &[([i64; 2], i64)]) -> Delta {
    let column = |column: usize| Arc::new(Int64Array::from_iter_values(rows.iter().map(|(row, _)| row[column]))) as ArrayRef;
    let batch = batch(node.schema.clone(), vec![column(0), column(1)], rows.len()).unwrap();
    Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect())
}

#[test]
fn nested_groups_equal_a_recomputation() {
    let start = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("seeds from {start}; WEIR_SEED=n begins there");
    for seed in start..start + 200 {
        let mut rng = Rng::with_seed(seed);
        let workers = rng.usize(1..=4);
        let mut simulator = interrupted(&view(), workers, seed);
        let (mut integral, mut live) = (Integral::new(), [Vec::new(), Vec::new()]);
        let tables = [table("t"), table("u")];
        for epoch in 0..8 {
            for _ in 0..rng.usize(0..6) {
                let which = rng.usize(0..2);
                let mut rows = Vec::new();
                for _ in 0..rng.usize(1..8) {
                    let of = &mut live[which];
                    if rng.bool() || of.is_empty() {
                        of.push([rng.i64(0..4), rng.i64(0..3)]);
                        rows.push((of[of.len() - 1], 1));
                    } else {
                        rows.push((of.swap_remove(rng.usize(..of.len())), -1));
                    }
                }
                simulator.push(which, delta(&tables[which], &rows), rng.usize(..workers));
            }
            simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
            let expected = recompute(&live[0], &live[1]);
            assert_eq!(integral.rows(), expected, "seed {seed}, epoch {epoch}, {workers} workers");
        }
    }
}

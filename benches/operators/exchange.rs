//! Rows to the workers that own them.

use criterion::{Criterion, Throughput};
use weir_common::delta::Delta;
use weir_dataflow::scatter::scatter as scattered;

use crate::sources;

/// Splits a batch of bids by the hash of a number and of a text, with all columns and with two.
pub fn scatter(criterion: &mut Criterion) {
    let rows = sources::bids(1).remove(0);
    let mut group = criterion.benchmark_group("scatter to 4");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    for (name, columns, key) in [("bigint", &[0, 2][..], 0), ("text", &[3, 2], 0), ("bigint, all columns", &[0, 1, 2, 3, 4, 5, 6], 0)] {
        let delta = Delta::insert(rows.project(columns).expect("columns"));
        group.bench_function(name, |bencher| bencher.iter(|| scattered(delta.clone(), &[key], 4).expect("a key that hashes")));
    }
}

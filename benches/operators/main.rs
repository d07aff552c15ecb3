//! What the hot parts cost, each by itself: `cargo bench --bench operators [-- nexmark]`.
//!
//! Each is measured on batches of the size that sources hand over, on one thread; the throughput is in rows.

mod exchange; // rows to the workers that own them
mod sources; // rows from the generator and from text
mod views; // a view's fragments, without timely between them

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, sources::nexmark, sources::json, views::views, exchange::scatter);
criterion_main!(benches);

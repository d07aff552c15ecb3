//! What reading a file of flights costs, step by step: `cargo run --release -p weir-connectors --example decode -- flights.jsonl.gz`.
//!
//! Times are CPU time of this thread, the best of three, so that other work on the machine matters little.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use flate2::read::MultiGzDecoder;
use weir_common::source::Read::Batch;
use weir_common::types::PgType;
use weir_connectors::{JsonDecoder, SourceFormat, source};

fn main() {
    let path = std::env::args().nth(1).expect("usage: decode FILE.jsonl.gz");
    let mut text = Vec::new();
    let inflate = best(|| {
        text.clear();
        MultiGzDecoder::new(std::fs::File::open(&path).expect("a file")).read_to_end(&mut text).expect("gzip");
    });
    let rows = text.iter().filter(|byte| **byte == b'\n').count();
    let schema = flights();

    let options = BTreeMap::from([("connector".to_string(), "file".to_string()), ("path".to_string(), path)]);
    let format = SourceFormat { format: "PLAIN".into(), encode: "JSON".into() };
    let source = source("flights", schema.clone(), &format, &options).expect("a source");
    let all = best(|| {
        let mut read = 0;
        let mut reader = source.open(&Default::default()).expect("a reader");
        while let Batch(batch) = reader.next().expect("a batch") {
            assert!(batch.dead.is_empty(), "{:?}", batch.dead);
            read += batch.rows.num_rows();
        }
        assert_eq!(read, rows);
    });

    let decode = best(|| {
        let mut decoder = JsonDecoder::new(schema.clone()).expect("a decoder");
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &text) {
            decoder.decode(&text[start..end]).expect("a row");
            start = end + 1;
            if decoder.rows() == 8192 {
                decoder.finish().expect("a batch");
            }
        }
    });

    let arrow_json = best(|| {
        let mut decoder = ReaderBuilder::new(schema.clone()).with_batch_size(8192).build_decoder().expect("a decoder");
        let mut rest = &text[..];
        while !rest.is_empty() {
            rest = &rest[decoder.decode(rest).expect("rows")..];
            decoder.flush().expect("a batch");
        }
    });

    let per_row = |nanos: u64| nanos / rows as u64;
    println!("{rows} rows of {} bytes; ns of CPU a row", text.len() / rows);
    println!("{:>6}  gunzip alone (flate2)", per_row(inflate));
    println!("{:>6}  the source: gunzip, lines, decode", per_row(all));
    println!("{:>6}  decode alone", per_row(decode));
    println!("{:>6}  arrow-json alone, for comparison", per_row(arrow_json));
}

fn flights() -> SchemaRef {
    use PgType::{Float8, Int4, Text, Timestamp};
    let columns = [
        ("sched_dep", Timestamp),
        ("dep", Timestamp),
        ("carrier", Text),
        ("flight", Int4),
        ("tailnum", Text),
        ("origin", Text),
        ("dest", Text),
        ("dep_delay", Float8),
        ("arr_delay", Float8),
        ("air_time", Float8),
        ("distance", Int4),
    ];
    Arc::new(Schema::new(columns.map(|(name, ty)| ty.field(name)).to_vec()))
}

/// Nanoseconds of this thread's CPU time, the best of three runs.
fn best(mut work: impl FnMut()) -> u64 {
    (0..3).map(|_| cpu_nanos(&mut work)).min().expect("three runs")
}

fn cpu_nanos(work: &mut impl FnMut()) -> u64 {
    let now = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).expect("nanoseconds")
    };
    let start = now();
    work();
    now() - start
}

//! Rows from the generator and from text.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use criterion::{Criterion, Throughput};
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::source::{Position, Read, SourceReader, SourceRef};
use weir_connectors::{JsonDecoder, source};

/// A table of the generator without an end.
pub fn table(name: &str) -> SourceRef {
    let options = [("connector", "nexmark"), ("table", name)].map(|(name, value)| (name.to_string(), value.to_string()));
    source("rows", Arc::new(Schema::empty()), None, &BTreeMap::from(options)).expect("options are right")
}

/// The first full batches of bids.
pub fn bids(batches: usize) -> Vec<RecordBatch> {
    let mut reader = table("bid").open(&Position::default()).expect("a reader");
    (0..batches).map(|_| next(reader.as_mut())).collect()
}

fn next(reader: &mut dyn SourceReader) -> RecordBatch {
    match reader.next() {
        Ok(Read::Batch(batch)) => batch.rows,
        other => panic!("rows, not {other:?}"),
    }
}

/// Making rows, all columns.
pub fn nexmark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nexmark");
    group.throughput(Throughput::Elements(BATCH_ROWS_MAX as u64));
    for name in ["bid", "auction", "person"] {
        let mut reader = table(name).open(&Position::default()).expect("a reader");
        group.bench_function(name, |bencher| bencher.iter(|| next(reader.as_mut())));
    }
}

/// Bids as JSON lines into columns.
pub fn json(criterion: &mut Criterion) {
    let rows = bids(1).remove(0);
    let lines = lines(&rows);
    let mut decoder = JsonDecoder::new(rows.schema()).expect("a decoder");
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Elements(BATCH_ROWS_MAX as u64));
    group.bench_function("bid", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                decoder.decode(line.as_bytes()).expect("a row");
            }
            decoder.finish().expect("a batch")
        })
    });
}

/// Each row as a JSON object; numbers bare, all else in quotes.
fn lines(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new();
    let formatters: Vec<ArrayFormatter> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("a type that Arrow prints")).collect();
    let schema = rows.schema();
    let field = |column: usize, row: usize| {
        let (name, value) = (schema.field(column).name(), formatters[column].value(row));
        if schema.field(column).data_type().is_numeric() { format!("\"{name}\":{value}") } else { format!("\"{name}\":\"{value}\"") }
    };
    let line = |row| format!("{{{}}}", (0..rows.num_columns()).map(|column| field(column, row)).collect::<Vec<_>>().join(","));
    (0..rows.num_rows()).map(line).collect()
}

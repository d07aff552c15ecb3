//! What connectors must do, rule by rule.

mod arrow_json;
mod csv; // fields, values and records of CSV
mod follow; // files that grow, come later, are truncated and rotated
mod framing; // which lines are records, held to serde_json
mod globs; // several files as one
mod gzip; // members, damage, and what is read before it
mod lines; // bytes into lines, whatever their length and wherever reads cut them
mod options; // what a CREATE SOURCE may say
mod parquet; // types, rows that do not fit, and what is no Parquet
mod positions; // reading on from where another reader stood
mod reader; // batches, dead letters and positions of a file
mod times; // dates, times and timestamps
mod values; // which values fit which types, and what they become // held to arrow-json where both should agree

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use flate2::Compression;
use flate2::write::GzEncoder;
use weir_common::dead_letter::DeadLetter;
use weir_common::error::Result;
use weir_common::source::{Position, Read, SourceBatch, SourceRef};
use weir_common::types::PgType;

use crate::SourceFormat;

/// The schema of `name type, name type`.
fn schema(columns: &str) -> SchemaRef {
    let field = |column: &str| {
        let (name, ty) = column.trim().split_once(' ').expect("a name and a type");
        PgType::parse(ty).expect("a type").field(name)
    };
    Arc::new(Schema::new(columns.split(';').map(field).collect::<Vec<_>>()))
}

fn plain_json() -> SourceFormat {
    encoded("JSON", &[])
}

fn encoded(encode: &str, given: &[(&str, &str)]) -> SourceFormat {
    SourceFormat { format: "PLAIN".into(), encode: encode.into(), options: options(given) }
}

fn options(options: &[(&str, &str)]) -> BTreeMap<String, String> {
    options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The source `s` of a file.
fn file(path: &Path, columns: &str) -> Result<SourceRef> {
    let path = path.to_str().expect("UTF-8");
    crate::source("s", schema(columns), &plain_json(), &options(&[("connector", "file"), ("path", path)]))
}

/// The source `s` of files of CSV.
fn csv(path: &Path, columns: &str, given: &[(&str, &str)]) -> Result<SourceRef> {
    let path = path.to_str().expect("UTF-8");
    crate::source("s", schema(columns), &encoded("CSV", given), &options(&[("connector", "file"), ("path", path)]))
}

/// A file that is gone when the test is.
fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Every batch of a source.
fn batches(source: &SourceRef) -> Vec<SourceBatch> {
    batches_from(source, &Position::default())
}

/// Every batch of a source behind a position.
fn batches_from(source: &SourceRef, from: &Position) -> Vec<SourceBatch> {
    let mut reader = source.open(from).unwrap();
    let mut batches = Vec::new();
    while let Read::Batch(batch) = reader.next().unwrap() {
        assert!(batch.rows.num_rows() > 0 || !batch.dead.is_empty(), "a batch is of something");
        assert_eq!(batch.rows.schema(), source.schema());
        batches.push(batch);
    }
    assert!(matches!(reader.next(), Ok(Read::End)), "the end stays the end");
    batches
}

/// The rows as text and the dead letters of a source.
fn rows(source: &SourceRef) -> (Vec<String>, Vec<DeadLetter>) {
    let batches = batches(source);
    (batches.iter().flat_map(|batch| texts(&batch.rows)).collect(), batches.into_iter().flat_map(|batch| batch.dead).collect())
}

/// Rows as text: values with a bar between.
fn texts(batch: &RecordBatch) -> Vec<String> {
    let value = |row, column: &_| {
        let column: &arrow::array::ArrayRef = column;
        if column.is_null(row) { "NULL".to_string() } else { array_value_to_string(column, row).unwrap() }
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(row, column)).collect::<Vec<_>>().join("|")).collect()
}

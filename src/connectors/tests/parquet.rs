//! Parquet: types, rows that do not fit, row groups, and what is no Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float16Type, Int32Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use weir_common::error::{Error, Result};
use weir_common::source::{Position, SourceRef};

use super::{batches, encoded, options, positions, rows, schema};

fn source(path: &Path, columns: &str) -> Result<SourceRef> {
    let given = [("connector", "file"), ("path", path.to_str().unwrap())];
    crate::source("s", schema(columns), &encoded("PARQUET", &[]), &options(&given))
}

/// A file of one batch.
fn written(columns: Vec<(&str, ArrayRef)>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, values)| (name, values, true))).unwrap();
    write(file.path(), &[batch], WriterProperties::new());
    file
}

fn write(path: &Path, batches: &[RecordBatch], properties: WriterProperties) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

#[track_caller]
fn becomes(values: impl Array + 'static, columns: &str, expected: &[&str]) {
    let file = written(vec![("a", Arc::new(values))]);
    let (rows, dead) = rows(&source(file.path(), &format!("a {columns}")).unwrap());
    assert_eq!(rows, expected);
    assert!(dead.is_empty(), "{dead:?}");
}

/// The value in the middle has no equal.
#[track_caller]
fn misfits(values: impl Array + 'static, columns: &str, error: &str) {
    let file = written(vec![("a", Arc::new(values))]);
    let (rows, dead) = rows(&source(file.path(), &format!("a {columns}")).unwrap());
    assert_eq!((rows.len(), dead.len()), (2, 1), "{rows:?} {dead:?}");
    assert_eq!((dead[0].error.as_str(), dead[0].offset), (error, Some(2)));
    assert_eq!((dead[0].relation.as_str(), dead[0].partition.as_deref()), ("s", file.path().to_str()));
}

fn refused(values: ArrayRef, ty: &str) -> Error {
    let file = written(vec![("a", values)]);
    let error = source(file.path(), &format!("a {ty}")).unwrap_err();
    assert_eq!(error.sqlstate().0, "42804", "{error:?}");
    error
}

#[test]
fn columns_are_found_by_name() {
    let file = written(vec![
        ("b", Arc::new(StringArray::from(vec![Some("x"), None]))),
        ("other", Arc::new(Int64Array::from(vec![7, 8]))),
        ("a", Arc::new(Int32Array::from(vec![1, 2]))),
    ]);
    assert_eq!(rows(&source(file.path(), "a integer;missing date;b text").unwrap()).0, ["1|NULL|x", "2|NULL|NULL"]);
    assert_eq!(rows(&source(file.path(), "b text").unwrap()).0, ["x", "NULL"]);
    let error = source(file.path(), "aa integer;c text").unwrap_err();
    assert_eq!(error.message(), format!("file \"{}\" has none of the columns", file.path().display()));
    assert_eq!((error.sqlstate().0, error.hint()), ("42703", Some("Perhaps you meant \"a\".")));
}

#[test]
fn types_that_hold_all_values() {
    becomes(Int8Array::from(vec![-128, 127]), "smallint", &["-128", "127"]);
    becomes(UInt8Array::from(vec![0, 255]), "smallint", &["0", "255"]);
    becomes(Int16Array::from(vec![-1, 1]), "bigint", &["-1", "1"]);
    becomes(UInt16Array::from(vec![65535]), "integer", &["65535"]);
    becomes(Int32Array::from(vec![Some(1), None]), "integer", &["1", "NULL"]);
    becomes(Int32Array::from(vec![1]), "double precision", &["1.0"]);
    becomes(Int16Array::from(vec![1]), "real", &["1.0"]);
    becomes(UInt32Array::from(vec![u32::MAX]), "bigint", &["4294967295"]);
    becomes(Int64Array::from(vec![i64::MIN]), "numeric(20,1)", &["-9223372036854775808.0"]);
    becomes(UInt64Array::from(vec![u64::MAX]), "numeric", &["18446744073709551615.0000000000000000"]);
    becomes(Float32Array::from(vec![1.5]), "double precision", &["1.5"]);
    becomes(Float64Array::from(vec![f64::NAN, -0.5]), "double precision", &["NaN", "-0.5"]);
    becomes(Float16Array::from_iter_values([half(1.5)]), "real", &["1.5"]);
    becomes(Decimal128Array::from(vec![12345]).with_precision_and_scale(9, 2).unwrap(), "numeric(12,4)", &["123.4500"]);
    becomes(Decimal128Array::from(vec![-123]).with_precision_and_scale(9, 0).unwrap(), "integer", &["-123"]);
    becomes(BooleanArray::from(vec![true, false]), "boolean", &["true", "false"]);
    becomes(StringArray::from(vec!["a", "\u{e9}", ""]), "text", &["a", "\u{e9}", ""]);
    becomes(LargeStringArray::from(vec!["a"]), "character varying", &["a"]);
    becomes(StringViewArray::from(vec!["a longer text than is kept inline"]), "text", &["a longer text than is kept inline"]);
    becomes(DictionaryArray::<Int32Type>::from_iter(["x", "y", "x"]), "text", &["x", "y", "x"]);
    becomes(StringArray::from(vec!["{\"a\": 1}"]), "jsonb", &["{\"a\": 1}"]);
    becomes(BinaryArray::from(vec![&b"\x00\xff"[..]]), "bytea", &["00ff"]);
    becomes(FixedSizeBinaryArray::try_from_iter([[7u8; 16]].iter()).unwrap(), "uuid", &["07070707070707070707070707070707"]);
    becomes(Date32Array::from(vec![0, -1]), "date", &["1970-01-01", "1969-12-31"]);
    becomes(Time32MillisecondArray::from(vec![1500]), "time", &["00:00:01.500"]);
    becomes(Time64NanosecondArray::from(vec![1_500_000_000]), "time", &["00:00:01.500"]);
    let moment = "1970-01-01T00:00:01.500";
    becomes(TimestampMillisecondArray::from(vec![1500]), "timestamp", &[moment]);
    becomes(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"), "timestamp", &[moment]);
    becomes(TimestampNanosecondArray::from(vec![1_500_000_000]).with_timezone("America/New_York"), "timestamp", &[moment]);
    becomes(NullArray::new(2), "date", &["NULL", "NULL"]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    becomes(lists, "bigint[]", &["[1, ]", "NULL", "[]"]);
    let file = written(vec![("a", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000])))]);
    let zoned = batches(&source(file.path(), "a timestamp with time zone").unwrap());
    assert_eq!(cast(zoned[0].rows.column(0), &DataType::Int64).unwrap().as_ref(), &Int64Array::from(vec![1_500_000]) as &dyn Array);
}

fn half(value: f32) -> <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native {
    <Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn types_that_could_lose_something_are_refused() {
    let check = |values: ArrayRef, ty: &str, hint: &str| assert_eq!(refused(values, ty).hint(), Some(hint), "{ty}");
    check(Arc::new(Int64Array::from(vec![1])), "integer", "Declare it as bigint, and cast it in a view.");
    check(Arc::new(UInt32Array::from(vec![1])), "integer", "Declare it as bigint, and cast it in a view.");
    check(Arc::new(UInt64Array::from(vec![1])), "bigint", "Declare it as numeric(20,0), and cast it in a view.");
    check(Arc::new(Int64Array::from(vec![1])), "double precision", "Declare it as bigint, and cast it in a view.");
    check(Arc::new(Int64Array::from(vec![1])), "numeric(18,0)", "Declare it as bigint, and cast it in a view.");
    check(Arc::new(Float64Array::from(vec![1.0])), "real", "Declare it as double precision, and cast it in a view.");
    let decimal = || Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(10, 3).unwrap());
    check(decimal(), "numeric(10,2)", "Declare it as numeric(10,3), and cast it in a view.");
    check(decimal(), "integer", "Declare it as numeric(10,3), and cast it in a view.");
    check(Arc::new(StringArray::from(vec!["a"])), "integer", "Declare it as text, and cast it in a view.");
    check(Arc::new(StringArray::from(vec!["a"])), "character varying(3)", "Declare it as text, and cast it in a view.");
    check(Arc::new(Int32Array::from(vec![1])), "text", "Declare it as integer, and cast it in a view.");
    check(Arc::new(TimestampMicrosecondArray::from(vec![1])), "date", "Declare it as timestamp without time zone, and cast it in a view.");
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let nested = StructArray::try_from(vec![("x", inner)]).unwrap();
    check(Arc::new(nested), "text", "Leave the column out; Weir has no type for it.");
    let message = refused(Arc::new(Int64Array::from(vec![1])), "integer").message().to_string();
    assert!(message.starts_with("column \"a\" of type integer cannot be read from file \""), "{message}");
    assert!(message.ends_with("\": it is Int64 there, and could lose something"), "{message}");
}

#[test]
fn values_without_an_equal_are_dead_letters() {
    misfits(
        StringArray::from(vec!["a", "b\0c", "d"]),
        "text",
        "column \"a\": \"b\0c\" has a NUL character".replace('\0', "\u{fffd}").as_str(),
    );
    misfits(StringArray::from(vec!["1", "{", "2"]), "json", "column \"a\": \"{\" is not JSON");
    misfits(StringArray::from(vec!["1", "\"\\u0000\"", "2"]), "jsonb", "column \"a\": \"\"\\u0000\"\" is not JSON");
    let nanos = || TimestampNanosecondArray::from(vec![1000, 1001, 2000]);
    let finer = "column \"a\": \"1970-01-01T00:00:00.000001001\" is finer than a microsecond";
    misfits(nanos(), "timestamp", finer);
    misfits(nanos().with_timezone("UTC"), "timestamp", finer);
    misfits(Time64NanosecondArray::from(vec![1000, 1, 2000]), "time", "column \"a\": \"00:00:00.000000001\" is finer than a microsecond");
    misfits(TimestampMillisecondArray::from(vec![0, i64::MAX, 1]), "timestamp", "column \"a\": \"9223372036854775807\" is out of range");
    misfits(Date32Array::from(vec![0, i32::MIN, 1]), "date", "column \"a\": \"-2147483648\" is out of range");
    misfits(Time64MicrosecondArray::from(vec![0, 86_400_000_000, 1]), "time", "column \"a\": \"86400000000\" is out of range");
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a"), Some("b")]);
    lists.append_value([Some("c"), Some("d\0")]);
    lists.append_value([None::<&str>]);
    misfits(lists.finish(), "text[]", "column \"a\": \"[c, d\u{fffd}]\" has a NUL character");
}

/// A file of several row groups, whose rows say where they are.
fn many(path: &Path, count: i32, group: usize, compression: Compression) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).set_compression(compression).build();
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..count));
    // One of a thousand is not JSON.
    let texts = (0..count).map(|n| if n % 1000 == 17 { format!("{{{n}") } else { format!("[{n}]") });
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
    write(path, &[batch], properties);
}

#[test]
fn rows_go_on_behind_any_batch() {
    let directory = tempfile::tempdir().unwrap();
    many(&directory.path().join("a"), 20_000, 7_000, Compression::SNAPPY);
    many(&directory.path().join("b"), 10, 7_000, Compression::UNCOMPRESSED);
    many(&directory.path().join("c"), 30_000, 1_000_000, Compression::ZSTD(ZstdLevel::default()));
    let source = source(&directory.path().join("*"), "t json;n integer").unwrap();
    let (read, dead) = rows(&source);
    assert_eq!((read.len(), dead.len()), (50_010 - 50, 50));
    assert_eq!((read[0].as_str(), dead[0].offset, dead[0].payload.as_str()), ("[0]|0", Some(18), "n: 17, t: {17"));
    positions::check(&source);
    let position = batches(&source).last().unwrap().position.0.clone();
    many(&directory.path().join("c"), 10, 1_000_000, Compression::UNCOMPRESSED);
    let error = source.open(&Position(position)).err().unwrap();
    assert!(error.message().ends_with("another file is in its place"), "{error}");
}

#[test]
fn compressions() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        many(&path, 10, 10, compression);
        assert_eq!(rows(&source(&path, "n integer").unwrap()).0.len(), 10, "{compression}");
    }
    // A file that says that it is compressed with what is not built in.
    many(&path, 10, 10, Compression::SNAPPY);
    let mut bytes = std::fs::read(&path).unwrap();
    let metadata = bytes.len() - 8 - u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
    let (snappy, brotli) = ([0x15, 0x02, 0x16], [0x15, 0x08, 0x16]);
    let mut changed = 0;
    for at in metadata..bytes.len() - 11 {
        if bytes[at..at + 3] == snappy {
            bytes[at..at + 3].copy_from_slice(&brotli);
            changed += 1;
        }
    }
    assert_eq!(changed, 2, "the codec of each column");
    std::fs::write(&path, bytes).unwrap();
    let error = source(&path, "n integer").unwrap_err();
    assert_eq!(error.sqlstate().0, "0A000");
    assert!(error.message().ends_with("is compressed with BROTLI, which is not supported"), "{error}");
}

#[test]
fn a_batch_of_long_values_has_few_rows() {
    let long: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|n| format!("{n}").repeat(100_000))));
    let file = written(vec![("a", long)]);
    let read = batches(&source(file.path(), "a text").unwrap());
    assert!(read.len() > 2 && read.iter().all(|batch| batch.rows.num_rows() < 50), "{} batches", read.len());
    assert_eq!(read.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(), 100);
}

#[test]
fn what_is_no_parquet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    many(&path, 100, 10, Compression::SNAPPY);
    let whole = std::fs::read(&path).unwrap();
    let check = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = source(&path, "n integer").unwrap_err();
        assert_eq!(error.sqlstate().0, "22P04");
        assert!(error.message().starts_with(&format!("could not read file \"{}\" as Parquet: ", path.display())), "{error}");
    };
    check(b"");
    check(b"{\"a\": 1}\n{\"a\": 1}\n");
    check(&whole[..whole.len() - 1]);
    check(&whole[..whole.len() / 2]);
    // Bytes that are not what they were: an error or other values, and nothing worse.
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        std::fs::write(&path, bytes).unwrap();
        let Ok(source) = source(&path, "n integer;t text") else { continue };
        let mut reader = source.open(&Position::default()).unwrap();
        while let Ok(weir_common::source::Read::Batch(_)) = reader.next() {}
    }
}

#[test]
fn units_of_time_are_told_apart() {
    for unit in [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        let values = cast(&TimestampSecondArray::from(vec![1_500_000_000]), &DataType::Timestamp(unit, None)).unwrap();
        let file = written(vec![("a", values)]);
        assert_eq!(rows(&source(file.path(), "a timestamp").unwrap()).0, ["2017-07-14T02:40:00"]);
    }
}

//! Rows as bytes: what never changes, what comes back, and what is refused.

mod random; // columns of every type

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, TimeUnit};

use super::*;
use crate::error::SqlState;

fn encode(columns: &[ArrayRef]) -> (RowCodec, EncodedRows) {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let (codec, mut rows) = (RowCodec::new(&types).unwrap(), EncodedRows::default());
    codec.encode(columns, columns.first().map_or(0, |column| column.len()), &mut rows).unwrap();
    (codec, rows)
}

/// The bytes of each row of one column.
fn bytes(column: impl Array + 'static) -> Vec<Vec<u8>> {
    let (_, rows) = encode(&[Arc::new(column)]);
    (0..rows.len()).map(|row| rows.get(row).to_vec()).collect()
}

fn decode(codec: &RowCodec, rows: &EncodedRows) -> Vec<ArrayRef> {
    let mut decoder = codec.decoder(0);
    (0..rows.len()).for_each(|row| decoder.push(rows.get(row)).unwrap());
    decoder.finish().unwrap()
}

#[test]
fn golden_bytes_of_numbers_never_change() {
    assert_eq!(
        bytes(Int64Array::from(vec![Some(0), Some(-1), Some(1), Some(64), None])),
        [vec![1, 0], vec![1, 1], vec![1, 2], vec![1, 0x80, 1], vec![0]]
    );
    let most = [1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let least = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(bytes(Int64Array::from(vec![i64::MAX, i64::MIN])), [most, least]);
    assert_eq!(bytes(Int32Array::from(vec![-65, i32::MIN])), [vec![1, 0x81, 1], vec![1, 0xff, 0xff, 0xff, 0xff, 0x0f]]);
    assert_eq!(bytes(Int16Array::from(vec![i16::MIN])), [[1, 0xff, 0xff, 3]]);
    assert_eq!(bytes(Int8Array::from(vec![-2])), [[1, 0xfe]]);
    assert_eq!(bytes(UInt16Array::from(vec![0x0102])), [[1, 2, 1]]);
    assert_eq!(bytes(UInt64Array::from(vec![1 << 63])), [[1, 0, 0, 0, 0, 0, 0, 0, 0x80]]);
    assert_eq!(bytes(Float32Array::from(vec![-0.0, 1.0])), [[1, 0, 0, 0, 0x80], [1, 0, 0, 0x80, 0x3f]]);
    assert_eq!(bytes(Float64Array::from(vec![1.0])), [[1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]]);
    let mut wide = [0xff; 20];
    (wide[0], wide[19]) = (1, 3);
    assert_eq!(bytes(Decimal128Array::from(vec![i128::MIN])), [wide]);
    let above_64_bits = Decimal128Array::from(vec![-150, 1i128 << 64]);
    assert_eq!(bytes(above_64_bits), [vec![1, 0xab, 2], vec![1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 4]]);
}

#[test]
fn golden_bytes_of_other_types_never_change() {
    assert_eq!(bytes(NullArray::new(2)), [[0], [0]]);
    assert_eq!(bytes(BooleanArray::from(vec![Some(true), Some(false), None])), [vec![1, 1], vec![1, 0], vec![0]]);
    assert_eq!(bytes(Date32Array::from(vec![-1])), [[1, 0xff, 0xff, 0xff, 0xff]]);
    assert_eq!(bytes(Time64MicrosecondArray::from(vec![258])), [[1, 2, 1, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(bytes(TimestampMillisecondArray::from(vec![-2])), [[1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]);
    let interval = IntervalMonthDayNano { months: 1, days: -1, nanoseconds: 3 };
    assert_eq!(bytes(IntervalMonthDayNanoArray::from(vec![interval])), [[1, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(bytes(FixedSizeBinaryArray::try_from_iter([[7u8, 8, 9]].into_iter()).unwrap()), [[1, 7, 8, 9]]);
    let texts = [Some("dä"), Some(""), None];
    let expected = [vec![1, 3, b'd', 0xc3, 0xa4], vec![1, 0], vec![0]];
    assert_eq!(bytes(StringArray::from_iter(texts)), expected);
    assert_eq!(bytes(LargeStringArray::from_iter(texts)), expected);
    assert_eq!(bytes(StringViewArray::from_iter(texts)), expected);
    assert_eq!(bytes(BinaryArray::from_iter(texts)), expected);
    assert_eq!(bytes(LargeBinaryArray::from_iter(texts)), expected);
    let long = bytes(StringArray::from(vec!["x".repeat(300)]));
    assert_eq!((long[0].len(), &long[0][..4]), (303, &[1, 0xac, 2, b'x'][..]));
}

#[test]
fn golden_bytes_of_rows_never_change() {
    let first: ArrayRef = Arc::new(Int64Array::from(vec![Some(-3), None]));
    let same: ArrayRef = Arc::new(Int64Array::from(vec![5, 5]));
    let text: ArrayRef = Arc::new(StringArray::from(vec![None, Some("w")]));
    let (_, rows) = encode(&[first.clone(), text.clone(), same.clone()]);
    assert_eq!((rows.len(), rows.get(0), rows.get(1)), (2, &[0b101, 5, 10][..], &[0b110, 1, b'w', 10][..]));
    // The ninth column is in the second byte.
    let mut columns = vec![same; 8];
    columns.push(first);
    let (_, rows) = encode(&columns);
    assert_eq!(rows.get(0), [0xff, 1, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
    assert_eq!(rows.get(1), [0xff, 0, 10, 10, 10, 10, 10, 10, 10, 10]);
}

#[test]
fn rows_without_columns_have_no_bytes() {
    let (codec, mut rows) = (RowCodec::new(&[]).unwrap(), EncodedRows::default());
    codec.encode(&[], 3, &mut rows).unwrap();
    assert_eq!((rows.len(), rows.get(2)), (3, &[][..]));
    let mut decoder = codec.decoder(1);
    decoder.push(rows.get(0)).unwrap();
    assert_eq!(decoder.push(&[0]).unwrap_err().sqlstate(), SqlState::DATA_CORRUPTED);
    assert_eq!(decoder.len(), 1);
    assert!(decoder.finish().unwrap().is_empty() && decoder.is_empty());
}

#[test]
fn types_outside_of_the_format_are_unsupported() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let nested = [DataType::List(item.clone()), DataType::Struct(vec![item].into())];
    let others = [
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        DataType::BinaryView,
        DataType::Float16,
        DataType::Decimal256(40, 2),
        DataType::Date64,
        DataType::Time32(TimeUnit::Second),
        DataType::Time64(TimeUnit::Second),
        DataType::Duration(TimeUnit::Second),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::FixedSizeBinary(-1),
    ];
    for unknown in nested.into_iter().chain(others) {
        let error = RowCodec::new(&[DataType::Int64, unknown.clone()]).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED, "{unknown}");
    }
}

#[test]
fn other_columns_than_promised_are_an_internal_error_and_append_nothing() {
    let codec = RowCodec::new(&[DataType::Int64, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))]).unwrap();
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let zoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC"));
    let unzoned: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2]));
    let mut rows = EncodedRows::default();
    codec.encode(&[number.clone(), zoned.clone()], 2, &mut rows).unwrap();
    let wrong =
        [vec![number.clone()], vec![number.clone(), unzoned], vec![zoned.clone(), number.clone()], vec![number.clone(), zoned.slice(0, 1)]];
    for columns in wrong {
        assert_eq!(codec.encode(&columns, 2, &mut rows).unwrap_err().sqlstate(), SqlState::INTERNAL_ERROR, "{columns:?}");
        assert_eq!(rows.len(), 2);
    }
    // What came before a failed call and what comes after it are whole.
    codec.encode(&[number.clone(), zoned.clone()], 2, &mut rows).unwrap();
    assert_eq!((rows.len(), rows.get(0) == rows.get(2), rows.get(1) == rows.get(3)), (4, true, true));
    assert_eq!(decode(&codec, &rows)[0].slice(2, 2).as_ref(), number.as_ref());
    rows.clear();
    assert!(rows.is_empty());
    codec.encode(&[number.slice(1, 1), zoned.slice(1, 1)], 1, &mut rows).unwrap();
    assert_eq!((rows.len(), rows.get(0)), (1, &[3, 4, 2, 0, 0, 0, 0, 0, 0, 0][..]));
}

#[test]
fn bytes_that_are_not_written_so_are_damage() {
    let overlong_128 = [&[1u8][..], &[0x80; 18], &[4]].concat();
    let cases: [(DataType, &[u8]); 20] = [
        (DataType::Int64, &[]),
        (DataType::Int64, &[1]),
        (DataType::Int64, &[0, 0]),
        (DataType::Int64, &[1, 2, 0]),
        (DataType::Int64, &[2]),
        (DataType::Int64, &[0x81, 2]),
        (DataType::Int64, &[1, 0x82, 0]),
        (DataType::Int64, &[1, 0x80, 0x80, 0]),
        (DataType::Int64, &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]),
        (DataType::Int64, &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 1]),
        (DataType::Int16, &[1, 0x80, 0x80, 4]),
        (DataType::Int32, &[1, 0x80, 0x80, 0x80, 0x80, 0x10]),
        (DataType::Decimal128(38, 0), &[1, 0x80, 0]),
        (DataType::Decimal128(38, 0), &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        (DataType::Decimal128(38, 0), &overlong_128),
        (DataType::Boolean, &[1, 2]),
        (DataType::Null, &[1]),
        (DataType::Utf8, &[1, 1, 0xc3]),
        (DataType::LargeBinary, &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (DataType::FixedSizeBinary(3), &[1, 7, 8]),
    ];
    for (data_type, row) in cases {
        let error = RowCodec::new(std::slice::from_ref(&data_type)).unwrap().decoder(1).push(row).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::DATA_CORRUPTED, "{data_type} {row:?}");
    }
}

#[test]
fn nothing_is_left_under_nulls() {
    let nulls = || Some(vec![true, false, true].into());
    let number: ArrayRef = Arc::new(Int64Array::new(vec![1, 2, 3].into(), nulls()));
    let flag: ArrayRef = Arc::new(BooleanArray::new(vec![true, true, true].into(), nulls()));
    let text = StringArray::from(vec!["one", "two", "three"]);
    let text: ArrayRef = Arc::new(StringArray::new(text.offsets().clone(), text.values().clone(), nulls()));
    let fixed: ArrayRef = Arc::new(FixedSizeBinaryArray::new(2, b"abcdef".into(), nulls()));
    let (codec, rows) = encode(&[number, flag, text, fixed]);
    let decoded = decode(&codec, &rows);
    assert_eq!(decoded[0].as_primitive::<arrow::datatypes::Int64Type>().values()[..], [1, 0, 3]);
    assert_eq!(decoded[1].as_boolean().values().iter().collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((decoded[2].as_string::<i32>().value(1), decoded[2].as_string::<i32>().values().as_slice()), ("", &b"onethree"[..]));
    assert_eq!(decoded[3].as_fixed_size_binary().value(1), [0, 0]);
}

//! Random columns of every type: they come back as they were, and damage to their bytes is noticed or harmless.

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::*;
use fastrand::Rng;

use super::*;

/// Every type of the format, some with other units, zones and scales.
fn types() -> Vec<DataType> {
    use TimeUnit::*;
    let mut types = vec![DataType::Null, DataType::Boolean, DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64];
    types.extend([DataType::UInt8, DataType::UInt16, DataType::UInt32, DataType::UInt64, DataType::Float32, DataType::Float64]);
    types.extend([DataType::Decimal128(38, 10), DataType::Decimal128(9, -2), DataType::Date32]);
    types.extend([DataType::Time64(Microsecond), DataType::Time64(Nanosecond), DataType::Interval(IntervalUnit::MonthDayNano)]);
    types.extend([Second, Millisecond, Microsecond, Nanosecond].map(|unit| DataType::Timestamp(unit, None)));
    types.extend([Second, Microsecond].map(|unit| DataType::Timestamp(unit, Some("Europe/Rome".into()))));
    types.extend([DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, DataType::Binary, DataType::LargeBinary]);
    types.extend([DataType::FixedSizeBinary(0), DataType::FixedSizeBinary(16)]);
    types
}

/// Numbers of all sizes: half of the bits are random ones, most of the others zero or one.
fn bits(rng: &mut Rng) -> i128 {
    let value = rng.i128(..) >> rng.u32(..128);
    *rng.choice([value, value, -1, 0, 1, i64::MIN as i128, i64::MAX as i128, i128::MIN, i128::MAX].iter()).unwrap()
}

fn text(rng: &mut Rng) -> String {
    let most = *rng.choice([1, 13, 14, 200].iter()).unwrap();
    let len = rng.usize(..most);
    (0..len).map(|_| if rng.u8(..4) == 0 { rng.char(..) } else { rng.alphanumeric() }).collect()
}

/// A column with values under its NULLs, and with others before and after it in memory.
fn column(data_type: &DataType, rows: usize, rng: &mut Rng) -> ArrayRef {
    let (before, after) = (rng.usize(..20), rng.usize(..20));
    let len = before + rows + after;
    let mut nulls = (rng.u8(..3) > 0).then(|| (0..len).map(|_| rng.u8(..4) > 0).collect::<NullBuffer>());
    macro_rules! primitive {
        ($type:ty, $value:expr) => {{
            let values: Vec<<$type as ArrowPrimitiveType>::Native> = (0..len).map(|_| $value).collect();
            Arc::new(PrimitiveArray::<$type>::new(values.into(), nulls.take()).with_data_type(data_type.clone()))
        }};
    }
    macro_rules! bytes {
        ($array:ty, $value:expr) => {{
            let (offsets, values, _) = <$array>::from_iter_values((0..len).map(|_| $value)).into_parts();
            Arc::new(<$array>::new(offsets, values, nulls.take()))
        }};
    }
    let array: ArrayRef = match data_type {
        DataType::Null => Arc::new(NullArray::new(len)),
        DataType::Boolean => Arc::new(BooleanArray::new((0..len).map(|_| rng.bool()).collect(), nulls.take())),
        DataType::Int8 => primitive!(Int8Type, bits(rng) as i8),
        DataType::Int16 => primitive!(Int16Type, bits(rng) as i16),
        DataType::Int32 => primitive!(Int32Type, bits(rng) as i32),
        DataType::Int64 => primitive!(Int64Type, bits(rng) as i64),
        DataType::UInt8 => primitive!(UInt8Type, bits(rng) as u8),
        DataType::UInt16 => primitive!(UInt16Type, bits(rng) as u16),
        DataType::UInt32 => primitive!(UInt32Type, bits(rng) as u32),
        DataType::UInt64 => primitive!(UInt64Type, bits(rng) as u64),
        DataType::Float32 => primitive!(Float32Type, f32::from_bits(bits(rng) as u32)),
        DataType::Float64 => primitive!(Float64Type, f64::from_bits(bits(rng) as u64)),
        DataType::Decimal128(_, _) => primitive!(Decimal128Type, bits(rng)),
        DataType::Date32 => primitive!(Date32Type, bits(rng) as i32),
        DataType::Time64(TimeUnit::Microsecond) => primitive!(Time64MicrosecondType, bits(rng) as i64),
        DataType::Time64(_) => primitive!(Time64NanosecondType, bits(rng) as i64),
        DataType::Timestamp(TimeUnit::Second, _) => primitive!(TimestampSecondType, bits(rng) as i64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive!(TimestampMillisecondType, bits(rng) as i64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive!(TimestampMicrosecondType, bits(rng) as i64),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => primitive!(TimestampNanosecondType, bits(rng) as i64),
        DataType::Interval(_) => primitive!(
            IntervalMonthDayNanoType,
            IntervalMonthDayNano { months: bits(rng) as i32, days: bits(rng) as i32, nanoseconds: bits(rng) as i64 }
        ),
        DataType::Utf8 => bytes!(StringArray, text(rng)),
        DataType::LargeUtf8 => bytes!(LargeStringArray, text(rng)),
        DataType::Utf8View => bytes!(StringViewArray, text(rng)),
        DataType::Binary => bytes!(BinaryArray, bits(rng).to_le_bytes()[..rng.usize(..17)].to_vec()),
        DataType::LargeBinary => bytes!(LargeBinaryArray, bits(rng).to_le_bytes()[..rng.usize(..17)].to_vec()),
        DataType::FixedSizeBinary(width) => {
            let values: Vec<u8> = (0..len * *width as usize).map(|_| rng.u8(..)).collect();
            let data = ArrayData::builder(data_type.clone()).len(len).nulls(nulls.take()).add_buffer(values.into());
            Arc::new(FixedSizeBinaryArray::from(data.build().unwrap()))
        }
        other => unreachable!("{other}"),
    };
    assert_eq!(array.data_type(), data_type);
    array.slice(before, rows)
}

fn random() -> Rng {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    Rng::with_seed(seed)
}

/// All columns of these types, in one row layout.
fn columns(types: &[DataType], rows: usize, rng: &mut Rng) -> Vec<ArrayRef> {
    types.iter().map(|data_type| column(data_type, rows, rng)).collect()
}

/// Equal to the bit: `==` of floats in arrays goes by their bits too.
fn assert_same(decoded: &[ArrayRef], columns: &[ArrayRef]) {
    assert_eq!(decoded.len(), columns.len());
    for (decoded, column) in decoded.iter().zip(columns) {
        assert_eq!(decoded.data_type(), column.data_type());
        assert_eq!(decoded.as_ref(), column.as_ref());
        decoded.to_data().validate_full().unwrap();
    }
}

#[test]
fn rows_of_every_type_come_back() {
    let mut rng = random();
    for data_type in types() {
        for _ in 0..20 {
            let rows = rng.usize(..100);
            let columns = columns(std::slice::from_ref(&data_type), rows, &mut rng);
            let (codec, rows) = encode(&columns);
            assert_same(&decode(&codec, &rows), &columns);
        }
    }
}

#[test]
fn rows_of_many_columns_come_back_from_a_decoder_that_was_used_before() {
    let mut rng = random();
    for _ in 0..30 {
        let mut some = types();
        rng.shuffle(&mut some);
        some.truncate(rng.usize(1..=types().len()));
        let mut decoder = RowCodec::new(&some).unwrap().decoder(rng.usize(..50));
        for _ in 0..3 {
            let rows = rng.usize(..50);
            let columns = columns(&some, rows, &mut rng);
            let (_, rows) = encode(&columns);
            (0..rows.len()).for_each(|row| decoder.push(rows.get(row)).unwrap());
            assert_eq!(decoder.len(), rows.len());
            assert_same(&decoder.finish().unwrap(), &columns);
            assert!(decoder.is_empty());
        }
    }
}

#[test]
fn equal_rows_have_equal_bytes_wherever_they_are() {
    let mut rng = random();
    // Arrow takes no rows at all from values of no width.
    let types: Vec<DataType> = types().into_iter().filter(|data_type| *data_type != DataType::FixedSizeBinary(0)).collect();
    for _ in 0..20 {
        let columns = columns(&types, 30, &mut rng);
        let order: UInt32Array = (0..60).map(|_| rng.u32(..30)).collect();
        let taken: Vec<ArrayRef> = columns.iter().map(|column| take(column, &order, None).unwrap()).collect();
        let ((_, rows), (_, taken)) = (encode(&columns), encode(&taken));
        for (at, row) in order.values().iter().enumerate() {
            assert_eq!(taken.get(at), rows.get(*row as usize));
        }
    }
}

#[test]
fn damage_is_noticed_or_makes_another_row() {
    let mut rng = random();
    for data_type in types() {
        let second = rng.choice(types()).unwrap();
        let columns = columns(&[data_type, second], 8, &mut rng);
        let (codec, rows) = encode(&columns);
        let (mut taken, mut refused) = (codec.decoder(0), 0);
        // Good rows go in between, so that what is left of a bad one would be seen.
        let mut good = Vec::new();
        for row in 0..rows.len() {
            let bytes = rows.get(row);
            for len in 0..bytes.len() {
                assert_eq!(taken.push(&bytes[..len]).unwrap_err().sqlstate(), SqlState::DATA_CORRUPTED);
                refused += 1;
            }
            for at in 0..bytes.len() {
                for _ in 0..4 {
                    let mut damaged = bytes.to_vec();
                    damaged[at] ^= if rng.bool() { 1 << rng.u8(..8) } else { rng.u8(1..) };
                    match taken.push(&damaged) {
                        Ok(()) => good.push(damaged),
                        Err(error) => assert_eq!(error.sqlstate(), SqlState::DATA_CORRUPTED),
                    }
                }
            }
            taken.push(bytes).unwrap();
            good.push(bytes.to_vec());
        }
        assert!(refused >= rows.len() && taken.len() == good.len());
        // Bytes that are taken are exactly the bytes of the row that they make.
        let (_, again) = encode(&taken.finish().unwrap());
        assert_eq!(again.len(), good.len());
        good.iter().enumerate().for_each(|(row, bytes)| assert_eq!(again.get(row), bytes));
    }
}

#[test]
fn noise_does_not_panic() {
    let mut rng = random();
    let (mut noticed, mut some) = (0, types());
    for _ in 0..2000 {
        rng.shuffle(&mut some);
        let mut decoder = RowCodec::new(&some[..rng.usize(1..4)]).unwrap().decoder(0);
        let noise: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
        noticed += decoder.push(&noise).is_err_and(|error| error.sqlstate() == SqlState::DATA_CORRUPTED) as usize;
        assert_eq!(decoder.len() == 1, decoder.finish().unwrap().first().is_some_and(|column| column.len() == 1));
    }
    assert!(noticed > 1000, "{noticed}");
}

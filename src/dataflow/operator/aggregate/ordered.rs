//! Values of any type as words or bytes in the same order, for `min` and `max`.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;
use weir_common::error::{Error, Result};

/// What carries the values of a type in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// 64 bits: booleans, integers, floats, dates and times.
    Word,
    /// 128 bits: decimals.
    Wide,
    /// Bytes: text by bytes, as the C collation has it, and binary.
    Bytes,
}

/// The carrier of a type; `None` where its values have no order here.
pub(super) fn carrier(data_type: &DataType) -> Option<Carrier> {
    use DataType::*;
    match data_type {
        Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float32 | Float64 => Some(Carrier::Word),
        Date32 | Time64(_) | Timestamp(..) => Some(Carrier::Word),
        Decimal128(..) => Some(Carrier::Wide),
        Utf8 | Binary | FixedSizeBinary(_) => Some(Carrier::Bytes),
        _ => None,
    }
}

/// The same bits under another type of the same width.
pub(super) fn recast<T: ArrowPrimitiveType>(array: &dyn Array) -> Result<PrimitiveArray<T>> {
    Ok(PrimitiveArray::from(array.to_data().into_builder().data_type(T::DATA_TYPE).build()?))
}

/// The same bits under the type that a column has.
pub(super) fn restore<T: ArrowPrimitiveType>(array: PrimitiveArray<T>, data_type: &DataType) -> Result<ArrayRef> {
    Ok(make_array(array.into_data().into_builder().data_type(data_type.clone()).build()?))
}

/// One word for each value, in the order of the values; whatever under NULL.
pub(super) fn words(array: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    macro_rules! widen {
        ($type:ty, $widen:expr) => {
            array.as_primitive::<$type>().values().iter().map($widen).collect()
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().values().iter().map(i64::from).collect(),
        DataType::Int8 => widen!(Int8Type, |value| *value as i64),
        DataType::Int16 => widen!(Int16Type, |value| *value as i64),
        DataType::Int32 => widen!(Int32Type, |value| *value as i64),
        DataType::UInt8 => widen!(UInt8Type, |value| *value as i64),
        DataType::UInt16 => widen!(UInt16Type, |value| *value as i64),
        DataType::UInt32 => widen!(UInt32Type, |value| *value as i64),
        DataType::UInt64 => widen!(UInt64Type, |value| (*value ^ (1 << 63)) as i64),
        DataType::Float32 => widen!(Float32Type, |value| float_word(*value as f64)),
        DataType::Float64 => widen!(Float64Type, |value| float_word(*value)),
        DataType::Date32 => widen!(Date32Type, |value| *value as i64),
        DataType::Int64 => array.as_primitive::<Int64Type>().values().clone(),
        DataType::Time64(_) | DataType::Timestamp(..) => recast::<Int64Type>(array)?.values().clone(),
        other => return Err(Error::internal(format!("values of {other} are not words"))),
    })
}

/// The values of words.
pub(super) fn from_words(words: impl Iterator<Item = Option<i64>>, data_type: &DataType) -> Result<ArrayRef> {
    macro_rules! narrow {
        ($type:ty, $narrow:expr) => {
            Arc::new(words.map(|word| word.map($narrow)).collect::<PrimitiveArray<$type>>())
        };
    }
    Ok(match data_type {
        DataType::Boolean => Arc::new(words.map(|word| word.map(|word| word != 0)).collect::<BooleanArray>()),
        DataType::Int8 => narrow!(Int8Type, |word| word as i8),
        DataType::Int16 => narrow!(Int16Type, |word| word as i16),
        DataType::Int32 => narrow!(Int32Type, |word| word as i32),
        DataType::UInt8 => narrow!(UInt8Type, |word| word as u8),
        DataType::UInt16 => narrow!(UInt16Type, |word| word as u16),
        DataType::UInt32 => narrow!(UInt32Type, |word| word as u32),
        DataType::UInt64 => narrow!(UInt64Type, |word| word as u64 ^ (1 << 63)),
        DataType::Float32 => narrow!(Float32Type, |word| word_float(word) as f32),
        DataType::Float64 => narrow!(Float64Type, word_float),
        DataType::Date32 => narrow!(Date32Type, |word| word as i32),
        _ => restore(words.collect::<Int64Array>(), data_type)?,
    })
}

/// Text and binary as plain binary.
pub(super) fn binary(array: &ArrayRef) -> Result<BinaryArray> {
    Ok(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().clone(),
        DataType::Utf8 => array.as_string::<i32>().clone().into(),
        _ => cast(array, &DataType::Binary)?.as_binary::<i32>().clone(),
    })
}

/// The values of binary.
pub(super) fn from_binary<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, data_type: &DataType) -> Result<ArrayRef> {
    let values: BinaryArray = values.collect();
    match data_type {
        DataType::Binary => Ok(Arc::new(values)),
        _ => Ok(cast(&values, data_type)?),
    }
}

/// Floats in Postgres's order: one zero, and NaN beyond infinity.
fn float_word(value: f64) -> i64 {
    let bits = weir_common::hash::float_bits(value) as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn word_float(word: i64) -> f64 {
    f64::from_bits((word ^ (((word >> 63) as u64) >> 1) as i64) as u64)
}

//! Columns of Parquet into the declared types, without loss: what cannot hold every value is refused for the whole file, and the
//! few values that do not fit where almost all do (a nanosecond, a NUL character) are told of one by one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Field, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use weir_common::error::Result;
use weir_common::types::{NUMERIC_DEFAULT, PgType};

use crate::json::is_json;
use crate::json::value::stored;
use crate::value::time;

/// Whether each value of an Arrow type has its equal in a type of Postgres, or can be told of where it has not.
pub(super) fn fits(from: &DataType, to: &PgType) -> bool {
    use DataType::*;
    match (from, to) {
        (Null, _) => true,
        (Boolean, PgType::Bool) => true,
        (Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64, _) => integer_fits(from, to),
        (Float16 | Float32, PgType::Float4 | PgType::Float8) | (Float64, PgType::Float8) => true,
        (Decimal32(precision, scale) | Decimal64(precision, scale) | Decimal128(precision, scale) | Decimal256(precision, scale), _) => {
            decimal_fits(*precision, *scale, to)
        }
        (Utf8 | LargeUtf8 | Utf8View, PgType::Text | PgType::Varchar(None) | PgType::Json | PgType::Jsonb) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), PgType::Bytea) | (FixedSizeBinary(16), PgType::Uuid) => true,
        (Date32, PgType::Date) | (Time32(_) | Time64(_), PgType::Time) => true,
        (Timestamp(..), PgType::Timestamp | PgType::Timestamptz) => true,
        (Dictionary(_, value), to) => fits(value, to),
        (List(element) | LargeList(element) | FixedSizeList(element, _), PgType::Array(to)) => fits(element.data_type(), to),
        _ => false,
    }
}

/// The type of Postgres that values of an Arrow type are best declared as, if there is one.
pub(super) fn natural(from: &DataType) -> Option<PgType> {
    let to = match from {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => PgType::Numeric(Some((*precision, *scale))),
        other => PgType::of_arrow(other),
    };
    fits(from, &to).then_some(to)
}

fn integer_fits(from: &DataType, to: &PgType) -> bool {
    let (bits, signed) = match from {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        _ => (64, false),
    };
    // Bits of a signed integer that holds them all, and digits.
    let needed = if signed { bits } else { bits + 1 };
    let digits = [(8, 3), (16, 5), (32, 10), (64, if signed { 19 } else { 20 })]
        .iter()
        .find(|(of, _)| *of == bits)
        .map_or(20, |(_, digits)| *digits);
    match to {
        PgType::Int2 => needed <= 16,
        PgType::Int4 => needed <= 32,
        PgType::Int8 => needed <= 64,
        // What a mantissa holds.
        PgType::Float4 => needed <= 25,
        PgType::Float8 => needed <= 54,
        PgType::Numeric(modifier) => {
            let (precision, scale) = modifier.unwrap_or(NUMERIC_DEFAULT);
            digits <= precision as i16 - scale as i16
        }
        _ => false,
    }
}

fn decimal_fits(precision: u8, scale: i8, to: &PgType) -> bool {
    let whole = precision as i16 - scale as i16;
    match to {
        PgType::Int2 => scale <= 0 && whole <= 4,
        PgType::Int4 => scale <= 0 && whole <= 9,
        PgType::Int8 => scale <= 0 && whole <= 18,
        PgType::Numeric(modifier) => {
            let (to_precision, to_scale) = modifier.unwrap_or(NUMERIC_DEFAULT);
            scale <= to_scale && whole <= to_precision as i16 - to_scale as i16
        }
        _ => false,
    }
}

/// A column that has been converted.
pub(super) struct Converted {
    pub(super) values: ArrayRef,
    /// The rows whose value has no equal, and why; in order.
    pub(super) misfits: Vec<(usize, &'static str)>,
}

/// Converts the values of a type that [`fits`].
pub(super) fn convert(values: &ArrayRef, to: &PgType, field: &Field) -> Result<Converted> {
    if let (DataType::List(element), PgType::Array(to)) = (field.data_type(), to) {
        return convert_list(values, to, element, field);
    }
    let lenient = CastOptions { safe: true, ..Default::default() };
    let cast = match (values.data_type(), field.data_type()) {
        // A moment is the same in every zone: only the unit changes.
        (DataType::Timestamp(_, zone), DataType::Timestamp(unit, to_zone)) => {
            let cast = cast_with_options(values, &DataType::Timestamp(*unit, zone.clone()), &lenient)?;
            Arc::new(cast.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(to_zone.clone()))
        }
        (_, to) => cast_with_options(values, to, &lenient)?,
    };
    let mut misfits = Vec::new();
    let nulls = values.logical_nulls();
    if cast.null_count() > nulls.as_ref().map_or(0, NullBuffer::null_count) {
        let lost = |row: usize| cast.is_null(row) && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        misfits.extend(found((0..cast.len()).map(lost), "is out of range"));
    }
    let sub_micros = |nanos: i64| nanos % 1000 != 0;
    match (values.data_type(), to) {
        (DataType::Timestamp(TimeUnit::Nanosecond, _), _) => {
            let nanos = values.as_primitive::<TimestampNanosecondType>();
            misfits.extend(found(nanos.iter().map(|value| value.is_some_and(sub_micros)), "is finer than a microsecond"));
        }
        (DataType::Time64(TimeUnit::Nanosecond), _) => {
            let nanos = values.as_primitive::<Time64NanosecondType>();
            misfits.extend(found(nanos.iter().map(|value| value.is_some_and(sub_micros)), "is finer than a microsecond"));
        }
        _ => {}
    }
    let strange = |what: &'static str, check: &dyn Fn(usize) -> bool| -> Vec<(usize, &'static str)> {
        found((0..cast.len()).map(|row| cast.is_valid(row) && check(row)), what).collect()
    };
    misfits.extend(match to {
        PgType::Text | PgType::Varchar(_) => {
            let texts = cast.as_string::<i32>();
            // One look at all of them, for there is hardly ever one.
            match memchr::memchr(0, texts.value_data()) {
                None => Vec::new(),
                Some(_) => strange("has a NUL character", &|row| texts.value(row).contains('\0')),
            }
        }
        PgType::Json | PgType::Jsonb => {
            let texts: &StringArray = cast.as_string();
            strange("is not JSON", &|row| !is_json(texts.value(row).as_bytes()) || stored(to, texts.value(row).as_bytes()).is_err())
        }
        PgType::Timestamp | PgType::Timestamptz => {
            let micros = cast.as_primitive::<TimestampMicrosecondType>();
            strange("is out of range", &|row| !time::MICROS.contains(&micros.value(row)))
        }
        PgType::Date => {
            let days = cast.as_primitive::<Date32Type>();
            strange("is out of range", &|row| !time::DAYS.contains(&(days.value(row) as i64)))
        }
        PgType::Time => {
            let micros = cast.as_primitive::<Time64MicrosecondType>();
            strange("is out of range", &|row| !(0..time::DAY).contains(&micros.value(row)))
        }
        _ => Vec::new(),
    });
    misfits.sort_by_key(|(row, _)| *row);
    misfits.dedup_by_key(|(row, _)| *row);
    let values = match to {
        PgType::Jsonb => Arc::new(cast.as_string::<i32>().iter().map(|text| text.and_then(canonical)).collect::<StringArray>()),
        _ => cast,
    };
    Ok(Converted { values, misfits })
}

/// A text as jsonb; `None` for a misfit.
fn canonical(text: &str) -> Option<String> {
    weir_common::json::canonical(text).ok()
}

fn convert_list(values: &ArrayRef, to: &PgType, element: &Arc<Field>, field: &Field) -> Result<Converted> {
    let own = match values.data_type() {
        DataType::Null => {
            return Ok(Converted { values: arrow::array::new_null_array(field.data_type(), values.len()), misfits: Vec::new() });
        }
        DataType::List(own) | DataType::LargeList(own) | DataType::FixedSizeList(own, _) => own.clone(),
        _ => unreachable!("asked only for types that fit"),
    };
    let list = cast_with_options(values, &DataType::List(own), &CastOptions::default())?;
    let list: &ListArray = list.as_list();
    let Converted { values: elements, misfits } = convert(list.values(), to, element)?;
    let offsets = list.offsets();
    // The row that an element is in: the last that starts at or before it.
    let row = |at: usize| offsets.partition_point(|offset| *offset as usize <= at).checked_sub(1).filter(|row| *row < list.len());
    let mut misfits: Vec<_> = misfits.into_iter().filter_map(|(at, what)| Some((row(at)?, what))).collect();
    misfits.dedup_by_key(|(row, _)| *row);
    let values = ListArray::try_new(element.clone(), offsets.clone(), elements, list.nulls().cloned())?;
    Ok(Converted { values: Arc::new(values), misfits })
}

fn found(checks: impl Iterator<Item = bool>, what: &'static str) -> impl Iterator<Item = (usize, &'static str)> {
    checks.enumerate().filter(|(_, found)| *found).map(move |(row, _)| (row, what))
}

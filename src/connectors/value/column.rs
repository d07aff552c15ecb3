//! A column of a batch as it grows, value by value; a record that fails is taken back by cutting it off.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, FixedSizeBinaryArray, ListArray, NullBufferBuilder, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::{NUMERIC_DEFAULT, PgType};

use crate::value::{binary, number, time};

/// A value that is JSON but not one of the column's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Misfit {
    /// It is something else.
    Kind,
    /// It is of that kind, and too large or too small.
    Range,
    /// It has more decimals than are kept.
    Decimals,
    /// It has more characters than the type allows.
    Length,
    /// It has a NUL character, which a text value of Postgres cannot.
    Nul,
}

/// Values of one type.
///
/// # Invariants
/// - `nulls` is as long as `values`; a NULL has a placeholder there.
pub(crate) struct Column {
    pub(crate) ty: PgType,
    data_type: DataType,
    pub(crate) nulls: NullBufferBuilder,
    pub(crate) values: Values,
}

pub(crate) enum Values {
    Bool(BooleanBufferBuilder),
    Int2(Vec<i16>),
    Int4(Vec<i32>),
    Int8(Vec<i64>),
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    /// With precision, scale, and whether nothing may be rounded away.
    Numeric(Vec<i128>, u8, i8, bool),
    Text(Bytes),
    Json(Bytes),
    Bytea(Bytes),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>),
    Interval(Vec<IntervalMonthDayNano>),
    Uuid(Vec<u8>),
    List(Offsets, FieldRef, Box<Column>),
}

/// Values of any length, end to end.
pub(crate) struct Bytes {
    offsets: Offsets,
    data: Vec<u8>,
}

/// Where values end in what holds them all; a leading 0 is where the first starts.
pub(crate) struct Offsets(Vec<i32>);

impl Column {
    /// An empty column for a field's values; an error where the format has no form for its type.
    pub(crate) fn new(field: &Field, format: &str) -> Result<Column> {
        Self::of_type(PgType::of_field(field), field.data_type()).ok_or_else(|| {
            let ty = PgType::of_field(field).spelling();
            Error::unsupported(format!("column \"{}\" of type {ty} cannot be read from {format}", field.name()))
        })
    }

    fn of_type(ty: PgType, data_type: &DataType) -> Option<Column> {
        let values = match (&ty, data_type) {
            (PgType::Bool, DataType::Boolean) => Values::Bool(BooleanBufferBuilder::new(0)),
            (PgType::Int2, DataType::Int16) => Values::Int2(Vec::new()),
            (PgType::Int4, DataType::Int32) => Values::Int4(Vec::new()),
            (PgType::Int8, DataType::Int64) => Values::Int8(Vec::new()),
            (PgType::Float4, DataType::Float32) => Values::Float4(Vec::new()),
            (PgType::Float8, DataType::Float64) => Values::Float8(Vec::new()),
            // Where a scale was declared, values are rounded to it; where none was, they are to be kept.
            (PgType::Numeric(declared), DataType::Decimal128(precision, scale)) => {
                Values::Numeric(Vec::new(), *precision, *scale, declared.is_none())
            }
            (PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_), DataType::Utf8) => Values::Text(Bytes::new()),
            (PgType::Json | PgType::Jsonb, DataType::Utf8) => Values::Json(Bytes::new()),
            (PgType::Bytea, DataType::Binary) => Values::Bytea(Bytes::new()),
            (PgType::Date, DataType::Date32) => Values::Date(Vec::new()),
            (PgType::Time, data_type) if *data_type == PgType::Time.arrow() => Values::Time(Vec::new()),
            (PgType::Timestamp, data_type) if *data_type == PgType::Timestamp.arrow() => Values::Timestamp(Vec::new()),
            (PgType::Timestamptz, data_type) if *data_type == PgType::Timestamptz.arrow() => Values::Timestamp(Vec::new()),
            (PgType::Interval, data_type) if *data_type == PgType::Interval.arrow() => Values::Interval(Vec::new()),
            (PgType::Uuid, DataType::FixedSizeBinary(16)) => Values::Uuid(Vec::new()),
            (PgType::Array(element), DataType::List(field)) => {
                let child = Self::of_type((**element).clone(), field.data_type())?;
                Values::List(Offsets::new(), field.clone(), Box::new(child))
            }
            _ => return None,
        };
        Some(Column { ty, data_type: data_type.clone(), nulls: NullBufferBuilder::new(0), values })
    }

    /// Appends a NULL.
    pub(crate) fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int2(values) => values.push(0),
            Values::Int4(values) | Values::Date(values) => values.push(0),
            Values::Int8(values) | Values::Time(values) | Values::Timestamp(values) => values.push(0),
            Values::Float4(values) => values.push(0.0),
            Values::Float8(values) => values.push(0.0),
            Values::Numeric(values, ..) => values.push(0),
            Values::Interval(values) => values.push(IntervalMonthDayNano::ZERO),
            Values::Uuid(values) => values.extend([0; 16]),
            Values::Text(bytes) | Values::Json(bytes) | Values::Bytea(bytes) => bytes.offsets.push(bytes.data.len()),
            Values::List(offsets, _, child) => offsets.push(child.nulls.len()),
        }
    }

    /// Takes back all but the first `rows` values.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows),
            Values::Int2(values) => values.truncate(rows),
            Values::Int4(values) | Values::Date(values) => values.truncate(rows),
            Values::Int8(values) | Values::Time(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float4(values) => values.truncate(rows),
            Values::Float8(values) => values.truncate(rows),
            Values::Numeric(values, ..) => values.truncate(rows),
            Values::Interval(values) => values.truncate(rows),
            Values::Uuid(values) => values.truncate(16 * rows),
            Values::Text(bytes) | Values::Json(bytes) | Values::Bytea(bytes) => bytes.truncate(rows),
            Values::List(offsets, _, child) => child.truncate(offsets.truncate(rows)),
        }
    }

    /// The values as an array; the column is empty again.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int2(values) => primitive::<Int16Type>(values, nulls, &self.data_type),
            Values::Int4(values) => primitive::<Int32Type>(values, nulls, &self.data_type),
            Values::Int8(values) => primitive::<Int64Type>(values, nulls, &self.data_type),
            Values::Float4(values) => primitive::<Float32Type>(values, nulls, &self.data_type),
            Values::Float8(values) => primitive::<Float64Type>(values, nulls, &self.data_type),
            Values::Numeric(values, ..) => primitive::<Decimal128Type>(values, nulls, &self.data_type),
            Values::Date(values) => primitive::<Date32Type>(values, nulls, &self.data_type),
            Values::Time(values) => primitive::<Time64MicrosecondType>(values, nulls, &self.data_type),
            Values::Timestamp(values) => primitive::<TimestampMicrosecondType>(values, nulls, &self.data_type),
            Values::Interval(values) => primitive::<IntervalMonthDayNanoType>(values, nulls, &self.data_type),
            Values::Uuid(values) => Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(renew(values)), nulls)?),
            Values::Text(bytes) | Values::Json(bytes) => {
                let (offsets, data) = bytes.finish();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Bytea(bytes) => {
                let (offsets, data) = bytes.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::List(offsets, field, child) => Arc::new(ListArray::try_new(field.clone(), offsets.finish(), child.finish()?, nulls)?),
        })
    }

    /// What is wrong with a value, to stand behind it.
    #[cold]
    pub(crate) fn reason(&self, misfit: Misfit) -> String {
        match misfit {
            Misfit::Range => format!("is out of range for type {}", self.ty.spelling()),
            Misfit::Decimals => format!("has more than {} decimals, which type numeric without a precision cannot hold", NUMERIC_DEFAULT.1),
            Misfit::Length => format!("is too long for type {}", self.ty.spelling()),
            Misfit::Nul => format!("has a NUL character, which type {} cannot hold", self.ty.spelling()),
            Misfit::Kind => {
                let kind = match &self.ty {
                    PgType::Int2 | PgType::Int4 | PgType::Int8 => "an integer",
                    PgType::Float4 | PgType::Float8 | PgType::Numeric(_) => "a number",
                    PgType::Bool => "a boolean",
                    PgType::Bytea => "a bytea in hex, such as \"\\\\x0aff\"",
                    PgType::Date => "a date",
                    PgType::Time => "a time",
                    PgType::Timestamp | PgType::Timestamptz => "a timestamp",
                    PgType::Interval => "an interval",
                    PgType::Uuid => "a UUID",
                    PgType::Array(_) => "an array",
                    PgType::Json | PgType::Jsonb => "JSON",
                    _ => "a string",
                };
                format!("is not {kind}")
            }
        }
    }
}

impl Values {
    #[inline]
    pub(crate) fn push_number(&mut self, text: &[u8]) -> Result<(), Misfit> {
        match self {
            Values::Int2(values) => values.push(number::integer(text)?.try_into().map_err(|_| Misfit::Range)?),
            Values::Int4(values) => values.push(number::integer(text)?.try_into().map_err(|_| Misfit::Range)?),
            Values::Int8(values) => values.push(number::integer(text)?),
            Values::Float4(values) => values.push(number::float4(text)?),
            Values::Float8(values) => values.push(number::float8(text)?),
            Values::Numeric(values, precision, scale, exact) => values.push(number::numeric(text, *precision, *scale, *exact)?),
            _ => return Err(Misfit::Kind),
        }
        Ok(())
    }

    /// Appends the value that a text stands for; whoever calls has seen to it that there is no NUL character in it.
    #[inline]
    pub(crate) fn push_string(&mut self, ty: &PgType, text: &[u8]) -> Result<(), Misfit> {
        match self {
            Values::Text(bytes) => bytes.push(fitting(ty, text)?),
            Values::Timestamp(values) => values.push(time::timestamp(text)?),
            Values::Date(values) => values.push(time::date(text)?),
            Values::Time(values) => values.push(time::time(text)?),
            Values::Int2(values) => values.push(number::integer_of_string(text)?.try_into().map_err(|_| Misfit::Range)?),
            Values::Int4(values) => values.push(number::integer_of_string(text)?.try_into().map_err(|_| Misfit::Range)?),
            Values::Int8(values) => values.push(number::integer_of_string(text)?),
            Values::Float4(values) => values.push(number::float4(text)?),
            Values::Float8(values) => values.push(number::float8(text)?),
            Values::Numeric(values, precision, scale, exact) => values.push(number::numeric(text, *precision, *scale, *exact)?),
            Values::Bool(values) => values.append(boolean(text)?),
            Values::Uuid(values) => values.extend(binary::uuid(text)?),
            Values::Interval(values) => values.push(interval(text)?),
            Values::Bytea(bytes) => {
                binary::bytea(text, &mut bytes.data)?;
                bytes.offsets.push(bytes.data.len());
            }
            Values::Json(_) | Values::List(..) => return Err(Misfit::Kind),
        }
        Ok(())
    }
}

impl Bytes {
    fn new() -> Self {
        Bytes { offsets: Offsets::new(), data: Vec::new() }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.offsets.push(self.data.len());
    }

    fn truncate(&mut self, rows: usize) {
        self.data.truncate(self.offsets.truncate(rows));
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        (self.offsets.finish(), Buffer::from_vec(renew(&mut self.data)))
    }
}

impl Offsets {
    fn new() -> Self {
        Offsets(vec![0])
    }

    #[inline]
    pub(crate) fn push(&mut self, end: usize) {
        self.0.push(i32::try_from(end).expect("a batch is cut long before 2 GiB"));
    }

    /// Takes back all but the first `rows` values, and says where the last of them ends.
    fn truncate(&mut self, rows: usize) -> usize {
        self.0.truncate(rows + 1);
        self.0.last().map_or(0, |end| *end as usize)
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        let offsets = renew(&mut self.0);
        self.0.push(0);
        OffsetBuffer::new(offsets.into())
    }
}

/// The text as the type keeps it, or why it does not.
#[inline]
fn fitting<'a>(ty: &PgType, text: &'a [u8]) -> Result<&'a [u8], Misfit> {
    match ty {
        // Spaces at the end of a char(n) mean nothing.
        PgType::Bpchar(limit) => fitting_chars(text.trim_ascii_end(), *limit),
        PgType::Varchar(limit) => fitting_chars(text, *limit),
        _ => Ok(text),
    }
}

/// The text, if it has no more than `limit` characters; as in Postgres, spaces beyond are cut off.
fn fitting_chars(text: &[u8], limit: Option<u32>) -> Result<&[u8], Misfit> {
    let Some(limit) = limit else { return Ok(text) };
    // A character starts with any byte that does not continue one.
    let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xC0 != 0x80);
    match starts.nth(limit as usize) {
        None => Ok(text),
        Some((at, _)) if text[at..].iter().all(|byte| *byte == b' ') => Ok(&text[..at]),
        Some(_) => Err(Misfit::Length),
    }
}

/// A boolean in a word that Postgres reads as one.
fn boolean(text: &[u8]) -> Result<bool, Misfit> {
    let text = text.trim_ascii();
    let starts = |word: &str| !text.is_empty() && word.as_bytes().get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
    // An "o" alone could be both.
    if starts("true") || starts("yes") || is("on") || is("1") {
        Ok(true)
    } else if starts("false") || starts("no") || is("of") || is("off") || is("0") {
        Ok(false)
    } else {
        Err(Misfit::Kind)
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(renew(values)), nulls).with_data_type(data_type.clone()))
}

/// Takes the values and leaves room for as many.
fn renew<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    mem::replace(values, room)
}

fn interval(text: &[u8]) -> Result<IntervalMonthDayNano, Misfit> {
    let text = std::str::from_utf8(text).map_err(|_| Misfit::Kind)?;
    let misfit = |error: Error| if error.sqlstate() == SqlState::INVALID_DATETIME_FORMAT { Misfit::Kind } else { Misfit::Range };
    let parsed = weir_common::interval::parse(text).map_err(misfit)?;
    parsed.to_arrow().ok_or(Misfit::Range)
}

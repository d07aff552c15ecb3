//! Bytes to columns.

use std::mem::take;
use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, NullBufferBuilder, StringArray, StringViewArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::datatypes::{DataType, IntervalMonthDayNano};

use super::layout::Layout;
use super::varint;
use crate::error::{Error, Result, SqlState};

/// Gathers encoded rows into columns.
#[derive(Debug)]
pub struct RowDecoder {
    types: Arc<[DataType]>,
    capacity: usize,
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
struct Column {
    values: Values,
    nulls: NullBufferBuilder,
}

/// As many values as there are rows, with zeros for NULLs.
#[derive(Debug)]
enum Values {
    Null,
    Boolean(Vec<bool>),
    Fixed8(Vec<u8>),
    Fixed16(Vec<u16>),
    Fixed32(Vec<u32>),
    Fixed64(Vec<u64>),
    Interval(Vec<IntervalMonthDayNano>),
    Zigzag16(Vec<i16>),
    Zigzag32(Vec<i32>),
    Zigzag64(Vec<i64>),
    Zigzag128(Vec<i128>),
    /// Where each value ends, after a zero; the bytes; whether they are text.
    Bytes(Vec<i32>, Vec<u8>, bool),
    LargeBytes(Vec<i64>, Vec<u8>, bool),
    FixedBytes(usize, Vec<u8>),
}

impl RowDecoder {
    pub(super) fn new(types: Arc<[DataType]>, capacity: usize) -> RowDecoder {
        let columns = columns(&types, capacity);
        RowDecoder { types, capacity, columns, rows: 0 }
    }

    /// How many rows it has taken.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it has taken none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes one row. Bytes that [`RowCodec::encode`](super::RowCodec::encode) does not write for these types are damage (XX001);
    /// more than 2 GiB in a column that has 32-bit offsets or views exceed a limit (54000). After an error the rows so far are as they were.
    pub fn push(&mut self, row: &[u8]) -> Result<()> {
        match gather(&mut self.columns, row) {
            Ok(()) => self.rows += 1,
            Err(error) => {
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                return Err(error);
            }
        }
        Ok(())
    }

    /// The rows so far as columns, of exactly the types of [`RowCodec::new`](super::RowCodec::new). The decoder is empty
    /// afterwards and can be used again.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let columns = std::mem::replace(&mut self.columns, columns(&self.types, self.capacity));
        let rows = take(&mut self.rows);
        columns.into_iter().zip(self.types.iter()).map(|(column, data_type)| column.finish(data_type, rows)).collect()
    }
}

fn columns(types: &[DataType], capacity: usize) -> Vec<Column> {
    types.iter().filter_map(|data_type| Some(Column::new(Layout::of(data_type)?, data_type, capacity))).collect()
}

/// Appends one row to the columns, or a part of it and an error.
fn gather(columns: &mut [Column], row: &[u8]) -> Result<()> {
    let Some((bitmap, mut rest)) = row.split_at_checked(columns.len().div_ceil(8)) else { return Err(cut_off()) };
    if let Some(last) = bitmap.last().filter(|_| !columns.len().is_multiple_of(8))
        && last >> (columns.len() % 8) != 0
    {
        return Err(damaged("it has more columns"));
    }
    for (index, column) in columns.iter_mut().enumerate() {
        if bitmap[index / 8] & (1 << (index % 8)) != 0 {
            column.values.take(&mut rest)?;
            column.nulls.append_non_null();
        } else {
            column.values.skip();
            column.nulls.append_null();
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(damaged("it is too long")) }
}

impl Column {
    fn new(layout: Layout, data_type: &DataType, capacity: usize) -> Column {
        let text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let values = match layout {
            Layout::Null => Values::Null,
            Layout::Boolean => Values::Boolean(Vec::with_capacity(capacity)),
            Layout::Fixed8 => Values::Fixed8(Vec::with_capacity(capacity)),
            Layout::Fixed16 => Values::Fixed16(Vec::with_capacity(capacity)),
            Layout::Fixed32 => Values::Fixed32(Vec::with_capacity(capacity)),
            Layout::Fixed64 => Values::Fixed64(Vec::with_capacity(capacity)),
            Layout::Interval => Values::Interval(Vec::with_capacity(capacity)),
            Layout::Zigzag16 => Values::Zigzag16(Vec::with_capacity(capacity)),
            Layout::Zigzag32 => Values::Zigzag32(Vec::with_capacity(capacity)),
            Layout::Zigzag64 => Values::Zigzag64(Vec::with_capacity(capacity)),
            Layout::Zigzag128 => Values::Zigzag128(Vec::with_capacity(capacity)),
            Layout::Bytes | Layout::TextView => Values::Bytes(offsets(capacity), Vec::new(), text),
            Layout::LargeBytes => Values::LargeBytes(offsets(capacity), Vec::new(), text),
            Layout::FixedBytes(width) => Values::FixedBytes(width, Vec::with_capacity(capacity.saturating_mul(width))),
        };
        Column { values, nulls: NullBufferBuilder::new(capacity) }
    }

    /// Forgets all but the first `rows` values.
    fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.values {
            Values::Null => {}
            Values::Boolean(values) => values.truncate(rows),
            Values::Fixed8(values) => values.truncate(rows),
            Values::Fixed16(values) => values.truncate(rows),
            Values::Fixed32(values) => values.truncate(rows),
            Values::Fixed64(values) => values.truncate(rows),
            Values::Interval(values) => values.truncate(rows),
            Values::Zigzag16(values) => values.truncate(rows),
            Values::Zigzag32(values) => values.truncate(rows),
            Values::Zigzag64(values) => values.truncate(rows),
            Values::Zigzag128(values) => values.truncate(rows),
            Values::Bytes(offsets, bytes, _) => {
                offsets.truncate(rows + 1);
                bytes.truncate(offsets[rows] as usize);
            }
            Values::LargeBytes(offsets, bytes, _) => {
                offsets.truncate(rows + 1);
                bytes.truncate(offsets[rows] as usize);
            }
            Values::FixedBytes(width, bytes) => bytes.truncate(rows * *width),
        }
    }

    fn finish(mut self, data_type: &DataType, rows: usize) -> Result<ArrayRef> {
        let nulls = self.nulls.finish().filter(|nulls| nulls.null_count() > 0 && *data_type != DataType::Null);
        let buffers = match self.values {
            Values::Null => vec![],
            Values::Boolean(values) => vec![BooleanBuffer::from(values).into_inner()],
            Values::Fixed8(values) => vec![Buffer::from_vec(values)],
            Values::Fixed16(values) => vec![Buffer::from_vec(values)],
            Values::Fixed32(values) => vec![Buffer::from_vec(values)],
            Values::Fixed64(values) => vec![Buffer::from_vec(values)],
            Values::Interval(values) => vec![Buffer::from_vec(values)],
            Values::Zigzag16(values) => vec![Buffer::from_vec(values)],
            Values::Zigzag32(values) => vec![Buffer::from_vec(values)],
            Values::Zigzag64(values) => vec![Buffer::from_vec(values)],
            Values::Zigzag128(values) => vec![Buffer::from_vec(values)],
            Values::Bytes(offsets, bytes, _) => vec![Buffer::from_vec(offsets), Buffer::from_vec(bytes)],
            Values::LargeBytes(offsets, bytes, _) => vec![Buffer::from_vec(offsets), Buffer::from_vec(bytes)],
            Values::FixedBytes(_, bytes) => vec![Buffer::from_vec(bytes)],
        };
        let view = *data_type == DataType::Utf8View;
        let gathered = if view { DataType::Utf8 } else { data_type.clone() };
        let data = ArrayData::builder(gathered).len(rows).nulls(nulls).buffers(buffers).build();
        let data = data.map_err(|error| Error::internal(format!("rows that were decoded are no column: {error}")))?;
        Ok(if view { Arc::new(StringViewArray::from(&StringArray::from(data))) } else { make_array(data) })
    }
}

impl Values {
    /// Takes a value from the front of `rest`.
    #[inline]
    fn take(&mut self, rest: &mut &[u8]) -> Result<()> {
        match self {
            Values::Null => return Err(damaged("there is a value of type null")),
            Values::Boolean(values) => match fixed(rest)? {
                [value @ (0 | 1)] => values.push(value == 1),
                _ => return Err(damaged("a boolean is neither 0 nor 1")),
            },
            Values::Fixed8(values) => values.push(u8::from_le_bytes(fixed(rest)?)),
            Values::Fixed16(values) => values.push(u16::from_le_bytes(fixed(rest)?)),
            Values::Fixed32(values) => values.push(u32::from_le_bytes(fixed(rest)?)),
            Values::Fixed64(values) => values.push(u64::from_le_bytes(fixed(rest)?)),
            Values::Interval(values) => {
                let (months, days) = (i32::from_le_bytes(fixed(rest)?), i32::from_le_bytes(fixed(rest)?));
                values.push(IntervalMonthDayNano { months, days, nanoseconds: i64::from_le_bytes(fixed(rest)?) });
            }
            Values::Zigzag16(values) => values.push(signed(rest)?.try_into().map_err(|_| wrong_number())?),
            Values::Zigzag32(values) => values.push(signed(rest)?.try_into().map_err(|_| wrong_number())?),
            Values::Zigzag64(values) => values.push(signed(rest)?),
            Values::Zigzag128(values) => values.push(varint::unzigzag_wide(varint::take_wide(rest).ok_or_else(wrong_number)?)),
            Values::Bytes(offsets, bytes, text) => {
                let value = sized(rest, *text)?;
                offsets.push(i32::try_from(bytes.len() + value.len()).map_err(|_| too_large())?);
                bytes.extend_from_slice(value);
            }
            Values::LargeBytes(offsets, bytes, text) => {
                let value = sized(rest, *text)?;
                offsets.push(i64::try_from(bytes.len() + value.len()).map_err(|_| too_large())?);
                bytes.extend_from_slice(value);
            }
            Values::FixedBytes(width, bytes) => bytes.extend_from_slice(split(rest, *width)?),
        }
        Ok(())
    }

    /// Appends what is under a NULL.
    fn skip(&mut self) {
        match self {
            Values::Null => {}
            Values::Boolean(values) => values.push(false),
            Values::Fixed8(values) => values.push(0),
            Values::Fixed16(values) => values.push(0),
            Values::Fixed32(values) => values.push(0),
            Values::Fixed64(values) => values.push(0),
            Values::Interval(values) => values.push(IntervalMonthDayNano::ZERO),
            Values::Zigzag16(values) => values.push(0),
            Values::Zigzag32(values) => values.push(0),
            Values::Zigzag64(values) => values.push(0),
            Values::Zigzag128(values) => values.push(0),
            Values::Bytes(offsets, bytes, _) => offsets.push(bytes.len() as i32),
            Values::LargeBytes(offsets, bytes, _) => offsets.push(bytes.len() as i64),
            Values::FixedBytes(width, bytes) => bytes.resize(bytes.len() + *width, 0),
        }
    }
}

/// No values yet: the first one begins at zero.
fn offsets<T: Default>(capacity: usize) -> Vec<T> {
    let mut offsets = Vec::with_capacity(capacity.saturating_add(1));
    offsets.push(T::default());
    offsets
}

#[inline]
fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (value, after) = rest.split_first_chunk().ok_or_else(cut_off)?;
    *rest = after;
    Ok(*value)
}

#[inline]
fn signed(rest: &mut &[u8]) -> Result<i64> {
    Ok(varint::unzigzag(varint::take(rest).ok_or_else(wrong_number)?))
}

#[inline]
fn split<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (value, after) = rest.split_at_checked(len).ok_or_else(cut_off)?;
    *rest = after;
    Ok(value)
}

/// Bytes after their length, which are UTF-8 if they are text.
#[inline]
fn sized<'a>(rest: &mut &'a [u8], text: bool) -> Result<&'a [u8]> {
    let len = varint::take(rest).ok_or_else(wrong_number)?;
    let value = split(rest, usize::try_from(len).map_err(|_| cut_off())?)?;
    if text && std::str::from_utf8(value).is_err() {
        return Err(damaged("a text is not UTF-8"));
    }
    Ok(value)
}

#[cold]
fn damaged(why: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("a stored row cannot be read: {why}"))
}

#[cold]
fn cut_off() -> Error {
    damaged("it is cut off")
}

#[cold]
fn wrong_number() -> Error {
    damaged("a number is cut off or has too many bytes")
}

#[cold]
fn too_large() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "rows that are read at once have more than 2 GiB in one column")
}

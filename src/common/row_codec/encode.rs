//! Columns to bytes.

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, StringViewArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, IntervalMonthDayNano};

use super::EncodedRows;
use super::layout::Layout;
use super::varint;
use crate::error::{Error, Result};

/// A column, prepared so that a value is found without calls through tables.
pub(super) struct Column {
    values: Values,
    /// Only where there are NULLs.
    nulls: Option<NullBuffer>,
}

enum Values {
    Null,
    Boolean(BooleanBuffer),
    Fixed8(ScalarBuffer<u8>),
    Fixed16(ScalarBuffer<u16>),
    Fixed32(ScalarBuffer<u32>),
    Fixed64(ScalarBuffer<u64>),
    Interval(ScalarBuffer<IntervalMonthDayNano>),
    Zigzag16(ScalarBuffer<i16>),
    Zigzag32(ScalarBuffer<i32>),
    Zigzag64(ScalarBuffer<i64>),
    Zigzag128(ScalarBuffer<i128>),
    Bytes(ScalarBuffer<i32>, Buffer),
    LargeBytes(ScalarBuffer<i64>, Buffer),
    TextView(StringViewArray),
    FixedBytes(FixedSizeBinaryArray),
}

impl Column {
    /// An internal error for types outside of the format.
    pub(super) fn new(array: &ArrayRef) -> Result<Column> {
        let layout = Layout::of(array.data_type());
        let layout = layout.ok_or_else(|| Error::internal(format!("type {} has no layout in rows", array.data_type())))?;
        let values = match layout {
            Layout::Null => Values::Null,
            Layout::Boolean => Values::Boolean(array.as_boolean().values().clone()),
            Layout::Fixed8 => Values::Fixed8(numbers(array, 0)),
            Layout::Fixed16 => Values::Fixed16(numbers(array, 0)),
            Layout::Fixed32 => Values::Fixed32(numbers(array, 0)),
            Layout::Fixed64 => Values::Fixed64(numbers(array, 0)),
            Layout::Interval => Values::Interval(numbers(array, 0)),
            Layout::Zigzag16 => Values::Zigzag16(numbers(array, 0)),
            Layout::Zigzag32 => Values::Zigzag32(numbers(array, 0)),
            Layout::Zigzag64 => Values::Zigzag64(numbers(array, 0)),
            Layout::Zigzag128 => Values::Zigzag128(numbers(array, 0)),
            Layout::Bytes => Values::Bytes(numbers(array, 1), array.to_data().buffers()[1].clone()),
            Layout::LargeBytes => Values::LargeBytes(numbers(array, 1), array.to_data().buffers()[1].clone()),
            Layout::TextView => Values::TextView(array.as_string_view().clone()),
            Layout::FixedBytes(_) => Values::FixedBytes(array.as_fixed_size_binary().clone()),
        };
        Ok(Column { values, nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).cloned() })
    }

    /// Whether a row has a value.
    #[inline]
    fn is_valid(&self, row: usize) -> bool {
        !matches!(self.values, Values::Null) && self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }

    /// Appends the value of a row that has one.
    #[inline]
    fn put(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            Values::Null => {}
            Values::Boolean(values) => out.push(values.value(row) as u8),
            Values::Fixed8(values) => out.push(values[row]),
            Values::Fixed16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Fixed32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Fixed64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Interval(values) => {
                let IntervalMonthDayNano { months, days, nanoseconds } = values[row];
                out.extend_from_slice(&months.to_le_bytes());
                out.extend_from_slice(&days.to_le_bytes());
                out.extend_from_slice(&nanoseconds.to_le_bytes());
            }
            Values::Zigzag16(values) => varint::put(varint::zigzag(values[row] as i64), out),
            Values::Zigzag32(values) => varint::put(varint::zigzag(values[row] as i64), out),
            Values::Zigzag64(values) => varint::put(varint::zigzag(values[row]), out),
            Values::Zigzag128(values) => varint::put_wide(varint::zigzag_wide(values[row]), out),
            Values::Bytes(offsets, bytes) => put_bytes(&bytes[offsets[row] as usize..offsets[row + 1] as usize], out),
            Values::LargeBytes(offsets, bytes) => put_bytes(&bytes[offsets[row] as usize..offsets[row + 1] as usize], out),
            Values::TextView(texts) => put_bytes(texts.value(row).as_bytes(), out),
            Values::FixedBytes(array) => out.extend_from_slice(array.value(row)),
        }
    }
}

/// The first buffer of an array as numbers of the same width, and so many more than there are values.
fn numbers<T: ArrowNativeType>(array: &ArrayRef, more: usize) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len() + more)
}

#[inline]
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends the rows of columns that all have `rows` values.
pub(super) fn append(columns: &[Column], rows: usize, out: &mut EncodedRows) {
    let EncodedRows { bytes, ends } = out;
    let bitmap_len = columns.len().div_ceil(8);
    ends.reserve(rows);
    bytes.reserve(rows.saturating_mul(bitmap_len + 2 * columns.len()));
    // The bitmap of rows without NULLs, for most have none.
    let mut full = vec![0; bitmap_len];
    for (index, column) in columns.iter().enumerate() {
        full[index / 8] |= (!matches!(column.values, Values::Null) as u8) << (index % 8);
    }
    let nullable = columns.iter().any(|column| column.nulls.is_some());
    for row in 0..rows {
        let start = bytes.len();
        bytes.extend_from_slice(&full);
        for (index, column) in columns.iter().enumerate() {
            if !nullable || column.is_valid(row) {
                column.put(row, bytes);
            } else {
                bytes[start + index / 8] &= !(1 << (index % 8));
            }
        }
        ends.push(bytes.len());
    }
}

//! What the bytes of a value are, by its type: the table of the format.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// How values of a type are written; numbers in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Null,
    Boolean,
    Fixed8,
    Fixed16,
    Fixed32,
    Fixed64,
    Interval,
    Zigzag16,
    Zigzag32,
    Zigzag64,
    Zigzag128,
    /// With 32-bit offsets in memory.
    Bytes,
    /// With 64-bit offsets in memory.
    LargeBytes,
    TextView,
    /// So many bytes.
    FixedBytes(usize),
}

impl Layout {
    /// `None` for types outside of the format.
    pub(super) fn of(data_type: &DataType) -> Option<Layout> {
        Some(match data_type {
            DataType::Null => Layout::Null,
            DataType::Boolean => Layout::Boolean,
            DataType::Int8 | DataType::UInt8 => Layout::Fixed8,
            DataType::UInt16 => Layout::Fixed16,
            DataType::UInt32 | DataType::Float32 | DataType::Date32 => Layout::Fixed32,
            DataType::UInt64 | DataType::Float64 | DataType::Timestamp(_, _) => Layout::Fixed64,
            DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond) => Layout::Fixed64,
            DataType::Interval(IntervalUnit::MonthDayNano) => Layout::Interval,
            DataType::Int16 => Layout::Zigzag16,
            DataType::Int32 => Layout::Zigzag32,
            DataType::Int64 => Layout::Zigzag64,
            DataType::Decimal128(_, _) => Layout::Zigzag128,
            DataType::Utf8 | DataType::Binary => Layout::Bytes,
            DataType::LargeUtf8 | DataType::LargeBinary => Layout::LargeBytes,
            DataType::Utf8View => Layout::TextView,
            DataType::FixedSizeBinary(width) => Layout::FixedBytes(usize::try_from(*width).ok()?),
            _ => return None,
        })
    }
}

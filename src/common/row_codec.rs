//! Rows as bytes, each by itself: what keys and values of operator state are outside of memory.
//!
//! # Format
//! It is Weir's own and never changes: stores on disk are full of it. Nothing in it tells the types of the columns; whoever reads
//! must know them.
//!
//! A row begins with a bitmap of one bit for each column, rounded up to bytes, the first column in the lowest bit of the first byte.
//! A bit is set where the column has a value, which is not NULL; bits beyond the columns are zero. The values that are there follow
//! in the order of the columns, with nothing between them:
//!
//! | type | bytes |
//! |---|---|
//! | Null | none, its bit is never set |
//! | Boolean | one, 0 or 1 |
//! | Int8, UInt8 | one |
//! | Int16, Int32, Int64, Decimal128 | a varint of the zigzag: 0, -1, 1, -2 are 0, 1, 2, 3 |
//! | UInt16, UInt32, UInt64 | 2, 4 or 8 |
//! | Float32, Float64 | 4 or 8, the IEEE 754 bits as they are |
//! | Date32 | 4 |
//! | Time64, Timestamp | 8 |
//! | Interval(MonthDayNano) | 16: months (4), days (4), nanoseconds (8) |
//! | Utf8, LargeUtf8, Utf8View, Binary, LargeBinary | a varint of the length in bytes, and so many bytes |
//! | FixedSizeBinary | as many as the type says |
//!
//! Numbers of fixed width are little endian. A varint is the unsigned LEB128 of the number in as few bytes as it takes: seven bits to
//! a byte, the lowest first, the high bit set in all bytes but the last. So there is one way to write a row: rows are equal, bit for
//! bit, exactly when their bytes are. The order of bytes is not the order of values.

mod decode; // bytes to columns
mod encode; // columns to bytes
mod layout; // what the bytes of a value are, by type
mod varint; // numbers in as few bytes as they take

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::error::{Error, Result};
use encode::Column;
use layout::Layout;

pub use decode::RowDecoder;

/// Writes and reads rows of columns of given types.
#[derive(Clone, Debug)]
pub struct RowCodec {
    types: Arc<[DataType]>,
}

impl RowCodec {
    /// A codec for rows of these types, in this order. Types outside of the format, such as nested ones, are unsupported.
    pub fn new(types: &[DataType]) -> Result<Self> {
        match types.iter().find(|data_type| Layout::of(data_type).is_none()) {
            Some(unknown) => Err(Error::unsupported(format!("rows with a column of type {unknown} cannot be stored"))),
            None => Ok(RowCodec { types: types.into() }),
        }
    }

    /// Appends the rows of these columns, which all have `rows` values and the types of [`RowCodec::new`]; nothing is appended
    /// and the error is internal if they do not.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut EncodedRows) -> Result<()> {
        if !columns.iter().map(|column| column.data_type()).eq(self.types.iter()) {
            let given: Vec<String> = columns.iter().map(|column| column.data_type().to_string()).collect();
            return Err(Error::internal(format!("rows to encode have columns of other types: {}", given.join(", "))));
        }
        if let Some(column) = columns.iter().find(|column| column.len() != rows) {
            return Err(Error::internal(format!("a column of {rows} rows to encode has {} values", column.len())));
        }
        let columns: Vec<Column> = columns.iter().map(Column::new).collect::<Result<_>>()?;
        encode::append(&columns, rows, out);
        Ok(())
    }

    /// A decoder that gathers rows into columns, with room for `capacity` rows at first.
    pub fn decoder(&self, capacity: usize) -> RowDecoder {
        RowDecoder::new(self.types.clone(), capacity)
    }
}

/// Encoded rows: all bytes in one buffer, and where each row ends.
#[derive(Clone, Debug, Default)]
pub struct EncodedRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of a row, counted from 0; panics beyond [`EncodedRows::len`].
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

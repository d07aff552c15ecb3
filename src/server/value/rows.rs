//! Rows of a batch as DataRow messages.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, BytesMut};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::value::binary;
use crate::value::settings::TextSettings;
use crate::value::text;

/// Writes one value of a column, which is not NULL: its bytes without their length.
pub type Put = Box<dyn Fn(usize, &mut BytesMut) -> Result<()> + Send + Sync>;

/// How a column is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As psql shows it.
    Text,
    /// As bytes.
    Binary,
}

impl Format {
    /// The format of this code in Bind.
    pub fn of_code(code: i16) -> Result<Format> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {code}"))),
        }
    }

    /// Its code.
    pub fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

/// A column ready to be written: which values are NULL, and how the others are.
pub struct Column {
    nulls: Option<NullBuffer>,
    put: Put,
}

impl Column {
    /// With an encoder for the values of `array`.
    pub fn new(array: &ArrayRef, put: Put) -> Column {
        // Logical: a dictionary may point at NULL, and an array of type Null says nowhere that it is.
        Column { nulls: array.logical_nulls().filter(|nulls| nulls.null_count() > 0), put }
    }

    /// Whether the value is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Writes the value, which is not NULL.
    pub fn put(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        (self.put)(row, out)
    }

    /// Writes the value with its length before it, or -1 for NULL.
    pub fn put_sized(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        put_sized(out, |out| self.put(row, out))
    }
}

/// The encoders of a batch, one a column, each chosen once for its types and format.
pub struct RowEncoder {
    columns: Vec<Column>,
}

impl RowEncoder {
    /// For a batch whose columns are described by `schema`; `formats` holds one for each of them.
    pub fn new(schema: &Schema, batch: &RecordBatch, formats: &[Format], settings: &TextSettings) -> Result<RowEncoder> {
        if schema.fields().len() != batch.num_columns() || formats.len() != batch.num_columns() {
            return Err(Error::internal("a batch does not have the columns that were announced"));
        }
        let columns = batch.columns().iter().zip(schema.fields()).zip(formats).map(|((array, field), format)| match format {
            Format::Text => text::column(field, array, settings),
            Format::Binary => binary::column(field, &PgType::of_field(field), array),
        });
        Ok(RowEncoder { columns: columns.collect::<Result<_>>()? })
    }

    /// Appends a row as a DataRow message.
    pub fn put_message(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        out.put_u8(b'D');
        let start = out.len();
        out.put_i32(0);
        self.put_fields(row, out)?;
        patch_length(start, 0, out)
    }

    /// Appends a row as COPY's binary format has it, which is also the body of a DataRow: how many fields, then each.
    pub fn put_fields(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        out.put_u16(self.columns.len() as u16);
        for column in &self.columns {
            column.put_sized(row, out)?;
        }
        Ok(())
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// Writes a value with its length before it.
pub fn put_sized(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.put_i32(0);
    put(out)?;
    patch_length(start, 4, out)
}

/// Puts the number of bytes since `start`, without `less` of them, where four bytes were left for it.
fn patch_length(start: usize, less: usize, out: &mut BytesMut) -> Result<()> {
    let length = i32::try_from(out.len() - start - less)
        .map_err(|_| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row or value is larger than a message of the protocol can hold"))?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

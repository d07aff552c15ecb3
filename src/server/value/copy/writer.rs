//! Batches into the records of a COPY TO.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};
use weir_common::error::Result;

use crate::value::copy::parser::SIGNATURE;
use crate::value::copy::{CopyFormat, CopyHeader, CopyKind};
use crate::value::rows::{Format, RowEncoder};
use crate::value::settings::TextSettings;

/// Writes rows. Each piece it gives is a message of its own: clients take them for rows.
pub struct CopyWriter {
    format: CopyFormat,
    schema: SchemaRef,
    settings: TextSettings,
    force_quote: Vec<bool>,
    /// The binary format's header goes with the first row, where clients look for both.
    prefix: Vec<u8>,
}

impl CopyWriter {
    /// For batches of a schema.
    pub fn new(format: CopyFormat, schema: SchemaRef, settings: &TextSettings) -> Result<CopyWriter> {
        format.check(false)?;
        let force_quote = schema.fields().iter().map(|field| format.force_quote.contains(field.name())).collect();
        let mut prefix = Vec::new();
        if format.kind == CopyKind::Binary {
            prefix.extend_from_slice(SIGNATURE);
            prefix.extend_from_slice(&[0; 8]);
        }
        Ok(CopyWriter { format, schema, settings: settings.clone(), force_quote, prefix })
    }

    /// What comes before the rows, if anything.
    pub fn header(&self) -> Option<Bytes> {
        if self.format.kind == CopyKind::Binary || self.format.header == CopyHeader::Off {
            return None;
        }
        let mut out = BytesMut::new();
        let fields = self.schema.fields();
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.put_u8(self.format.delimiter);
            }
            self.put_shielded(field.name().as_bytes(), false, fields.len() == 1, &mut out);
        }
        out.put_u8(b'\n');
        Some(out.freeze())
    }

    /// The rows of a batch, one piece each.
    pub fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>> {
        let format = if self.format.kind == CopyKind::Binary { Format::Binary } else { Format::Text };
        let encoder = RowEncoder::new(&self.schema, batch, &vec![format; batch.num_columns()], &self.settings)?;
        let mut out = BytesMut::new();
        let mut value = BytesMut::new();
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            out.put_slice(&std::mem::take(&mut self.prefix));
            if format == Format::Binary {
                encoder.put_fields(row, &mut out)?;
                rows.push(out.split().freeze());
                continue;
            }
            let alone = encoder.columns().len() == 1;
            for (at, column) in encoder.columns().iter().enumerate() {
                if at > 0 {
                    out.put_u8(self.format.delimiter);
                }
                if column.is_null(row) {
                    out.put_slice(self.format.null.as_bytes());
                } else {
                    value.clear();
                    column.put(row, &mut value)?;
                    self.put_shielded(&value, self.force_quote[at], alone, &mut out);
                }
            }
            out.put_u8(b'\n');
            rows.push(out.split().freeze());
        }
        Ok(rows)
    }

    /// What comes after the rows, if anything.
    pub fn trailer(&mut self) -> Option<Bytes> {
        if self.format.kind != CopyKind::Binary {
            return None;
        }
        let mut out = BytesMut::from(&std::mem::take(&mut self.prefix)[..]);
        out.put_i16(-1);
        Some(out.freeze())
    }

    fn put_shielded(&self, value: &[u8], force_quote: bool, alone: bool, out: &mut BytesMut) {
        match self.format.kind {
            CopyKind::Csv => self.put_csv(value, force_quote, alone, out),
            _ => self.put_text(value, out),
        }
    }

    fn put_text(&self, value: &[u8], out: &mut BytesMut) {
        for byte in value {
            let letter = match byte {
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                b'\\' => b'\\',
                other if *other == self.format.delimiter => *other,
                other => {
                    out.put_u8(*other);
                    continue;
                }
            };
            out.put_slice(&[b'\\', letter]);
        }
    }

    fn put_csv(&self, value: &[u8], force_quote: bool, alone: bool, out: &mut BytesMut) {
        let (delimiter, quote, escape) = (self.format.delimiter, self.format.quote, self.format.escape);
        let special = |byte: &u8| [delimiter, quote, b'\n', b'\r'].contains(byte);
        // A value that is NULL's text, or the end marker on a line of its own, must not be taken for it.
        let mistakable = value == self.format.null.as_bytes() || (alone && value == b"\\.");
        if !force_quote && !mistakable && !value.iter().any(special) {
            return out.put_slice(value);
        }
        out.put_u8(quote);
        for byte in value {
            if *byte == quote || *byte == escape {
                out.put_u8(escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(quote);
    }
}

//! A COPY FROM into columns.

use arrow::array::ArrayRef;
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::COPY_BYTES_MAX;
use weir_common::types::PgType;

use crate::value::column::ColumnParser;
use crate::value::copy::parser::CopyParser;
use crate::value::copy::{CopyFormat, CopyKind};
use crate::value::settings::TextSettings;

/// Reads rows of known types. An error ends the COPY; what was read before it must not be used.
pub struct CopyReader {
    parser: CopyParser,
    binary: bool,
    columns: Vec<ColumnParser>,
    rows: usize,
    bytes: usize,
    bytes_max: usize,
}

impl CopyReader {
    /// For the named columns of a relation, in the order of the fields.
    pub fn new(format: CopyFormat, relation: &str, columns: &[(String, PgType)], settings: &TextSettings) -> Result<CopyReader> {
        format.check(true)?;
        Ok(CopyReader {
            binary: format.kind == CopyKind::Binary,
            parser: CopyParser::new(format, relation, columns.iter().map(|(name, _)| name.clone()).collect()),
            columns: columns.iter().map(|(_, ty)| ColumnParser::new(ty, settings)).collect(),
            rows: 0,
            bytes: 0,
            bytes_max: COPY_BYTES_MAX,
        })
    }

    /// With another limit than [`COPY_BYTES_MAX`].
    #[cfg(test)]
    pub fn with_limit(self, bytes_max: usize) -> CopyReader {
        CopyReader { bytes_max, ..self }
    }

    /// Takes a piece of the data, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len();
        if self.bytes > self.bytes_max {
            let message = format!("COPY takes at most {} MB at once", self.bytes_max >> 20);
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                .with_hint("Its rows become visible together. Copy them in several parts."));
        }
        self.parse(Some(bytes))
    }

    /// The data is complete.
    pub fn finish(&mut self) -> Result<()> {
        self.parse(None)
    }

    /// Rows that were read and not taken yet.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the rows that were read, as one array a column.
    pub fn take(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        self.columns.iter_mut().map(ColumnParser::finish).collect()
    }

    fn parse(&mut self, bytes: Option<&[u8]>) -> Result<()> {
        let (columns, rows, binary) = (&mut self.columns, &mut self.rows, self.binary);
        // The parser makes the context, but is busy while a row is taken: what failed is kept until it is done.
        let mut failed: Option<(u64, usize, Option<Vec<u8>>)> = None;
        let mut take = |fields: &crate::value::copy::fields::Fields, line: u64| -> Result<()> {
            for (at, column) in columns.iter_mut().enumerate() {
                let value = fields.get(at);
                let appended = if binary { column.append_binary(value) } else { column.append(value) };
                appended.inspect_err(|_| failed = Some((line, at, value.map(<[u8]>::to_vec))))?;
            }
            *rows += 1;
            Ok(())
        };
        let result = match bytes {
            Some(bytes) => self.parser.feed(bytes, &mut take),
            None => self.parser.finish(&mut take),
        };
        result.map_err(|error: Error| match failed {
            Some((line, column, value)) => error.with_context(self.parser.context(line, column, value.as_deref())),
            None => error,
        })
    }
}

//! CSV records into columns: fields of RFC 4180, values as Postgres' COPY reads them, into the typed columns without a text between.
//!
//! # What becomes what
//! - Fields are columns by the header's names if the source says `header`, by their place otherwise. A column that the header does not
//!   have is NULL, as a key that a JSON record does not have; fields of other names are skipped.
//! - A field without quotes that reads as the option `null` says (nothing, unless it is given) is NULL; `""` is an empty text.
//! - Any other field is read as Postgres reads a literal of the column's type; text is taken as it is, spaces included.
//! - A record with fewer or more fields than the header, or than there are columns, is refused.

pub(crate) mod dialect; // the options, checked
pub(crate) mod fields; // a record into fields

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use weir_common::error::{Error, Result, SqlState};

use self::dialect::Dialect;
use self::fields::{Field, Fields, Malformed};
use crate::json::is_json;
use crate::json::value::stored;
use crate::quote::quote;
use crate::value::column::{Column, Misfit, Values};

/// Decodes records into batches of one schema.
///
/// # Invariants
/// - every column has `rows` values between two calls.
pub(crate) struct CsvDecoder {
    schema: SchemaRef,
    dialect: Dialect,
    columns: Vec<Column>,
    rows: usize,
    /// For each field of a record its column.
    fields: Vec<Option<usize>>,
    /// Columns that no field has.
    absent: Vec<usize>,
    scratch: Vec<u8>,
}

/// Why a record is none of the declared rows, for a person.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) text: String,
    /// It is not even CSV: its quotes are wrong.
    pub(crate) malformed: bool,
}

enum Refusal {
    Bytes { at: usize, what: &'static str },
    Malformed(Malformed),
    Misfit { column: usize, value: Vec<u8>, misfit: Misfit },
    Few { fields: usize },
    Many,
}

impl CsvDecoder {
    /// A decoder for these columns; an error where CSV has no form for one's type.
    pub(crate) fn new(schema: SchemaRef, dialect: Dialect) -> Result<Self> {
        let column = |field: &arrow::datatypes::FieldRef| match Column::new(field, "CSV")? {
            Column { values: Values::List(..), ty, .. } => {
                let message = format!("column \"{}\" of type {} cannot be read from CSV", field.name(), ty.spelling());
                Err(Error::unsupported(message).with_hint("Read it as text, and take it apart in a view."))
            }
            column => Ok(column),
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let fields = (0..columns.len()).map(Some).collect();
        Ok(CsvDecoder { schema, dialect, columns, rows: 0, fields, absent: Vec::new(), scratch: Vec::new() })
    }

    /// How many fields a record has.
    pub(crate) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// How the records are written.
    pub(crate) fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Takes the names of the fields that the records from here on have; an error where none of them is a column.
    pub(crate) fn header(&mut self, record: &[u8]) -> Result<()> {
        let wrong = |message: String| Error::new(SqlState::BAD_COPY_FILE_FORMAT, message);
        let mut fields = Vec::new();
        for name in Fields::new(record, &self.dialect, true) {
            let name = match name.map_err(|malformed| wrong(format!("the CSV header has {}", malformed.what)))? {
                Field::Bare(name) | Field::Quoted(name, false) => name,
                Field::Quoted(name, true) => {
                    if let Some(quotes) = self.dialect.quotes {
                        quotes.unescape(name, &mut self.scratch);
                    }
                    &self.scratch
                }
            };
            let column = self.schema.fields().iter().position(|field| field.name().as_bytes() == name);
            if column.is_some() && fields.contains(&column) {
                return Err(wrong(format!("the CSV header names column {} twice", quote(name))));
            }
            fields.push(column);
        }
        if fields.iter().all(Option::is_none) && !self.columns.is_empty() {
            let columns: Vec<_> = self.schema.fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
            return Err(wrong("the CSV header names none of the columns".to_string())
                .with_detail(format!("The columns are {}; the header reads {}.", columns.join(", "), quote(record)))
                .with_hint("Without header = 'true', fields are columns by their place."));
        }
        self.absent = (0..self.columns.len()).filter(|column| !fields.contains(&Some(*column))).collect();
        self.fields = fields;
        Ok(())
    }

    /// Appends one record, or says why it is none of the declared rows and leaves things as they were; `quoted` says whether there
    /// is a quote in it. Records of one batch are less than 2 GiB together.
    #[inline]
    pub(crate) fn decode(&mut self, record: &[u8], quoted: bool) -> Result<(), Refused> {
        if !record.is_ascii()
            && let Err(error) = std::str::from_utf8(record)
        {
            return Err(self.refuse(record, Refusal::Bytes { at: error.valid_up_to(), what: "invalid UTF-8" }));
        }
        if let Some(at) = memchr::memchr(0, record) {
            return Err(self.refuse(record, Refusal::Bytes { at, what: "a NUL character" }));
        }
        match self.read(record, quoted) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(refusal) => {
                for column in &mut self.columns {
                    column.truncate(self.rows);
                }
                Err(self.refuse(record, refusal))
            }
        }
    }

    /// Rows since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows since the last batch.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    #[inline]
    fn read(&mut self, record: &[u8], quoted: bool) -> Result<(), Refusal> {
        let mut texts = Fields::new(record, &self.dialect, quoted);
        for (number, column) in self.fields.iter().enumerate() {
            let Some(field) = texts.next() else { return Err(Refusal::Few { fields: number }) };
            let field = field.map_err(Refusal::Malformed)?;
            let Some(index) = *column else { continue };
            let column = &mut self.columns[index];
            let text = match field {
                Field::Bare(text) if text == self.dialect.null => {
                    column.push_null();
                    continue;
                }
                Field::Bare(text) | Field::Quoted(text, false) => text,
                Field::Quoted(text, true) => {
                    if let Some(quotes) = self.dialect.quotes {
                        quotes.unescape(text, &mut self.scratch);
                    }
                    &self.scratch
                }
            };
            let pushed = match &mut column.values {
                Values::Json(bytes) if is_json(text) => stored(&column.ty, text).map(|text| bytes.push(&text)),
                values => values.push_string(&column.ty, text),
            };
            match pushed {
                Ok(()) => column.nulls.append_non_null(),
                Err(misfit) => return Err(Refusal::Misfit { column: index, value: text.to_vec(), misfit }),
            }
        }
        match texts.next() {
            None => {}
            Some(Err(malformed)) => return Err(Refusal::Malformed(malformed)),
            Some(Ok(_)) => return Err(Refusal::Many),
        }
        for column in &self.absent {
            self.columns[*column].push_null();
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self, record: &[u8], refusal: Refusal) -> Refused {
        let fields = || Fields::new(record, &self.dialect, true);
        let text = match refusal {
            Refusal::Bytes { at, what } => {
                // Quotes that are wrong may be why the bytes are in this record.
                let malformed = fields().any(|field| field.is_err());
                return Refused { text: format!("{what} at byte {}", at + 1), malformed };
            }
            Refusal::Malformed(Malformed { at, what }) => {
                return Refused { text: format!("the record is not CSV: {what}, at byte {}", at + 1), malformed: true };
            }
            Refusal::Misfit { column, value, misfit } => {
                let name = self.schema.field(column).name();
                let header = if value == name.as_bytes() && !self.dialect.header { "; if it is a header, say header = 'true'" } else { "" };
                format!("column \"{name}\": {} {}{header}", quote(&value), self.columns[column].reason(misfit))
            }
            Refusal::Few { fields } => match self.fields[fields] {
                Some(column) => format!("missing data for column \"{}\"", self.schema.field(column).name()),
                None => format!("the record has {fields} fields, and the header {}", self.fields.len()),
            },
            Refusal::Many => {
                format!("extra data after last expected column: {} fields, not {}", fields().count(), self.fields.len())
            }
        };
        Refused { text, malformed: fields().any(|field| field.is_err()) }
    }
}

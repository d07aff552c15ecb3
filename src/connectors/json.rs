//! JSON records into columns, strictly: a record is one JSON object whose values fit the declared columns, or it is refused whole.
//!
//! arrow-json reads faster than it checks: 1.9 is 1 for an INT, `{"a":1,,}` is an object, 12 is a TIMESTAMP, and one bad
//! record fails its batch. None of it can be seen afterwards, and to check before costs as much as to decode. So this goes
//! over each record once, straight into the columns; `tests/arrow_json.rs` holds it to arrow-json where both should agree.
//!
//! # What becomes what
//! - A key is a column of exactly that name; other keys are skipped, of equal keys the last counts, a missing one is NULL.
//! - `null` is NULL for every type.
//! - A number goes into integers (`1.0` and `1e3` are integers, `1.5` is none), floats and NUMERIC; never into text or time.
//! - A string goes into text as it is, and into any other type as Postgres reads a literal of that type (see `value/time.rs` for
//!   timestamps with an offset), except BYTEA, which is `\x` and hex digits.
//! - JSON and JSONB take any value and keep its text; an array takes an array.

pub(crate) mod cursor; // the grammar
pub(crate) mod value; // a value into a column

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use weir_common::error::Result;

use self::cursor::{Cursor, Syntax};
use self::value::Refusal;
use crate::quote::shorten;
use crate::value::column::Column;

/// Keys whose order is remembered.
const FAMILIAR_MAX: usize = 256;

/// Decodes records into batches of one schema.
///
/// # Invariants
/// - every column has `rows` values between two calls.
pub struct JsonDecoder {
    schema: SchemaRef,
    names: HashMap<Vec<u8>, usize>,
    columns: Vec<Column>,
    rows: usize,
    /// For each column the last record that had it, so that nothing has to be reset between records.
    seen: Vec<u64>,
    record: u64,
    /// Keys in the order in which records have them.
    familiar: Vec<Familiar>,
    scratch: Vec<u8>,
}

/// A key as it stands in the text, quotes included.
struct Familiar {
    quoted: Vec<u8>,
    column: Option<usize>,
    /// Its first bytes as a number, and which of them there are.
    head: u128,
    mask: u128,
}

impl Familiar {
    fn new(quoted: &[u8], column: Option<usize>) -> Self {
        let mut head = [0; 16];
        let length = quoted.len().min(head.len());
        head[..length].copy_from_slice(&quoted[..length]);
        let mask = u128::MAX >> (8 * (head.len() - length));
        Familiar { quoted: quoted.to_vec(), column, head: u128::from_le_bytes(head), mask }
    }

    /// Whether a text starts with it; most keys are told by one comparison of words.
    #[inline]
    fn starts(&self, text: &[u8]) -> bool {
        match text.first_chunk::<16>() {
            Some(chunk) if self.quoted.len() <= 16 => u128::from_le_bytes(*chunk) & self.mask == self.head,
            _ => text.starts_with(&self.quoted),
        }
    }
}

impl JsonDecoder {
    /// A decoder for these columns; an error where JSON has no form for one's type.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Column::new(field, "JSON")).collect::<Result<Vec<_>>>()?;
        let names = schema.fields().iter().enumerate().map(|(column, field)| (field.name().as_bytes().to_vec(), column)).collect();
        let seen = vec![0; columns.len()];
        Ok(JsonDecoder { schema, names, columns, rows: 0, seen, record: 0, familiar: Vec::new(), scratch: Vec::new() })
    }

    /// Appends one record, or says why it is none of the declared rows and leaves things as they were. Records of one batch are
    /// less than 2 GiB together.
    pub fn decode(&mut self, record: &[u8]) -> Result<(), String> {
        if !record.is_ascii()
            && let Err(error) = std::str::from_utf8(record)
        {
            return Err(format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1));
        }
        match self.read(&mut Cursor::new(record)) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err((column, refusal)) => {
                for column in &mut self.columns {
                    column.truncate(self.rows);
                }
                Err(self.explain(record, column, refusal))
            }
        }
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows since the last batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// Reads a record to its end; an error comes with the column it is about.
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), (Option<usize>, Refusal)> {
        let broken = |syntax: Syntax| (None, Refusal::Syntax(syntax));
        self.record += 1;
        let mut filled = 0;
        let mut turn = 0;
        cursor.skip_space();
        cursor.expect(b'{', "'{'").map_err(broken)?;
        cursor.skip_space();
        let mut more = !cursor.eat(b'}');
        while more {
            let column = self.key(cursor, &mut turn).map_err(broken)?;
            cursor.skip_space();
            cursor.expect(b':', "':'").map_err(broken)?;
            cursor.skip_space();
            match column {
                None => drop(cursor.value(1).map_err(broken)?),
                Some(index) => {
                    let column = &mut self.columns[index];
                    if self.seen[index] == self.record {
                        column.truncate(self.rows);
                    } else {
                        self.seen[index] = self.record;
                        filled += 1;
                    }
                    column.read(cursor, &mut self.scratch, 1).map_err(|refusal| (Some(index), refusal))?;
                }
            }
            cursor.skip_space();
            more = cursor.eat(b',');
            if !more {
                cursor.expect(b'}', "',' or '}'").map_err(broken)?;
            }
            cursor.skip_space();
        }
        cursor.skip_space();
        if cursor.peek().is_some() {
            return Err(broken(cursor.syntax("nothing behind the object")));
        }
        if filled < self.columns.len() {
            for (column, seen) in self.columns.iter_mut().zip(&self.seen) {
                if *seen != self.record {
                    column.push_null();
                }
            }
        }
        Ok(())
    }

    /// Goes over a key and gives its column. Most records have the keys of the record before, in its order: `turn` is
    /// whose turn it is, and comparing with that key is enough.
    #[inline]
    fn key(&mut self, cursor: &mut Cursor<'_>, turn: &mut usize) -> Result<Option<usize>, Syntax> {
        // One key further on too: a record may leave one out.
        for ahead in 0..2 {
            if let Some(familiar) = self.familiar.get(*turn + ahead)
                && familiar.starts(cursor.rest())
            {
                cursor.advance(familiar.quoted.len());
                *turn += ahead + 1;
                return Ok(familiar.column);
            }
        }
        self.strange_key(cursor, turn)
    }

    #[cold]
    fn strange_key(&mut self, cursor: &mut Cursor<'_>, turn: &mut usize) -> Result<Option<usize>, Syntax> {
        let rest = cursor.rest();
        if rest.first() != Some(&b'"') {
            return Err(cursor.syntax("a key"));
        }
        let start = cursor.at();
        let column = self.names.get(cursor.string()?.content(&mut self.scratch)).copied();
        let quoted = &rest[..cursor.at() - start];
        // Keys that are different in every record fill the list; then there is no order to learn, and nothing to search.
        if self.familiar.len() < FAMILIAR_MAX {
            match self.familiar.iter().position(|familiar| familiar.quoted == quoted) {
                Some(place) => *turn = place + 1,
                None => {
                    self.familiar.insert(*turn, Familiar::new(quoted, column));
                    *turn += 1;
                }
            }
        }
        Ok(column)
    }

    #[cold]
    fn explain(&self, record: &[u8], column: Option<usize>, refusal: Refusal) -> String {
        match (refusal, column) {
            (Refusal::Misfit { at, reason }, Some(column)) => {
                let name = self.schema.field(column).name();
                let mut cursor = Cursor::new(record);
                cursor.advance(at);
                let value = cursor.value(1).unwrap_or(&record[at..]);
                format!("column \"{name}\": {} {reason}", shorten(value))
            }
            (Refusal::Misfit { reason, .. }, None) => reason,
            (Refusal::Syntax(Syntax { at, expected }), _) if at >= record.len() => {
                format!("the record breaks off: expected {expected} at byte {}", record.len() + 1)
            }
            (Refusal::Syntax(Syntax { at, expected }), _) => {
                format!("the record is not a JSON object: expected {expected} at byte {}, found {}", at + 1, shorten(&record[at..]))
            }
        }
    }
}

/// Whether a text is one JSON value.
pub(crate) fn is_json(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text.trim_ascii());
    cursor.value(0).is_ok() && cursor.peek().is_none()
}

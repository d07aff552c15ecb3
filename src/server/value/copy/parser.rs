//! The bytes of a COPY FROM, cut anywhere, into records of fields.

use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::MESSAGE_BYTES_MAX;

use crate::value::copy::fields::Fields;
use crate::value::copy::records::Records;
use crate::value::copy::{CopyFormat, CopyHeader, CopyKind};

/// How the binary format begins.
pub const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Where the flags of its header begin, the length of what extends it, and that itself.
const FLAGS_AT: usize = SIGNATURE.len();
const LENGTH_AT: usize = FLAGS_AT + 4;
const EXTENSION_AT: usize = LENGTH_AT + 4;
/// Flags that a reader must know; there are none yet, but for one that nobody writes any more.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;
const WITH_OIDS: u32 = 1 << 16;
/// Characters of a line or value that an error shows.
const SHOWN_BYTES_MAX: usize = 100;

/// Takes a COPY's bytes apart.
pub struct CopyParser {
    format: CopyFormat,
    relation: String,
    columns: Vec<String>,
    /// What came and is not part of a record yet.
    pending: Vec<u8>,
    scanned: usize,
    records: Records,
    fields: Fields,
    /// Of the binary format: rows so far.
    rows: u64,
    at: At,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Rows,
    End,
}

/// What is done with the fields of a row; the number is that of its line.
pub type Sink<'a> = &'a mut dyn FnMut(&Fields, u64) -> Result<()>;

impl CopyParser {
    /// For the columns of a relation, in the order of the fields.
    pub fn new(format: CopyFormat, relation: &str, columns: Vec<String>) -> CopyParser {
        CopyParser {
            records: Records::new(&format),
            format,
            relation: relation.to_string(),
            columns,
            pending: Vec::new(),
            scanned: 0,
            fields: Fields::default(),
            rows: 0,
            at: At::Start,
        }
    }

    /// Takes more bytes, and gives each row that is complete to `sink`.
    pub fn feed(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<()> {
        if self.at == At::End && self.format.kind != CopyKind::Binary {
            // After the end marker Postgres listens no more.
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        self.parse(false, sink)?;
        if self.pending.len() > MESSAGE_BYTES_MAX {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a row of COPY is longer than {MESSAGE_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// Nothing more comes: the last line may have no end.
    pub fn finish(&mut self, sink: Sink<'_>) -> Result<()> {
        self.parse(true, sink)?;
        if self.format.kind != CopyKind::Binary {
            return Ok(());
        }
        match self.at {
            // Some clients leave out the trailer, as Postgres lets them.
            At::Rows if self.pending.is_empty() => Ok(()),
            At::End => Ok(()),
            At::Rows => Err(self.in_row(self.rows + 1, "unexpected EOF in COPY data")),
            At::Start => Err(malformed(match self.pending.len() {
                ..FLAGS_AT => "COPY file signature not recognized",
                FLAGS_AT..LENGTH_AT => "invalid COPY file header (missing flags)",
                LENGTH_AT..EXTENSION_AT => "invalid COPY file header (missing length)",
                _ => "invalid COPY file header (wrong length)",
            })),
        }
    }

    /// `COPY airlines, line 3, column name: "abc"`, for an error about one field.
    pub fn context(&self, line: u64, column: usize, value: Option<&[u8]>) -> String {
        let value = match (value, self.format.kind) {
            // Bytes of the binary format say nothing to a reader.
            (Some(_), CopyKind::Binary) => String::new(),
            (Some(value), _) => format!(": \"{}\"", shown(value)),
            (None, _) => ": null input".to_string(),
        };
        format!("COPY {}, line {line}, column {}{value}", self.relation, self.columns[column])
    }

    fn parse(&mut self, last: bool, sink: Sink<'_>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        let result = match self.format.kind {
            CopyKind::Binary => self.parse_binary(&mut rest, sink),
            _ => self.parse_lines(&mut rest, last, sink),
        };
        self.pending = match rest.len() {
            0 => Vec::new(),
            len if len == pending.len() => pending,
            _ => rest.to_vec(),
        };
        result
    }

    fn parse_lines(&mut self, rest: &mut &[u8], last: bool, sink: Sink<'_>) -> Result<()> {
        loop {
            let found = match self.records.next(rest, &mut self.scanned, last) {
                Ok(found) => found,
                Err(error) => {
                    let context = match error.context() {
                        Some(line) => format!("COPY {}, {line}", self.relation),
                        None => format!("COPY {}, line {}: \"{}\"", self.relation, self.records.lines(), shown(rest)),
                    };
                    return Err(error.with_context(context));
                }
            };
            let Some(found) = found else { return Ok(()) };
            let (record, tail) = (&rest[..found.length], &rest[found.length + found.end..]);
            *rest = tail;
            if self.ends(record)? {
                self.at = At::End;
                *rest = &[];
                return Ok(());
            }
            self.take_record(record, sink)?;
        }
    }

    /// Whether the record is the marker of the end.
    fn ends(&self, record: &[u8]) -> Result<bool> {
        match (record.strip_prefix(b"\\."), self.format.kind) {
            (Some([]), _) => Ok(true),
            (Some(_), CopyKind::Text) => {
                Err(self.at_line(Error::new(SqlState::BAD_COPY_FILE_FORMAT, "end-of-copy marker corrupt"), record))
            }
            _ => Ok(false),
        }
    }

    fn take_record(&mut self, record: &[u8], sink: Sink<'_>) -> Result<()> {
        match self.format.kind {
            CopyKind::Csv => self.fields.split_csv(record, &self.format),
            _ => self.fields.split_text(record, &self.format),
        }
        if self.at == At::Start {
            self.at = At::Rows;
            match self.format.header {
                CopyHeader::Off => {}
                CopyHeader::On => return Ok(()),
                CopyHeader::Match => return self.match_header().map_err(|error| self.at_line(error, record)),
            }
        }
        if self.fields.len() < self.columns.len() {
            let missing = &self.columns[self.fields.len()];
            let error = Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("missing data for column \"{missing}\""));
            return Err(self.at_line(error, record));
        }
        if self.fields.len() > self.columns.len() {
            let error = Error::new(SqlState::BAD_COPY_FILE_FORMAT, "extra data after last expected column");
            return Err(self.at_line(error, record));
        }
        if self.format.kind == CopyKind::Csv {
            for (at, name) in self.columns.iter().enumerate() {
                let (null, not_null) = (self.format.force_null.contains(name), self.format.force_not_null.contains(name));
                self.fields.force(at, &self.format, null, not_null);
            }
        }
        sink(&self.fields, self.records.lines())
    }

    fn match_header(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, message));
        if self.fields.len() != self.columns.len() {
            return error(format!("wrong number of fields in header line: got {}, expected {}", self.fields.len(), self.columns.len()));
        }
        for (at, name) in self.columns.iter().enumerate() {
            match self.fields.get(at) {
                Some(got) if got == name.as_bytes() => {}
                Some(got) => {
                    let got = shown(got);
                    return error(format!("column name mismatch in header line field {}: got \"{got}\", expected \"{name}\"", at + 1));
                }
                None => {
                    let null = &self.format.null;
                    return error(format!(
                        "column name mismatch in header line field {}: got null value (\"{null}\"), expected \"{name}\"",
                        at + 1
                    ));
                }
            }
        }
        Ok(())
    }

    fn at_line(&self, error: Error, record: &[u8]) -> Error {
        error.with_context(format!("COPY {}, line {}: \"{}\"", self.relation, self.records.lines(), shown(record)))
    }

    fn parse_binary(&mut self, rest: &mut &[u8], sink: Sink<'_>) -> Result<()> {
        loop {
            let bytes = *rest;
            match self.at {
                At::Start => {
                    let known = bytes.len().min(SIGNATURE.len());
                    if bytes[..known] != SIGNATURE[..known] {
                        return Err(malformed("COPY file signature not recognized"));
                    }
                    let Some((flags, after)) = bytes.get(FLAGS_AT..).and_then(|bytes| bytes.split_first_chunk::<4>()) else {
                        return Ok(());
                    };
                    let Some((extension, after)) = after.split_first_chunk::<4>() else { return Ok(()) };
                    let flags = u32::from_be_bytes(*flags);
                    if flags & WITH_OIDS != 0 {
                        return Err(malformed("invalid COPY file header (WITH OIDS)"));
                    }
                    if flags & CRITICAL_FLAGS != 0 {
                        return Err(malformed("unrecognized critical flags in COPY file header"));
                    }
                    let Ok(extension) = usize::try_from(i32::from_be_bytes(*extension)) else {
                        return Err(malformed("invalid COPY file header (missing length)"));
                    };
                    let Some(after) = after.get(extension..) else { return Ok(()) };
                    *rest = after;
                    self.at = At::Rows;
                }
                At::Rows => {
                    let Some((count, after)) = bytes.split_first_chunk::<2>() else { return Ok(()) };
                    let count = i16::from_be_bytes(*count);
                    if count == -1 {
                        *rest = after;
                        self.at = At::End;
                        continue;
                    }
                    self.rows += 1;
                    if count as usize != self.columns.len() {
                        let message = format!("row field count is {count}, expected {}", self.columns.len());
                        return Err(malformed(message).with_context(format!("COPY {}, line {}", self.relation, self.rows)));
                    }
                    match self.binary_row(after)? {
                        Some(after) => *rest = after,
                        None => {
                            self.rows -= 1;
                            return Ok(());
                        }
                    }
                    sink(&self.fields, self.rows)?;
                }
                At::End if bytes.is_empty() => return Ok(()),
                At::End => {
                    let context = format!("COPY {}, line {}", self.relation, self.rows + 1);
                    return Err(malformed("received copy data after EOF marker").with_context(context));
                }
            }
        }
    }

    /// Reads the fields of a row; `None` if not all of it is there.
    fn binary_row<'a>(&mut self, mut rest: &'a [u8]) -> Result<Option<&'a [u8]>> {
        self.fields.clear();
        for _ in 0..self.columns.len() {
            let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            rest = after;
            match i32::from_be_bytes(*length) {
                -1 => self.fields.push(None),
                length => {
                    let Ok(length) = usize::try_from(length) else {
                        return Err(self.in_row(self.rows, "invalid field size"));
                    };
                    let Some((value, after)) = rest.split_at_checked(length) else { return Ok(None) };
                    rest = after;
                    self.fields.push(Some(value));
                }
            }
        }
        Ok(Some(rest))
    }

    /// An error at the field after those of a row that were read.
    fn in_row(&self, row: u64, message: &str) -> Error {
        let column = match self.columns.get(self.fields.len()) {
            Some(column) => format!(", column {column}"),
            None => String::new(),
        };
        malformed(message).with_context(format!("COPY {}, line {row}{column}", self.relation))
    }
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// A line or value as an error shows it: not all of it if it is long.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.len() <= SHOWN_BYTES_MAX {
        return text.into_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}

//! Where a record of text or csv ends, in bytes that come in pieces.

use weir_common::error::{Error, Result, SqlState};

use crate::value::copy::{CopyFormat, CopyKind};

/// What ends a line; the first line decides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    ReturnNewline,
}

/// Finds the ends of records, and remembers how far it looked.
#[derive(Clone, Debug)]
pub struct Records {
    csv: bool,
    quote: u8,
    /// csv's escape where it is not the quote itself, which needs no care here: two quotes end and begin a quotation.
    escape: Option<u8>,
    line_end: LineEnd,
    in_quotes: bool,
    escaped: bool,
    /// Lines that ended, those inside quotes too.
    lines: u64,
}

/// One record within the bytes: its own length, and that of what ends it.
pub struct Record {
    /// Bytes of the record.
    pub length: usize,
    /// Bytes after it that are part of nothing.
    pub end: usize,
}

impl Records {
    /// For a text or csv format.
    pub fn new(format: &CopyFormat) -> Records {
        Records {
            csv: format.kind == CopyKind::Csv,
            quote: format.quote,
            escape: (format.escape != format.quote).then_some(format.escape),
            line_end: LineEnd::Unknown,
            in_quotes: false,
            escaped: false,
            lines: 0,
        }
    }

    /// Lines that ended so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Looks on from `scanned`, up to which it looked before; `bytes` starts with the record. `last`: nothing follows.
    pub fn next(&mut self, bytes: &[u8], scanned: &mut usize, last: bool) -> Result<Option<Record>> {
        while let Some(&byte) = bytes.get(*scanned) {
            let at = *scanned;
            if byte == b'\r' && !self.shielded() {
                // What follows decides what it is, so that must be there.
                if at + 1 == bytes.len() && !last {
                    return Ok(None);
                }
                let newline_follows = bytes.get(at + 1) == Some(&b'\n');
                if self.line_end == LineEnd::Unknown {
                    self.line_end = if newline_follows { LineEnd::ReturnNewline } else { LineEnd::Return };
                }
                match self.line_end {
                    LineEnd::ReturnNewline if newline_follows => return Ok(Some(self.record(scanned, at, 2))),
                    LineEnd::Return => return Ok(Some(self.record(scanned, at, 1))),
                    _ => return Err(self.stray("carriage return", "\\r")),
                }
            }
            if byte == b'\n' && !self.shielded() {
                if self.line_end == LineEnd::Unknown {
                    self.line_end = LineEnd::Newline;
                }
                match self.line_end {
                    LineEnd::Newline => return Ok(Some(self.record(scanned, at, 1))),
                    _ => return Err(self.stray("newline", "\\n")),
                }
            }
            *scanned += 1;
            self.step(byte);
        }
        if last && !bytes.is_empty() {
            self.lines += 1;
            if self.in_quotes {
                return Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
            }
            let length = bytes.len();
            *scanned = 0;
            return Ok(Some(Record { length, end: 0 }));
        }
        Ok(None)
    }

    fn shielded(&self) -> bool {
        if self.csv { self.in_quotes } else { self.escaped }
    }

    fn step(&mut self, byte: u8) {
        if self.csv {
            if self.in_quotes && Some(byte) == self.escape {
                self.escaped = !self.escaped;
            }
            if byte == self.quote && !self.escaped {
                self.in_quotes = !self.in_quotes;
            }
            if Some(byte) != self.escape {
                self.escaped = false;
            }
        } else {
            self.escaped = byte == b'\\' && !self.escaped;
        }
        if byte == b'\n' {
            self.lines += 1;
        }
    }

    fn record(&mut self, scanned: &mut usize, length: usize, end: usize) -> Record {
        *scanned = 0;
        self.lines += 1;
        Record { length, end }
    }

    fn stray(&self, name: &str, escape: &str) -> Error {
        let error = if self.csv {
            Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("unquoted {name} found in data"))
                .with_hint(format!("Use quoted CSV field to represent {name}."))
        } else {
            Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("literal {name} found in data"))
                .with_hint(format!("Use \"{escape}\" to represent {name}."))
        };
        // The line that it is in has not ended.
        error.with_context(format!("line {}", self.lines + 1))
    }
}

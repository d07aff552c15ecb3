//! One record of text or csv into fields, without what shielded their bytes.

use std::ops::Range;

use crate::value::copy::CopyFormat;

/// The fields of a record; their bytes lie one after the other.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    ranges: Vec<Option<Range<usize>>>,
}

impl Fields {
    /// How many.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// One of them; `None` is NULL.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        self.ranges[at].as_ref().map(|range| &self.bytes[range.clone()])
    }

    /// Adds one that is nothing but these bytes.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.ranges.push(value.map(|value| {
            self.bytes.extend_from_slice(value);
            start..start + value.len()
        }));
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
    }

    fn close(&mut self, start: usize, null: bool) {
        self.ranges.push((!null).then_some(start..self.bytes.len()));
    }

    /// Takes a line of the text format apart.
    pub fn split_text(&mut self, line: &[u8], format: &CopyFormat) {
        self.clear();
        let mut at = 0;
        loop {
            let (raw, start) = (at, self.bytes.len());
            let mut ended = false;
            while let Some(&byte) = line.get(at) {
                at += 1;
                if byte == format.delimiter {
                    ended = true;
                    break;
                }
                match (byte, line.get(at)) {
                    (b'\\', Some(&escaped)) => {
                        at += 1;
                        let value = self.unescape(escaped, line, &mut at);
                        self.bytes.push(value);
                    }
                    _ => self.bytes.push(byte),
                }
            }
            // NULL is known by how it is written, not by what that means: \N is NULL, \\N is not.
            let written = &line[raw..at - usize::from(ended)];
            self.close(start, written == format.null.as_bytes());
            if !ended {
                return;
            }
        }
    }

    fn unescape(&self, escaped: u8, line: &[u8], at: &mut usize) -> u8 {
        match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let mut value = (escaped - b'0') as u32;
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = line.get(*at) else { break };
                    value = value * 8 + (digit - b'0') as u32;
                    *at += 1;
                }
                value as u8
            }
            b'x' => {
                let mut value = None;
                for _ in 0..2 {
                    let Some(digit) = line.get(*at).and_then(|byte| (*byte as char).to_digit(16)) else { break };
                    value = Some(value.unwrap_or(0) * 16 + digit);
                    *at += 1;
                }
                value.map_or(b'x', |value| value as u8)
            }
            other => other,
        }
    }

    /// Takes a record of the csv format apart; `names` are those of the columns.
    pub fn split_csv(&mut self, record: &[u8], format: &CopyFormat) {
        self.clear();
        let mut at = 0;
        loop {
            let start = self.bytes.len();
            let (mut in_quotes, mut quoted, mut ended) = (false, false, false);
            while let Some(&byte) = record.get(at) {
                at += 1;
                if !in_quotes {
                    if byte == format.delimiter {
                        ended = true;
                        break;
                    }
                    if byte == format.quote {
                        (in_quotes, quoted) = (true, true);
                    } else {
                        self.bytes.push(byte);
                    }
                    continue;
                }
                if byte == format.escape
                    && let Some(&next) = record.get(at)
                    && (next == format.escape || next == format.quote)
                {
                    at += 1;
                    self.bytes.push(next);
                } else if byte == format.quote {
                    in_quotes = false;
                } else {
                    self.bytes.push(byte);
                }
            }
            let null = !quoted && &self.bytes[start..] == format.null.as_bytes();
            self.close(start, null);
            if !ended {
                return;
            }
        }
    }

    /// Applies `FORCE_NULL` and `FORCE_NOT_NULL` to a field.
    pub fn force(&mut self, at: usize, format: &CopyFormat, null: bool, not_null: bool) {
        let is_null_text = self.get(at).is_some_and(|value| value == format.null.as_bytes());
        if null && is_null_text {
            self.ranges[at] = None;
        } else if not_null && self.ranges[at].is_none() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(format.null.as_bytes());
            self.ranges[at] = Some(start..self.bytes.len());
        }
    }
}

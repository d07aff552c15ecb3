//! A CSV record into fields, strictly by RFC 4180: a field is quoted as a whole or not at all.

use crate::csv::dialect::{Dialect, Quotes};

/// Goes over the fields of a record.
pub(crate) struct Fields<'a> {
    record: &'a [u8],
    delimiter: u8,
    /// `None` also where there is no quote in the record.
    quotes: Option<Quotes>,
    /// Where the next field starts; `None` behind the last.
    at: Option<usize>,
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Bare(&'a [u8]),
    /// What stands between the quotes, and whether there are escapes in it.
    Quoted(&'a [u8], bool),
}

/// The record is not CSV.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

impl<'a> Fields<'a> {
    /// The fields of a record, of which there is at least one; `quoted` says whether there may be a quote in it.
    #[inline]
    pub(crate) fn new(record: &'a [u8], dialect: &Dialect, quoted: bool) -> Self {
        let quotes = dialect.quotes.filter(|_| quoted);
        Fields { record, delimiter: dialect.delimiter, quotes, at: Some(0) }
    }

    fn bare(&mut self, quotes: Quotes, at: usize) -> Result<Field<'a>, Malformed> {
        let end = find(self.delimiter, self.record, at);
        let field = &self.record[at..end];
        if let Some(quote) = memchr::memchr(quotes.quote, field) {
            return self.malformed(at + quote, "a quote inside of a field that does not start with one");
        }
        self.at = (end < self.record.len()).then_some(end + 1);
        Ok(Field::Bare(field))
    }

    fn quoted(&mut self, quotes: Quotes, start: usize) -> Result<Field<'a>, Malformed> {
        let Some((end, escaped)) = quotes.close(&self.record[start..]) else {
            return self.malformed(start - 1, "a quote that is never closed");
        };
        let content = &self.record[start..start + end];
        let behind = start + end + 1;
        match self.record.get(behind) {
            None => self.at = None,
            Some(delimiter) if *delimiter == self.delimiter => self.at = Some(behind + 1),
            Some(_) => return self.malformed(behind, "text behind a closing quote"),
        }
        Ok(Field::Quoted(content, escaped))
    }

    #[cold]
    fn malformed(&mut self, at: usize, what: &'static str) -> Result<Field<'a>, Malformed> {
        self.at = None;
        Err(Malformed { at, what })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at?;
        match self.quotes {
            None => {
                let end = find(self.delimiter, self.record, at);
                self.at = (end < self.record.len()).then_some(end + 1);
                Some(Ok(Field::Bare(&self.record[at..end])))
            }
            Some(quotes) if self.record.get(at) == Some(&quotes.quote) => Some(self.quoted(quotes, at + 1)),
            Some(quotes) => Some(self.bare(quotes, at)),
        }
    }
}

/// How a line leaves the record that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behind {
    /// Complete: every quote is closed, or stands where none may.
    Complete,
    /// Inside of quotes, so that the next line belongs to it.
    Quoted,
}

impl Dialect {
    /// What is behind a line with the record; `quoted` says whether its start is inside of quotes.
    pub(crate) fn behind(&self, line: &[u8], quoted: bool) -> Behind {
        let Some(quotes) = self.quotes else { return Behind::Complete };
        let mut at = 0;
        let mut quoted = quoted;
        loop {
            if quoted || line.get(at) == Some(&quotes.quote) {
                let start = at + !quoted as usize;
                let Some((end, _)) = quotes.close(&line[start..]) else { return Behind::Quoted };
                at = start + end + 1;
                if line.get(at).is_none_or(|next| *next != self.delimiter) {
                    return Behind::Complete;
                }
                at += 1;
                quoted = false;
            } else {
                let end = find(self.delimiter, line, at);
                if end == line.len() || memchr::memchr(quotes.quote, &line[at..end]).is_some() {
                    return Behind::Complete;
                }
                at = end + 1;
            }
        }
    }
}

impl Quotes {
    /// Where the quote is that closes the field that a text starts inside of, and whether there are escapes before it.
    fn close(self, text: &[u8]) -> Option<(usize, bool)> {
        let mut at = 0;
        let mut escaped = false;
        loop {
            at += memchr::memchr2(self.quote, self.escape, &text[at..])?;
            let next = text.get(at + 1).copied();
            if text[at] == self.escape && next.is_some_and(|next| next == self.quote || next == self.escape) {
                escaped = true;
                at += 2;
            } else if text[at] == self.quote {
                return Some((at, escaped));
            } else {
                at += 1;
            }
        }
    }

    /// What a quoted field means: its escapes taken away.
    pub(crate) fn unescape(self, mut field: &[u8], out: &mut Vec<u8>) {
        out.clear();
        while let Some(at) = memchr::memchr(self.escape, field) {
            let pair = field.get(at + 1).is_some_and(|next| *next == self.quote || *next == self.escape);
            let keep = at + !pair as usize;
            out.extend_from_slice(&field[..keep]);
            out.extend(field.get(at + 1).filter(|_| pair));
            field = &field[at + 1 + pair as usize..];
        }
        out.extend_from_slice(field);
    }
}

/// Where `byte` is from `at` on, or the end: eight bytes at a time as far as most fields go, then by vector instructions.
#[inline]
fn find(byte: u8, text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    for _ in 0..3 {
        let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*chunk) ^ (ONES * byte as u64);
        // The high bit of the first zero byte is set; bytes behind it may be wrong, and are not looked at.
        let hits = word.wrapping_sub(ONES) & !word & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    memchr::memchr(byte, &text[at..]).map_or(text.len(), |found| at + found)
}

//! Bytes into lines, in bounded memory.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use memchr::memchr;
use weir_common::limits::{DEAD_LETTER_PAYLOAD_BYTES_MAX, LINE_BYTES_MAX};

use crate::file::place::Mark;

/// Bytes asked of the input at once.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// Cuts an input into lines that end with `\n` or `\r\n`. Lines that count as blank are counted and skipped. The last line needs no
/// end, unless more may come.
///
/// # Invariants
/// - `record <= start <= scanned <= end <= buffer.len()`, and there is no newline in `start..scanned`.
/// - the buffer is never longer than [`LINE_BYTES_MAX`] and two chunks.
pub(crate) struct Lines<R> {
    input: R,
    pub(crate) buffer: Vec<u8>,
    /// What has been handed out last: a line, or several that were joined.
    record: Record,
    /// The line that comes next.
    start: usize,
    scanned: usize,
    end: usize,
    blank: Blank,
    /// More may come behind what the input has now.
    growing: bool,
    /// The input has no byte behind those in the buffer, as far as it is known.
    ended: bool,
    /// Why no byte follows, unless the input simply ended.
    failure: Option<io::Error>,
    /// Behind the lines before `start`.
    found: Mark,
    /// A line that is too long and not at its end yet: how it starts, and its bytes before `start`.
    long: Option<(Vec<u8>, u64)>,
}

/// Which lines are blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blank {
    /// Those of spaces and tabs only.
    Space,
    /// Those without a character.
    Empty,
    /// None.
    Never,
}

/// What was handed out last.
#[derive(Clone, Default)]
struct Record {
    /// Where it starts in the buffer.
    start: usize,
    /// Its text there.
    text: Range<usize>,
    /// Where it starts in the input.
    before: Mark,
    /// Where its first line ends in the buffer, the line end included, and in the input.
    first: (usize, Mark),
    /// There are lines joined to the first.
    joined: bool,
}

/// A line, or what there was instead of one.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// A line that is not blank, without its end.
    Whole(&'a [u8]),
    /// A line longer than [`LINE_BYTES_MAX`]: how it starts, and its length.
    TooLong { head: Vec<u8>, bytes: u64 },
    /// The input broke off here and nothing follows; the record is what there was of a line.
    Broken(io::Error),
}

/// What came of joining a line to the record.
#[derive(Debug)]
pub(crate) enum Joined<'a> {
    /// The record is longer by this line.
    Line(&'a [u8]),
    /// No line follows, yet or ever.
    End,
    /// The record would be longer than [`LINE_BYTES_MAX`].
    TooLong,
}

enum Found {
    Whole,
    TooLong { head: Vec<u8>, bytes: u64 },
    Broken(io::Error),
    End,
}

impl<R: Read> Lines<R> {
    /// The lines of an input that begins at `at` of its file; `growing` says whether more may come behind its end.
    pub(crate) fn new(input: R, at: Mark, blank: Blank, growing: bool) -> Self {
        Lines {
            input,
            buffer: Vec::new(),
            record: Record::default(),
            start: 0,
            scanned: 0,
            end: 0,
            blank,
            growing,
            ended: false,
            failure: None,
            found: at,
            long: None,
        }
    }

    /// The next line; `None` where there is none, which may change only while the input grows.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        self.ended &= !self.growing;
        match self.find() {
            Found::Whole => Some(Line::Whole(self.record())),
            Found::TooLong { head, bytes } => Some(Line::TooLong { head, bytes }),
            Found::Broken(failure) => Some(Line::Broken(failure)),
            Found::End => None,
        }
    }

    /// The text of what was handed out last: a line that was whole, or broke off, with what was joined to it.
    #[inline]
    pub(crate) fn record(&self) -> &[u8] {
        &self.buffer[self.record.text.clone()]
    }

    /// Whether that is more than one line.
    pub(crate) fn is_joined(&self) -> bool {
        self.record.joined
    }

    /// Joins the next line to the record, with the line end between.
    pub(crate) fn join(&mut self) -> Joined<'_> {
        loop {
            let newline = memchr(b'\n', &self.buffer[self.scanned..self.end]).map(|newline| self.scanned + newline);
            let stop = newline.unwrap_or(self.end);
            self.scanned = stop;
            if stop - self.record.start > LINE_BYTES_MAX {
                return Joined::TooLong;
            }
            if newline.is_none() && !self.ended {
                self.fill();
                continue;
            }
            if newline.is_none() && (self.growing || self.failure.is_some() || self.start == stop) {
                return Joined::End;
            }
            let line = self.without_return(self.start..stop);
            self.pass(newline.map_or(stop, |newline| newline + 1));
            self.record.text.end = line.end;
            self.record.joined = true;
            return Joined::Line(&self.buffer[line]);
        }
    }

    /// Makes the record its first line again: what was joined to it comes next.
    pub(crate) fn unjoin(&mut self) {
        (self.start, self.found) = self.record.first;
        self.scanned = self.start;
        let newline = self.buffer[..self.start].ends_with(b"\n") as usize;
        self.record.text = self.without_return(self.record.text.start..self.start - newline);
        self.record.joined = false;
    }

    /// Makes the record come next again.
    pub(crate) fn take_back(&mut self) {
        (self.start, self.found) = (self.record.start, self.record.before);
        self.scanned = self.start;
    }

    /// Whether more may come.
    pub(crate) fn is_growing(&self) -> bool {
        self.growing
    }

    /// Says from here on which lines are blank.
    pub(crate) fn set_blank(&mut self, blank: Blank) {
        self.blank = blank;
    }

    /// Nothing more comes: what is left is a line.
    pub(crate) fn stop_growing(&mut self) {
        self.growing = false;
    }

    /// What it reads.
    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    /// How far into the file the record handed out last ends.
    pub(crate) fn mark(&self) -> Mark {
        self.found
    }

    /// The number of that record's first line, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.record.first.1.lines
    }

    fn find(&mut self) -> Found {
        if self.long.is_some() {
            return self.skip_long();
        }
        self.begin();
        loop {
            if let Some(newline) = memchr(b'\n', &self.buffer[self.scanned..self.end]) {
                let newline = self.scanned + newline;
                let line = self.start..newline;
                self.pass(newline + 1);
                if let Some(found) = self.judge(line) {
                    return found;
                }
                self.begin();
                continue;
            }
            self.scanned = self.end;
            // One byte more may be the `\r` of a line end.
            if self.end - self.start > LINE_BYTES_MAX + 1 {
                self.long = Some((head(&self.buffer[self.start..self.end]), 0));
                return self.skip_long();
            }
            if !self.ended {
                self.fill();
                continue;
            }
            let rest = self.start..self.end;
            if let Some(failure) = self.failure.take() {
                self.pass(self.end);
                self.record.text = rest;
                self.record.first = (self.start, self.found);
                return Found::Broken(failure);
            }
            if rest.is_empty() || self.growing {
                return Found::End;
            }
            self.pass(self.end);
            if let Some(found) = self.judge(rest) {
                return found;
            }
            self.begin();
        }
    }

    /// A record starts with the next line.
    #[inline]
    fn begin(&mut self) {
        let (start, found) = (self.start, self.found);
        self.record = Record { start, text: start..start, before: found, first: (start, found), joined: false };
    }

    /// Counts the line that ends before `next`.
    #[inline]
    fn pass(&mut self, next: usize) {
        self.found.lines += 1;
        self.found.bytes += (next - self.start) as u64;
        self.start = next;
        self.scanned = next;
    }

    /// What a line that is whole in the buffer is; `None` where it is blank.
    #[inline]
    fn judge(&mut self, line: Range<usize>) -> Option<Found> {
        self.record.first = (self.start, self.found);
        let mut line = self.without_return(line);
        let marked = self.found.lines == 1 && self.buffer[line.clone()].starts_with(UTF8_BOM);
        if marked {
            line.start += UTF8_BOM.len();
        }
        self.record.text = line;
        let text = self.record();
        if text.len() > LINE_BYTES_MAX {
            return Some(Found::TooLong { head: head(text), bytes: text.len() as u64 });
        }
        let blank = match self.blank {
            Blank::Space => text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')),
            Blank::Empty => text.is_empty(),
            // A byte order mark alone is no line.
            Blank::Never => text.is_empty() && marked,
        };
        (!blank).then_some(Found::Whole)
    }

    fn without_return(&self, mut line: Range<usize>) -> Range<usize> {
        line.end -= self.buffer[line.clone()].ends_with(b"\r") as usize;
        line
    }

    /// Reads on to the end of a line of which the buffer held too much already, and keeps only its head.
    fn skip_long(&mut self) -> Found {
        let (head, mut bytes) = self.long.take().expect("asked only while there is one");
        loop {
            let newline = memchr(b'\n', &self.buffer[self.scanned..self.end]).map(|at| self.scanned + at);
            let stop = newline.unwrap_or(self.end);
            let last = newline.is_some() || (self.ended && (!self.growing || self.failure.is_some()));
            bytes += (stop - self.start) as u64;
            if last {
                self.found.bytes += bytes - (stop - self.start) as u64;
                self.pass(newline.map_or(stop, |newline| newline + 1));
                self.begin();
                return Found::TooLong { head, bytes };
            }
            (self.start, self.scanned, self.end) = (0, 0, 0);
            self.begin();
            if self.ended {
                self.long = Some((head, bytes));
                return Found::End;
            }
            self.fill();
        }
    }

    /// Reads behind what is in the buffer, after moving that to the front.
    fn fill(&mut self) {
        let gone = self.record.start;
        if gone > 0 {
            self.buffer.copy_within(gone..self.end, 0);
            let Record { start, text, first, .. } = &mut self.record;
            *start = 0;
            *text = text.start - gone..text.end - gone;
            first.0 -= gone;
            self.start -= gone;
            self.scanned -= gone;
            self.end -= gone;
        }
        let room = self.end + CHUNK_BYTES;
        if self.buffer.len() > 4 * room {
            self.buffer.truncate(room);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        match self.input.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.ended = true,
            Ok(read) => self.end += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                self.ended = true;
                self.failure = Some(error);
            }
        }
    }
}

fn head(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(DEAD_LETTER_PAYLOAD_BYTES_MAX)].to_vec()
}

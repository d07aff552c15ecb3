//! Bytes into lines, in bounded memory.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use memchr::memchr;
use weir_common::limits::{DEAD_LETTER_PAYLOAD_BYTES_MAX, LINE_BYTES_MAX};

use crate::file::place::Mark;

/// Bytes asked of the input at once.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";

/// Cuts an input into lines that end with `\n` or `\r\n`; blank lines are counted and skipped, and the last line needs no end.
///
/// # Invariants
/// - `start <= scanned <= end <= buffer.len()`, and there is no newline in `start..scanned`.
/// - the buffer is never longer than [`LINE_BYTES_MAX`] and two chunks.
pub(crate) struct Lines<R> {
    input: R,
    pub(crate) buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    end: usize,
    /// No byte follows those in the buffer.
    ended: bool,
    /// Why no byte follows, unless the input simply ended.
    failure: Option<io::Error>,
    /// Lines and bytes found, blank lines too.
    found: Mark,
}

/// A line, or what there was instead of one.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// A line that is not blank, without its end.
    Whole(&'a [u8]),
    /// A line longer than [`LINE_BYTES_MAX`]: how it starts, and its length.
    TooLong { head: Vec<u8>, bytes: u64 },
    /// The input broke off here and nothing follows; the tail is what there was of a line.
    Broken { tail: &'a [u8], failure: io::Error },
}

enum Found {
    Whole(Range<usize>),
    TooLong { head: Vec<u8>, bytes: u64 },
    Broken { tail: Range<usize>, failure: io::Error },
    End,
}

impl<R: Read> Lines<R> {
    /// The lines of an input that begins at `at` of its file.
    pub(crate) fn new(input: R, at: Mark) -> Self {
        Lines { input, buffer: Vec::new(), start: 0, scanned: 0, end: 0, ended: false, failure: None, found: at }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        match self.find() {
            Found::Whole(range) => Some(Line::Whole(&self.buffer[range])),
            Found::TooLong { head, bytes } => Some(Line::TooLong { head, bytes }),
            Found::Broken { tail, failure } => Some(Line::Broken { tail: &self.buffer[tail], failure }),
            Found::End => None,
        }
    }

    /// What it reads.
    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    /// How far into the file the line handed out last ends.
    pub(crate) fn mark(&self) -> Mark {
        self.found
    }

    fn find(&mut self) -> Found {
        loop {
            if let Some(newline) = memchr(b'\n', &self.buffer[self.scanned..self.end]) {
                let newline = self.scanned + newline;
                let line = self.start..newline;
                self.pass(newline + 1);
                if let Some(found) = self.judge(line) {
                    return found;
                }
                continue;
            }
            self.scanned = self.end;
            // One byte more may be the `\r` of a line end.
            if self.end - self.start > LINE_BYTES_MAX + 1 {
                return self.skip_long();
            }
            if !self.ended {
                self.fill();
                continue;
            }
            let rest = self.start..self.end;
            if let Some(failure) = self.failure.take() {
                self.pass(self.end);
                return Found::Broken { tail: rest, failure };
            }
            if rest.is_empty() {
                return Found::End;
            }
            self.pass(self.end);
            if let Some(found) = self.judge(rest) {
                return found;
            }
        }
    }

    /// Counts the line that ends before `next`.
    fn pass(&mut self, next: usize) {
        self.found.lines += 1;
        self.found.bytes += (next - self.start) as u64;
        self.start = next;
        self.scanned = next;
    }

    /// What a line that is whole in the buffer is; `None` where it is blank.
    fn judge(&self, mut line: Range<usize>) -> Option<Found> {
        if self.buffer[line.clone()].ends_with(b"\r") {
            line.end -= 1;
        }
        if self.found.lines == 1 && self.buffer[line.clone()].starts_with(UTF8_BOM) {
            line.start += UTF8_BOM.len();
        }
        let text = &self.buffer[line.clone()];
        if text.len() > LINE_BYTES_MAX {
            return Some(Found::TooLong { head: head(text), bytes: text.len() as u64 });
        }
        let blank = text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        (!blank).then_some(Found::Whole(line))
    }

    /// Reads on to the end of a line of which the buffer holds too much already, and keeps only its head.
    fn skip_long(&mut self) -> Found {
        let head = head(&self.buffer[self.start..self.end]);
        let mut bytes = 0;
        loop {
            let newline = memchr(b'\n', &self.buffer[self.scanned..self.end]).map(|at| self.scanned + at);
            let stop = newline.unwrap_or(self.end);
            bytes += (stop - self.start) as u64;
            if newline.is_some() || self.ended {
                self.found.bytes += bytes - (stop - self.start) as u64;
                self.pass(newline.map_or(stop, |newline| newline + 1));
                return Found::TooLong { head, bytes };
            }
            (self.start, self.scanned, self.end) = (0, 0, 0);
            self.fill();
        }
    }

    /// Reads behind what is in the buffer, after moving that to the front.
    fn fill(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
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

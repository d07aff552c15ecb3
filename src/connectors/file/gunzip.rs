//! Gzip, one or more members: all bytes before the damage, if there is damage, and then where it is.
//!
//! flate2's own `MultiGzDecoder` drops what a call had inflated when the same call meets damage, and does not tell
//! where; so this drives its [`Decompress`], which checks headers, lengths and checksums, directly.

use std::fmt;
use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// Compressed bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// The largest window that deflate knows, which reads all smaller ones.
const WINDOW_BITS: u8 = 15;

/// Inflates what it reads.
pub(crate) struct Gunzip<R> {
    input: R,
    chunk: Box<[u8]>,
    /// The part of `chunk` that is not inflated yet.
    start: usize,
    end: usize,
    /// Compressed bytes inflated so far.
    position: u64,
    member: Decompress,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Inside a member.
    Member,
    /// Behind a member: another one or the end of the file may follow.
    Between,
    /// Damaged; nothing follows.
    Damaged(Damage),
}

/// The gzip is not whole; travels in an [`io::Error`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damage {
    what: &'static str,
    position: u64,
}

impl Damage {
    /// The damage that an error of a [`Gunzip`] tells of; `None` for an error of the file below it.
    pub(crate) fn of(error: &io::Error) -> Option<&Damage> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the gzip file {} at byte {}", self.what, self.position)
    }
}

impl std::error::Error for Damage {}

impl<R: Read> Gunzip<R> {
    pub(crate) fn new(input: R) -> Self {
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        Gunzip { input, chunk, start: 0, end: 0, position: 0, member: Decompress::new_gzip(WINDOW_BITS), state: State::Member }
    }

    /// Reads compressed bytes unless some wait; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0; // Stays so if the read fails.
            self.end = self.input.read(&mut self.chunk)?;
        }
        Ok(self.start < self.end)
    }

    fn damage(&mut self, what: &'static str) {
        self.state = State::Damaged(Damage { what, position: self.position });
    }
}

impl<R: Read> Read for Gunzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !out.is_empty() {
            let more = match self.state {
                State::Damaged(damage) => return Err(io::Error::new(io::ErrorKind::InvalidData, damage)),
                State::Between => {
                    if !self.fill()? {
                        return Ok(0);
                    }
                    self.member = Decompress::new_gzip(WINDOW_BITS);
                    self.state = State::Member;
                    true
                }
                State::Member => self.fill()?,
            };
            let (before_in, before_out) = (self.member.total_in(), self.member.total_out());
            let result = self.member.decompress(&self.chunk[self.start..self.end], out, FlushDecompress::None);
            let taken = (self.member.total_in() - before_in) as usize;
            let given = (self.member.total_out() - before_out) as usize;
            self.start += taken;
            self.position += taken as u64;
            match result {
                Ok(Status::StreamEnd) => self.state = State::Between,
                // Without input it may still have had output to give; only when it has none either is the file cut.
                Ok(_) if !more && given == 0 => self.damage("breaks off"),
                Ok(_) => {}
                Err(_) => self.damage("is corrupt"),
            }
            if given > 0 {
                return Ok(given);
            }
        }
        Ok(0)
    }
}

//! Where a reader of files stands, as text: `NAME:OFFSET:LINE:HEAD`.
//!
//! OFFSET counts bytes after decompression, or is `end` behind damage that has been told of; LINE counts the lines before it, and HEAD is a checksum of how the file starts, so that a file
//! that has been replaced is noticed before rows are read from the middle of it.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use flate2::Crc;
use weir_common::error::{Error, Result, SqlState};
use weir_common::source::Position;

/// Bytes at the start of a file that are its head.
pub(crate) const HEAD_BYTES: u64 = 1024;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) at: Mark,
    /// Nothing of the file is left to be read, whatever comes behind `at`.
    pub(crate) ended: bool,
    pub(crate) head: Head,
}

/// How far into a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bytes, decompressed.
    pub(crate) bytes: u64,
    /// Lines, those included that are no records.
    pub(crate) lines: u64,
}

/// A checksum of how a file starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head(u32);

impl Head {
    /// Of the first `bytes` bytes, at most [`HEAD_BYTES`]; of what there is where the file is shorter.
    pub(crate) fn of(file: &File, bytes: u64) -> io::Result<Head> {
        let mut head = [0; HEAD_BYTES as usize];
        let wanted = &mut head[..bytes.min(HEAD_BYTES) as usize];
        let mut read = 0;
        while read < wanted.len() {
            match file.read_at(&mut wanted[read..], read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut crc = Crc::new();
        crc.update(&wanted[..read]);
        Ok(Head(crc.sum()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ended {
            true => write!(f, "{}:end:{}:{:08x}", self.name, self.at.lines, self.head.0),
            false => write!(f, "{}:{}:{}:{:08x}", self.name, self.at.bytes, self.at.lines, self.head.0),
        }
    }
}

impl Place {
    /// The place that a position tells of; an error where it is none of a file.
    pub(crate) fn parse(position: &Position) -> Result<Place> {
        let mut parts = position.0.rsplitn(4, ':');
        let head = parts.next().and_then(|head| u32::from_str_radix(head, 16).ok());
        let lines = parts.next().and_then(|lines| lines.parse().ok());
        let offset = parts.next();
        let ended = offset == Some("end");
        let bytes = if ended { Some(0) } else { offset.and_then(|offset| offset.parse().ok()) };
        match (parts.next(), bytes, lines, head) {
            (Some(name), Some(bytes), Some(lines), Some(head)) => {
                Ok(Place { name: name.to_string(), at: Mark { bytes, lines }, ended, head: Head(head) })
            }
            _ => Err(cannot_continue(position, "it is not a position of connector \"file\"")),
        }
    }
}

/// The error of a position that cannot be continued.
pub(crate) fn cannot_continue(position: &Position, why: impl fmt::Display) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot continue at position \"{}\": {why}", position.0))
}

//! Where a reader of files stands, as text: `NAME:OFFSET:LINE:HEAD`, and `@INODE` behind it where files are followed.
//!
//! OFFSET counts bytes after decompression (rows of a Parquet file); where nothing of the file is left to be read it is `end` and the
//! file's length. LINE counts the lines before it. HEAD is a checksum of how the file starts, so that a file that has been
//! replaced is noticed before rows are read from the middle of it.
//!
//! A reader of a finite pattern stands in one file, and has read those whose names sort before it. A reader that follows a pattern
//! may stand in several, one behind the other with a space between; `<=NAME` before them says up to which name all others are read.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use flate2::Crc;
use weir_common::error::{Error, Result, SqlState};
use weir_common::source::Position;

/// Bytes at the start of a file that are its head.
pub(crate) const HEAD_BYTES: u64 = 1024;

/// Where a reader stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// Files up to this name are read, unless they are among `files`.
    pub(crate) through: Option<String>,
    /// Files that have been read in part, or in full.
    pub(crate) files: Vec<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) at: Mark,
    /// Nothing of the file is left to be read, whatever comes behind; the bytes of `at` are the file's length.
    pub(crate) ended: bool,
    pub(crate) head: Head,
    /// Of a followed file: a name may come to mean another file.
    pub(crate) inode: Option<u64>,
}

/// How far into a file's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Bytes, decompressed; rows of a Parquet file.
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

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        if let Some(through) = &self.through {
            write!(f, "<={}", Escaped(through))?;
            space = " ";
        }
        for place in &self.files {
            write!(f, "{space}{place}")?;
            space = " ";
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", Escaped(&self.name))?;
        match self.ended {
            true => write!(f, "end{}:{}:{:08x}", self.at.bytes, self.at.lines, self.head.0)?,
            false => write!(f, "{}:{}:{:08x}", self.at.bytes, self.at.lines, self.head.0)?,
        }
        self.inode.map_or(Ok(()), |inode| write!(f, "@{inode}"))
    }
}

/// A name in which spaces and other characters that would not be seen are `%` and two hexadecimal digits.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\0'..=' ' | '%' | '<' | '\x7f' => write!(f, "%{:02x}", character as u32)?,
                _ => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.to_string();
    for part in parts {
        let code = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        name.push(char::from(code));
        name.push_str(&part[2..]);
    }
    Some(name)
}

impl Places {
    /// The places that a position tells of; an error where it is none of files.
    pub(crate) fn parse(position: &Position) -> Result<Places> {
        let mut places = Places::default();
        let strange = || cannot_continue(position, "it is not a position of connector \"file\"");
        for (number, part) in position.0.split(' ').enumerate() {
            match part.strip_prefix("<=") {
                Some(name) if number == 0 => places.through = Some(unescape(name).ok_or_else(strange)?),
                _ => places.files.push(Place::parse(part).ok_or_else(strange)?),
            }
        }
        Ok(places)
    }
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        let mut parts = text.rsplitn(4, ':');
        let last = parts.next()?;
        let (head, inode) = match last.split_once('@') {
            Some((head, inode)) => (head, Some(inode.parse().ok()?)),
            None => (last, None),
        };
        let head = Head(u32::from_str_radix(head, 16).ok()?);
        let lines = parts.next()?.parse().ok()?;
        let offset = parts.next()?;
        let (ended, bytes) = match offset.strip_prefix("end") {
            Some(length) => (true, length.parse().ok()?),
            None => (false, offset.parse().ok()?),
        };
        Some(Place { name: unescape(parts.next()?)?, at: Mark { bytes, lines }, ended, head, inode })
    }
}

/// The error of a position that cannot be continued.
pub(crate) fn cannot_continue(position: &Position, why: impl fmt::Display) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot continue at position \"{}\": {why}", position.0))
}

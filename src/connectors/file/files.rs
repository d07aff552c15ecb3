//! Which file a reader reads next, and where it stands: one way for files that are read once, another for files that are followed.

use std::fs::File;

use weir_common::error::Result;
use weir_common::source::Position;

use crate::file::place::Mark;

/// Gives a reader its files, one after the other.
pub(crate) trait Files: Send {
    /// What to read now that there is nothing more in the current file.
    fn next(&mut self) -> Result<Turn>;

    /// How far the current file has been read.
    fn stand(&mut self, stand: Stand);

    /// Where the reader stands.
    fn position(&mut self) -> Result<Position>;
}

/// How far a file has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Behind the records that were used.
    pub(crate) at: Mark,
    /// Nothing of it is left, whatever it holds.
    pub(crate) ended: bool,
    /// Bytes that were looked at, those of a record included that is not complete; only of files that grow.
    pub(crate) seen: u64,
}

/// What to read.
pub(crate) enum Turn {
    /// This file.
    Open(Opening),
    /// The current file, which has grown; or, where that is said, all that is left in it.
    More { last: bool },
    /// Nothing for now; `soon` says that there may be something in a moment, of what is there already.
    Wait { soon: bool },
    /// Nothing any more.
    End,
}

/// A file to be read.
pub(crate) struct Opening {
    pub(crate) name: String,
    pub(crate) file: File,
    /// Where reading starts.
    pub(crate) at: Mark,
    /// Where it stops, before the end: bytes, decompressed; rows of a Parquet file.
    pub(crate) until: Option<u64>,
    /// More may be appended to it.
    pub(crate) growing: bool,
}

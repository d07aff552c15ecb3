//! Which file a reader reads next, and where it stands: one way for files that are read once, another for files that are followed.

use std::fs::File;

use weir_common::error::Result;
use weir_common::source::Position;

use crate::file::place::Mark;

/// Gives a reader its files, one after the other.
pub(crate) trait Files: Send {
    /// What to read now that there is nothing more in the current file.
    fn next(&mut self) -> Result<Turn>;

    /// The current file has been read up to here; `ended` says that nothing of it is left, whatever it holds.
    fn stand(&mut self, at: Mark, ended: bool);

    /// Where the reader stands.
    fn position(&mut self) -> Result<Position>;
}

/// What to read.
pub(crate) enum Turn {
    /// This file.
    Open(Opening),
    /// The current file, which has grown; or, where that is said, all that is left in it.
    More { last: bool },
    /// Nothing for now.
    Wait,
    /// Nothing any more.
    End,
}

/// A file to be read.
pub(crate) struct Opening {
    pub(crate) name: String,
    pub(crate) file: File,
    /// Where reading starts.
    pub(crate) at: Mark,
    /// More may be appended to it.
    pub(crate) growing: bool,
}

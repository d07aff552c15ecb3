//! Errors of RocksDB in Postgres words, with the SQLSTATE that fits.

use std::path::Path;

use rocksdb::ErrorKind;
use weir_common::error::{Error, SqlState};

use crate::error::{DATA_CORRUPTED, DISK_FULL, INSUFFICIENT_PRIVILEGE, OBJECT_IN_USE, hinted};

/// What was being done when it failed.
#[derive(Clone, Copy, Debug)]
pub enum Doing<'a> {
    /// Opening the store.
    Open,
    /// Reading entries.
    Read,
    /// Committing.
    Write,
    /// Putting a copy into a directory.
    CopyTo(&'a Path),
}

/// An error of RocksDB about the store in a directory.
pub fn store_error(doing: Doing, path: &Path, error: &rocksdb::Error) -> Error {
    let text = error.as_ref();
    let dir = path.display();
    // RocksDB puts the kind before it.
    let words = text.split_once(": ").map_or(text, |(_, words)| words);
    let code = code(doing, &error.kind(), text);
    if code == OBJECT_IN_USE {
        return Error::new(code, format!("checkpoint store \"{dir}\" is in use")).with_detail(format!("RocksDB says: {text}"));
    }
    if code == DATA_CORRUPTED {
        return damaged(path, words);
    }
    let what = match doing {
        Doing::Open => format!("open checkpoint store \"{dir}\""),
        Doing::Read => format!("read checkpoint store \"{dir}\""),
        Doing::Write => format!("write to checkpoint store \"{dir}\""),
        Doing::CopyTo(to) => format!("copy checkpoint store \"{dir}\" to \"{}\"", to.display()),
    };
    // The system's own words are last.
    let reason = words.rsplit(": ").next().unwrap_or(words);
    hinted(Error::new(code, format!("could not {what}: {reason}")).with_detail(format!("RocksDB says: {text}")))
}

/// What is in the store is not what was written.
pub fn damaged(dir: &Path, how: &str) -> Error {
    Error::new(DATA_CORRUPTED, format!("checkpoint store \"{}\" is damaged: {how}", dir.display())).with_hint("Restore a backup.")
}

fn code(doing: Doing, kind: &ErrorKind, text: &str) -> SqlState {
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    match kind {
        // What it does not know is a format that no version of Weir wrote.
        ErrorKind::Corruption | ErrorKind::NotSupported => DATA_CORRUPTED,
        // Families that are missing, files that are not named as they should be.
        ErrorKind::InvalidArgument | ErrorKind::NotFound if matches!(doing, Doing::Open | Doing::Read) => DATA_CORRUPTED,
        _ if says(&["lock hold by current process"]) => OBJECT_IN_USE,
        _ if says(&["While lock file"]) && says(&["Resource temporarily unavailable"]) => OBJECT_IN_USE,
        _ if says(&["No space left", "Disk quota exceeded"]) => DISK_FULL,
        _ if says(&["Permission denied", "Read-only file system", "Operation not permitted"]) => INSUFFICIENT_PRIVILEGE,
        // A file of the store itself is gone.
        _ if says(&["No such file or directory"]) && matches!(doing, Doing::Open | Doing::Read) => DATA_CORRUPTED,
        _ => SqlState::IO_ERROR,
    }
}

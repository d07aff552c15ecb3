//! What a directory takes on disk, and copies of it.

use std::fs;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the files below a directory take, bytes. One that is removed meanwhile takes nothing.
pub fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += disk_bytes(&entry.path())?,
            // Blocks are of 512 bytes, whatever the file system has.
            Ok(metadata) => bytes += metadata.blocks() * 512,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Copies a directory that nobody changes, with all that is below it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to)?;
            // What a restart reads was on disk before it.
            fs::File::open(&to)?.sync_all()?;
        }
    }
    Ok(())
}

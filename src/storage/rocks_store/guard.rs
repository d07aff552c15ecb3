//! What RocksDB does not see: whether the end of its MANIFEST is lost.
//!
//! MANIFEST says which files the store consists of. RocksDB takes one whose end is damaged for one that a crash has cut, in every
//! recovery mode, and then may know of the new files of one space and not of another's, under commits of a later log: entries that
//! no commit ever left. So `GUARD` says how long MANIFEST was, and its checksum: one line, `manifest NUMBER LENGTH CRC CRC-OF-THESE` (CRC-32C, in hex).
//! It is brought up to date when the store is opened, and before a commit if MANIFEST has grown since. What is appended to MANIFEST after
//! that and is lost has files whose log is gone, which the next log tells (`track_and_verify_wals`).

use std::io;
use std::path::Path;

use weir_common::error::Result;

use super::failure::damaged;
use crate::error::file_error;
use crate::files::{Files, RealFiles};

const GUARD: &str = "GUARD";
const GUARD_TEMPORARY: &str = "GUARD.tmp";
const CURRENT: &str = "CURRENT";
/// With this a name in CURRENT begins; a number follows.
const MANIFEST: &str = "MANIFEST-";

/// How far the MANIFEST of a store is known to go.
#[derive(Debug, PartialEq, Eq)]
pub struct Guard {
    manifest: u64,
    len: u64,
    crc: u32,
}

impl Guard {
    /// Compares the store in a directory with its guard, if it has one: a copy has none until it is opened.
    pub fn check(dir: &Path) -> Result<()> {
        let path = dir.join(GUARD);
        let bytes = match RealFiles.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(|error| file_error("read file", &path, &error))?,
        };
        let guard = Guard::decode(&bytes).ok_or_else(|| damaged(dir, "GUARD is not as it was written"))?;
        let found = current(dir)?;
        if found > guard.manifest {
            // It was opened, and ended before there was a guard for it; nothing was committed since.
            return Ok(());
        }
        let bytes = match found == guard.manifest {
            true => read_manifest(dir, found)?,
            false => return Err(damaged(dir, "CURRENT names a MANIFEST that is not the last")),
        };
        let known = usize::try_from(guard.len).ok().and_then(|len| bytes.get(..len));
        match known.is_some_and(|known| crc32c::crc32c(known) == guard.crc) {
            true => Ok(()),
            false => Err(damaged(dir, "MANIFEST is not as it was written")),
        }
    }

    /// Writes the guard of the store in a directory as it is now.
    pub fn write(dir: &Path) -> Result<Guard> {
        let (manifest, bytes) = loop {
            let manifest = current(dir)?;
            match read_manifest(dir, manifest) {
                Ok(bytes) => break (manifest, bytes),
                // RocksDB may have begun another and removed this one.
                Err(error) if current(dir)? == manifest => return Err(error),
                Err(_) => {}
            }
        };
        // Whoever appended what was read may not have synced it yet.
        let path = dir.join(name(manifest));
        let synced = RealFiles.open_write(&path).and_then(|mut file| file.sync_data());
        match synced {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error("fsync file", &path, &error)),
            _ => {}
        }
        let guard = Guard { manifest, len: bytes.len() as u64, crc: crc32c::crc32c(&bytes) };
        let (temporary, path) = (dir.join(GUARD_TEMPORARY), dir.join(GUARD));
        match RealFiles.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error("remove file", &temporary, &error)),
            _ => {}
        }
        let mut file = RealFiles.create(&temporary).map_err(|error| file_error("create file", &temporary, &error))?;
        file.write_all_at(guard.encode().as_bytes(), 0).map_err(|error| file_error("write to file", &temporary, &error))?;
        file.sync_data().map_err(|error| file_error("fsync file", &temporary, &error))?;
        RealFiles.rename(&temporary, &path).map_err(|error| file_error("rename file", &temporary, &error))?;
        RealFiles.sync_dir(dir).map_err(|error| file_error("fsync directory", dir, &error))?;
        Ok(guard)
    }

    /// Whether MANIFEST is as long as this says.
    pub fn is_up_to_date(&self, dir: &Path) -> Result<bool> {
        let path = dir.join(name(self.manifest));
        let len = RealFiles.open_read(&path).and_then(|file| file.len());
        Ok(current(dir)? == self.manifest && len.is_ok_and(|len| len == self.len))
    }

    fn encode(&self) -> String {
        let text = format!("manifest {} {} {:08x}", self.manifest, self.len, self.crc);
        format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
    }

    fn decode(bytes: &[u8]) -> Option<Guard> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split_whitespace().skip(1);
        let (manifest, len) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let guard = Guard { manifest, len, crc: u32::from_str_radix(words.next()?, 16).ok()? };
        (guard.encode() == text).then_some(guard)
    }
}

/// The file name of a MANIFEST.
fn name(number: u64) -> String {
    format!("{MANIFEST}{number:06}")
}

/// The number of the MANIFEST that CURRENT names.
fn current(dir: &Path) -> Result<u64> {
    let text = read(dir, CURRENT)?;
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.strip_prefix(MANIFEST)?.strip_suffix('\n')?.parse().ok());
    number.ok_or_else(|| damaged(dir, "CURRENT does not name a MANIFEST"))
}

fn read_manifest(dir: &Path, number: u64) -> Result<Vec<u8>> {
    read(dir, &name(number))
}

/// A file that belongs to the store.
fn read(dir: &Path, name: &str) -> Result<Vec<u8>> {
    RealFiles.read(&dir.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged(dir, &format!("it has no {name}")),
        _ => file_error("read file", &dir.join(name), &error),
    })
}

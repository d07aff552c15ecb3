//! A disk in memory that forgets on a crash whatever was not synced, and fails when it is told to: for tests, here and elsewhere.
//!
//! It is as unkind as POSIX allows:
//! - After [`FaultyFiles::crash`], of the 512-byte sectors that were written and not synced some are there and some are not, in no
//!   order; a file that grew has any length between the old and the new. A sector that was never written, or lost, reads as zeros.
//! - A name that was given or taken is there or not, independently of what else happened in its directory, until the directory
//!   was synced. A rename happens whole or not at all.
//! - A sync that fails forgets the bytes that it should have written, keeps showing it to readers, and the next sync succeeds, as Linux does
//!   (<https://wiki.postgresql.org/wiki/Fsync_Errors>).
//! - Who had files open before a crash or a kill cannot use them any more, and locks are gone.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::files::{Files, Kind, Lock, ReadFile, WriteFile};

mod disk; // what is there, and what would be after a crash

use disk::{Disk, FileId};

/// What can be counted, and fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Making a file.
    Create,
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Cutting a file.
    Truncate,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making a directory.
    CreateDir,
    /// Syncing a directory.
    SyncDir,
    /// Locking a file.
    Lock,
    /// Reading from a file.
    Read,
}

/// How something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC, nothing done.
    NoSpace,
    /// EIO; a write may have been done in part.
    Io,
    /// Some of the bytes are written, then ENOSPC. For what is not a write, the same as `NoSpace`.
    ShortWrite,
    /// EROFS, nothing done.
    ReadOnly,
    /// EACCES, nothing done.
    Denied,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        // The numbers of Linux; what they are called comes from there too.
        io::Error::from_raw_os_error(match fault {
            Fault::NoSpace | Fault::ShortWrite => 28,
            Fault::Io => 5,
            Fault::ReadOnly => 30,
            Fault::Denied => 13,
        })
    }
}

/// The disk; clones are the same disk.
#[derive(Clone)]
pub struct FaultyFiles {
    disk: Arc<Mutex<Disk>>,
    /// Between which crashes this may be used, if not always.
    boot: Option<u64>,
}

impl FaultyFiles {
    /// An empty disk with the directory `/`; what it does at random follows from the seed.
    pub fn new(seed: u64) -> Self {
        FaultyFiles { disk: Arc::new(Mutex::new(Disk::new(seed))), boot: None }
    }

    /// The disk as a process sees it that is started now: everything fails for it after the next crash or kill, so that threads
    /// that are left of it do no harm.
    pub fn process(&self) -> Self {
        let boot = self.disk().boot();
        FaultyFiles { disk: self.disk.clone(), boot: Some(boot) }
    }

    /// The machine stops: what was not synced is lost or kept at random, and faults are over.
    pub fn crash(&self) {
        self.disk().crash();
    }

    /// The process is killed: nothing is lost, but whoever had files open cannot use them any more, and locks are gone.
    pub fn kill(&self) {
        self.disk().kill();
    }

    /// Lets the `nth` operation of this kind from now on fail (1 is the next); of any kind but reading, if none is given.
    pub fn fail(&self, operation: Option<Operation>, nth: u64, fault: Fault) {
        self.disk().plan(operation, nth, fault, false);
    }

    /// As [`FaultyFiles::fail`], and so does every one after it, until [`FaultyFiles::heal`].
    pub fn fail_from(&self, operation: Option<Operation>, nth: u64, fault: Fault) {
        self.disk().plan(operation, nth, fault, true);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.disk().heal();
    }

    /// Operations of this kind so far, also those that failed.
    pub fn count(&self, operation: Operation) -> u64 {
        self.disk().count(operation)
    }

    /// Operations of every kind but reading so far, also those that failed.
    pub fn changes(&self) -> u64 {
        self.disk().changes()
    }

    /// Changes one byte of a file behind everybody's back, there and on the disk below: adds `by` to it.
    pub fn damage(&self, path: &Path, offset: u64, by: u8) {
        self.disk().damage(path, offset as usize, by);
    }

    /// Makes the file this long behind everybody's back, with zeros if it grows.
    pub fn resize(&self, path: &Path, len: u64) {
        self.disk().resize(path, len as usize);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, for a process that is still there.
    fn alive(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        match self.boot {
            Some(boot) if boot != disk.boot() => Err(io::Error::other("the process is gone")),
            _ => Ok(disk),
        }
    }

    fn open(&self, file: FileId, boot: u64) -> OpenFile {
        OpenFile { files: self.clone(), file, boot }
    }
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut disk = self.alive()?;
        let file = disk.create(path)?;
        Ok(Box::new(self.open(file, disk.boot())))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let disk = self.alive()?;
        Ok(Box::new(self.open(disk.file(path)?, disk.boot())))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let disk = self.alive()?;
        Ok(Box::new(self.open(disk.file(path)?, disk.boot())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.alive()?.list(dir)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        Ok(self.alive()?.kind(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.create_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.alive()?.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut disk = self.alive()?;
        if !disk.lock(path)? {
            return Ok(Lock::Taken(None));
        }
        Ok(Lock::Held(Box::new(HeldLock { files: self.clone(), path: path.to_path_buf(), boot: disk.boot() })))
    }
}

struct OpenFile {
    files: FaultyFiles,
    file: FileId,
    boot: u64,
}

impl OpenFile {
    /// The disk, if it has not been restarted under this file.
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.files.disk();
        if disk.boot() == self.boot { Ok(disk) } else { Err(io::Error::other("the file was opened before the crash")) }
    }
}

impl WriteFile for OpenFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk()?.write(self.file, bytes, offset as usize)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk()?.sync(self.file)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk()?.truncate(self.file, len as usize)
    }
}

impl ReadFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.len(self.file) as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk()?.read(self.file, buffer, offset as usize)
    }
}

struct HeldLock {
    files: FaultyFiles,
    path: std::path::PathBuf,
    boot: u64,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut disk = self.files.disk();
        if disk.boot() == self.boot {
            disk.unlock(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;

//! What is on the faulty disk now, and what would be after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::{Fault, Operation};
use crate::files::Kind;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

pub(super) type FileId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Directory,
    File(FileId),
}

/// A change of names that a crash may undo.
enum Change {
    Add(PathBuf, Entry),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Entry),
}

/// A file's bytes as readers see them, and as the disk has them.
#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Whether the next sync writes the length.
    resized: bool,
}

struct Plan {
    operation: Option<Operation>,
    left: u64,
    fault: Fault,
    lasting: bool,
}

pub(super) struct Disk {
    rng: Rng,
    boot: u64,
    live: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    /// By directory, in the order in which they were made.
    changes: BTreeMap<PathBuf, Vec<Change>>,
    contents: Vec<Content>,
    locked: BTreeSet<PathBuf>,
    plans: Vec<Plan>,
    counts: BTreeMap<Operation, u64>,
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Entry::Directory)]);
        Disk {
            rng: Rng::with_seed(seed),
            boot: 0,
            live: root.clone(),
            durable: root,
            changes: BTreeMap::new(),
            contents: Vec::new(),
            locked: BTreeSet::new(),
            plans: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Counts the crashes and kills: what was opened under another number is closed.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    pub fn plan(&mut self, operation: Option<Operation>, nth: u64, fault: Fault, lasting: bool) {
        assert!(nth > 0, "the next operation is number 1");
        self.plans.push(Plan { operation, left: nth, fault, lasting });
    }

    pub fn heal(&mut self) {
        self.plans.clear();
    }

    pub fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    pub fn changes(&self) -> u64 {
        self.counts.iter().filter(|(operation, _)| **operation != Operation::Read).map(|(_, count)| count).sum()
    }

    pub fn kill(&mut self) {
        self.boot += 1;
        self.locked.clear();
        self.plans.clear();
    }

    pub fn crash(&mut self) {
        self.kill();
        for changes in std::mem::take(&mut self.changes).into_values() {
            let kept: u64 = self.rng.u64(..);
            // All, none, or any of them.
            let mode = self.rng.u8(0..4);
            for (index, change) in changes.into_iter().enumerate() {
                if mode == 0 || (mode > 1 && kept >> (index % 64) & 1 == 1) {
                    apply(&mut self.durable, change);
                }
            }
        }
        self.live = self.durable.clone();
        // What is in a directory that is not there is not there either.
        self.live.retain(|path, _| path.ancestors().skip(1).all(|dir| self.durable.get(dir) == Some(&Entry::Directory)));
        self.durable = self.live.clone();
        for content in &mut self.contents {
            content.crash(&mut self.rng);
        }
    }

    pub fn create(&mut self, path: &Path) -> io::Result<FileId> {
        self.attempt(Operation::Create)?;
        if self.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.contents.len();
        self.contents.push(Content::default());
        self.change(path, Change::Add(path.to_path_buf(), Entry::File(file)))?;
        Ok(file)
    }

    pub fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::CreateDir)?;
        if self.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(path, Change::Add(path.to_path_buf(), Entry::Directory))
    }

    pub fn file(&self, path: &Path) -> io::Result<FileId> {
        match self.live.get(path) {
            Some(Entry::File(file)) => Ok(*file),
            Some(Entry::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn kind(&self, path: &Path) -> Option<Kind> {
        self.live.get(path).map(|entry| match entry {
            Entry::Directory => Kind::Directory,
            Entry::File(_) => Kind::File,
        })
    }

    pub fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self.live.get(dir) {
            Some(Entry::Directory) => {}
            Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let inside = self.live.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.attempt(Operation::Rename)?;
        let file = self.file(from)?;
        assert_eq!(from.parent(), to.parent(), "renames stay in their directory");
        self.change(to, Change::Rename(from.to_path_buf(), to.to_path_buf(), Entry::File(file)))
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.attempt(Operation::Remove)?;
        self.file(path)?;
        self.change(path, Change::Remove(path.to_path_buf()))
    }

    pub fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.attempt(Operation::SyncDir)?;
        if self.live.get(dir) != Some(&Entry::Directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        for change in self.changes.remove(dir).unwrap_or_default() {
            apply(&mut self.durable, change);
        }
        Ok(())
    }

    pub fn lock(&mut self, path: &Path) -> io::Result<bool> {
        self.attempt(Operation::Lock)?;
        if !self.live.contains_key(path) {
            let file = self.contents.len();
            self.contents.push(Content::default());
            self.change(path, Change::Add(path.to_path_buf(), Entry::File(file)))?;
        }
        Ok(self.locked.insert(path.to_path_buf()))
    }

    pub fn unlock(&mut self, path: &Path) {
        self.locked.remove(path);
    }

    pub fn write(&mut self, file: FileId, bytes: &[u8], offset: usize) -> io::Result<()> {
        let failed = self.attempt(Operation::Write);
        let done = match failed {
            Ok(()) => bytes.len(),
            Err(Fault::ShortWrite | Fault::Io) => self.rng.usize(0..=bytes.len()),
            Err(Fault::NoSpace | Fault::ReadOnly | Fault::Denied) => 0,
        };
        self.contents[file].write(&bytes[..done], offset);
        Ok(failed?)
    }

    pub fn sync(&mut self, file: FileId) -> io::Result<()> {
        let failed = self.attempt(Operation::Sync);
        let content = &mut self.contents[file];
        if failed.is_err() {
            // Some of it may have been written; what was not is forgotten.
            content.forget(&mut self.rng);
        } else {
            content.sync();
        }
        Ok(failed?)
    }

    pub fn truncate(&mut self, file: FileId, len: usize) -> io::Result<()> {
        self.attempt(Operation::Truncate)?;
        self.contents[file].truncate(len);
        Ok(())
    }

    pub fn len(&self, file: FileId) -> usize {
        self.contents[file].live.len()
    }

    pub fn read(&mut self, file: FileId, buffer: &mut [u8], offset: usize) -> io::Result<()> {
        self.attempt(Operation::Read)?;
        let bytes = self.contents[file].live.get(offset..offset + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    pub fn damage(&mut self, path: &Path, offset: usize, by: u8) {
        let Some(Entry::File(file)) = self.live.get(path) else { panic!("no file {path:?} to damage") };
        let Content { live, durable, .. } = &mut self.contents[*file];
        for bytes in [live, durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte = byte.wrapping_add(by);
            }
        }
    }

    pub fn resize(&mut self, path: &Path, len: usize) {
        let Some(Entry::File(file)) = self.live.get(path) else { panic!("no file {path:?} to resize") };
        self.contents[*file].live.resize(len, 0);
        self.contents[*file].durable.resize(len, 0);
    }

    /// Counts an operation, and fails it if that was planned.
    fn attempt(&mut self, operation: Operation) -> Result<(), Fault> {
        *self.counts.entry(operation).or_default() += 1;
        let mut fault = None;
        for plan in &mut self.plans {
            let meant = plan.operation.map_or(operation != Operation::Read, |planned| planned == operation);
            if meant && plan.left > 0 {
                plan.left -= 1;
                if plan.left == 0 {
                    fault = Some(plan.fault);
                    plan.left = u64::from(plan.lasting);
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    fn change(&mut self, path: &Path, change: Change) -> io::Result<()> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        match self.live.get(dir) {
            Some(Entry::Directory) => {}
            Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let again = match &change {
            Change::Add(path, entry) => Change::Add(path.clone(), *entry),
            Change::Remove(path) => Change::Remove(path.clone()),
            Change::Rename(from, to, entry) => Change::Rename(from.clone(), to.clone(), *entry),
        };
        apply(&mut self.live, again);
        self.changes.entry(dir.to_path_buf()).or_default().push(change);
        Ok(())
    }
}

fn apply(entries: &mut BTreeMap<PathBuf, Entry>, change: Change) {
    match change {
        Change::Add(path, entry) => {
            entries.insert(path, entry);
        }
        Change::Remove(path) => {
            entries.remove(&path);
        }
        Change::Rename(from, to, entry) => {
            entries.remove(&from);
            entries.insert(to, entry);
        }
    }
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        self.resized |= end > self.durable.len();
        self.live[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
    }

    fn truncate(&mut self, len: usize) {
        self.live.resize(len, 0);
        self.resized = true;
    }

    fn sync(&mut self) {
        if std::mem::take(&mut self.resized) {
            self.durable.resize(self.live.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            self.put(sector);
        }
    }

    /// The sync failed: each sector was written or not, and none will be later. The length is not forgotten: it is in the journal
    /// of the file system, which does not go on without it.
    fn forget(&mut self, rng: &mut Rng) {
        if self.resized && rng.bool() {
            self.durable.resize(self.live.len(), 0);
            self.resized = false;
        }
        for sector in std::mem::take(&mut self.dirty) {
            if rng.bool() {
                self.put(sector);
            }
        }
    }

    fn crash(&mut self, rng: &mut Rng) {
        if std::mem::take(&mut self.resized) {
            let (old, new) = (self.durable.len(), self.live.len());
            let len = match rng.u8(0..4) {
                0 => old,
                1 => new,
                _ => rng.usize(old.min(new)..=old.max(new)),
            };
            self.durable.resize(len, 0);
        }
        // None, all, the first few, or any.
        let mode = rng.u8(0..5);
        let first = rng.usize(0..=self.dirty.len());
        for (index, sector) in std::mem::take(&mut self.dirty).into_iter().enumerate() {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => index < first,
                _ => rng.bool(),
            };
            if kept {
                self.put(sector);
            }
        }
        self.live = self.durable.clone();
    }

    /// Writes one sector, as far as the file reaches.
    fn put(&mut self, sector: usize) {
        let Range { start, end } = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.live.len()).min(self.durable.len());
        if start < end {
            self.durable[start..end].copy_from_slice(&self.live[start..end]);
        }
    }
}

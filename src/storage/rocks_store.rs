//! State on disk: a `StateStore` that is a RocksDB database, with one column family for each space.
//!
//! A commit is one write batch: in one write-ahead log for all spaces, synced before the commit returns. After an error of a commit the
//! store refuses all others until it is opened anew, since nobody knows how much of it is on disk.
//!
//! Damage is an error (`XX001`) when the store is opened or when the damaged place is read, never another entry. What cannot be told
//! is said in `options.rs`, at the recovery mode.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, WriteBatch, WriteOptions};
use weir_common::error::{Error, Result, SqlState};
use weir_common::state_store::{Each, Space, StateBatch, StateStore};

use crate::data_dir;
use crate::error::{DUPLICATE_FILE, file_error};
use crate::files::{Files, Kind, RealFiles};

mod failure; // errors of RocksDB in Postgres words
mod guard; // whether the list of files has lost its end
mod options; // how RocksDB is set up, and why so

use failure::{Doing, store_error};
use guard::Guard;

/// A store in a directory of its own, which this process has to itself until the store and its batches are dropped.
#[derive(Clone)]
pub struct RocksStore(Arc<Inner>);

struct Inner {
    db: DB,
    dir: PathBuf,
    commits: Mutex<Commits>,
}

struct Commits {
    guard: Guard,
    /// One has failed.
    failed: bool,
}

impl RocksStore {
    /// Opens the store in a directory, made with all above it if it is missing, or filled if it is empty.
    ///
    /// A directory that is gone is a new store: who has kept something there finds it empty. Refused are a store that is open
    /// already (`55006`), and one that is damaged or incomplete (`XX001`).
    pub fn open(dir: &Path) -> Result<RocksStore> {
        if is_absent(dir)? {
            make(dir)?;
        }
        Guard::check(dir)?;
        let db = open_database(dir, false)?;
        let commits = Mutex::new(Commits { guard: Guard::write(dir)?, failed: false });
        Ok(RocksStore(Arc::new(Inner { db, dir: dir.to_path_buf(), commits })))
    }
}

impl Inner {
    /// Brings everything that is committed into files, so that the next start need not read it from the log, entry by entry.
    fn flush(&self) -> Result<()> {
        let families = Space::ALL.iter().map(|space| self.family(*space)).collect::<Result<Vec<_>>>()?;
        let families: Vec<&&ColumnFamily> = families.iter().collect();
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(|error| self.error(Doing::Write, &error))
    }

    fn family(&self, space: Space) -> Result<&ColumnFamily> {
        // All of them were asked for when it was opened.
        self.db.cf_handle(space.name()).ok_or_else(|| Error::internal(format!("space \"{}\" is not open", space.name())))
    }

    fn error(&self, doing: Doing, error: &rocksdb::Error) -> Error {
        store_error(doing, &self.dir, error)
    }
}

impl StateStore for RocksStore {
    fn begin(&self) -> Box<dyn StateBatch> {
        Box::new(RocksBatch { store: self.0.clone(), changes: WriteBatch::default(), refused: None })
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.db.get_cf(self.0.family(space)?, key).map_err(|error| self.0.error(Doing::Read, &error))
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], each: &mut Each) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        // An iterator shows what was there when it was made.
        let mut entries = self.0.db.raw_iterator_cf_opt(self.0.family(space)?, options::scan(to));
        entries.seek(from);
        while let Some((key, value)) = entries.item() {
            each(key, value)?;
            entries.next();
        }
        entries.status().map_err(|error| self.0.error(Doing::Read, &error))
    }

    fn disk_bytes(&self) -> u64 {
        // A file may go between being listed and being asked: then it does not count.
        let Ok(entries) = fs::read_dir(&self.0.dir) else { return 0 };
        entries.filter_map(|entry| entry.and_then(|entry| entry.metadata()).ok()).filter(|it| it.is_file()).map(|it| it.len()).sum()
    }

    fn copy_to(&self, dir: &Path) -> Result<()> {
        if kind(dir)?.is_some() {
            return Err(Error::new(DUPLICATE_FILE, format!("directory \"{}\" already exists", dir.display())));
        }
        // It flushes, links what never changes, copies the little that does and syncs it, and gives the directory its name at the end.
        let copied = Checkpoint::new(&self.0.db).and_then(|checkpoint| checkpoint.create_checkpoint(dir));
        copied.map_err(|error| self.0.error(Doing::CopyTo(dir), &error))?;
        data_dir::sync_dir(&RealFiles, dir)?;
        data_dir::sync_dir(&RealFiles, data_dir::above(dir))
    }
}

struct RocksBatch {
    store: Arc<Inner>,
    changes: WriteBatch,
    /// The first change that could not be taken: the commit fails with it.
    refused: Option<Error>,
}

impl RocksBatch {
    /// Adds a change to one space, unless one was refused before.
    fn change(&mut self, space: Space, bytes: &[&[u8]], add: impl FnOnce(&mut WriteBatch, &ColumnFamily)) {
        if self.refused.is_some() {
            return;
        }
        // RocksDB leaves out what is longer than this, and does not tell.
        if bytes.iter().any(|bytes| u32::try_from(bytes.len()).is_err()) {
            self.refused = Some(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "keys and values of state must be smaller than 4 GB"));
            return;
        }
        match self.store.family(space) {
            Ok(family) => add(&mut self.changes, family),
            Err(error) => self.refused = Some(error),
        }
    }
}

impl StateBatch for RocksBatch {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.change(space, &[key, value], |changes, family| changes.put_cf(family, key, value));
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.change(space, &[key], |changes, family| changes.delete_cf(family, key));
    }

    fn delete_range(&mut self, space: Space, from: &[u8], to: &[u8]) {
        // The whole commit would fail for a range that ends before it begins.
        if from < to {
            self.change(space, &[from, to], |changes, family| changes.delete_range_cf(family, from, to));
        }
    }

    fn bytes(&self) -> usize {
        self.changes.size_in_bytes()
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let RocksBatch { store, changes, refused } = *self;
        if let Some(error) = refused {
            return Err(error);
        }
        let mut commits = store.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if commits.failed {
            let dir = store.dir.display();
            return Err(Error::new(SqlState::IO_ERROR, format!("checkpoint store \"{dir}\" takes nothing more after an error of writing"))
                .with_hint("Restart the server."));
        }
        let large = changes.size_in_bytes() > options::FLUSH_FROM_BYTES;
        let written = commits.guard(&store.dir).and_then(|()| {
            let mut options = WriteOptions::default();
            options.set_sync(true);
            store.db.write_opt(changes, &options).map_err(|error| store.error(Doing::Write, &error))?;
            if large { store.flush() } else { Ok(()) }
        });
        commits.failed = written.is_err();
        written
    }
}

impl Commits {
    /// Brings the guard up to date.
    fn guard(&mut self, dir: &Path) -> Result<()> {
        if !self.guard.is_up_to_date(dir)? {
            self.guard = Guard::write(dir)?;
        }
        Ok(())
    }
}

/// Makes an empty store under another name, and gives it its own when it is complete. So whatever is in a directory with that name is
/// a store, and what is missing in it was lost: RocksDB itself takes a directory without its file CURRENT for a new one, and
/// removes what it finds in it.
fn make(dir: &Path) -> Result<()> {
    let Some(name) = dir.file_name() else {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("\"{}\" cannot be made a directory", dir.display())));
    };
    let mut name = name.to_os_string();
    name.push(".new");
    let (above, building) = (data_dir::above(dir), dir.with_file_name(name));
    data_dir::make(&RealFiles, above)?;
    if kind(&building)?.is_some() {
        fs::remove_dir_all(&building).map_err(|error| file_error("remove directory", &building, &error))?;
    }
    drop(open_database(&building, true)?);
    data_dir::sync_dir(&RealFiles, &building)?;
    RealFiles.rename(&building, dir).map_err(|error| file_error("rename directory", &building, &error))?;
    data_dir::sync_dir(&RealFiles, above)
}

fn open_database(dir: &Path, make: bool) -> Result<DB> {
    let shared = options::Shared::default();
    let mut database = options::database()?;
    database.create_if_missing(make);
    database.create_missing_column_families(make);
    let families = Space::ALL.map(|space| ColumnFamilyDescriptor::new(space.name(), options::family(space, &shared)));
    // RocksDB insists on one of this name; nothing is in it.
    let unused = ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options::family(Space::Meta, &shared));
    DB::open_cf_descriptors(&database, dir, families.into_iter().chain([unused])).map_err(|error| store_error(Doing::Open, dir, &error))
}

/// Whether there is nothing of this name, or an empty directory.
fn is_absent(dir: &Path) -> Result<bool> {
    match kind(dir)? {
        None => Ok(true),
        Some(Kind::Directory) => {
            let names = RealFiles.list(dir).map_err(|error| file_error("open directory", dir, &error))?;
            Ok(names.is_empty())
        }
        Some(Kind::File) => {
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("checkpoint store \"{}\" is not a directory", dir.display())))
        }
    }
}

fn kind(path: &Path) -> Result<Option<Kind>> {
    RealFiles.kind(path).map_err(|error| file_error("access", path, &error))
}

#[cfg(test)]
mod tests;

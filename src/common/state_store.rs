//! State outside of memory: the seam between the engine, which knows what a checkpoint is made of, and whoever keeps bytes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// The parts of a store: each has its own keys, and is tuned for what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What the last checkpoint is: few small entries.
    Meta,
    /// State of operators: many small entries, changed one by one.
    State,
    /// Pieces of served relations: few entries of up to megabytes, written once.
    Runs,
}

impl Space {
    /// All of them.
    pub const ALL: [Space; 3] = [Space::Meta, Space::State, Space::Runs];

    /// The name that it has on disk.
    pub fn name(self) -> &'static str {
        match self {
            Space::Meta => "meta",
            Space::State => "state",
            Space::Runs => "runs",
        }
    }
}

/// Entries by key, which survive a crash once they are committed.
///
/// # Contract
/// - A commit is there as a whole or not at all, whatever happens to the process or the machine.
/// - After an error of a commit nobody knows which: the store must be opened anew before it is used again.
pub trait StateStore: Send + Sync {
    /// Changes that will be committed together.
    fn begin(&self) -> Box<dyn StateBatch>;

    /// The entry of a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Hands out the entries from one key on and up to another, which is not among them, in the order of their keys, as they
    /// were when the call began; an error of `each` ends it.
    fn scan(&self, space: Space, from: &[u8], to: &[u8], each: &mut Each) -> Result<()>;

    /// Bytes on disk, about.
    fn disk_bytes(&self) -> u64;

    /// Puts a copy of what is committed into a directory that does not exist yet; files are shared where the file system can.
    fn copy_to(&self, dir: &Path) -> Result<()>;
}

/// Takes an entry: its key and its value.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Changes that will be committed together. Of two changes of one key the later one counts.
pub trait StateBatch: Send {
    /// Sets an entry.
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]);
    /// Removes an entry, if it is there.
    fn delete(&mut self, space: Space, key: &[u8]);
    /// Removes the entries from one key on and up to another, which is not among them.
    fn delete_range(&mut self, space: Space, from: &[u8], to: &[u8]);
    /// Bytes of the changes so far.
    fn bytes(&self) -> usize;
    /// Makes all of them durable: when it returns, they survive.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// A store that is gone with the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Entries>>);

type Entries = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

struct MemoryBatch {
    store: MemoryStore,
    changes: Vec<MemoryChange>,
}

enum MemoryChange {
    Put(Space, Vec<u8>, Vec<u8>),
    Delete(Space, Vec<u8>),
    DeleteRange(Space, Vec<u8>, Vec<u8>),
}

impl MemoryStore {
    /// Another store with the same entries.
    pub fn copy(&self) -> MemoryStore {
        MemoryStore(Arc::new(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }

    fn range(entries: &Entries, space: Space, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let range = (Bound::Included((space, from.to_vec())), Bound::Excluded((space, to.to_vec())));
        if from >= to { vec![] } else { entries.range(range).map(|((_, key), value)| (key.clone(), value.clone())).collect() }
    }
}

impl StateStore for MemoryStore {
    fn begin(&self) -> Box<dyn StateBatch> {
        Box::new(MemoryBatch { store: self.clone(), changes: vec![] })
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(space, key.to_vec())).cloned())
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], each: &mut Each) -> Result<()> {
        let entries = Self::range(&self.0.lock().unwrap_or_else(PoisonError::into_inner), space, from, to);
        entries.iter().try_for_each(|(key, value)| each(key, value))
    }

    fn disk_bytes(&self) -> u64 {
        0
    }

    fn copy_to(&self, _dir: &Path) -> Result<()> {
        Err(Error::unsupported("what is kept in memory only cannot be copied to a directory"))
    }
}

impl StateBatch for MemoryBatch {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.changes.push(MemoryChange::Put(space, key.to_vec(), value.to_vec()));
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.changes.push(MemoryChange::Delete(space, key.to_vec()));
    }

    fn delete_range(&mut self, space: Space, from: &[u8], to: &[u8]) {
        self.changes.push(MemoryChange::DeleteRange(space, from.to_vec(), to.to_vec()));
    }

    fn bytes(&self) -> usize {
        let bytes = |change: &MemoryChange| match change {
            MemoryChange::Put(_, a, b) | MemoryChange::DeleteRange(_, a, b) => a.len() + b.len(),
            MemoryChange::Delete(_, key) => key.len(),
        };
        self.changes.iter().map(bytes).sum()
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let mut entries = self.store.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in self.changes {
            match change {
                MemoryChange::Put(space, key, value) => drop(entries.insert((space, key), value)),
                MemoryChange::Delete(space, key) => drop(entries.remove(&(space, key))),
                MemoryChange::DeleteRange(space, from, to) => {
                    for (key, _) in MemoryStore::range(&entries, space, &from, &to) {
                        entries.remove(&(space, key));
                    }
                }
            }
        }
        Ok(())
    }
}

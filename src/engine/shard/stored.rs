//! What of a shard the last checkpoint has, and what has changed since.

use arrow::buffer::BooleanBuffer;
use weir_common::error::Result;
use weir_common::snapshot::Run;

use crate::shard::Shard;

/// What a checkpoint knows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing.
    New,
    /// All of it, under this number.
    Stored(u64),
    /// Its rows, but more of them are dead now.
    Thinned(u64),
}

/// What has changed in a shard since the last checkpoint, by numbers of runs.
#[derive(Clone, Debug, Default)]
pub struct RunChanges {
    /// Runs that are gone.
    pub removed: Vec<u64>,
    /// Runs that came, under numbers never used before.
    pub added: Vec<(u64, Run)>,
    /// Runs of which rows died: which are alive.
    pub masks: Vec<(u64, BooleanBuffer)>,
}

impl RunChanges {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.masks.is_empty()
    }
}

/// Keeps count of changes.
///
/// # Invariants
/// - `removed` are numbers that the last checkpoint has and that no run has any more; without checkpoints there are none.
pub(super) struct Stored {
    pub(super) checkpoints: bool,
    next: u64,
    removed: Vec<u64>,
    /// Bytes that the next checkpoint will write, about.
    dirty_bytes: usize,
}

impl Stored {
    pub(super) fn new(checkpoints: bool) -> Self {
        Stored { checkpoints, next: 0, removed: vec![], dirty_bytes: 0 }
    }

    /// A run of so many bytes comes.
    pub(super) fn comes(&mut self, mark: Mark, bytes: usize) {
        match mark {
            Mark::New => self.dirty_bytes += bytes,
            Mark::Stored(number) | Mark::Thinned(number) => self.next = self.next.max(number + 1),
        }
    }

    /// A run goes.
    pub(super) fn goes(&mut self, mark: Mark, bytes: usize) {
        match mark {
            Mark::New => self.dirty_bytes = self.dirty_bytes.saturating_sub(bytes),
            Mark::Stored(number) | Mark::Thinned(number) => self.removed.push(number),
        }
    }

    /// Rows of a run die; its mask takes so many bytes.
    pub(super) fn thins(&mut self, mark: &mut Mark, mask_bytes: usize) {
        if let Mark::Stored(number) = *mark {
            *mark = Mark::Thinned(number);
            self.dirty_bytes += mask_bytes;
        }
    }
}

impl Shard {
    /// Bytes that the next checkpoint will write, about.
    pub fn dirty_bytes(&self) -> usize {
        if self.stored.checkpoints { self.stored.dirty_bytes } else { 0 }
    }

    /// What has changed since the last call; from now on a checkpoint has it.
    pub fn take_changes(&mut self) -> RunChanges {
        let stored = &mut self.stored;
        let mut changes = RunChanges { removed: std::mem::take(&mut stored.removed), ..RunChanges::default() };
        for slot in self.slots.iter_mut().flatten() {
            match slot.mark {
                Mark::New => {
                    changes.added.push((stored.next, Run { rows: slot.rows.clone(), live: slot.live.clone() }));
                    slot.mark = Mark::Stored(stored.next);
                    stored.next += 1;
                }
                Mark::Thinned(number) => {
                    changes.masks.extend(slot.live.clone().map(|live| (number, live)));
                    slot.mark = Mark::Stored(number);
                }
                Mark::Stored(_) => {}
            }
        }
        stored.dirty_bytes = 0;
        changes
    }

    /// Takes back a run of a checkpoint, under its number if that checkpoint has it as it is. Before anything else is done,
    /// [`Shard::loaded`] has to know that there are no more.
    pub fn load(&mut self, number: Option<u64>, run: Run) -> Result<()> {
        let live_rows = run.live_rows();
        if live_rows == 0 {
            // A checkpoint has no such run of a shard; it is what is left of one when its rows go to several workers.
            return Ok(());
        }
        let rows = std::sync::Arc::unwrap_or_clone(run.rows);
        self.live_rows += live_rows;
        self.add_run(rows, run.live, number.map_or(Mark::New, Mark::Stored))?;
        Ok(())
    }

    /// All runs of a checkpoint are there: now their rows can be found.
    pub fn loaded(&mut self) -> Result<()> {
        self.index_anew(self.live_rows)
    }
}

//! What the next checkpoint has to write of entries with counts: those that changed, and those that went.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use weir_common::error::Result;

use crate::operator::aggregate::copied::Copied;
use crate::operator::aggregate::entries::Count;
use crate::operator::aggregate::gone::Gone;
use crate::operator::aggregate::marks::Marks;
use crate::operator::aggregate::tracked::PIECE_ROWS;
use crate::state::StateChanges;

/// The trace that changes leave.
pub(crate) struct Trace<E> {
    checkpoints: bool,
    marks: Marks,
    /// Entries whose counts changed since the last freeze; some may be there twice, or be gone.
    changed: Vec<E>,
    /// Those that had changed then and are still to be copied; some may be there twice, or be copied already.
    frozen: Vec<E>,
    /// Entries that the last checkpoint has and that are gone.
    gone: Gone,
    copied: Copied,
}

impl<E> Trace<E> {
    /// `checkpoints`: whether anybody will ask what changed.
    pub(crate) fn new(checkpoints: bool) -> Self {
        let (gone, copied) = (Gone::default(), Copied::default());
        Trace { checkpoints, marks: Marks::new(), changed: vec![], frozen: vec![], gone, copied }
    }

    /// An entry changes, or is new. Its count as it was, where a checkpoint that is being copied has yet to write it.
    pub(crate) fn changes(&mut self, count: &mut Count, entry: impl FnOnce() -> E) -> Option<i64> {
        if !self.checkpoints || !count.change(self.marks) {
            return None;
        }
        self.changed.push(entry());
        count.copy(self.marks).then(|| count.get())
    }

    /// An entry goes. Its count as it was, likewise; and whether a checkpoint has it then.
    pub(crate) fn goes(&self, count: &mut Count) -> (Option<i64>, bool) {
        (count.copy(self.marks).then(|| count.get()), count.is_stored())
    }

    /// Entries as they were, for the checkpoint that is being copied.
    pub(crate) fn keep(&mut self, rows: RecordBatch) {
        self.copied.keep(rows);
    }

    /// The keys of entries that went and that a checkpoint has.
    pub(crate) fn forget(&mut self, keys: Vec<ArrayRef>) {
        self.gone.push(keys);
    }

    /// What has changed so far is to be copied, as it is now.
    pub(crate) fn freeze(&mut self) {
        debug_assert!(self.frozen.is_empty(), "one checkpoint is copied at a time");
        self.marks.freeze();
        self.frozen = std::mem::take(&mut self.changed);
        self.gone.freeze();
        self.copied.kept = 0;
    }

    /// Copies keys that went.
    pub(crate) fn copy_gone(&mut self, key: &SchemaRef, budget: &mut usize) -> Result<()> {
        self.gone.copy(key, budget, &mut self.copied.gone)
    }

    /// The next frozen entries, each with the count that is to be copied; `copy` finds it, if it is there and not copied yet. `None` at the
    /// end of them, or of the budget.
    pub(crate) fn next_piece(&mut self, budget: &mut usize, mut copy: impl FnMut(&E, Marks) -> Option<i64>) -> Option<Vec<(E, i64)>> {
        if *budget == 0 || self.frozen.is_empty() {
            return None;
        }
        let mut piece = vec![];
        while *budget > 0
            && piece.len() < PIECE_ROWS
            && let Some(entry) = self.frozen.pop()
        {
            *budget -= 1;
            if let Some(count) = copy(&entry, self.marks) {
                piece.push((entry, count));
            }
        }
        Some(piece)
    }

    /// Entries have been copied.
    pub(crate) fn put(&mut self, rows: RecordBatch) {
        self.copied.put.push(rows);
    }

    /// Rows that could not wait for their slice, since the freeze.
    pub(crate) fn kept_rows(&self) -> usize {
        self.copied.kept
    }

    /// All that was copied; `None` where nothing changed.
    pub(crate) fn take_copied(&mut self, state: u16, part: u16) -> Option<StateChanges> {
        self.copied.take(state, part)
    }

    /// Bytes that the next checkpoint writes, about; `each`: of the row of an entry.
    pub(crate) fn bytes(&self, each: usize) -> usize {
        self.changed.len() * (each + size_of::<E>()) + self.gone.bytes()
    }
}

//! Which groups the current epoch touched, which changed since the last checkpoint, and which of those are still to be copied.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use weir_common::error::Result;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::gone::Gone;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::marks::Marks;

/// The current epoch touched it. The bits below are [`Marks`].
const TOUCHED: u8 = 4;
/// The last checkpoint has it, perhaps as it was.
const STORED: u8 = 8;

/// Rows of a piece that is handed out, at most.
pub(crate) const PIECE_ROWS: usize = 64 * 1024;

/// What is known of each slot besides its state.
///
/// # Invariants
/// - `changed` slots have the mark of what changed, `frozen` slots that of what is frozen; without checkpoints none has either.
/// - A frozen slot has the state that it had at the freeze: it is copied, or in `kept`, before that changes.
/// - `gone` has the keys of all groups that the last checkpoint has and that were released since.
pub(super) struct Tracked {
    checkpoints: bool,
    flags: Cells<u8>,
    marks: Marks,
    changed: usize,
    frozen: usize,
    /// No slot before it is frozen.
    next: usize,
    /// Slots that were frozen and are about to change.
    kept: Vec<u32>,
    gone: Gone,
}

impl Tracked {
    /// `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(checkpoints: bool) -> Self {
        let (flags, marks) = (Cells::new(), Marks::new());
        Tracked { checkpoints, flags, marks, changed: 0, frozen: 0, next: 0, kept: vec![], gone: Gone::default() }
    }

    /// Makes room for all slots.
    pub(super) fn grow(&mut self, slots: usize) {
        self.flags.grow(slots, 0);
    }

    /// Marks a group as touched; says whether it was not. Before the group changes, `kept` has to be copied.
    #[inline(always)]
    pub(super) fn touch(&mut self, slot: u32) -> bool {
        let flags = &mut self.flags[slot as usize];
        let first = *flags & TOUCHED == 0;
        if first {
            if *flags & self.marks.frozen() != 0 {
                *flags = (*flags & !self.marks.frozen()) | STORED;
                self.frozen -= 1;
                self.kept.push(slot);
            }
            *flags |= TOUCHED;
        }
        first
    }

    /// Slots that were frozen, are not any more, and have not changed yet.
    pub(super) fn kept(&self) -> &[u32] {
        &self.kept
    }

    /// What was kept is copied.
    pub(super) fn copied_kept(&mut self) {
        self.kept.clear();
    }

    /// The epoch is over for a group that stays.
    #[inline(always)]
    pub(super) fn settle(&mut self, slot: u32) {
        let flags = &mut self.flags[slot as usize];
        if self.checkpoints {
            self.changed += (*flags & self.marks.changed() == 0) as usize;
            *flags |= self.marks.changed();
        }
        *flags &= !TOUCHED;
    }

    /// The epoch is over for groups that go; their keys are still there.
    pub(super) fn release(&mut self, slots: &[u32], keys: &Keys) -> Result<()> {
        let mut stored = vec![];
        for slot in slots {
            let flags = &mut self.flags[*slot as usize];
            debug_assert_eq!(*flags & self.marks.frozen(), 0, "what goes was touched");
            self.changed -= (*flags & self.marks.changed() != 0) as usize;
            if *flags & STORED != 0 {
                stored.push(*slot);
            }
            *flags = 0;
        }
        if !stored.is_empty() {
            self.gone.push(keys.columns(&stored)?);
        }
        Ok(())
    }

    /// Groups that a restart has brought back.
    pub(super) fn load(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.flags[*slot as usize] = STORED);
    }

    /// What changed and what went so far is to be copied, as it is now.
    pub(super) fn freeze(&mut self) {
        debug_assert!(self.frozen == 0 && self.kept.is_empty(), "one checkpoint is copied at a time");
        self.marks.freeze();
        (self.frozen, self.changed, self.next) = (self.changed, 0, 0);
        self.gone.freeze();
    }

    /// The next frozen slots, as many as the budget has rows or a piece: they have to be copied now.
    pub(super) fn next_frozen(&mut self, budget: &mut usize) -> Vec<u32> {
        let most = self.frozen.min(*budget).min(PIECE_ROWS);
        let mut slots = Vec::with_capacity(most);
        while slots.len() < most {
            self.next = self.flags.next_with(self.next, self.marks.frozen()).unwrap_or(self.flags.len());
            let Some(flags) = self.flags.get_mut(self.next) else { break };
            *flags = (*flags & !self.marks.frozen()) | STORED;
            slots.push(self.next as u32);
            self.next += 1;
        }
        self.frozen -= slots.len();
        *budget -= slots.len();
        slots
    }

    /// Takes the next keys of groups that the checkpoint before had, and this one does not.
    pub(super) fn copy_gone(&mut self, schema: &SchemaRef, budget: &mut usize, into: &mut Vec<RecordBatch>) -> Result<()> {
        self.gone.copy(schema, budget, into)
    }

    /// Bytes of the slots that changed, when all of them take so many.
    pub(super) fn dirty_bytes(&self, all: usize) -> usize {
        match self.changed {
            0 => self.gone.bytes(),
            changed => (all as f64 * changed as f64 / self.flags.len() as f64) as usize + self.gone.bytes(),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.flags.memory_bytes() + self.kept.capacity() * size_of::<u32>() + self.gone.bytes()
    }
}

//! Which groups the current epoch touched, and which changed since the last checkpoint.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use weir_common::delta::batch;
use weir_common::error::Result;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::keys::Keys;

/// The current epoch touched it.
const TOUCHED: u8 = 1;
/// It changed since the last checkpoint.
const DIRTY: u8 = 2;
/// The last checkpoint has it, perhaps as it was.
const STORED: u8 = 4;

/// Rows that a checkpoint takes in one piece.
pub(super) const PIECE_ROWS: usize = 64 * 1024;

/// What is known of each slot besides its state.
///
/// # Invariants
/// - `dirty` slots have `DIRTY` set; without checkpoints none has.
/// - `gone` has the keys of all groups that the last checkpoint has and that were released since.
pub(super) struct Tracked {
    checkpoints: bool,
    flags: Cells<u8>,
    dirty: usize,
    gone: Vec<Vec<ArrayRef>>,
    gone_bytes: usize,
}

impl Tracked {
    /// `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(checkpoints: bool) -> Self {
        Tracked { checkpoints, flags: Cells::new(), dirty: 0, gone: vec![], gone_bytes: 0 }
    }

    /// Makes room for all slots.
    pub(super) fn grow(&mut self, slots: usize) {
        self.flags.grow(slots, 0);
    }

    /// Marks a group as touched; says whether it was not.
    #[inline(always)]
    pub(super) fn touch(&mut self, slot: u32) -> bool {
        let flags = &mut self.flags[slot as usize];
        let first = *flags & TOUCHED == 0;
        *flags |= TOUCHED;
        first
    }

    /// The epoch is over for a group that stays.
    #[inline(always)]
    pub(super) fn settle(&mut self, slot: u32) {
        let flags = &mut self.flags[slot as usize];
        if self.checkpoints {
            self.dirty += (*flags & DIRTY == 0) as usize;
            *flags |= DIRTY;
        }
        *flags &= !TOUCHED;
    }

    /// The epoch is over for groups that go; their keys are still there.
    pub(super) fn release(&mut self, slots: &[u32], keys: &Keys) -> Result<()> {
        let mut stored = vec![];
        for slot in slots {
            let flags = &mut self.flags[*slot as usize];
            self.dirty -= (*flags & DIRTY != 0) as usize;
            if *flags & STORED != 0 {
                stored.push(*slot);
            }
            *flags = 0;
        }
        if !stored.is_empty() {
            let columns = keys.columns(&stored)?;
            self.gone_bytes += bytes(&columns);
            self.gone.push(columns);
        }
        Ok(())
    }

    /// Groups that a restart has brought back.
    pub(super) fn load(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.flags[*slot as usize] = STORED);
    }

    /// The slots that changed, in pieces; from now on the checkpoint has them.
    pub(super) fn take_dirty(&mut self) -> Vec<Vec<u32>> {
        let mut pieces: Vec<Vec<u32>> = vec![];
        let mut slot = 0;
        while self.dirty > 0 {
            let flags = &mut self.flags[slot];
            if *flags & DIRTY != 0 {
                *flags = (*flags & !DIRTY) | STORED;
                self.dirty -= 1;
                match pieces.last_mut().filter(|piece| piece.len() < PIECE_ROWS) {
                    Some(piece) => piece.push(slot as u32),
                    None => pieces.push(vec![slot as u32]),
                }
            }
            slot += 1;
        }
        pieces
    }

    /// The keys of groups that the last checkpoint had, and this one does not.
    pub(super) fn take_gone(&mut self, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        self.gone_bytes = 0;
        gather(std::mem::take(&mut self.gone), schema)
    }

    /// Bytes of the slots that changed, when all of them take so many.
    pub(super) fn dirty_bytes(&self, all: usize) -> usize {
        if self.dirty == 0 {
            self.gone_bytes
        } else {
            (all as f64 * self.dirty as f64 / self.flags.len() as f64) as usize + self.gone_bytes
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.flags.memory_bytes() + self.gone_bytes
    }
}

/// Small pieces of columns, as large ones.
pub(super) fn gather(pieces: Vec<Vec<ArrayRef>>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let mut batches = vec![];
    let mut open: Vec<Vec<ArrayRef>> = vec![];
    let mut rows = 0;
    let join = |pieces: &[Vec<ArrayRef>], rows: usize| -> Result<RecordBatch> {
        let column = |index: usize| concat(&pieces.iter().map(|piece| piece[index].as_ref()).collect::<Vec<_>>());
        let columns = (0..schema.fields().len()).map(|index| Ok(column(index)?)).collect::<Result<Vec<_>>>()?;
        batch(schema.clone(), columns, rows)
    };
    for piece in pieces {
        rows += piece.first().map_or(0, |column| column.len());
        open.push(piece);
        if rows >= PIECE_ROWS {
            batches.push(join(&open, rows)?);
            open.clear();
            rows = 0;
        }
    }
    if rows > 0 {
        batches.push(join(&open, rows)?);
    }
    Ok(batches)
}

/// Bytes that columns take.
pub(super) fn bytes(columns: &[ArrayRef]) -> usize {
    columns.iter().map(|column| column.get_array_memory_size()).sum()
}

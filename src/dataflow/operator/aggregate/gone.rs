//! Keys that a checkpoint has and that went since: gathered as they go, frozen, and handed out in slices.

use std::collections::VecDeque;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use weir_common::delta::batch;
use weir_common::error::Result;

use crate::operator::aggregate::tracked::PIECE_ROWS;

/// Small pieces of columns.
#[derive(Default)]
pub(crate) struct Gone {
    pieces: VecDeque<Vec<ArrayRef>>,
    /// Bytes of `pieces`.
    bytes: usize,
    /// Of the checkpoint that is being copied.
    frozen: VecDeque<Vec<ArrayRef>>,
}

impl Gone {
    /// Keys that have just gone.
    pub(crate) fn push(&mut self, columns: Vec<ArrayRef>) {
        self.bytes += columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        self.pieces.push_back(columns);
    }

    /// What has gone so far is what `copy` hands out.
    pub(crate) fn freeze(&mut self) {
        debug_assert!(self.frozen.is_empty(), "one checkpoint is copied at a time");
        self.frozen = std::mem::take(&mut self.pieces);
        self.bytes = 0;
    }

    /// Takes about as many frozen keys as the budget has rows, as larger pieces.
    pub(crate) fn copy(&mut self, schema: &SchemaRef, budget: &mut usize, into: &mut Vec<RecordBatch>) -> Result<()> {
        while *budget > 0 && !self.frozen.is_empty() {
            let mut open = vec![];
            let mut rows = 0;
            while rows < PIECE_ROWS.min(*budget)
                && let Some(piece) = self.frozen.pop_front()
            {
                rows += piece.first().map_or(0, |column| column.len());
                open.push(piece);
            }
            let column = |index: usize| concat(&open.iter().map(|piece| piece[index].as_ref()).collect::<Vec<_>>());
            let columns = (0..schema.fields().len()).map(|index| Ok(column(index)?)).collect::<Result<Vec<_>>>()?;
            into.push(batch(schema.clone(), columns, rows)?);
            *budget = budget.saturating_sub(rows);
        }
        Ok(())
    }

    /// Bytes of what has gone since the last freeze.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

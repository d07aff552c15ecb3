//! What a checkpoint has copied so far of a part of a state.

use arrow::array::RecordBatch;

use crate::state::StateChanges;

#[derive(Default)]
pub(crate) struct Copied {
    /// As in [`StateChanges::gone`].
    pub(crate) gone: Vec<RecordBatch>,
    /// As in [`StateChanges::put`].
    pub(crate) put: Vec<RecordBatch>,
    /// Rows of `put` since the freeze that could not wait for their slice.
    pub(crate) kept: usize,
}

impl Copied {
    /// Rows that are about to change.
    pub(crate) fn keep(&mut self, rows: RecordBatch) {
        self.kept += rows.num_rows();
        self.put.push(rows);
    }

    /// All of it; `None` where nothing changed.
    pub(crate) fn take(&mut self, state: u16, part: u16) -> Option<StateChanges> {
        let (gone, mut put) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.put));
        put.retain(|rows| rows.num_rows() > 0);
        (!gone.is_empty() || !put.is_empty()).then_some(StateChanges { state, part, gone, put })
    }
}

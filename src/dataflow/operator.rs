//! Operators: each maintains its output while its input changes.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};

use crate::fragment::Context;
use crate::state::{StateChanges, StoredRows};
use crate::times::TimeOf;

pub(crate) mod aggregate; // one row a group
pub(crate) mod filter; // rows for which a predicate is true
pub(crate) mod hold_back; // rows for which it is too early
pub(crate) mod late; // rows for windows that are closed
pub(crate) mod project; // new columns from each row
pub(crate) mod require_event_time; // rows that are in a window at all
pub(crate) mod temporal; // rows that come and go with the wall clock
pub(crate) mod union; // rows of several inputs
pub(crate) mod windows; // a row for each window that holds it

/// One step of a fragment, on one thread.
///
/// # Contract
/// - `push` takes rows of the current epoch, any number of calls, ports in any order; its output goes to `cx.out`.
/// - `close` is called once an epoch, when it is complete on all ports and the operators above have closed; it emits
///   what depends on completeness. The state is then the state as of the epoch.
/// - An `Err` is a defect of Weir, not of a row: rows that fail go to `cx.dead`.
pub(crate) trait Operator: Send {
    /// Takes rows of the current epoch.
    fn push(&mut self, port: usize, delta: Delta, cx: &mut Context) -> Result<()>;

    /// The current epoch is complete.
    fn close(&mut self, _cx: &mut Context) -> Result<()> {
        Ok(())
    }

    /// Its state is that of an earlier run, as the watermark before its next epoch left it.
    fn resume(&mut self) {}

    /// Whether it takes out late rows.
    fn takes_late(&self) -> bool {
        false
    }

    /// The rows that it once took out, by the end of the window that they were late for.
    fn admitted(&mut self, _late: &RecordBatch) -> Result<Vec<(i64, Delta)>> {
        Err(Error::internal("an operator was given late rows that it had not taken out"))
    }

    /// The number of its state, if it has any.
    fn state(&self) -> Option<u16> {
        None
    }

    /// What changed in its state since the last call is to be copied as it is now, between two epochs; all that was frozen before
    /// has been. It costs little, however much has changed.
    fn freeze(&mut self) {}

    /// Copies more of what is frozen, about as many rows as the budget has, which it takes them from: at any time between two calls,
    /// also within an epoch. All is copied when it leaves some of the budget.
    fn copy(&mut self, _budget: &mut usize) -> Result<()> {
        Ok(())
    }

    /// Frozen rows that were copied since the freeze because they were about to change.
    fn kept_rows(&self) -> usize {
        0
    }

    /// All that was copied since the freeze; from then on a checkpoint has it.
    fn take_copied(&mut self) -> Vec<StateChanges> {
        Vec::new()
    }

    /// Takes back rows of a part of its state before its first epoch; part 0 comes first.
    fn load(&mut self, _part: u16, _columns: &[ArrayRef], _rows: usize) -> Result<()> {
        Err(Error::internal("an operator without state was given some"))
    }

    /// Where it finds rows of a part of its state that checkpoints have and it has not: for parts that are left in the store.
    fn look_up(&mut self, _part: u16, _rows: Arc<dyn StoredRows>) -> Result<()> {
        Err(Error::internal("an operator without state was told where it is"))
    }

    /// What will happen next to its state although no row comes: at which time, and a moment of that before which it does not.
    fn due(&self) -> Option<(TimeOf, i64)> {
        None
    }

    /// Bytes of state.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Bytes of state that changed since the last checkpoint, about.
    fn dirty_bytes(&self) -> usize {
        0
    }

    /// Groups in the state.
    fn groups(&self) -> usize {
        0
    }
}

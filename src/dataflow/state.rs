//! The state of operators as rows: what a checkpoint takes of them, and a restart gives back.
//!
//! An operator's state is one part or more, each a set of rows with a key. Which rows it has depends on the operator's input alone,
//! neither on the number of workers nor on what happened in which order.

use std::ops::AddAssign;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use weir_common::error::Result;

/// One part of an operator's state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpec {
    /// The operator: its number among those of the plan that have state, the same for any number of workers.
    pub state: u16,
    /// 0: the groups. From 1 on: the values that the calls keep which keep any, in order.
    pub part: u16,
    /// Of the rows, the key first.
    pub schema: SchemaRef,
    /// How many columns are the key.
    pub keys: usize,
    /// The columns of the key whose hash decides which worker has a row, where there are several.
    pub placement: Vec<usize>,
    /// Whether rows that a checkpoint has may be left there: a restart does not take them back, and the operator looks up those that it
    /// needs ([`StoredRows`]).
    pub left_in_store: bool,
}

/// The rows of a part of an operator's state that the last checkpoint has.
pub trait StoredRows: Send + Sync {
    /// Those of these keys, in any order. `keys` has the part's key columns, and no key twice.
    fn find(&self, keys: &RecordBatch) -> Result<Vec<RecordBatch>>;
}

/// What has changed in a part of an operator's state on one worker. What is gone goes before what is put comes: a key may be
/// in both.
#[derive(Clone, Debug)]
pub struct StateChanges {
    /// As in [`StateSpec::state`].
    pub state: u16,
    /// As in [`StateSpec::part`].
    pub part: u16,
    /// Keys whose rows are gone.
    pub gone: Vec<RecordBatch>,
    /// Rows that are there now, each in the place of the one with its key.
    pub put: Vec<RecordBatch>,
}

/// The size of an operator's state on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Bytes.
    pub bytes: usize,
    /// Groups.
    pub groups: usize,
    /// Bytes that the next checkpoint will write, about.
    pub dirty_bytes: usize,
}

impl AddAssign for StateSize {
    fn add_assign(&mut self, other: StateSize) {
        self.bytes += other.bytes;
        self.groups += other.groups;
        self.dirty_bytes += other.dirty_bytes;
    }
}

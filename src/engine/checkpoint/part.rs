//! What one worker hands out for a checkpoint.

use crossbeam_channel::Sender;
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_dataflow::state::StateChanges;

use crate::shard::stored::RunChanges;

/// What has changed on one worker since the last checkpoint.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) worker: usize,
    /// Of each view with changes.
    pub(crate) states: Vec<(RelationId, Vec<StateChanges>)>,
    /// Of each relation with changes.
    pub(crate) runs: Vec<(RelationId, RunChanges)>,
    /// The rows of views that are only counted: all of them, changed or not.
    pub(crate) counted: Vec<(RelationId, i64)>,
}

/// Where the parts go.
pub(crate) type Parts = Sender<Result<Part>>;

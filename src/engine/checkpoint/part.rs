//! What one worker hands out for a checkpoint.

use std::time::Duration;

use crossbeam_channel::Sender;
use weir_common::error::{Error, Result};
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
    /// Views that have stopped computing by now, and why: what is here of their state may not be all.
    pub(crate) stopped: Vec<(RelationId, Error)>,
    /// How long all of it was copied for, on the worker's thread.
    pub(crate) copying: Duration,
    /// How long the worker did nothing else at a time, at most.
    pub(crate) longest: Duration,
}

/// Where the parts go.
pub(crate) type Parts = Sender<Result<Part>>;

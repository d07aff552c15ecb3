//! What happened before a restart, and who knows what definitions mean.

use std::collections::BTreeSet;

use weir_common::epoch_log::EpochRecord;
use weir_common::error::Result;
use weir_common::expr::ExprRef;
use weir_common::ids::{Epoch, RelationId};
use weir_common::source::Watermark;

use crate::engine::{TableSpec, ViewSpec};

/// The epochs of an earlier run, to be done again.
pub struct Recovery {
    /// Their records, in order, without a gap.
    pub records: Box<dyn Iterator<Item = Result<EpochRecord>> + Send>,
    /// Relations that one of them drops: nobody can ask for them any more, so they are not made again, and need not be possible to
    /// make. What depends on them is among them.
    pub dropped: BTreeSet<RelationId>,
    /// Understands their definitions.
    pub definer: Box<dyn Definer>,
}

/// Understands the words of definitions, which the engine only logs: whoever keeps the catalog. It is told of them in order.
pub trait Definer: Send {
    /// A relation comes, or becomes other, unless it is one of those in [`Recovery::dropped`]. An error ends the recovery.
    fn made(&mut self, words: &[u8], dropped: &BTreeSet<RelationId>) -> Result<Made>;

    /// What a condition on the late rows of a view says: a boolean over their columns; `None` if it holds for all.
    fn condition(&mut self, view: RelationId, words: &str) -> Result<Option<ExprRef>>;

    /// Relations go; those that were never made are unknown.
    fn dropped(&mut self, relations: &[RelationId]);

    /// Numbers below this one have been used, also of relations that it will not hear of.
    fn numbers_below(&mut self, next: RelationId);
}

/// What a definition means to the engine.
pub enum Made {
    /// A table; one that is there has another watermark now.
    Table(TableSpec),
    /// A source, and how its watermark follows its event times, now that it is made or altered.
    Source(RelationId, Option<Watermark>),
    /// A materialized view.
    View(ViewSpec),
    /// Something that the engine need not know: a plain view, and whatever is dropped later.
    Nothing,
}

/// What a recovery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last commit; 0 for a new database.
    pub committed: Epoch,
    /// The last commit that a checkpoint had, and how many tables and views it had; `None` without a checkpoint.
    pub checkpoint: Option<(Epoch, usize)>,
    /// Epochs that were done again.
    pub epochs: u64,
    /// Rows that were read from sources once more.
    pub source_rows: u64,
}

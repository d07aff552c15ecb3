//! Checkpoints: what is in the store, and who puts it there and takes it back.
//!
//! Every worker freezes what has changed since the last checkpoint as of the end of one epoch, copies it a slice at a time while
//! later epochs go on, and hands it out: columns of groups that changed, and runs, which are immutable. The thread of [`writer`] turns
//! that into entries and commits them together with where the leader stands ([`standing`]). A restart begins with the last commit.
//!
//! # Entries
//! All numbers in keys are big endian, so that what belongs together lies together.
//!
//! | space | key | value |
//! |---|---|---|
//! | meta | `standing` | a byte for the format, then [`standing::Standing`] |
//! | meta | `letter`, number: 8 bytes | a dead letter |
//! | state | relation: 4 bytes, state: 2, part: 2, virtual group: 2, key of the row | the rest of the row |
//! | runs | relation: 4 bytes, worker: 2, run: 8, 0 | the rows, as [`weir_common::codec`] has them |
//! | runs | relation: 4 bytes, worker: 2, run: 8, 1 | which rows are alive, a bit each, the lowest first; absent where all are |
//!
//! Rows of state are as [`weir_common::row_codec`] has them. The virtual group is that of the columns which decide on what worker
//! a row is, so a start with another number of workers reads other ranges. Runs are of the worker that wrote them: when the number
//! changes, their rows are placed again, and the next checkpoint writes all of them anew.

use weir_common::error::Result;
use weir_common::ids::Epoch;
use weir_common::state_store::StateStore;

pub(crate) mod layout; // keys of entries
pub(crate) mod load; // what a restart takes back
pub(crate) mod part; // what one worker hands out
pub(crate) mod standing; // where the leader stands
pub(crate) mod stored_rows; // what operators look up
pub(crate) mod writer; // the thread that commits

/// The epoch of the last checkpoint in a store; `None` where there is none.
pub fn position(store: &dyn StateStore) -> Result<Option<Epoch>> {
    Ok(standing::read(store)?.map(|standing| standing.epoch))
}

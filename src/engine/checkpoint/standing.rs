//! Where the leader stands at a checkpoint: all that a restart needs besides rows and state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::epoch_log::{Mark, Partitions, Progress, Reading};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::state_store::{Space, StateStore};

use crate::checkpoint::layout;

#[cfg(test)]
mod tests;

/// The first byte of a standing: how the rest is written. 5 is postcard of [`Standing`]; 4 is the same without its last list, 3 without its
/// last two, 2 without its last three, 1 without its last five.
const FORMAT: u8 = 5;

/// Where the leader stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The last epoch that is in the checkpoint.
    pub(crate) epoch: Epoch,
    /// Its wall clock.
    pub(crate) wall_micros: i64,
    /// How many workers there were: their runs are in the store.
    pub(crate) workers: u32,
    /// The number of the next view's own reader.
    pub(crate) next_own_reader: u64,
    /// All numbers of relations so far are below it, also of those that are gone.
    pub(crate) relations_below: u32,
    /// What there is, in the words of whoever keeps the catalog.
    pub(crate) definitions: BTreeMap<RelationId, Vec<u8>>,
    /// What each view computes, as text.
    pub(crate) plans: BTreeMap<RelationId, String>,
    /// Which views read sources, and through which readers.
    pub(crate) readings: Vec<Reading>,
    /// Where these stand.
    pub(crate) readers: Vec<ReaderStanding>,
    /// How many dead letters of each source were told.
    pub(crate) letters_told: BTreeMap<RelationId, u64>,
    /// The numbers of the dead letters that are kept.
    pub(crate) letters: (u64, u64),
    /// How many there were, by relation and reason.
    pub(crate) letter_counts: Vec<(String, Reason, u64)>,
    /// Views that have stopped computing: SQLSTATE and message.
    pub(crate) failures: BTreeMap<RelationId, (String, String)>,
    /// The rows of views that are only counted.
    pub(crate) counted: BTreeMap<RelationId, i64>,
    /// The watermarks of readers and tables.
    pub(crate) marks: Vec<Mark>,
    /// How many rows of each source were looked at for event times that are too far ahead.
    pub(crate) rows_met: BTreeMap<RelationId, u64>,
    /// The greatest event times of tables.
    pub(crate) latest: BTreeMap<RelationId, i64>,
    /// The greatest event times of readers with several partitions.
    pub(crate) partitions: Vec<Partitions>,
    /// Views of whose late rows some were lost.
    pub(crate) late_lost: BTreeMap<RelationId, LateLost>,
}

/// Late rows of a view that there are not, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LateLost {
    /// Entries that were not kept: there were too many.
    pub(crate) dropped: u64,
    /// Entries that were discarded.
    pub(crate) discarded: u64,
}

/// Where a reader stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReaderStanding {
    pub(crate) progress: Progress,
    /// Whether all that was there had been read at some time.
    pub(crate) caught_up: bool,
}

impl Standing {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_extend(self, vec![FORMAT]).map_err(|error| Error::internal(format!("a checkpoint cannot be written: {error}")))
    }

    /// The mark of a stream, if it has one.
    pub(crate) fn mark(&self, stream: StreamId) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.stream == stream)
    }

    /// The greatest event time of each partition of a reader that stands here.
    pub(crate) fn latest_of_each(&self, progress: &Progress) -> Vec<Option<i64>> {
        let several = self.partitions.iter().find(|partitions| partitions.stream == progress.stream);
        several.map_or(vec![progress.latest], |partitions| partitions.latest.clone())
    }

    /// The reader of a stream.
    pub(crate) fn reader(&self, stream: StreamId) -> Option<&ReaderStanding> {
        self.readers.iter().find(|reader| reader.progress.stream == stream)
    }
}

/// Why a view has stopped computing, as in [`Standing::failures`].
pub(crate) fn failure(error: &Error) -> (String, String) {
    (error.sqlstate().0.to_string(), error.message().to_string())
}

/// Where the leader stood at the last checkpoint of a store.
pub(crate) fn read(store: &dyn StateStore) -> Result<Option<Standing>> {
    let damaged = |why: String| Error::new(SqlState::DATA_CORRUPTED, format!("the last checkpoint cannot be read: {why}"));
    let Some(bytes) = store.get(Space::Meta, layout::STANDING)? else { return Ok(None) };
    match bytes.split_first() {
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).map(Some).map_err(|error| damaged(error.to_string())),
        // A list of nothing is a zero.
        Some((format @ 1..FORMAT, rest)) => {
            let missing = [5, 3, 2, 1][usize::from(*format) - 1];
            postcard::from_bytes(&[rest, &[0; 5][..missing]].concat()).map(Some).map_err(|error| damaged(error.to_string()))
        }
        Some((format, _)) => Err(damaged(format!("it has format {format}")).with_hint("A newer version of Weir may have written it.")),
        None => Err(damaged("it is empty".into())),
    }
}

/// A dead letter as an entry.
pub(crate) fn encode_letter(letter: &DeadLetter) -> Result<Vec<u8>> {
    postcard::to_stdvec(letter).map_err(|error| Error::internal(format!("a dead letter cannot be written: {error}")))
}

/// The dead letters of a store, with their numbers.
pub(crate) fn letters(store: &dyn StateStore, (from, to): (u64, u64)) -> Result<Vec<DeadLetter>> {
    let mut letters = vec![];
    store.scan(Space::Meta, &layout::letter(from), &layout::letter(to), &mut |_, value| {
        let letter = postcard::from_bytes(value);
        let damaged = |error| Error::new(SqlState::DATA_CORRUPTED, format!("a stored dead letter cannot be read: {error}"));
        letters.push(letter.map_err(damaged)?);
        Ok(())
    })?;
    Ok(letters)
}

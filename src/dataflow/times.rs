//! The times of an epoch: facts that every operator sees alike, on whichever worker.

use weir_common::ids::RelationId;

/// A time that goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeOf {
    /// The watermark of a source.
    Source(RelationId),
    /// The wall clock.
    Wall,
}

/// The wall clock and the watermarks of an epoch, as the epoch log has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochTimes {
    /// `now()`: microseconds since 1970 UTC.
    pub wall_micros: i64,
    /// Each source that the view reads, directly or through others, with its watermark at the end of the epoch before and at the end
    /// of this one: microseconds since 1970 UTC, `i64::MAX` when the source has ended.
    pub watermarks: Vec<(RelationId, Option<i64>, Option<i64>)>,
    /// Of the sources that have ended: the watermark that they had come to, microseconds since 1970 UTC.
    pub ended: Vec<(RelationId, i64)>,
}

impl EpochTimes {
    /// No time has passed: nothing is late and nothing closes.
    pub const NONE: EpochTimes = EpochTimes { wall_micros: i64::MIN, watermarks: Vec::new(), ended: Vec::new() };

    /// The watermark by which rows of this epoch are late; `i64::MIN` where there is none.
    pub fn before(&self, source: RelationId) -> i64 {
        self.of(source).and_then(|(_, before, _)| *before).unwrap_or(i64::MIN)
    }

    /// The watermark at the end of this epoch, by which windows close; `i64::MIN` where there is none.
    pub fn after(&self, source: RelationId) -> i64 {
        self.of(source).and_then(|(.., after)| *after).unwrap_or(i64::MIN)
    }

    /// The watermark that a source had come to before it ended, if it has.
    pub fn came_to(&self, source: RelationId) -> Option<i64> {
        self.ended.iter().find(|(id, _)| *id == source).map(|(_, watermark)| *watermark)
    }

    fn of(&self, source: RelationId) -> Option<&(RelationId, Option<i64>, Option<i64>)> {
        self.watermarks.iter().find(|(id, ..)| *id == source)
    }
}

//! The epoch log: what went into every epoch, written before the epoch opens, so that a replay gives the same answers.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::source::Position;

/// Everything that an epoch's outcome depends on, besides the state before it.
#[derive(Clone, Debug)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// Wall clock, microseconds since 1970 UTC: the `now()` of the epoch.
    pub wall_micros: i64,
    /// The watermark of every source reader as of the end of the previous epoch, microseconds.
    pub watermarks: Arc<[(StreamId, i64)]>,
    /// Where each reader stands after this epoch.
    pub positions: Vec<(StreamId, Position)>,
    /// What was written to tables.
    pub writes: Vec<(RelationId, Delta)>,
}

/// Keeps epoch records. The durable one comes with recovery; the seam is here from the start.
pub trait EpochLog: Send {
    /// Appends a record; the epoch opens only after this returned.
    fn append(&mut self, record: EpochRecord) -> Result<()>;
}

/// Records that a restart forgets; it keeps the latest few for inspection.
#[derive(Default)]
pub struct MemoryLog {
    records: VecDeque<EpochRecord>,
}

/// Records that [`MemoryLog`] keeps.
pub const MEMORY_LOG_RECORDS_MAX: usize = 16;

impl EpochLog for MemoryLog {
    fn append(&mut self, record: EpochRecord) -> Result<()> {
        if let Some(last) = self.records.back() {
            assert!(record.epoch > last.epoch, "epochs are in order: {} after {}", record.epoch, last.epoch);
            for (stream, watermark) in record.watermarks.iter() {
                let before = last.watermarks.iter().find(|(other, _)| other == stream);
                debug_assert!(before.is_none_or(|(_, before)| watermark >= before), "the watermark of {stream:?} stepped back");
            }
        }
        if self.records.len() == MEMORY_LOG_RECORDS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record);
        Ok(())
    }
}

//! The epoch log: what went into every epoch. Whatever the state after an epoch depends on, besides the state before it, is in
//! its record, so that a replay gives the same answers at the same commit numbers.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ids::{Epoch, RelationId, StreamId};
use crate::source::Position;

/// What went into one epoch, in the order in which it takes effect: joins, definitions, late rows, rows; then views become readable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch. The next record's is one more.
    pub epoch: Epoch,
    /// Wall clock, microseconds since 1970 UTC: the `now()` of the epoch; never less than the last one's.
    pub wall_micros: i64,
    /// Views' own readers that gave way to the shared one.
    pub joins: Vec<StreamId>,
    /// What came and went.
    pub definitions: Vec<Definition>,
    /// What the materialized views among them read of sources.
    pub readings: Vec<Reading>,
    /// Where readers stand after this epoch: those that moved.
    pub progress: Vec<Progress>,
    /// Rows written to tables.
    pub writes: Vec<Written>,
    /// Views that have been filled, and can be read from this epoch on.
    pub lives: Vec<RelationId>,
    /// Views whose late rows were admitted, before all other rows of the epoch, or discarded.
    pub admitted: Vec<RelationId>,
    /// What the wall clock did to readers: their watermarks and rows after this epoch, where it did something.
    pub marks: Vec<Mark>,
    /// Which of the views in `admitted` took only those late rows that a condition holds for, in the words of whoever keeps the catalog.
    pub conditions: Vec<(RelationId, String)>,
    /// Of the readers in `progress`, those that read several partitions.
    pub partitions: Vec<Partitions>,
    /// Which of the views in `admitted` did not use these late rows, and only let them go.
    pub discarded: Vec<RelationId>,
    /// Views that had as many late rows as are kept: none of this epoch were added.
    pub full: Vec<RelationId>,
}

/// Rows written to a table, in one piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The table.
    pub table: RelationId,
    /// The rows and their weights, as [`crate::codec`] has them.
    #[serde(with = "bytes")]
    pub rows: Vec<u8>,
}

/// Bytes in one piece; serde would take them for a list of numbers.
mod bytes {
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// A change of what exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    /// A relation comes, in the words of whoever keeps the catalog, or one that is there becomes other. A materialized view is there for
    /// everybody once it is among [`EpochRecord::lives`]; everything else at once.
    Made {
        /// The relation.
        relation: RelationId,
        /// What it is.
        #[serde(with = "bytes")]
        words: Vec<u8>,
    },
    /// Relations go, what depends on others first.
    Dropped(Vec<RelationId>),
}

/// A view reads a source from its start on, through this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The view.
    pub view: RelationId,
    /// The source.
    pub source: RelationId,
    /// The reader's stream: the source's shared one, or one of the view's own.
    pub stream: StreamId,
}

/// Where a reader of a source stands: all totals since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The reader's stream.
    pub stream: StreamId,
    /// Its position, behind the rows and dead letters that are counted here.
    pub position: Position,
    /// Rows given out.
    pub rows: u64,
    /// Dead letters given out.
    pub dead: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The greatest event time of all partitions, microseconds.
    pub latest: Option<i64>,
    /// Whether all that was there had been read.
    pub idle: bool,
    /// Whether the source had come to its end.
    pub ended: bool,
}

/// How far the event times of a reader with several partitions have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// The reader's stream.
    pub stream: StreamId,
    /// The greatest event time of each partition, microseconds.
    pub latest: Vec<Option<i64>>,
}

/// What the wall clock has to do with where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The reader's stream; in a checkpoint also that of a table.
    pub stream: StreamId,
    /// Its watermark, microseconds since 1970 UTC: that of its rows, or later if it was idle.
    pub watermark: Option<i64>,
    /// Rows since its start that were dated too far ahead of the wall clock; [`Progress::rows`] counts them too.
    pub future: u64,
}

/// Told once: the record, and all before it, are durable, or why they never will be.
pub type Synced = Box<dyn FnOnce(Result<()>) + Send>;

/// Keeps epoch records.
pub trait EpochLog: Send {
    /// Takes a record, whose epoch follows that of the last one. `synced` is told when it will survive whatever happens to the
    /// process or the machine, on any thread, in the order of the records; until then nobody may see the epoch's outcome.
    fn append(&mut self, record: EpochRecord, synced: Synced);

    /// A checkpoint has all epochs before this one: their records are not needed any more.
    fn drop_before(&mut self, epoch: Epoch);
}

/// A log that a restart forgets.
#[derive(Debug, Default)]
pub struct Forgetful;

impl EpochLog for Forgetful {
    fn append(&mut self, _record: EpochRecord, synced: Synced) {
        synced(Ok(()));
    }

    fn drop_before(&mut self, _epoch: Epoch) {}
}

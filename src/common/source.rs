//! Where rows come from: the seam between connectors and the engine.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::dead_letter::DeadLetter;
use crate::error::Result;
#[cfg(doc)]
use crate::limits::READER_IDLE_MILLIS_MAX;
use crate::limits::{IDLE_TIMEOUT_SECONDS, MAX_FUTURE_SECONDS};
use crate::origins::Origins;

/// Where a reader stands: the connector's own words, opaque to the engine, equal iff the same rows have been read. The empty one,
/// [`Position::default`], is the source's start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position(pub String);

impl Position {
    /// Whether it is the source's start, before the first row.
    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }
}

/// How a watermark follows the event times of a relation; all lengths are microseconds, 0 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The column of the event time.
    pub column: usize,
    /// How far it stays behind the greatest event time.
    pub delay: i64,
    /// How long a source gives nothing before it is idle.
    pub idle_timeout: i64,
    /// How far ahead of the wall clock an event time may be.
    pub max_future: i64,
}

impl Watermark {
    /// Of a column, with this delay and without more being said.
    pub fn of(column: usize, delay: i64) -> Self {
        Watermark { column, delay, idle_timeout: IDLE_TIMEOUT_SECONDS * 1_000_000, max_future: MAX_FUTURE_SECONDS * 1_000_000 }
    }
}

/// Rows that a reader hands over in one piece.
#[derive(Clone, Debug)]
pub struct SourceBatch {
    /// The partition that all of it is of, from 0; 0 where there is one.
    pub partition: u32,
    /// The rows, in the source's declared schema.
    pub rows: RecordBatch,
    /// Where each of them comes from, as a dead letter of it would say; `None` where the connector cannot tell.
    pub origins: Option<Arc<Origins>>,
    /// Records between these rows that could not be decoded.
    pub dead: Vec<DeadLetter>,
    /// Where the reader stands after this batch.
    pub position: Position,
    /// Bytes read from outside for it, after decompression.
    pub bytes: u64,
}

/// What came of asking a reader for more.
#[derive(Clone, Debug)]
pub enum Read {
    /// Rows.
    Batch(SourceBatch),
    /// All that is there has been read, and more may come; said again and again while nothing does, at least every
    /// [`READER_IDLE_MILLIS_MAX`], so that a reader that is dropped ends soon.
    Idle,
    /// One partition has been read to its end while others go on, and more may come; said when it comes there, and no harm if it is said again.
    /// When the last one comes there, [`Read::Idle`] is said as well.
    PartitionIdle(u32),
    /// Something outside cannot be reached for now, so nobody knows whether there is more; said again and again while that is so, as
    /// [`Read::Idle`] is. It ends with rows, or when [`Read::Idle`] or [`Read::PartitionIdle`] is said anew.
    Unreachable,
    /// A finite source was read to its end; nothing follows, ever.
    End,
}

/// Reads one source from a position on. It runs on a thread of its own and may block.
///
/// # Contract
/// - Reading from the start twice gives the same rows in the same order, as long as the outside did not change.
/// - A record that cannot be decoded becomes a [`DeadLetter`] and reading goes on.
/// - An `Err` means that the source cannot go on by itself; the engine shows it in `weir.sources` and stops the reader.
pub trait SourceReader: Send {
    /// The next piece; blocks until there is one, or [`Read::Idle`] has to be said.
    fn next(&mut self) -> Result<Read>;
    /// How many parts with event times that rise by themselves it reads, as far as it knows: one that has given nothing yet holds the
    /// watermark back until it is idle. Asked after each piece; it never becomes less.
    fn partitions(&self) -> u32 {
        1
    }
}

/// A declared source: knows how to open readers.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// The rows' schema: the declared columns, all nullable.
    fn schema(&self) -> SchemaRef;
    /// Whether the source has an end; a finite source can be read as a batch by a SELECT.
    fn finite(&self) -> bool;
    /// Whether a reader tells when it has read all that is there: by [`Read::End`], or by [`Read::Idle`] where more may come. Until
    /// then, views over it are filling.
    fn catches_up(&self) -> bool {
        self.finite()
    }
    /// Looks outside whether the source can be read as declared, for the statement that declares it: what is wrong is said there, and
    /// not by a reader's thread. A source that was declared before is there whatever this says.
    fn check(&self) -> Result<()> {
        Ok(())
    }
    /// Opens a reader at a position.
    ///
    /// # Contract
    /// - [`Position::default`] is the source's start.
    /// - Any position that a reader of this source has handed out continues exactly behind the rows and dead letters that it covers:
    ///   the same rows and dead letters follow as they did there, in batches that may be cut elsewhere, as long as the outside did not
    ///   change. Positions outlive the process: a source that is declared again in the same words takes them.
    /// - Any other position, and one whose rows the outside no longer has, is an error.
    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>>;
    /// Opens a reader of what lies between two positions that one reader handed out, `from` and later `to`, and of nothing else; it
    /// comes to an end. The rows may be in another order. `None` where a reader from `from` on gives the same rows in the same order
    /// whenever it is opened, so that counting them is enough: that is not so where several things grow side by side.
    fn between(&self, _from: &Position, _to: &Position) -> Result<Option<Box<dyn SourceReader>>> {
        Ok(None)
    }
}

/// Sources are shared between the catalog, the engine and ad-hoc reads.
pub type SourceRef = Arc<dyn Source>;

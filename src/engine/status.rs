//! What can be asked about sources and views: the facts behind the relations of schema `weir`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::Error;
use weir_common::ids::{Epoch, RelationId};

/// Why views stopped computing, by view.
pub type Failures = Arc<Mutex<BTreeMap<RelationId, Error>>>;

/// A reader of a source.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The source.
    pub source: RelationId,
    /// The view whose own reader it is; `None` for the shared one.
    pub view: Option<RelationId>,
    /// Rows read.
    pub rows: u64,
    /// Bytes read, decompressed.
    pub bytes: u64,
    /// Records that became dead letters.
    pub dead_letters: u64,
    /// Where it stands, in the connector's words.
    pub position: String,
    /// Whether all that there is has been read, and can be seen in views; of a finite source that is the end.
    pub at_end: bool,
    /// The watermark, microseconds since 1970 UTC; `None` before the first event time, or without a watermark.
    pub watermark: Option<i64>,
    /// Why it stopped, if it did.
    pub error: Option<String>,
}

/// A materialized view.
#[derive(Clone, Debug)]
pub struct ViewStatus {
    /// The view.
    pub view: RelationId,
    /// Whether it still takes in what was there when it was created.
    pub filling: bool,
    /// Rows that are served; of a view that keeps none, those that were counted.
    pub rows: u64,
    /// Bytes of served rows and their index.
    pub served_bytes: u64,
    /// Bytes of operator state.
    pub state_bytes: u64,
    /// Groups in operator state.
    pub groups: u64,
    /// The watermark of its event time, microseconds since 1970 UTC.
    pub watermark: Option<i64>,
    /// Why it stopped computing, if it did.
    pub error: Option<String>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The latest committed epoch.
    pub committed: Epoch,
    /// Epochs opened and not committed.
    pub in_flight: usize,
    /// Epochs committed since the start.
    pub epochs: u64,
    /// How often the clock has waited because too much was waiting for views that were being filled.
    pub pauses: u64,
    /// Every reader of every source.
    pub sources: Vec<SourceStatus>,
    /// Every view.
    pub views: Vec<ViewStatus>,
    /// Every table with its rows.
    pub tables: Vec<(RelationId, u64)>,
    /// The latest dead letters, oldest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Dead letters since the start, by relation and reason, those that are kept no longer included.
    pub dead_letter_counts: BTreeMap<(String, Reason), u64>,
}

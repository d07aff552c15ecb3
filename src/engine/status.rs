//! What can be asked about sources and views: the facts behind the relations of schema `weir`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::Error;
use weir_common::ids::{Epoch, RelationId};
use weir_dataflow::state::StateSize;

use crate::times::Times;

/// Why views stopped computing, by view.
pub type Failures = Arc<Mutex<BTreeMap<RelationId, Error>>>;

/// A reader of a source.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The source.
    pub source: RelationId,
    /// The view whose own reader it is; `None` for the shared one.
    pub view: Option<RelationId>,
    /// Rows given to views.
    pub rows: u64,
    /// Bytes read, decompressed.
    pub bytes: u64,
    /// Records that became dead letters, those that are dated too far ahead included.
    pub dead_letters: u64,
    /// Where it stands, in the connector's words.
    pub position: String,
    /// Whether all that there is has been read, and can be seen in views; of a finite source that is the end.
    pub at_end: bool,
    /// The watermark, microseconds since 1970 UTC; `None` before the first event time, or without a watermark.
    pub watermark: Option<i64>,
    /// The wall clock at which its watermark moved last, microseconds since 1970 UTC, as far as this run knows.
    pub watermark_moved: Option<i64>,
    /// The wall clock since which its watermark goes on by itself, microseconds since 1970 UTC; `None` while it does not.
    pub idle_since: Option<i64>,
    /// Its partitions, where it has several and a watermark, and has not come to its end.
    pub partitions: Vec<PartitionStatus>,
    /// How long its thread was held up because nobody took what it had read, microseconds, in this run.
    pub held_up: i64,
    /// Why it stopped, if it did.
    pub error: Option<String>,
}

/// A partition of a source with several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// What its rows promise, microseconds since 1970 UTC; `None` before the first event time.
    pub watermark: Option<i64>,
    /// The wall clock since which the watermark of the source does not wait for it, microseconds since 1970 UTC; `None` while it does.
    pub idle_since: Option<i64>,
    /// Whether it is the one that the watermark of the source waits for.
    pub holds_back: bool,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct TableStatus {
    /// The table.
    pub table: RelationId,
    /// Its rows.
    pub rows: u64,
    /// Its watermark, microseconds since 1970 UTC; `None` before the first event time. The outer one: where none is declared.
    pub watermark: Option<Option<i64>>,
    /// The wall clock at which that moved last, as far as this run knows.
    pub watermark_moved: Option<i64>,
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
    /// How often its operators were given the chance to work, over all workers: a view that no row reaches is left alone.
    pub turns: u64,
    /// The watermark of its event time, microseconds since 1970 UTC.
    pub watermark: Option<i64>,
    /// The source or table that its watermark waits for, and the wall clock since which that one stands where it is.
    pub held_back_by: Option<(RelationId, Option<i64>)>,
    /// Rows that came too late for its windows in this run, also those that were admitted or cancelled since; an epoch that a restart
    /// does again counts.
    pub late_rows: u64,
    /// Late rows that were not kept since it was made, because there were as many as are kept.
    pub late_dropped: u64,
    /// Why it stopped computing, if it did.
    pub error: Option<String>,
}

/// What an operator of a view, or the served rows of a table or view, take in memory, over all workers.
#[derive(Clone, Debug)]
pub struct OperatorStatus {
    /// The table or view.
    pub relation: RelationId,
    /// The fragment of the view's plan, from 0; `None` for served rows.
    pub fragment: Option<usize>,
    /// What it does, as EXPLAIN has it.
    pub operator: Arc<str>,
    /// Its state.
    pub size: StateSize,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The wall clock, microseconds since 1970 UTC.
    pub wall_micros: i64,
    /// The latest committed epoch.
    pub committed: Epoch,
    /// How long the oldest epoch that is not committed has been open; 0 while there is none.
    pub processing_lag: Duration,
    /// Epochs opened and not committed.
    pub in_flight: usize,
    /// Epochs committed since the start.
    pub epochs: u64,
    /// How long each of them took from its opening to its commit.
    pub epoch_times: Times,
    /// How long in each one's time workers copied state for a checkpoint.
    pub epoch_waits: Times,
    /// How often the clock has waited because too much was waiting for views that were being filled.
    pub pauses: u64,
    /// How often workers have looked for something to do: while there is nothing, they do not look.
    pub worker_turns: u64,
    /// Every reader of every source.
    pub sources: Vec<SourceStatus>,
    /// Every view.
    pub views: Vec<ViewStatus>,
    /// Every operator of every view, and the served rows of every table and view.
    pub operators: Vec<OperatorStatus>,
    /// Every table.
    pub tables: Vec<TableStatus>,
    /// The latest dead letters, oldest first.
    pub dead_letters: Vec<DeadLetter>,
    /// Dead letters since the start, by relation and reason, those that are kept no longer included.
    pub dead_letter_counts: BTreeMap<(String, Reason), u64>,
    /// Bytes that tables and views may take together, if there is a limit.
    pub memory_limit: Option<u64>,
    /// The latest checkpoints of this run, oldest first.
    pub checkpoints: Vec<CheckpointStatus>,
    /// How many there were in this run, by reason, those that are told no longer included.
    pub checkpoint_counts: BTreeMap<CheckpointWhy, u64>,
    /// The last epoch of the last checkpoint that is in the store, of whatever run; a restart begins there.
    pub checkpointed: Option<Epoch>,
    /// Subscriptions that are going on, by relation.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// Parts of commits that workers left for subscribers since the start: what subscriptions cost them.
    pub subscription_parts: u64,
    /// Subscriptions that were cut since the start because the client was too slow.
    pub subscriptions_cut: u64,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionStatus {
    /// What it is to; a relation that no catalog has is the temporary view of a query.
    pub relation: RelationId,
    /// The last commit with changes that it was given, or the one that it started at; `None` while it starts.
    pub commit: Option<Epoch>,
    /// Commits with changes that it has not taken yet.
    pub commits_behind: u64,
    /// Rows of these.
    pub rows_behind: u64,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckpointStatus {
    /// The last epoch that is in it.
    pub epoch: Epoch,
    /// When it began, microseconds since 1970 UTC.
    pub wall_micros: i64,
    /// Why it was taken.
    pub why: CheckpointWhy,
    /// From its begin until it was durable.
    pub duration: Duration,
    /// How long a worker did nothing but copy state for it at a time, at most.
    pub pause: Duration,
    /// How long a worker copied state for it in all, at most.
    pub copying: Duration,
    /// Entries that it changed in the store.
    pub keys: u64,
    /// Their bytes, before compression.
    pub bytes: u64,
}

/// Why a checkpoint is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointWhy {
    /// It was time.
    #[default]
    Interval,
    /// Much had changed.
    Size,
    /// Somebody asked for it.
    Asked,
    /// Tables and views came near the memory limit, or a view was stopped there.
    Memory,
}

impl Status {
    /// Bytes that tables and views take: what is held against the memory limit.
    pub fn memory_bytes(&self) -> u64 {
        self.operators.iter().map(|operator| operator.size.bytes as u64).sum()
    }
}

impl CheckpointWhy {
    /// The word in `weir.checkpoints.why`.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckpointWhy::Interval => "interval",
            CheckpointWhy::Size => "size",
            CheckpointWhy::Asked => "asked",
            CheckpointWhy::Memory => "memory",
        }
    }
}

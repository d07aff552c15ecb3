//! The lane: the one ordered sequence of messages from the leader to every worker, and the workers' answers.
//!
//! In one process it is a channel for each worker, filled by one thread; every worker therefore applies the same
//! commands, opens, commits and reads in the same order.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::expr::ExprRef;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::snapshot::Run;
use weir_dataflow::lower::DataflowPlan;
use weir_dataflow::state::StateSize;
use weir_dataflow::times::{EpochTimes, TimeOf};

use arrow::datatypes::SchemaRef;

use crate::checkpoint::load::Loader;
use crate::checkpoint::part::Parts;
use crate::feed::Feed;

/// A message to every worker.
#[derive(Clone)]
pub enum LaneMessage {
    /// An epoch and its input.
    Open(Arc<OpenEpoch>),
    /// Every worker is done with the epoch: serve it.
    Committed {
        /// Its number.
        epoch: Epoch,
        /// When, microseconds since 1970 UTC.
        wall_micros: i64,
    },
    /// A table exists from here on.
    CreateTable {
        /// The table's stream.
        stream: StreamId,
        /// Its columns.
        schema: SchemaRef,
        /// The columns that decide on which worker a row lives.
        placement: Arc<[usize]>,
        /// Where its rows are, if a checkpoint has some.
        restoring: Option<Restoring>,
    },
    /// A source reader exists from here on; its rows are passed on and not kept.
    CreateReader(StreamId),
    /// A view exists from here on and starts to fill.
    CreateView(Arc<NewView>),
    /// Every worker has filled the view: it takes part in epochs from here on.
    ViewLive(RelationId),
    /// The view computes no more, and lets go of its state and its rows.
    Stop {
        /// The view.
        view: RelationId,
        /// Why.
        error: Error,
    },
    /// Streams, and the dataflows that feed them, are gone from here on.
    Drop(Arc<[StreamId]>),
    /// The view reads from another stream of the same source, which stands at the same position.
    Rebind {
        /// The view.
        view: RelationId,
        /// Its own reader's stream.
        from: StreamId,
        /// The shared reader's.
        to: StreamId,
    },
    /// Answer with the served runs of these streams.
    Peek {
        /// What to read.
        streams: Arc<[StreamId]>,
        /// The watermarks of what each of them is made of, as of the last commit.
        watermarks: Arc<[Watermarks]>,
        /// Where the answer goes.
        reply: UnboundedSender<Result<PeekReply>>,
    },
    /// The next epoch is the last one of a checkpoint: hand out what has changed by its end. No view is being filled, and the part of
    /// the checkpoint before has been handed out.
    Checkpoint {
        /// The next epoch.
        cut: Epoch,
        /// Where the part goes.
        parts: Parts,
    },
    /// Answer as to a [`LaneMessage::Peek`] of one stream, and leave what later commits change in it.
    Subscribe {
        /// What is subscribed to.
        stream: StreamId,
        /// Where its changes go.
        feed: Arc<Feed>,
        /// Where the answer goes.
        reply: UnboundedSender<Result<PeekReply>>,
    },
    /// End the worker.
    Shutdown,
}

/// Sources and tables, each with its watermark.
pub type Watermarks = Vec<(RelationId, Option<i64>)>;

/// A relation comes back from a checkpoint.
#[derive(Clone)]
pub struct Restoring {
    /// From where.
    pub(crate) loader: Loader,
    /// The rows of a view that is only counted.
    pub(crate) counted: i64,
    /// Told by each worker once it has what it needs, or why it cannot have it.
    pub(crate) loaded: crossbeam_channel::Sender<Result<()>>,
}

/// Rows, and the worker that takes them; `None`: every worker takes those that it owns.
pub type Dealt = (Option<usize>, Delta);

/// A view whose late rows are admitted or discarded.
#[derive(Clone)]
pub struct Admitted {
    /// The view.
    pub view: RelationId,
    /// Which of them; all where nothing is said.
    pub condition: Option<ExprRef>,
    /// Whether they only go, and are not used.
    pub discards: bool,
    /// Whether those stay of which an equal one is taken back.
    pub certain_only: bool,
}

/// How many late rows were admitted or discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateTaken {
    /// Entries that went.
    pub entries: u64,
    /// Entries that were meant and stay: those of rows that are taken back, where it is not known any more whether they ever were in a
    /// window, and those that are equal to one of these.
    pub left: u64,
    /// Entries that were never kept since the view was made: there were too many.
    pub dropped: u64,
}

/// The late rows of a view on one worker.
#[derive(Clone, Copy, Debug)]
pub struct LateCount {
    /// The view.
    pub view: RelationId,
    /// Entries that there are as of the end of an epoch.
    pub entries: u64,
    /// Entries that were not kept since this was told last.
    pub dropped: u64,
}

/// An epoch as the workers get it.
pub struct OpenEpoch {
    /// Its number.
    pub epoch: Epoch,
    /// Rows for each stream that has any. Rows of readers name the worker that takes them; rows of tables are shown to
    /// all, and each takes those that it owns.
    pub inputs: Vec<(StreamId, Vec<Dealt>)>,
    /// The live views that the inputs reach, every view after those it reads.
    pub affected: Vec<RelationId>,
    /// The times of the epoch, for the views that depend on them: those that are affected, and those that fill.
    pub times: BTreeMap<RelationId, Arc<EpochTimes>>,
    /// Views whose late rows are admitted or discarded.
    pub admitted: Vec<Admitted>,
    /// Views that have as many late rows as are kept: none of this epoch are added.
    pub full: Vec<RelationId>,
}

/// What a worker needs to build a view's dataflow.
pub struct NewView {
    /// The view.
    pub id: RelationId,
    /// The relation of its late rows, if it has any.
    pub late: Option<RelationId>,
    /// Its name.
    pub name: String,
    /// Its fragments.
    pub plan: Arc<DataflowPlan>,
    /// The stream that stands for each import of the plan.
    pub imports: Vec<StreamId>,
    /// The committed epoch at whose state it starts.
    pub at: Epoch,
    /// The wall clock of that epoch, or a later one that no epoch has passed yet.
    pub wall_micros: i64,
    /// Whether its rows are kept, or only counted.
    pub keep: bool,
    /// Whether no checkpoint has it.
    pub temporary: bool,
    /// Where its rows and its state are, if a checkpoint has them: then it need not be filled.
    pub restoring: Option<Restoring>,
    /// Why it computes no more, if it stopped before a restart: then nothing of it is taken back.
    pub stopped: Option<Error>,
}

/// One worker's part of a read.
pub struct PeekReply {
    /// The committed epoch that it shows.
    pub epoch: Epoch,
    /// The runs, in the order of the streams asked for.
    pub runs: Vec<Vec<Run>>,
    /// Those of [`LaneMessage::Peek`].
    pub watermarks: Arc<[Watermarks]>,
}

/// What workers tell the leader.
pub enum Report {
    /// All that the epoch reaches has been computed on this worker.
    Done {
        /// The epoch.
        epoch: Epoch,
        /// Rows that could not be used.
        dead: Vec<DeadLetter>,
        /// How long the worker copied state for a checkpoint meanwhile.
        copying: Duration,
        /// Late rows of the views that the epoch reaches.
        late: Vec<LateCount>,
    },
    /// So many late rows are admitted or discarded in the epoch on this worker; told before it is done.
    Admitted(Epoch, LateTaken),
    /// A filling view has caught up with the latest open epoch on this worker.
    CaughtUp(RelationId),
    /// Too many rows wait for filling views on this worker (or no longer): no epoch should be opened meanwhile.
    Behind(bool),
    /// More has changed since the last checkpoint than should wait for the next one.
    Dirty,
    /// What its tables and views take has grown or shrunk so much that the memory limit may be concerned.
    Resized,
    /// The worker ended because of a panic: nothing can be trusted any more.
    Died(String),
}

/// The leader's end of the lane.
pub struct Lane {
    workers: Vec<(crossbeam_channel::Sender<LaneMessage>, Thread)>,
}

impl Lane {
    /// A lane to these workers' inboxes; each thread is woken after a send.
    pub fn new(workers: Vec<(crossbeam_channel::Sender<LaneMessage>, Thread)>) -> Self {
        Lane { workers }
    }

    /// How many workers listen.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Sends a message to every worker.
    pub fn send(&self, message: LaneMessage) {
        for (inbox, thread) in &self.workers {
            // A worker that has gone is reported by itself; there is nobody to tell here.
            let _ = inbox.send(message.clone());
            thread.unpark();
        }
    }
}

/// What a table or view holds on one worker.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// Live rows that are served, or that were counted.
    pub rows: usize,
    /// Served runs and their index; they have no groups.
    pub served: StateSize,
    /// The state of each operator, fragment after fragment.
    pub operators: Vec<StateSize>,
    /// Of a view: what will happen next although no row comes: at which times, and a moment of each before which it does not.
    pub due: BTreeMap<TimeOf, i64>,
    /// Of a view: rows that came too late, also those that were admitted or cancelled since. Counted on as `turns`.
    pub late_rows: Arc<AtomicU64>,
    /// Of a view: how often timely has let its dataflow work. Counted on, whether or not the rest is told anew.
    pub turns: Arc<AtomicU64>,
}

impl ShardStats {
    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.served.bytes + self.state().bytes
    }

    /// All operators together.
    pub fn state(&self) -> StateSize {
        let mut total = StateSize::default();
        self.operators.iter().for_each(|operator| total += *operator);
        total
    }

    /// Bytes of rows and state that the next checkpoint will write, about.
    pub fn dirty_bytes(&self) -> usize {
        self.served.dirty_bytes + self.state().dirty_bytes
    }

    /// A checkpoint has all of it.
    pub fn saved(&mut self) {
        self.served.dirty_bytes = 0;
        self.operators.iter_mut().for_each(|operator| operator.dirty_bytes = 0);
    }
}

/// What one worker tells of itself.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// How often it has looked for something to do.
    pub turns: AtomicU64,
    /// What it holds.
    pub shards: Mutex<BTreeMap<StreamId, ShardStats>>,
}

/// The workers' published statistics.
pub type StatsBoard = Arc<Vec<WorkerStats>>;

//! The lane: the one ordered sequence of messages from the leader to every worker, and the workers' answers.
//!
//! In one process it is a channel for each worker, filled by one thread; every worker therefore applies the same
//! commands, opens, commits and reads in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Thread;

use tokio::sync::mpsc::UnboundedSender;
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::snapshot::Run;
use weir_dataflow::lower::DataflowPlan;

use arrow::datatypes::SchemaRef;

/// A message to every worker.
#[derive(Clone)]
pub enum LaneMessage {
    /// An epoch and its input.
    Open(Arc<OpenEpoch>),
    /// Every worker is done with the epoch: serve it.
    Committed(Epoch),
    /// A table exists from here on.
    CreateTable {
        /// The table's stream.
        stream: StreamId,
        /// Its columns.
        schema: SchemaRef,
        /// The columns that decide on which worker a row lives.
        placement: Arc<[usize]>,
    },
    /// A source reader exists from here on; its rows are passed on and not kept.
    CreateReader(StreamId),
    /// A view exists from here on and starts to fill.
    CreateView(Arc<NewView>),
    /// Every worker has filled the view: it takes part in epochs from here on.
    ViewLive(RelationId),
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
        /// Where the answer goes.
        reply: UnboundedSender<Result<PeekReply>>,
    },
    /// End the worker.
    Shutdown,
}

/// Rows, and the worker that takes them; `None`: every worker takes those that it owns.
pub type Dealt = (Option<usize>, Delta);

/// An epoch as the workers get it.
pub struct OpenEpoch {
    /// Its number.
    pub epoch: Epoch,
    /// Rows for each stream that has any. Rows of readers name the worker that takes them; rows of tables are shown to
    /// all, and each takes those that it owns.
    pub inputs: Vec<(StreamId, Vec<Dealt>)>,
    /// The live views that the inputs reach, every view after those it reads.
    pub affected: Vec<RelationId>,
}

/// What a worker needs to build a view's dataflow.
pub struct NewView {
    /// The view.
    pub id: RelationId,
    /// Its name.
    pub name: String,
    /// Its fragments.
    pub plan: Arc<DataflowPlan>,
    /// The stream that stands for each import of the plan.
    pub imports: Vec<StreamId>,
    /// The committed epoch at whose state it starts.
    pub at: Epoch,
    /// Whether its rows are kept, or only counted.
    pub keep: bool,
}

/// One worker's part of a read.
pub struct PeekReply {
    /// The committed epoch that it shows.
    pub epoch: Epoch,
    /// The runs, in the order of the streams asked for.
    pub runs: Vec<Vec<Run>>,
}

/// What workers tell the leader.
pub enum Report {
    /// All that the epoch reaches has been computed on this worker.
    Done {
        /// The epoch.
        epoch: Epoch,
        /// Rows that could not be used.
        dead: Vec<DeadLetter>,
    },
    /// A filling view has caught up with the latest open epoch on this worker.
    CaughtUp(RelationId),
    /// Too many rows wait for filling views on this worker (or no longer): no epoch should be opened meanwhile.
    Behind(bool),
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

/// What a view holds on one worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardStats {
    /// Live rows that are served, or that were counted.
    pub rows: usize,
    /// Bytes of served runs and their index.
    pub served_bytes: usize,
    /// Bytes of operator state.
    pub state_bytes: usize,
    /// Groups in operator state.
    pub groups: usize,
}

/// The workers' published statistics: one map a worker.
pub type StatsBoard = Arc<Vec<std::sync::Mutex<BTreeMap<StreamId, ShardStats>>>>;

//! The leader: the epoch clock. One thread that puts writes, source batches, definitions and reads in one order.
//!
//! # Cadence
//! Idle, nothing runs: the thread waits for a message. The first row opens an epoch at once. While an epoch is in flight
//! what arrives is gathered, and opens with the next one (group commit), or earlier when a large epoch's worth of source
//! rows is waiting; so epochs grow with the load and shrink with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use tokio::sync::{mpsc, oneshot, watch};
use weir_common::clock::Clock;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::Delta;
use weir_common::epoch_log::{Definition, EpochLog, Reading};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::{BATCH_ROWS_MAX, EPOCH_SOURCE_ROWS_MAX, EPOCHS_IN_FLIGHT_MAX};
use weir_common::source::Watermark;

use crate::checkpoint::writer::{self, Written};
use crate::engine::{Condition, Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::event_clock::EventClock;
use crate::feed::{Feed, FeedCounters, FeedLimits, Seat};
use crate::keys::{KeyChange, KeyIndex};
use crate::lane::{Lane, LaneMessage, LateTaken, PeekReply, Report, StatsBoard};
use crate::leader::checkpoint::Checkpoints;
use crate::leader::epoch::InFlight;
use crate::leader::late::LateKept;
use crate::leader::marks::Marks;
use crate::leader::memory::Memory;
use crate::leader::readers::ReaderState;
use crate::pacer::Pacer;
use crate::recovery::Recovered;
use crate::status::{CheckpointWhy, Failures, Status};
use crate::times::Times;
use weir_dataflow::lower::DataflowPlan;

mod answer; // how things stand
mod checkpoint; // when checkpoints are taken
mod define; // tables and views come and go
mod memory; // the memory limit
mod epoch; // an epoch from its opening to its commit
mod replay; // epochs of an earlier run
mod restore; // from a checkpoint
mod readers; // the readers of sources
mod subscribe; // feeds, and temporary views
mod marks; // watermarks, epoch by epoch
mod late; // how many late rows are kept

/// What reaches the leader.
pub enum Message {
    /// From a worker.
    Report(usize, Report),
    /// A reader has something.
    Ready,
    /// The log holds the epoch's record for good, or never will.
    Synced(Epoch, Result<()>),
    /// A transaction's writes; answered when they are committed.
    Write(Vec<TableWrite>, oneshot::Sender<Result<Epoch>>),
    /// Would these writes be refused?
    Check(Vec<TableWrite>, oneshot::Sender<Result<()>>),
    /// A change of what exists; carried out while no epoch is in flight.
    Ddl(Ddl),
    /// A read, passed on in the lane.
    Peek(Arc<[StreamId]>, mpsc::UnboundedSender<Result<PeekReply>>),
    /// A subscription: its rows go where those of a read go, its seat to whoever waits for it.
    Subscribe(StreamId, mpsc::UnboundedSender<Result<PeekReply>>, oneshot::Sender<Seat>),
    /// A checkpoint is wanted.
    Checkpoint(oneshot::Sender<Result<()>>),
    /// It is time for a checkpoint.
    CheckpointDue,
    /// The moment has come that the leader has asked for: a time may have gone on by itself.
    Tick,
    /// A checkpoint is in the store, or never will be.
    Checkpointed(Result<Written>),
    /// A question.
    Status(oneshot::Sender<Status>),
    /// The end.
    Shutdown,
}

/// A change of what exists.
pub enum Ddl {
    /// A new table with its first rows.
    CreateTable { spec: TableSpec, rows: Option<Delta>, words: Vec<u8>, reply: oneshot::Sender<Result<()>> },
    /// A new view.
    CreateView { spec: ViewSpec, words: Vec<u8>, reply: oneshot::Sender<Result<()>> },
    /// What the engine need not make; it removes what is dropped.
    Define(Vec<Definition>, Option<oneshot::Sender<Result<()>>>),
    /// The watermark of a source or table is to follow its event times in another way.
    SetWatermark { relation: RelationId, watermark: Watermark, words: Vec<u8>, reply: oneshot::Sender<Result<()>> },
    /// A temporary view is not needed any more.
    DropTemporary(RelationId),
    /// A view's own reader has caught up with the shared one.
    Join(StreamId),
    /// The late rows of a view are to go into its windows, or to go; answered with how many there were, when that is committed.
    AdmitLate(Admission),
}

/// Late rows of a view that are to go into its windows, or only to go.
pub struct Admission {
    /// The view.
    pub view: RelationId,
    /// Which of them; all where there is none.
    pub condition: Option<Condition>,
    /// Whether they only go, and are not used.
    pub discards: bool,
    /// Whether whoever reads the view relies on its results: then nobody may.
    pub is_final: bool,
    /// Told how many there were.
    pub reply: oneshot::Sender<Result<LateTaken>>,
}

/// Streams of views' own readers are numbered from here on, beyond all relation numbers.
const OWN_READERS_FROM: u64 = 1 << 32;

struct Leader {
    clock: Arc<dyn Clock>,
    log: Box<dyn EpochLog>,
    lane: Lane,
    to_self: mpsc::UnboundedSender<Message>,
    stats: StatsBoard,
    failures: Failures,
    tables: BTreeMap<RelationId, Table>,
    views: BTreeMap<RelationId, View>,
    readers: BTreeMap<StreamId, ReaderState>,
    next_own_reader: u64,
    /// How many of each source's undecodable records have become dead letters, whichever reader met them first.
    letters_told: BTreeMap<RelationId, u64>,
    /// How many of each source's rows some reader has met: those of them that are dated too far ahead have been told.
    rows_met: BTreeMap<RelationId, u64>,
    /// Which worker takes the next batch.
    next_worker: usize,
    /// Which reader is drained first in the next epoch, so that none starves.
    first_reader: usize,
    /// Whether a `Ready` is on its way, so that readers send no second one.
    ready: Arc<AtomicBool>,
    ddl: VecDeque<Ddl>,
    /// How the watermarks of relations follow their event times, where that was changed: a view may have been planned before.
    watermarks: BTreeMap<RelationId, Watermark>,
    /// The watermarks as of the last commit.
    committed_marks: Marks,
    /// Definitions that were carried out, for the record of the next epoch.
    definitions: Vec<Definition>,
    /// Who waits for their commit.
    defined: Vec<oneshot::Sender<Result<()>>>,
    /// What the new views among them read.
    readings: Vec<Reading>,
    /// Own readers that gave way to the shared one since the last record.
    joins: Vec<StreamId>,
    /// The late rows that the next epoch admits or discards.
    admission: Option<Admission>,
    /// Rows of new tables, for the next epoch.
    first_rows: Vec<(RelationId, Delta)>,
    /// Writes that came after a definition that still waits, and subscriptions to results that are being changed: they are looked at when
    /// that is done.
    deferred: VecDeque<Message>,
    writes: Vec<(Vec<TableWrite>, oneshot::Sender<Result<Epoch>>)>,
    /// Views that every worker has filled; the next epoch includes them and makes them live.
    filled: BTreeSet<RelationId>,
    open: VecDeque<InFlight>,
    next: Epoch,
    epochs: u64,
    /// How long epochs took from their opening to their commit.
    epoch_times: Times,
    /// How long workers copied state for a checkpoint in each epoch's time.
    epoch_waits: Times,
    /// Workers on which too many rows wait for filling views; no epoch opens meanwhile.
    behind: BTreeSet<usize>,
    pauses: u64,
    last_wall_micros: i64,
    /// Whether the wall clock of the epoch that is about to open is in another tick than that of the one before.
    clock_ticks: bool,
    /// Whether epochs of an earlier run are done again: then records say what happens, and nothing is logged.
    replaying: bool,
    /// Who wakes it when a time may have gone on by itself; for when that is asked, and whether an epoch is to come for its sake.
    pacer: Option<Pacer>,
    tick_asked: Option<Instant>,
    ticked: bool,
    checkpoints: Option<Checkpoints>,
    memory: Option<Memory>,
    /// The changes of relations that are subscribed to.
    feeds: BTreeMap<StreamId, Arc<Feed>>,
    feed_limits: FeedLimits,
    feed_counters: Arc<FeedCounters>,
    /// What there is, in the words of its definitions.
    words: BTreeMap<RelationId, Vec<u8>>,
    /// All numbers of relations so far are below it.
    relations_below: u32,
    /// The number of the first of `dead_letters`.
    letters_from: u64,
    dead_letters: VecDeque<DeadLetter>,
    dead_letter_counts: BTreeMap<(String, Reason), u64>,
}

struct Table {
    schema: SchemaRef,
    keys: Option<KeyIndex>,
    /// How its watermark follows what is written, and where it is.
    watermark: Option<(Watermark, EventClock)>,
}

struct View {
    /// The streams that it reads.
    inputs: BTreeSet<StreamId>,
    /// The readers that its rows come from, also through other views, by source.
    readers: BTreeMap<RelationId, BTreeSet<StreamId>>,
    /// The relation of its late rows, if it has any.
    late: Option<RelationId>,
    /// How many of them there are.
    late_kept: LateKept,
    /// Whether it depends on the times of epochs, besides its rows.
    timed: bool,
    /// Whether it depends on the wall clock.
    clocked: bool,
    /// What the plan says about its event times.
    event_times: Vec<weir_common::plan::EventTime>,
    /// Whether its rows are kept, or only counted.
    keep: bool,
    /// Whether neither the log nor a checkpoint has it.
    temporary: bool,
    plan: Arc<DataflowPlan>,
    /// Its operators in words, each with its fragment.
    operators: Vec<(usize, Arc<str>)>,
    filling: Option<Filling>,
}

struct Filling {
    caught_up: usize,
    /// Who created it; nobody after a restart.
    reply: Option<oneshot::Sender<Result<()>>>,
}

/// What the leader tells the one who started it.
pub struct News {
    /// Once: what was recovered; from then on the engine can be used.
    pub recovered: crossbeam_channel::Sender<Result<Recovered>>,
    /// Why the engine cannot go on.
    pub died: watch::Sender<Option<Error>>,
}

/// Runs until `Shutdown`, or until a worker dies.
pub fn run(
    config: EngineConfig,
    lane: Lane,
    mut messages: mpsc::UnboundedReceiver<Message>,
    to_self: mpsc::UnboundedSender<Message>,
    stats: StatsBoard,
    failures: Failures,
    news: News,
) {
    let checkpoints = config.checkpoints.as_ref().map(|checkpoints| {
        let (jobs, thread) = writer::start(checkpoints.store.clone(), checkpoints.interval, to_self.clone())?;
        Ok(Checkpoints::new(jobs, thread))
    });
    let started = checkpoints.transpose().and_then(|checkpoints| Ok((checkpoints, Some(Pacer::start(to_self.clone())?))));
    let ((checkpoints, pacer), unstarted) = match started {
        Ok(started) => (started, None),
        Err(error) => ((None, None), Some(error)),
    };
    let mut leader = Leader {
        clock: config.clock,
        log: config.log,
        lane,
        to_self,
        stats,
        failures,
        tables: BTreeMap::new(),
        views: BTreeMap::new(),
        readers: BTreeMap::new(),
        next_own_reader: OWN_READERS_FROM,
        letters_told: BTreeMap::new(),
        rows_met: BTreeMap::new(),
        next_worker: 0,
        first_reader: 0,
        ready: Arc::default(),
        ddl: VecDeque::new(),
        watermarks: BTreeMap::new(),
        committed_marks: Marks::new(),
        definitions: vec![],
        defined: vec![],
        readings: vec![],
        joins: vec![],
        admission: None,
        first_rows: vec![],
        deferred: VecDeque::new(),
        writes: vec![],
        filled: BTreeSet::new(),
        open: VecDeque::new(),
        next: Engine::FIRST_EPOCH,
        epochs: 0,
        epoch_times: Times::default(),
        epoch_waits: Times::default(),
        behind: BTreeSet::new(),
        pauses: 0,
        last_wall_micros: 0,
        clock_ticks: false,
        replaying: false,
        pacer,
        tick_asked: None,
        ticked: false,
        checkpoints,
        memory: config.memory_limit.map(Memory::new),
        feeds: BTreeMap::new(),
        feed_limits: config.feeds,
        feed_counters: Arc::default(),
        words: BTreeMap::new(),
        relations_below: 0,
        letters_from: 0,
        dead_letters: VecDeque::new(),
        dead_letter_counts: BTreeMap::new(),
    };
    let store = config.checkpoints.map(|checkpoints| checkpoints.store);
    let recovered = match (unstarted, config.recovery) {
        (Some(error), _) => Err(error),
        (None, None) => Ok(Recovered::default()),
        (None, Some(recovery)) => leader.recover(recovery, store, &mut messages),
    };
    let failed = recovered.is_err();
    // Whoever starts the engine waits for this.
    let _ = news.recovered.send(recovered);
    if failed {
        leader.end();
        return;
    }
    // Rows may have waited since before a restart.
    leader.ask_for_tick();
    while let Some(message) = messages.blocking_recv() {
        let mut message = Some(message);
        // Take all that is there before opening an epoch, so that concurrent writes share one.
        while let Some(next) = message.take().or_else(|| messages.try_recv().ok()) {
            match leader.handle(next) {
                Next::GoOn => {}
                Next::Stop => return leader.end(),
                Next::Fail(error) => {
                    tracing::error!(%error, "the engine cannot go on");
                    // Before the replies are dropped that somebody waits for: they are told why.
                    let _ = news.died.send(Some(error));
                    return leader.end();
                }
            }
        }
        if let Err(error) = leader.advance() {
            tracing::error!(%error, "an epoch cannot be opened");
            let _ = news.died.send(Some(because("an epoch cannot be opened", &error)));
            return leader.end();
        }
        leader.ask_for_tick();
    }
}

enum Next {
    GoOn,
    Stop,
    Fail(Error),
}

/// What cannot be done, and why.
fn because(what: &str, error: &Error) -> Error {
    error.clone().with_message(format!("{what}: {}", error.message()))
}

impl Leader {
    /// Ends readers and workers.
    fn end(&mut self) {
        self.readers.clear();
        self.lane.send(LaneMessage::Shutdown);
        if let Some(Checkpoints { jobs, thread, .. }) = self.checkpoints.take() {
            drop(jobs);
            // Its last commit may still be under way.
            let _ = thread.join();
        }
    }

    fn handle(&mut self, message: Message) -> Next {
        match message {
            Message::Report(_, Report::Admitted(epoch, taken)) => self.admitted(epoch, taken),
            Message::Report(_, Report::Done { epoch, dead, copying, late }) => self.done(epoch, dead, copying, late),
            Message::Report(_, Report::CaughtUp(view)) => self.caught_up(view),
            Message::Report(worker, Report::Behind(true)) => {
                self.behind.insert(worker);
                self.pauses += 1;
            }
            Message::Report(worker, Report::Behind(false)) => {
                self.behind.remove(&worker);
            }
            Message::Report(worker, Report::Died(reason)) => {
                return Next::Fail(Error::internal(format!("worker {worker} panicked: {reason}")));
            }
            Message::Synced(epoch, Ok(())) => self.synced(epoch),
            Message::Synced(_, Err(error)) => return Next::Fail(because("the epoch log cannot be written", &error)),
            Message::Report(_, Report::Dirty) => self.checkpoint_due(CheckpointWhy::Size),
            Message::Report(_, Report::Resized) => self.look_at_memory(),
            Message::Checkpoint(reply) => self.checkpoint_asked(reply),
            Message::CheckpointDue => self.checkpoint_due(CheckpointWhy::Interval),
            Message::Tick => self.tick(),
            Message::Checkpointed(Ok(written)) => self.checkpointed(written),
            Message::Checkpointed(Err(error)) => return Next::Fail(because("a checkpoint cannot be written", &error)),
            Message::Ready => self.ready.store(false, Ordering::SeqCst),
            Message::Write(..) | Message::Check(..) if !self.ddl.is_empty() => self.deferred.push_back(message),
            Message::Write(writes, reply) => match self.check_room(&writes).and_then(|()| self.check_keys(&writes)) {
                Ok(changes) => {
                    self.apply_keys(changes);
                    self.writes.push((writes, reply));
                }
                Err(error) => answer(reply, Err(error)),
            },
            Message::Check(writes, reply) => {
                let checked = self.check_room(&writes).and_then(|()| self.check_keys(&writes)).map(|_| ());
                answer(reply, checked);
            }
            Message::Ddl(ddl) => self.ddl.push_back(ddl),
            Message::Peek(streams, reply) => {
                // A relation that has just been dropped: the reply channel closes, and the reader says so.
                if let Some(error) = streams.iter().find_map(|stream| self.failure(*stream).or_else(|| self.not_kept(*stream))) {
                    // A reader that has gone away does not want its answer.
                    let _ = reply.send(Err(error));
                } else if streams.iter().all(|stream| self.exists(*stream)) {
                    let watermarks = streams.iter().map(|stream| self.watermarks_of(*stream)).collect();
                    self.lane.send(LaneMessage::Peek { streams, watermarks, reply });
                }
            }
            Message::Subscribe(stream, ..) if self.changes_what_is_final(stream) => self.deferred.push_back(message),
            Message::Subscribe(stream, reply, seat) => {
                if let Some(seated) = self.subscribe(stream, reply) {
                    answer(seat, seated);
                }
            }
            Message::Status(reply) => answer(reply, self.status()),
            Message::Shutdown => return Next::Stop,
        }
        Next::GoOn
    }

    fn exists(&self, stream: StreamId) -> bool {
        let Ok(id) = u32::try_from(stream.0).map(RelationId) else { return false };
        self.tables.contains_key(&id) || self.views.contains_key(&id) || self.view_of_late(id).is_some()
    }

    /// The view whose late rows this relation has.
    fn view_of_late(&self, late: RelationId) -> Option<(RelationId, &View)> {
        self.views.range(..late).next_back().filter(|(_, view)| view.late == Some(late)).map(|(id, view)| (*id, view))
    }

    /// Why a view cannot be read: it, or one that it reads, has stopped computing.
    fn failure(&self, stream: StreamId) -> Option<Error> {
        let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if failures.is_empty() {
            return None;
        }
        let mut waiting = vec![stream];
        while let Some(stream) = waiting.pop() {
            let id = RelationId(u32::try_from(stream.0).ok()?);
            // Late rows go with their view.
            let id = self.view_of_late(id).map_or(id, |(view, _)| view);
            if let Some(error) = failures.get(&id) {
                let message = format!("a materialized view has stopped computing: {}", error.message());
                let hint = match error.sqlstate() {
                    SqlState::OUT_OF_MEMORY => memory::HINT,
                    _ => "See weir.views.error; drop the view and create it anew.",
                };
                return Some(Error::new(error.sqlstate(), message).with_hint(hint));
            }
            waiting.extend(
                self.views.get(&id).into_iter().flat_map(|view| view.inputs.iter().copied()).filter(|input| input.0 < OWN_READERS_FROM),
            );
        }
        None
    }

    /// Why a view cannot be read that is only counted.
    fn not_kept(&self, stream: StreamId) -> Option<Error> {
        let id = RelationId(u32::try_from(stream.0).ok()?);
        let counted = self.views.get(&id).is_some_and(|view| !view.keep);
        counted.then(|| {
            Error::unsupported("the rows of this materialized view are counted and not kept")
                .with_hint("It was made to measure with; weir.views.rows has the count.")
        })
    }

    /// Checks a transaction's keys against all writes before it.
    fn check_keys(&self, writes: &[TableWrite]) -> Result<Vec<(RelationId, KeyChange)>> {
        let mut changes = vec![];
        for write in writes {
            let table = self.tables.get(&write.table).ok_or_else(|| {
                Error::new(SqlState::UNDEFINED_TABLE, format!("relation with OID {} does not exist", write.table))
                    .with_hint("It was dropped while the statement ran.")
            })?;
            if let Some(keys) = &table.keys {
                changes.push((write.table, keys.check(&write.delta)?));
            }
        }
        Ok(changes)
    }

    fn apply_keys(&mut self, changes: Vec<(RelationId, KeyChange)>) {
        for (table, change) in changes {
            if let Some(keys) = self.tables.get_mut(&table).and_then(|table| table.keys.as_mut()) {
                keys.apply(change);
            }
        }
    }

    /// Does whatever can be done now: definitions while nothing is in flight, then the next epoch.
    fn advance(&mut self) -> Result<()> {
        loop {
            self.skip_checkpoint();
            if !self.ddl.is_empty() {
                if !self.open.is_empty() {
                    return Ok(());
                }
                // What was written before the definition comes before it: a table is not dropped under its rows.
                if !self.writes.is_empty() {
                    return self.open_epoch();
                }
                // Only one view's late rows are admitted in an epoch: it is said how many they were.
                while self.admission.is_none()
                    && let Some(ddl) = self.ddl.pop_front()
                {
                    self.define(ddl);
                }
                for message in std::mem::take(&mut self.deferred) {
                    self.handle(message);
                }
            }
            if !self.should_open() {
                return Ok(());
            }
            self.open_epoch()?;
        }
    }

    fn should_open(&self) -> bool {
        // A checkpoint is of the next epoch, which comes for its sake if nothing else is on the way.
        if !self.definitions.is_empty() || self.admission.is_some() || (self.open.is_empty() && self.cuts()) {
            return true;
        }
        if !self.behind.is_empty() && self.filled.is_empty() {
            return false;
        }
        let waiting_rows: usize = self.readers.values().map(ReaderState::waiting).sum::<usize>() * BATCH_ROWS_MAX;
        if self.open.is_empty() {
            return !self.writes.is_empty() || !self.filled.is_empty() || waiting_rows > 0 || self.ticked;
        }
        self.open.len() < EPOCHS_IN_FLIGHT_MAX && waiting_rows >= EPOCH_SOURCE_ROWS_MAX / 2
    }

    fn caught_up(&mut self, id: RelationId) {
        let workers = self.lane.workers();
        if let Some(filling) = self.views.get_mut(&id).and_then(|view| view.filling.as_mut()) {
            filling.caught_up += 1;
            if filling.caught_up == workers {
                self.filled.insert(id);
            }
        }
    }
}

/// Answers; whoever asked may have gone away, which is their right.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

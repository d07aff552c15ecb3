//! The leader: the epoch clock. One thread that puts writes, source batches, definitions and reads in one order.
//!
//! # Cadence
//! Idle, nothing runs: the thread waits for a message. The first row opens an epoch at once. While an epoch is in flight
//! what arrives is gathered, and opens with the next one (group commit), or earlier when a large epoch's worth of source
//! rows is waiting; so epochs grow with the load and shrink with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use weir_common::clock::Clock;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::{BATCH_ROWS_MAX, DEAD_LETTERS_MAX, EPOCH_SOURCE_ROWS_MAX, EPOCHS_IN_FLIGHT_MAX};

use crate::engine::{Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::keys::{KeyChange, KeyIndex};
use crate::lane::{Dealt, Lane, LaneMessage, OpenEpoch, PeekReply, Report, StatsBoard};
use crate::leader::readers::ReaderState;
use crate::log::{EpochLog, EpochRecord};
use crate::status::{Failures, Status};

mod answer; // how things stand
mod define; // tables and views come and go
mod readers; // the readers of sources

/// What reaches the leader.
pub enum Message {
    /// From a worker.
    Report(usize, Report),
    /// A reader has something.
    Ready,
    /// A transaction's writes; answered when they are committed.
    Write(Vec<TableWrite>, oneshot::Sender<Result<Epoch>>),
    /// Would these writes be refused?
    Check(Vec<TableWrite>, oneshot::Sender<Result<()>>),
    /// A change of what exists; carried out while no epoch is in flight.
    Ddl(Ddl),
    /// A read, passed on in the lane.
    Peek(Arc<[StreamId]>, mpsc::UnboundedSender<Result<PeekReply>>),
    /// A question.
    Status(oneshot::Sender<Status>),
    /// The end.
    Shutdown,
}

/// A change of what exists.
pub enum Ddl {
    /// A new table.
    CreateTable(TableSpec, oneshot::Sender<Result<()>>),
    /// A new view.
    CreateView(ViewSpec, oneshot::Sender<Result<()>>),
    /// Tables, views and sources that go.
    Drop(Vec<RelationId>, oneshot::Sender<Result<()>>),
    /// A view's own reader has caught up with the shared one.
    Join(StreamId),
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
    /// Which worker takes the next batch.
    next_worker: usize,
    /// Which reader is drained first in the next epoch, so that none starves.
    first_reader: usize,
    /// Whether a `Ready` is on its way, so that readers send no second one.
    ready: Arc<AtomicBool>,
    ddl: VecDeque<Ddl>,
    /// Writes that came after a definition that still waits: they are looked at when it is done.
    deferred: VecDeque<Message>,
    writes: Vec<(Vec<TableWrite>, oneshot::Sender<Result<Epoch>>)>,
    /// Views that every worker has filled; the next epoch includes them and makes them live.
    filled: BTreeSet<RelationId>,
    open: VecDeque<InFlight>,
    next: Epoch,
    epochs: u64,
    /// Workers on which too many rows wait for filling views; no epoch opens meanwhile.
    behind: BTreeSet<usize>,
    pauses: u64,
    last_wall_micros: i64,
    dead_letters: VecDeque<DeadLetter>,
    dead_letter_counts: BTreeMap<(String, Reason), u64>,
}

struct Table {
    keys: Option<KeyIndex>,
}

struct View {
    /// The streams that it reads.
    inputs: BTreeSet<StreamId>,
    /// The readers that its rows come from, also through other views, by source.
    readers: BTreeMap<RelationId, BTreeSet<StreamId>>,
    /// What the plan says about its event times.
    event_times: Vec<weir_common::plan::EventTime>,
    /// Whether its rows are kept, or only counted.
    keep: bool,
    filling: Option<Filling>,
}

struct Filling {
    caught_up: usize,
    reply: oneshot::Sender<Result<()>>,
}

struct InFlight {
    epoch: Epoch,
    waiting: usize,
    writes: Vec<oneshot::Sender<Result<Epoch>>>,
    lives: Vec<(RelationId, oneshot::Sender<Result<()>>)>,
    dead: Vec<DeadLetter>,
    source_rows: usize,
}

/// Runs until `Shutdown`, or until a worker dies.
pub fn run(
    config: EngineConfig,
    lane: Lane,
    mut messages: mpsc::UnboundedReceiver<Message>,
    to_self: mpsc::UnboundedSender<Message>,
    stats: StatsBoard,
    failures: Failures,
    died: watch::Sender<Option<String>>,
) {
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
        next_worker: 0,
        first_reader: 0,
        ready: Arc::default(),
        ddl: VecDeque::new(),
        deferred: VecDeque::new(),
        writes: vec![],
        filled: BTreeSet::new(),
        open: VecDeque::new(),
        next: Engine::FIRST_EPOCH,
        epochs: 0,
        behind: BTreeSet::new(),
        pauses: 0,
        last_wall_micros: 0,
        dead_letters: VecDeque::new(),
        dead_letter_counts: BTreeMap::new(),
    };
    while let Some(message) = messages.blocking_recv() {
        let mut message = Some(message);
        // Take all that is there before opening an epoch, so that concurrent writes share one.
        while let Some(next) = message.take().or_else(|| messages.try_recv().ok()) {
            match leader.handle(next) {
                Next::GoOn => {}
                Next::Stop => {
                    leader.readers.clear();
                    leader.lane.send(LaneMessage::Shutdown);
                    return;
                }
                Next::Fail(reason) => {
                    tracing::error!(reason, "the engine cannot go on");
                    let _ = died.send(Some(reason));
                    leader.readers.clear();
                    leader.lane.send(LaneMessage::Shutdown);
                    return;
                }
            }
        }
        if let Err(error) = leader.advance() {
            tracing::error!(%error, "the epoch log cannot be written");
            let _ = died.send(Some(format!("the epoch log cannot be written: {error}")));
            leader.lane.send(LaneMessage::Shutdown);
            return;
        }
    }
}

enum Next {
    GoOn,
    Stop,
    Fail(String),
}

impl Leader {
    fn handle(&mut self, message: Message) -> Next {
        match message {
            Message::Report(_, Report::Done { epoch, dead }) => self.done(epoch, dead),
            Message::Report(_, Report::CaughtUp(view)) => self.caught_up(view),
            Message::Report(worker, Report::Behind(true)) => {
                self.behind.insert(worker);
                self.pauses += 1;
            }
            Message::Report(worker, Report::Behind(false)) => {
                self.behind.remove(&worker);
            }
            Message::Report(worker, Report::Died(reason)) => return Next::Fail(format!("worker {worker} panicked: {reason}")),
            Message::Ready => self.ready.store(false, Ordering::SeqCst),
            Message::Write(..) | Message::Check(..) if !self.ddl.is_empty() => self.deferred.push_back(message),
            Message::Write(writes, reply) => match self.check_keys(&writes) {
                Ok(changes) => {
                    self.apply_keys(changes);
                    self.writes.push((writes, reply));
                }
                Err(error) => answer(reply, Err(error)),
            },
            Message::Check(writes, reply) => {
                let checked = self.check_keys(&writes).map(|_| ());
                answer(reply, checked);
            }
            Message::Ddl(ddl) => self.ddl.push_back(ddl),
            Message::Peek(streams, reply) => {
                // A relation that has just been dropped: the reply channel closes, and the reader says so.
                if let Some(error) = streams.iter().find_map(|stream| self.failure(*stream).or_else(|| self.not_kept(*stream))) {
                    // A reader that has gone away does not want its answer.
                    let _ = reply.send(Err(error));
                } else if streams.iter().all(|stream| self.exists(*stream)) {
                    self.lane.send(LaneMessage::Peek { streams, reply });
                }
            }
            Message::Status(reply) => answer(reply, self.status()),
            Message::Shutdown => return Next::Stop,
        }
        Next::GoOn
    }

    fn exists(&self, stream: StreamId) -> bool {
        u32::try_from(stream.0).is_ok_and(|id| self.tables.contains_key(&RelationId(id)) || self.views.contains_key(&RelationId(id)))
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
            if let Some(error) = failures.get(&id) {
                let message = format!("a materialized view has stopped computing: {}", error.message());
                return Some(Error::new(error.sqlstate(), message).with_hint("See weir.views.error; drop the view and create it anew."));
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
            if !self.ddl.is_empty() {
                if !self.open.is_empty() {
                    return Ok(());
                }
                // What was written before the definition comes before it: a table is not dropped under its rows.
                if !self.writes.is_empty() {
                    return self.open_epoch();
                }
                while let Some(ddl) = self.ddl.pop_front() {
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
        if !self.behind.is_empty() && self.filled.is_empty() {
            return false;
        }
        let waiting_rows: usize = self.readers.values().map(ReaderState::waiting).sum::<usize>() * BATCH_ROWS_MAX;
        if self.open.is_empty() {
            return !self.writes.is_empty() || !self.filled.is_empty() || waiting_rows > 0;
        }
        self.open.len() < EPOCHS_IN_FLIGHT_MAX && waiting_rows >= EPOCH_SOURCE_ROWS_MAX / 2
    }

    fn open_epoch(&mut self) -> Result<()> {
        let epoch = self.next;
        self.last_wall_micros = self.last_wall_micros.max(self.clock.wall_micros());
        let wall_micros = self.last_wall_micros;
        // As of the end of the previous epoch: taken before this epoch's rows are looked at.
        let watermarks: Arc<[(StreamId, i64)]> =
            self.readers.iter().filter_map(|(stream, reader)| Some((*stream, reader.watermark()?))).collect();
        let mut flight = InFlight { epoch, waiting: self.lane.workers(), writes: vec![], lives: vec![], dead: vec![], source_rows: 0 };
        let mut inputs: BTreeMap<StreamId, Vec<Dealt>> = BTreeMap::new();
        let mut written = vec![];
        for (writes, reply) in self.writes.drain(..) {
            for write in writes {
                written.push((write.table, write.delta.clone()));
                inputs.entry(write.table.into()).or_default().push((None, write.delta));
            }
            flight.writes.push(reply);
        }
        self.drain_readers(&mut flight, &mut inputs, wall_micros);
        let positions = self.readers.iter().map(|(stream, reader)| (*stream, reader.position.clone())).collect();
        self.log.append(EpochRecord { epoch, wall_micros, watermarks, positions, writes: written })?;

        for view in std::mem::take(&mut self.filled) {
            if let Some(filling) = self.views.get_mut(&view).and_then(|view| view.filling.take()) {
                self.lane.send(LaneMessage::ViewLive(view));
                flight.lives.push((view, filling.reply));
                inputs.entry(view.into()).or_default();
            }
        }
        let affected = self.affected(inputs.keys().copied().collect());
        // A view that has just become live counts as touched, but its own stream gets no rows from outside.
        inputs.retain(|_, deltas| !deltas.is_empty());
        self.next += 1;
        self.open.push_back(flight);
        self.lane.send(LaneMessage::Open(Arc::new(OpenEpoch { epoch, inputs: inputs.into_iter().collect(), affected })));
        Ok(())
    }

    /// The live views that these streams reach, each after those that it reads: numbers rise along dependencies.
    fn affected(&self, mut touched: BTreeSet<StreamId>) -> Vec<RelationId> {
        let mut affected = vec![];
        for (id, view) in &self.views {
            let reached = touched.contains(&(*id).into()) || !view.inputs.is_disjoint(&touched);
            if reached && view.filling.is_none() {
                touched.insert((*id).into());
                affected.push(*id);
            }
        }
        affected
    }

    fn done(&mut self, epoch: Epoch, dead: Vec<DeadLetter>) {
        let flight = self.open.iter_mut().find(|flight| flight.epoch == epoch).expect("workers report open epochs");
        flight.waiting -= 1;
        flight.dead.extend(dead);
        while self.open.front().is_some_and(|flight| flight.waiting == 0) {
            let flight = self.open.pop_front().expect("just seen");
            self.commit(flight);
        }
    }

    fn commit(&mut self, flight: InFlight) {
        self.lane.send(LaneMessage::Committed(flight.epoch));
        self.epochs += 1;
        for letter in flight.dead {
            let time_micros = if letter.time_micros == 0 { self.last_wall_micros } else { letter.time_micros };
            *self.dead_letter_counts.entry((letter.relation.clone(), letter.reason)).or_insert(0) += 1;
            if self.dead_letters.len() == DEAD_LETTERS_MAX {
                self.dead_letters.pop_front();
            }
            self.dead_letters.push_back(DeadLetter { time_micros, ..letter });
        }
        // From here on a read is behind the commit in the lane, so it sees the writes.
        for reply in flight.writes {
            answer(reply, Ok(flight.epoch));
        }
        for (view, reply) in flight.lives {
            answer(reply, self.failure(view.into()).map_or(Ok(()), Err));
        }
        let joinable = self.readers.iter().filter(|(stream, _)| self.joins(**stream).is_some()).map(|(stream, _)| *stream);
        let joins: Vec<Ddl> = joinable
            .filter(|stream| !self.ddl.iter().any(|ddl| matches!(ddl, Ddl::Join(other) if other == stream)))
            .map(Ddl::Join)
            .collect();
        self.ddl.extend(joins);
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

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
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::{BATCH_ROWS_MAX, DEAD_LETTERS_MAX, EPOCH_SOURCE_ROWS_MAX, EPOCHS_IN_FLIGHT_MAX};
use weir_common::source::Position;

use crate::engine::{Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::keys::{KeyChange, KeyIndex};
use crate::lane::{Dealt, Lane, LaneMessage, NewView, OpenEpoch, PeekReply, Report, StatsBoard};
use crate::log::{EpochLog, EpochRecord};
use crate::reader::{Event, Reader, SourceSpec};
use crate::status::{Failures, SourceStatus, Status, ViewStatus};

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
    /// Tables and views that go.
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
    filling: Option<Filling>,
}

struct Filling {
    caught_up: usize,
    reply: oneshot::Sender<Result<()>>,
}

struct ReaderState {
    source: RelationId,
    spec: SourceSpec,
    /// The view whose own reader it is.
    own: Option<RelationId>,
    reader: Option<Reader>,
    position: Position,
    rows: u64,
    bytes: u64,
    dead: u64,
    latest: Option<i64>,
    /// The epoch with its last rows, once a finite source has been read to its end.
    ended_in: Option<Epoch>,
    error: Option<Error>,
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
                if let Some(error) = streams.iter().find_map(|stream| self.failure(*stream)) {
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

    /// Takes what readers have, up to the epoch's budget, and deals the batches out to the workers.
    fn drain_readers(&mut self, flight: &mut InFlight, inputs: &mut BTreeMap<StreamId, Vec<Dealt>>, wall_micros: i64) {
        let epoch = flight.epoch;
        let streams: Vec<StreamId> = self.readers.keys().copied().collect();
        if streams.is_empty() {
            return;
        }
        self.first_reader = (self.first_reader + 1) % streams.len();
        for turn in 0..streams.len() {
            let stream = streams[(self.first_reader + turn) % streams.len()];
            let reader = self.readers.get_mut(&stream).expect("listed above");
            while flight.source_rows < EPOCH_SOURCE_ROWS_MAX {
                let Some(event) = reader.reader.as_ref().and_then(|reader| reader.events.try_recv().ok()) else { break };
                match event {
                    Event::Batch(batch, latest) => {
                        flight.source_rows += batch.rows.num_rows();
                        reader.rows += batch.rows.num_rows() as u64;
                        reader.bytes += batch.bytes;
                        reader.dead += batch.dead.len() as u64;
                        reader.latest = reader.latest.max(latest);
                        reader.position = batch.position;
                        // A view's own reader repeats what the shared one has already reported.
                        if reader.own.is_none() {
                            flight.dead.extend(batch.dead.into_iter().map(|letter| DeadLetter { time_micros: wall_micros, ..letter }));
                        }
                        if batch.rows.num_rows() > 0 {
                            self.next_worker = (self.next_worker + 1) % self.lane.workers();
                            inputs.entry(stream).or_default().push((Some(self.next_worker), Delta::insert(batch.rows)));
                        }
                    }
                    Event::End => {
                        reader.ended_in = Some(epoch);
                        reader.reader = None;
                        tracing::info!(source = reader.spec.name, rows = reader.rows, "source read to its end");
                    }
                    Event::Failed(error) => {
                        tracing::error!(source = reader.spec.name, %error, "source stopped");
                        reader.error = Some(error);
                        reader.reader = None;
                    }
                }
            }
        }
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

    fn define(&mut self, ddl: Ddl) {
        match ddl {
            Ddl::CreateTable(spec, reply) => {
                let result = self.create_table(spec);
                answer(reply, result);
            }
            Ddl::CreateView(spec, reply) => self.create_view(spec, reply),
            Ddl::Drop(relations, reply) => {
                self.drop_relations(&relations);
                answer(reply, Ok(()));
            }
            Ddl::Join(stream) => {
                if let Some((view, shared)) = self.joins(stream) {
                    self.lane.send(LaneMessage::Rebind { view, from: stream, to: shared });
                    self.rebind_view(view, stream, shared);
                    self.readers.remove(&stream);
                    self.lane.send(LaneMessage::Drop(Arc::from([stream])));
                }
            }
        }
    }

    fn create_table(&mut self, spec: TableSpec) -> Result<()> {
        let keys = spec.key.clone().map(|columns| KeyIndex::new(&spec.name, spec.schema.clone(), columns)).transpose()?;
        let scalar = |column: &usize| !spec.schema.field(*column).data_type().is_nested();
        let placement: Arc<[usize]> =
            spec.key.unwrap_or_else(|| (0..spec.schema.fields().len()).collect()).into_iter().filter(scalar).collect();
        self.lane.send(LaneMessage::CreateTable { stream: spec.id.into(), schema: spec.schema, placement });
        self.tables.insert(spec.id, Table { keys });
        Ok(())
    }

    fn create_view(&mut self, spec: ViewSpec, reply: oneshot::Sender<Result<()>>) {
        let mut imports = vec![];
        let mut readers: BTreeMap<RelationId, BTreeSet<StreamId>> = BTreeMap::new();
        for import in &spec.plan.imports {
            let relation = import.relation;
            if let Some(source) = spec.sources.get(&relation) {
                // One reader serves all imports of the source in this view.
                let known = readers.get(&relation).and_then(|streams| streams.first().copied());
                let stream = match known.map(Ok).unwrap_or_else(|| self.reader_for(relation, source, spec.id)) {
                    Ok(stream) => stream,
                    Err(error) => {
                        self.drop_unused_readers();
                        return answer(reply, Err(error));
                    }
                };
                readers.entry(relation).or_default().insert(stream);
                imports.push(stream);
            } else if self.exists(relation.into()) {
                if let Some(view) = self.views.get(&relation) {
                    for (source, streams) in &view.readers {
                        readers.entry(*source).or_default().extend(streams);
                    }
                }
                imports.push(relation.into());
            } else {
                self.drop_unused_readers();
                let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", import.name));
                return answer(reply, Err(error.with_hint("It was dropped while the view was being created.")));
            }
        }
        let inputs = imports.iter().copied().collect();
        let event_times = spec.plan.facts.event_times.clone();
        let view = NewView { id: spec.id, name: spec.name, plan: spec.plan, imports, at: self.next - 1 };
        self.lane.send(LaneMessage::CreateView(Arc::new(view)));
        self.views.insert(spec.id, View { inputs, readers, event_times, filling: Some(Filling { caught_up: 0, reply }) });
    }

    /// The stream on which a new view reads a source from its start: the shared reader while it has not given anything
    /// out, a reader of the view's own otherwise.
    fn reader_for(&mut self, source: RelationId, spec: &SourceSpec, view: RelationId) -> Result<StreamId> {
        let shared = StreamId::from(source);
        let (stream, own) = match self.readers.get(&shared) {
            Some(reader) if reader.rows == 0 && reader.dead == 0 && reader.ended_in.is_none() && reader.error.is_none() => {
                return Ok(shared);
            }
            Some(_) => {
                let stream = StreamId(self.next_own_reader);
                self.next_own_reader += 1;
                (stream, Some(view))
            }
            None => (shared, None),
        };
        let (ready, to_self) = (self.ready.clone(), self.to_self.clone());
        let reader = Reader::start(spec, move || {
            if !ready.swap(true, Ordering::SeqCst) {
                // Without a leader there is nobody to wake.
                let _ = to_self.send(Message::Ready);
            }
        })?;
        self.lane.send(LaneMessage::CreateReader(stream));
        let state = ReaderState {
            source,
            spec: spec.clone(),
            own,
            reader: Some(reader),
            position: Position::default(),
            rows: 0,
            bytes: 0,
            dead: 0,
            latest: None,
            ended_in: None,
            error: None,
        };
        self.readers.insert(stream, state);
        Ok(stream)
    }

    /// The view and the shared stream that it can read instead of its own reader's, because both stand at one position.
    fn joins(&self, stream: StreamId) -> Option<(RelationId, StreamId)> {
        let own = self.readers.get(&stream)?;
        let view = own.own?;
        let shared = StreamId::from(own.source);
        let other = self.readers.get(&shared)?;
        let level = own.position == other.position
            && own.rows == other.rows
            && own.ended_in.is_some() == other.ended_in.is_some()
            && own.error.is_none();
        let live = self.views.get(&view)?.filling.is_none();
        (level && live && own.rows > 0).then_some((view, shared))
    }

    fn rebind_view(&mut self, _view: RelationId, from: StreamId, to: StreamId) {
        for view in self.views.values_mut() {
            if view.inputs.remove(&from) {
                view.inputs.insert(to);
            }
            for streams in view.readers.values_mut() {
                if streams.remove(&from) {
                    streams.insert(to);
                }
            }
        }
    }

    fn drop_relations(&mut self, relations: &[RelationId]) {
        let mut streams = vec![];
        for relation in relations {
            let existed = self.tables.remove(relation).is_some();
            if let Some(view) = self.views.remove(relation) {
                self.filled.remove(relation);
                if let Some(filling) = view.filling {
                    answer(filling.reply, Err(Error::new(SqlState::QUERY_CANCELED, "the view was dropped while it was filled")));
                }
                streams.push((*relation).into());
            } else if existed {
                streams.push((*relation).into());
            }
            self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(relation);
        }
        if !streams.is_empty() {
            self.lane.send(LaneMessage::Drop(streams.into()));
        }
        self.drop_unused_readers();
    }

    fn drop_unused_readers(&mut self) {
        let used: BTreeSet<StreamId> = self.views.values().flat_map(|view| view.inputs.iter().copied()).collect();
        let unused: Vec<StreamId> = self.readers.keys().filter(|stream| !used.contains(stream)).copied().collect();
        if !unused.is_empty() {
            self.readers.retain(|stream, _| used.contains(stream));
            self.lane.send(LaneMessage::Drop(unused.into()));
        }
    }

    fn status(&self) -> Status {
        let sum = |stream: StreamId| {
            let mut total = crate::lane::ShardStats::default();
            for worker in self.stats.iter() {
                if let Some(stats) = worker.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&stream) {
                    total.rows += stats.rows;
                    total.served_bytes += stats.served_bytes;
                    total.state_bytes += stats.state_bytes;
                    total.groups += stats.groups;
                }
            }
            total
        };
        let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let sources = self.readers.values().map(|reader| SourceStatus {
            source: reader.source,
            view: reader.own,
            rows: reader.rows,
            bytes: reader.bytes,
            dead_letters: reader.dead,
            position: reader.position.0.clone(),
            at_end: reader.has_ended(self.committed()),
            watermark: reader.watermark(),
            error: reader.error.as_ref().map(|error| error.message().to_string()),
        });
        let views = self.views.iter().map(|(id, view)| {
            let total = sum((*id).into());
            let behind = |stream: &StreamId| {
                self.readers
                    .get(stream)
                    .is_some_and(|reader| !reader.has_ended(self.committed()) && reader.error.is_none() && reader.spec.source.finite())
            };
            ViewStatus {
                view: *id,
                filling: view.filling.is_some() || view.readers.values().flatten().any(behind),
                rows: total.rows as u64,
                served_bytes: total.served_bytes as u64,
                state_bytes: total.state_bytes as u64,
                groups: total.groups as u64,
                watermark: self.view_watermark(view),
                error: failures.get(id).map(|error| error.message().to_string()),
            }
        });
        Status {
            committed: self.committed(),
            in_flight: self.open.len(),
            epochs: self.epochs,
            sources: sources.collect(),
            views: views.collect(),
            tables: self.tables.keys().map(|id| (*id, sum((*id).into()).rows as u64)).collect(),
            dead_letters: self.dead_letters.iter().cloned().collect(),
            dead_letter_counts: self.dead_letter_counts.clone(),
        }
    }

    /// The latest committed epoch.
    fn committed(&self) -> Epoch {
        self.next - 1 - self.open.len() as Epoch
    }

    /// The watermark of a view's first event-time column: the least over the readers that feed it.
    fn view_watermark(&self, view: &View) -> Option<i64> {
        let first = view.event_times.first()?.column;
        let of_column = view.event_times.iter().filter(|event_time| event_time.column == first);
        let watermarks = of_column.map(|event_time| {
            let streams = view.readers.get(&event_time.source)?;
            let source = streams.iter().map(|stream| self.readers.get(stream)?.watermark()).min()??;
            Some(if source == i64::MAX { source } else { event_time.watermark(source) })
        });
        watermarks.min().flatten()
    }
}

impl ReaderState {
    /// Whether all rows of a finite source are in views that can be read.
    fn has_ended(&self, committed: Epoch) -> bool {
        self.ended_in.is_some_and(|epoch| epoch <= committed)
    }

    /// Events that wait to be taken.
    fn waiting(&self) -> usize {
        self.reader.as_ref().map_or(0, |reader| reader.events.len())
    }

    /// The promise about event times to come: greatest so far less the delay; the end of time once the source has ended.
    fn watermark(&self) -> Option<i64> {
        let (_, delay) = self.spec.watermark?;
        if self.ended_in.is_some() {
            return Some(i64::MAX);
        }
        self.latest.map(|latest| latest.saturating_sub(delay))
    }
}

/// Answers; whoever asked may have gone away, which is their right.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

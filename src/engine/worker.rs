//! A worker thread: applies the lane in order, steps timely, and reports finished epochs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::UInt32Array;
use arrow::compute::concat_batches;
use crossbeam_channel::Receiver;
use tokio::sync::mpsc::UnboundedSender;
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::hash;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::state_store::StateStore;
use weir_dataflow::state::StateSize;

use crate::adapter::{self, Dataflow};
use crate::checkpoint::load::Loader;
use crate::hub::{Hub, Stream};
use crate::lane::{Admitted, LaneMessage, LateCount, LateTaken, NewView, OpenEpoch, PeekReply, Report, Restoring, ShardStats, StatsBoard};
use crate::late::{certain, meant};
use crate::leader::Message;
use crate::shard::Shard;
use crate::status::Failures;
use crate::subscription::CommitBoard;
use crate::worker::copying::Copying;

mod copying; // what is handed out for a checkpoint, a slice at a time
mod memory; // what is held against the memory limit

/// What a worker is given at its start.
pub struct WorkerSeat {
    /// The worker's end of the lane.
    pub inbox: Receiver<LaneMessage>,
    /// To the leader.
    pub leader: UnboundedSender<Message>,
    /// Where it publishes what its views hold.
    pub stats: StatsBoard,
    /// Where it tells why a view stopped computing.
    pub failures: Failures,
    /// The first epoch that will be opened.
    pub first: Epoch,
    /// Rows that may wait for filling views before the clock is asked to wait.
    pub filling_rows_max: usize,
    /// Where checkpoints are; `None` without any.
    pub store: Option<Arc<dyn StateStore>>,
    /// Bytes of changes after which a checkpoint is asked for, where there are any.
    pub dirty_bytes_max: usize,
    /// Rows of state that are copied in one go for a checkpoint.
    pub slice_rows: usize,
    /// Where it tells how far it has committed.
    pub commits: Arc<CommitBoard>,
    /// Bytes by which its tables and views have to grow or shrink until it says so; `None` without a memory limit.
    pub resized_bytes: Option<usize>,
}

/// Runs until the lane says `Shutdown`.
pub fn run(worker: &mut timely::worker::Worker, seat: WorkerSeat) {
    let mut state = WorkerState {
        index: worker.index(),
        peers: worker.peers(),
        hub: Hub::new(seat.first),
        views: BTreeMap::new(),
        late: BTreeMap::new(),
        filling: BTreeSet::new(),
        temporary: BTreeSet::new(),
        caught_up: BTreeSet::new(),
        open: VecDeque::new(),
        committed: seat.first - 1,
        dead: Rc::default(),
        behind: false,
        dirty: false,
        copying: None,
        copied_for: Duration::ZERO,
        bytes: Cell::new(0),
        bytes_told: 0,
        seat,
    };
    loop {
        while let Ok(message) = state.seat.inbox.try_recv() {
            if matches!(message, LaneMessage::Shutdown) {
                return;
            }
            state.apply(worker, message);
        }
        state.seat.stats[state.index].turns.fetch_add(1, Ordering::Relaxed);
        // Before parking: an epoch that touches no dataflow is done without a step.
        state.report();
        // More of it after the next step, which then must not wait.
        match state.copy_slice() {
            true => worker.step_or_park(Some(Duration::ZERO)),
            false => worker.step_or_park(None),
        };
    }
}

struct WorkerState {
    index: usize,
    peers: usize,
    hub: Hub,
    views: BTreeMap<RelationId, Dataflow>,
    /// The relations of the late rows of those views that have any.
    late: BTreeMap<RelationId, RelationId>,
    filling: BTreeSet<RelationId>,
    /// Views that no checkpoint has.
    temporary: BTreeSet<RelationId>,
    /// Filling views that have been reported as caught up; the leader makes them live.
    caught_up: BTreeSet<RelationId>,
    /// Epochs whose end has not been reported (front) or that are not committed yet.
    open: VecDeque<OnTheWay>,
    committed: Epoch,
    dead: Rc<RefCell<Vec<DeadLetter>>>,
    /// Whether the leader was told that too many rows wait for filling views.
    behind: bool,
    /// Whether the leader was told that much has changed since the last checkpoint.
    dirty: bool,
    /// The checkpoint that it takes part in.
    copying: Option<Copying>,
    /// How long it has copied state for checkpoints so far.
    copied_for: Duration,
    /// What its tables and views take, as published.
    bytes: Cell<usize>,
    /// The same when the leader heard of it last.
    bytes_told: usize,
    seat: WorkerSeat,
}

/// An open epoch without its rows: those go as soon as the dataflows have taken what they read of them.
struct OnTheWay {
    epoch: Epoch,
    /// Streams that got rows.
    inputs: Vec<StreamId>,
    /// As in [`OpenEpoch::affected`].
    affected: Vec<RelationId>,
    reported: bool,
    /// What `copied_for` was when it opened.
    copied_for: Duration,
}

impl WorkerState {
    fn apply(&mut self, worker: &mut timely::worker::Worker, message: LaneMessage) {
        match message {
            LaneMessage::Open(epoch) => self.open(epoch),
            LaneMessage::Committed { epoch, wall_micros } => self.commit(epoch, wall_micros),
            LaneMessage::CreateTable { stream, schema, placement, restoring } => {
                let mut shard = Shard::new(schema, false, self.checkpoints());
                if let Some(Restoring { loader, loaded, .. }) = restoring {
                    // Without a leader the process is ending.
                    let _ = loaded.send(self.load_runs(stream, &mut shard, Some(&placement), &loader));
                }
                self.publish_stats(stream, Some(&shard), None, None);
                self.hub.add(stream, Stream::input(Some(shard), Some(placement.to_vec()), self.committed));
            }
            LaneMessage::CreateReader(stream) => {
                self.hub.add(stream, Stream::input(None, None, self.committed));
            }
            LaneMessage::CreateView(view) => self.create_view(worker, &view),
            LaneMessage::ViewLive(view) => {
                self.filling.remove(&view);
                self.caught_up.remove(&view);
            }
            LaneMessage::Drop(streams) => {
                for stream in streams.iter() {
                    if let Ok(id) = u32::try_from(stream.0)
                        && let Some(dataflow) = self.views.remove(&RelationId(id))
                    {
                        self.late.remove(&RelationId(id));
                        self.filling.remove(&RelationId(id));
                        self.temporary.remove(&RelationId(id));
                        self.caught_up.remove(&RelationId(id));
                        dataflow.end(&self.hub);
                    }
                }
                for stream in streams.iter() {
                    if let Some(feed) = self.hub.remove(*stream).and_then(|stream| stream.borrow_mut().feed.take()) {
                        let error = Error::new(SqlState::UNDEFINED_TABLE, "subscription ended: the relation was dropped");
                        feed.leave(error);
                    }
                    if let Some(stats) = lock(&self.seat.stats[self.index].shards).remove(stream) {
                        self.bytes.set(self.bytes.get() - stats.bytes());
                    }
                }
                self.report_resized();
            }
            LaneMessage::Stop { view, error } => self.stop_view(view, &error),
            LaneMessage::Rebind { view, from, to } => {
                if let Some(dataflow) = self.views.get(&view) {
                    dataflow.rebind(&self.hub, from, to);
                }
            }
            LaneMessage::Peek { streams, watermarks, reply } => {
                let runs = streams
                    .iter()
                    .map(|stream| self.hub.get(*stream).borrow().shard.as_ref().map(Shard::runs).unwrap_or_default())
                    .collect();
                // A reader that has gone away does not want its answer.
                let _ = reply.send(Ok(PeekReply { epoch: self.committed, runs, watermarks }));
            }
            LaneMessage::Subscribe { stream, feed, reply } => {
                let stream = self.hub.get(stream);
                let mut stream = stream.borrow_mut();
                if stream.feed.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &feed)) {
                    feed.join(stream.changed);
                    stream.feed = Some(feed);
                }
                let runs = stream.shard.as_ref().map(Shard::runs).unwrap_or_default();
                // A subscriber that has gone away does not want its answer.
                let _ = reply.send(Ok(PeekReply { epoch: self.committed, runs: vec![runs], watermarks: Arc::from([]) }));
            }
            LaneMessage::Checkpoint { cut, parts } => self.begin_checkpoint(cut, parts),
            LaneMessage::Shutdown => unreachable!("handled by the loop"),
        }
    }

    fn create_view(&mut self, worker: &mut timely::worker::Worker, view: &NewView) {
        debug_assert!(self.open.is_empty(), "views are made while no epoch is in flight");
        let store = self.seat.store.as_ref().filter(|_| !view.temporary);
        if view.temporary {
            self.temporary.insert(view.id);
        }
        let mut shard = view.keep.then(|| Shard::new(view.plan.schema.clone(), view.plan.facts.append_only, store.is_some()));
        let rows = match (&view.restoring, &mut shard) {
            (Some(restoring), Some(shard)) if view.stopped.is_none() => {
                self.load_runs(view.id.into(), shard, view.plan.placement.as_deref(), &restoring.loader)
            }
            _ => Ok(()),
        };
        let fragments = adapter::fragments(view, self.index, self.peers, store);
        let (fragments, loaded) = match fragments {
            Ok(fragments) => (fragments, rows),
            // The leader ends everything, but every worker builds the same dataflows until then.
            Err(error) => (view.plan.fragments.iter().map(|spec| spec.build(self.index, self.peers, false)).collect(), Err(error)),
        };
        let mut stream = Stream::view(shard, view.at);
        match &view.restoring {
            Some(Restoring { counted, .. }) => {
                stream.counted = stream.counted.map(|_| if self.index == 0 { *counted } else { 0 });
            }
            None => drop(self.filling.insert(view.id)),
        }
        let late = self.late_stream(view);
        let stream = self.hub.add(view.id.into(), stream);
        let dataflow = adapter::build(worker, &self.hub, view, fragments, stream.clone(), late, self.dead.clone());
        if let Some(error) = view.stopped.as_ref().or(loaded.as_ref().err()) {
            dataflow.stop(error);
        }
        let stream = stream.borrow();
        self.publish_stats(view.id.into(), stream.shard.as_ref(), stream.counted, Some(&dataflow));
        if let Some(Restoring { loaded: tell, .. }) = &view.restoring {
            // What it waits for is published. Without a leader the process is ending.
            let _ = tell.send(loaded);
        }
        self.views.insert(view.id, dataflow);
        self.late.extend(view.late.map(|late| (view.id, late)));
        self.report_resized();
    }

    /// The stream of a view's late rows, if it has any.
    fn late_stream(&mut self, view: &NewView) -> Option<Rc<RefCell<Stream>>> {
        let (id, spec) = (view.late?, view.plan.late.as_ref()?);
        let mut shard = Shard::new(spec.schema.clone(), false, self.checkpoints());
        if let Some(restoring) = view.restoring.as_ref().filter(|_| view.stopped.is_none()) {
            let loaded = self.load_runs(id.into(), &mut shard, spec.placement.as_deref(), &restoring.loader);
            if loaded.is_err() {
                // The leader ends everything. Without one the process is ending.
                let _ = restoring.loaded.send(loaded);
            }
        }
        self.publish_stats(id.into(), Some(&shard), None, None);
        Some(self.hub.add(id.into(), Stream::view(Some(shard), view.at)))
    }

    /// Whether anybody will ask what changed.
    fn checkpoints(&self) -> bool {
        self.seat.store.is_some()
    }

    /// Takes back a relation's rows.
    fn load_runs(&self, stream: StreamId, shard: &mut Shard, placement: Option<&[usize]>, loader: &Loader) -> Result<()> {
        let (schema, relation) = (shard.schema().clone(), RelationId(stream.0 as u32));
        loader.runs(relation, &schema, placement, (self.index, self.peers), |number, run| shard.load(number, run))?;
        shard.loaded()
    }

    fn open(&mut self, open: Arc<OpenEpoch>) {
        assert_eq!(open.epoch, self.hub.opened.get(), "epochs open in order");
        for (id, deltas) in &open.inputs {
            let stream = self.hub.get(*id);
            let mut stream = stream.borrow_mut();
            for (target, delta) in deltas {
                match target {
                    Some(worker) if *worker == self.index => stream.publish(open.epoch, delta.clone()),
                    Some(_) => {}
                    None => {
                        let placement = stream.placement.clone().unwrap_or_default();
                        match mine(delta, &placement, self.index, self.peers) {
                            Ok(delta) => stream.publish(open.epoch, delta),
                            Err(error) => panic!("rows of {id:?} cannot be placed: {error}"),
                        }
                    }
                }
            }
        }
        self.hub.opened.set(open.epoch + 1);
        for (view, times) in &open.times {
            if let Some(dataflow) = self.views.get(view) {
                dataflow.at(open.epoch, times.clone());
            }
        }
        for view in &open.full {
            if let Some(dataflow) = self.views.get(view) {
                dataflow.is_full(open.epoch);
            }
        }
        for admitted in &open.admitted {
            self.admit(admitted, open.epoch);
        }
        // Filling views take part in every epoch until they have caught up.
        for view in open.affected.iter().chain(&self.filling) {
            self.hub.get((*view).into()).borrow_mut().last_affected = open.epoch;
            if let Some(late) = self.late.get(view) {
                self.hub.get((*late).into()).borrow_mut().last_affected = open.epoch;
            }
        }
        for view in open.affected.iter().chain(&self.filling) {
            if let Some(dataflow) = self.views.get(view) {
                dataflow.wake();
            }
        }
        let inputs = open.inputs.iter().map(|(id, _)| *id).collect();
        let (affected, copied_for) = (open.affected.clone(), self.copied_for);
        self.open.push_back(OnTheWay { epoch: open.epoch, inputs, affected, reported: false, copied_for });
    }

    /// The late rows of a view that a condition holds for, or all, go into its windows in this epoch, or only go. No other is in flight.
    fn admit(&mut self, Admitted { view, condition, discards, certain_only }: &Admitted, epoch: Epoch) {
        let Some((late, dataflow)) = self.late.get(view).zip(self.views.get(view)) else { return };
        let late = self.hub.get((*late).into());
        let mut late = late.borrow_mut();
        let Some(shard) = &late.shard else { return };
        let runs = shard.runs().iter().map(|run| run.batch()).collect::<Result<Vec<_>>>();
        let entries = runs.and_then(|runs| Ok(concat_batches(shard.schema(), &runs)?));
        let taken = entries.and_then(|all| {
            let meant = condition.as_ref().map_or(Ok(all.clone()), |condition| meant(&all, condition))?;
            if *certain_only { certain(&all, meant) } else { Ok((meant, 0)) }
        });
        match taken {
            Ok((entries, left)) => {
                self.send(Report::Admitted(epoch, LateTaken { entries: entries.num_rows() as u64, left, dropped: 0 }));
                late.publish(epoch, Delta::retract(entries.clone()));
                if !discards {
                    dataflow.admit(epoch, entries);
                }
            }
            Err(error) => {
                dataflow.failure.borrow_mut().get_or_insert(error);
            }
        }
    }

    fn commit(&mut self, epoch: Epoch, wall_micros: i64) {
        let on_the_way = self.open.pop_front().expect("an epoch is opened before it is committed");
        assert_eq!(on_the_way.epoch, epoch, "epochs commit in order");
        let inputs = on_the_way.inputs.iter().copied();
        let views = on_the_way.affected.iter().chain(&self.filling);
        let views = views.flat_map(|view| [Some(*view), self.late.get(view).copied()]).flatten().map(StreamId::from);
        for id in inputs.chain(views).collect::<Vec<_>>() {
            let stream = self.hub.get(id);
            let mut stream = stream.borrow_mut();
            let view = u32::try_from(id.0).ok().and_then(|id| self.views.get(&RelationId(id)));
            if let Err(error) = stream.commit(epoch, wall_micros) {
                tracing::error!(%error, stream = id.0, epoch, "a relation cannot be served any further");
                if let Some(feed) = stream.feed.take() {
                    feed.end(error.clone());
                }
                if let Some(dataflow) = view {
                    dataflow.failure.borrow_mut().get_or_insert(error);
                }
            }
            if let Some((dataflow, frontier)) = view.zip(stream.frontier.as_ref()) {
                dataflow.over_before(frontier.get());
            }
            self.publish_stats(id, stream.shard.as_ref(), stream.counted, view);
        }
        self.committed = epoch;
        self.seat.commits.committed(self.index, epoch);
        self.freeze_committed();
        self.report_dirty();
        self.report_resized();
    }

    /// Says how large a table or view is.
    fn publish_stats(&self, id: StreamId, shard: Option<&Shard>, counted: Option<i64>, view: Option<&Dataflow>) {
        let (rows, served) = match (shard, counted) {
            (Some(shard), _) => {
                let served = StateSize { bytes: shard.memory_bytes(), groups: 0, dirty_bytes: shard.dirty_bytes() };
                (shard.live_rows(), served)
            }
            (None, Some(counted)) => (counted as usize, StateSize::default()),
            (None, None) => return,
        };
        let mut board = lock(&self.seat.stats[self.index].shards);
        let stats = board.entry(id).or_default();
        let before = stats.bytes();
        (stats.rows, stats.served) = (rows, served);
        if let Some(dataflow) = view {
            stats.turns.clone_from(&dataflow.turns);
            stats.late_rows.clone_from(&dataflow.late_rows);
            stats.due = dataflow.due();
        }
        stats.operators.clear();
        view.iter().flat_map(|dataflow| &dataflow.state).for_each(|sizes| stats.operators.extend_from_slice(&sizes.borrow()));
        self.bytes.set(self.bytes.get() - before + stats.bytes());
    }

    /// Asks for a checkpoint when much has changed since the last one.
    fn report_dirty(&mut self) {
        if self.dirty || !self.checkpoints() {
            return;
        }
        let limit = self.seat.dirty_bytes_max;
        let dirty: usize = lock(&self.seat.stats[self.index].shards).values().map(ShardStats::dirty_bytes).sum();
        if dirty > limit {
            self.dirty = true;
            self.send(Report::Dirty);
        }
    }

    /// Tells the leader which epochs have been computed, in order, and which filling views have caught up.
    fn report(&mut self) {
        for view in &self.filling {
            let frontier = self.hub.get((*view).into()).borrow().frontier.as_ref().map_or(0, |frontier| frontier.get());
            // Not all that has been opened: the epoch that makes it live waits for the rest.
            if frontier > self.committed && !self.caught_up.contains(view) {
                self.caught_up.insert(*view);
                self.send(Report::CaughtUp(*view));
            }
        }
        self.report_behind();
        self.report_filling();
        while let Some(front) = self.open.iter_mut().find(|epoch| !epoch.reported) {
            let epoch = front.epoch;
            let done = front.affected.iter().all(|view| {
                let stream = self.hub.get((*view).into());
                stream.borrow().frontier.as_ref().is_some_and(|frontier| frontier.get() > epoch)
            });
            if !done {
                return;
            }
            front.reported = true;
            // Before the epoch is committed: nothing else may ever wake the leader for the sake of these rows.
            for (view, dataflow) in front.affected.iter().filter_map(|view| self.views.get_key_value(view)) {
                if dataflow.is_timed
                    && let Some(stats) = lock(&self.seat.stats[self.index].shards).get_mut(&StreamId::from(*view))
                {
                    stats.due = dataflow.due();
                }
            }
            let copying = self.copied_for - front.copied_for;
            let late = front.affected.iter().filter_map(|view| self.late.get(view).map(|late| (*view, *late)));
            let late: Vec<LateCount> = late
                .filter_map(|(view, late)| self.views.get(&view)?.late_count(view, &self.hub.get(late.into()).borrow(), epoch))
                .collect();
            let dead = std::mem::take(&mut *self.dead.borrow_mut());
            for (view, dataflow) in &self.views {
                if let Some(error) = dataflow.failure.borrow().as_ref() {
                    self.seat
                        .failures
                        .lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                        .entry(*view)
                        .or_insert_with(|| error.clone());
                }
            }
            self.send(Report::Done { epoch, dead, copying, late });
        }
    }

    /// Asks the leader to wait while filling views are too far behind, and to go on when they have worked off half of it.
    fn report_behind(&mut self) {
        if self.filling.is_empty() && !self.behind {
            return;
        }
        let waiting: usize = self.filling.iter().filter_map(|view| self.views.get(view)).map(Dataflow::waiting_rows).sum();
        let limit = self.seat.filling_rows_max;
        let behind = if self.behind { waiting > limit / 2 } else { waiting > limit };
        if behind != self.behind {
            self.behind = behind;
            self.send(Report::Behind(behind));
        }
    }

    fn send(&self, report: Report) {
        // Without a leader the process is ending.
        let _ = self.seat.leader.send(Message::Report(self.index, report));
    }
}

/// The rows that this worker owns.
fn mine(delta: &Delta, placement: &[usize], index: usize, peers: usize) -> Result<Delta, Error> {
    if peers == 1 {
        return Ok(delta.clone());
    }
    let hashes = hash::rows(&delta.rows, placement)?;
    let rows: Vec<u32> =
        hashes.iter().enumerate().filter(|(_, hash)| hash::owner(**hash, peers) == index).map(|(row, _)| row as u32).collect();
    if rows.len() == delta.num_rows() {
        return Ok(delta.clone());
    }
    delta.take(&UInt32Array::from(rows))
}

/// The map behind a lock, also after a panic elsewhere: statistics are only shown.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

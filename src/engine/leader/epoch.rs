//! An epoch from its opening to its commit: what goes into it, its record, and who is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use weir_common::codec;
use weir_common::dead_letter::DeadLetter;
use weir_common::epoch_log::{EpochRecord, Progress, Written};
use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::{DEAD_LETTERS_MAX, WRITE_BYTES_MAX};

use crate::engine::TableWrite;
use crate::lane::{Admitted, Dealt, LaneMessage, LateCount, LateTaken, OpenEpoch};
use crate::leader::marks::Marks;
use crate::leader::{Admission, Ddl, Leader, Message, answer};

/// What goes into an epoch, by stream.
pub(super) type Inputs = BTreeMap<StreamId, Vec<Dealt>>;

/// An epoch that is not committed yet.
pub(super) struct InFlight {
    pub(super) epoch: Epoch,
    /// Workers that are not done with it.
    pub(super) waiting: usize,
    /// Whether its record is durable.
    pub(super) synced: bool,
    pub(super) writes: Vec<oneshot::Sender<Result<Epoch>>>,
    pub(super) defined: Vec<oneshot::Sender<Result<()>>>,
    /// The late rows that it admits or discards.
    pub(super) admission: Option<Admitting>,
    /// How many late rows are admitted or discarded so far.
    taken: LateTaken,
    /// The view whose late rows are discarded.
    discards: Option<RelationId>,
    /// The late rows of views when it ends.
    late: Vec<LateCount>,
    pub(super) lives: Vec<(RelationId, Option<oneshot::Sender<Result<()>>>)>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) source_rows: usize,
    /// Its wall clock.
    pub(super) wall_micros: i64,
    /// Readers that gave rows which are dated too far ahead.
    pub(super) future: BTreeSet<StreamId>,
    /// The watermarks of readers when it began.
    pub(super) marks: Marks,
    /// The watermarks when it ends.
    marks_after: Marks,
    opened: Instant,
    /// How long a worker copied state for a checkpoint meanwhile, at most.
    copying: Duration,
}

/// Late rows on their way into their windows, or out of the late rows.
pub(super) struct Admitting {
    pub(super) view: RelationId,
    /// Whether the view's results would never change otherwise.
    pub(super) is_final: bool,
    reply: oneshot::Sender<Result<LateTaken>>,
}

impl InFlight {
    /// How long ago it was opened.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }
}

impl Leader {
    /// Opens an epoch with all that is there, and hands its record to the log.
    pub(super) fn open_epoch(&mut self) -> Result<()> {
        self.go_on_to(self.last_wall_micros.max(self.clock.wall_micros()));
        let mut record = EpochRecord {
            epoch: self.next,
            wall_micros: self.last_wall_micros,
            joins: std::mem::take(&mut self.joins),
            definitions: std::mem::take(&mut self.definitions),
            readings: std::mem::take(&mut self.readings),
            admitted: self.admission.iter().map(|admission| admission.view).collect(),
            conditions: self.admission.iter().filter_map(|of| Some((of.view, of.condition.as_ref()?.words.clone()))).collect(),
            discarded: self.admission.iter().filter(|admission| admission.discards).map(|admission| admission.view).collect(),
            ..EpochRecord::default()
        };
        let mut flight = self.in_flight();
        flight.defined = std::mem::take(&mut self.defined);
        let mut admitted = vec![];
        if let Some(Admission { view, condition, discards, is_final, reply }) = self.admission.take() {
            admitted.push(Admitted { view, condition: condition.map(|condition| condition.predicate), discards, certain_only: false });
            flight.admission = Some(Admitting { view, is_final, reply });
        }
        let mut inputs = Inputs::new();
        let mut written = std::mem::take(&mut self.first_rows);
        // What does not fit one record waits for the next epoch.
        let mut bytes = 0;
        let mut fits = |(writes, _): &(Vec<TableWrite>, _)| {
            bytes += writes.iter().map(TableWrite::bytes).sum::<usize>();
            bytes <= WRITE_BYTES_MAX
        };
        let taken = self.writes.iter().take_while(|write| fits(write)).count().max(1).min(self.writes.len());
        for (writes, reply) in self.writes.drain(..taken) {
            written.extend(writes.into_iter().map(|write| (write.table, write.delta)));
            flight.writes.push(reply);
        }
        for (table, delta) in written {
            self.written(table, &delta, record.wall_micros)?;
            record.writes.push(Written { table, rows: codec::encode(&delta)? });
            inputs.entry(table.into()).or_default().push((None, delta));
        }
        // While views that are being filled are too far behind, sources wait.
        if self.behind.is_empty() {
            record.progress = self.drain_readers(&mut flight, &mut inputs)?;
            let several = |progress: &Progress| self.readers[&progress.stream].partitions(progress.stream);
            record.partitions = record.progress.iter().filter_map(several).collect();
        }
        let lives: Vec<RelationId> = std::mem::take(&mut self.filled).into_iter().collect();
        record.lives = lives.iter().copied().filter(|view| !self.is_temporary(*view)).collect();
        self.ticked = false;
        record.marks = self.advance_watermarks(&flight);
        record.full = self.full_of_late();
        let parts = self.cuts().then(|| self.announce_cut());
        self.launch(flight, inputs, &lives, admitted, record.full.clone());
        if let Some(parts) = parts {
            self.begin_checkpoint(parts);
        }
        let (epoch, to_self) = (record.epoch, self.to_self.clone());
        let synced = move |result| {
            // Without a leader there is nobody to tell.
            let _ = to_self.send(Message::Synced(epoch, result));
        };
        self.log.append(record, Box::new(synced));
        Ok(())
    }

    /// The next epoch, without what goes into it.
    pub(super) fn in_flight(&self) -> InFlight {
        InFlight {
            epoch: self.next,
            waiting: self.lane.workers(),
            synced: false,
            writes: vec![],
            defined: vec![],
            admission: None,
            taken: LateTaken::default(),
            discards: None,
            late: vec![],
            lives: vec![],
            dead: vec![],
            source_rows: 0,
            wall_micros: self.last_wall_micros,
            future: BTreeSet::new(),
            marks: self.marks(),
            marks_after: Marks::new(),
            opened: Instant::now(),
            copying: Duration::ZERO,
        }
    }

    /// Sends an epoch to the workers; `lives` are the filled views that it makes readable, `admitted` those whose late rows it admits or
    /// discards, `full` those that keep no more of them.
    pub(super) fn launch(
        &mut self,
        mut flight: InFlight,
        mut inputs: Inputs,
        lives: &[RelationId],
        mut admitted: Vec<Admitted>,
        full: Vec<RelationId>,
    ) {
        for view in lives {
            if let Some(filling) = self.views.get_mut(view).and_then(|view| view.filling.take()) {
                self.lane.send(LaneMessage::ViewLive(*view));
                flight.lives.push((*view, filling.reply));
                inputs.entry((*view).into()).or_default();
            }
        }
        for Admitted { view, discards, certain_only, .. } in &mut admitted {
            *certain_only = !*discards && self.may_take_back_lost(*view);
            flight.discards = discards.then_some(*view);
            inputs.entry((*view).into()).or_default();
        }
        let marks = self.marks();
        let moved = marks.iter().filter(|(stream, mark)| flight.marks.get(stream) != Some(mark)).map(|(stream, _)| *stream).collect();
        let affected = self.affected(inputs.keys().copied().collect(), &moved);
        let filling = self.views.iter().filter(|(_, view)| view.filling.is_some()).map(|(id, _)| id);
        let timed = affected.iter().chain(filling).filter_map(|id| Some((*id, self.views.get(id).filter(|view| view.timed)?)));
        let times = timed.map(|(id, view)| (id, Arc::new(self.times(view, &flight.marks, &marks)))).collect();
        // A view that has just become live counts as touched, but its own stream gets no rows from outside.
        inputs.retain(|_, deltas| !deltas.is_empty());
        self.next += 1;
        let epoch = flight.epoch;
        flight.marks_after = marks;
        self.open.push_back(flight);
        let inputs = inputs.into_iter().collect();
        self.lane.send(LaneMessage::Open(Arc::new(OpenEpoch { epoch, inputs, affected, times, admitted, full })));
    }

    /// The live views that these streams reach, or the watermarks of these readers, or a tick of the wall clock, each after those that
    /// it reads: numbers rise along dependencies.
    fn affected(&self, mut touched: BTreeSet<StreamId>, moved: &BTreeSet<StreamId>) -> Vec<RelationId> {
        let mut affected = vec![];
        for (id, view) in &self.views {
            let timed = view.timed && view.readers.values().any(|streams| !streams.is_disjoint(moved));
            let clocked = view.clocked && self.clock_ticks;
            let reached = timed || clocked || touched.contains(&(*id).into()) || !view.inputs.is_disjoint(&touched);
            if reached && view.filling.is_none() {
                touched.insert((*id).into());
                touched.extend(view.late.map(StreamId::from));
                affected.push(*id);
            }
        }
        affected
    }

    /// A worker is done with an epoch.
    pub(super) fn done(&mut self, epoch: Epoch, dead: Vec<DeadLetter>, copying: Duration, late: Vec<LateCount>) {
        let flight = self.open.iter_mut().find(|flight| flight.epoch == epoch).expect("workers report open epochs");
        flight.waiting -= 1;
        flight.copying = flight.copying.max(copying);
        flight.dead.extend(dead);
        flight.late.extend(late);
        self.commit_finished();
    }

    /// A worker admits or discards late rows.
    pub(super) fn admitted(&mut self, epoch: Epoch, taken: LateTaken) {
        if let Some(flight) = self.open.iter_mut().find(|flight| flight.epoch == epoch) {
            flight.taken.entries += taken.entries;
            flight.taken.left += taken.left;
        }
    }

    /// The log holds an epoch's record.
    pub(super) fn synced(&mut self, epoch: Epoch) {
        if let Some(flight) = self.open.iter_mut().find(|flight| flight.epoch == epoch) {
            flight.synced = true;
        }
        self.commit_finished();
    }

    fn commit_finished(&mut self) {
        while self.open.front().is_some_and(|flight| flight.waiting == 0 && flight.synced) {
            let flight = self.open.pop_front().expect("just seen");
            self.commit(flight);
        }
    }

    fn commit(&mut self, flight: InFlight) {
        self.end_failed_feeds();
        self.lane.send(LaneMessage::Committed { epoch: flight.epoch, wall_micros: self.last_wall_micros });
        self.committed_marks = flight.marks_after;
        self.epochs += 1;
        self.epoch_times.add(flight.opened.elapsed());
        self.epoch_waits.add(flight.copying);
        for letter in flight.dead {
            let time_micros = if letter.time_micros == 0 { self.last_wall_micros } else { letter.time_micros };
            *self.dead_letter_counts.entry((letter.relation.clone(), letter.reason)).or_insert(0) += 1;
            if self.dead_letters.len() == DEAD_LETTERS_MAX {
                self.dead_letters.pop_front();
                self.letters_from += 1;
            }
            self.dead_letters.push_back(DeadLetter { time_micros, ..letter });
        }
        self.count_late(&flight.late, flight.discards.map(|view| (view, flight.taken.entries)));
        self.cut_committed(flight.epoch);
        // From here on a read is behind the commit in the lane, so it sees the writes.
        for reply in flight.writes {
            answer(reply, Ok(flight.epoch));
        }
        for reply in flight.defined {
            answer(reply, Ok(()));
        }
        if let Some(admitting) = flight.admission {
            let dropped = self.views.get(&admitting.view).map_or(0, |view| view.late_kept.lost.dropped);
            answer(admitting.reply, Ok(LateTaken { dropped, ..flight.taken }));
            for message in std::mem::take(&mut self.deferred) {
                self.handle(message);
            }
        }
        for (view, reply) in flight.lives {
            if let Some(reply) = reply {
                answer(reply, self.failure(view.into()).map_or(Ok(()), Err));
            }
        }
        self.offer_joins();
    }

    /// Lets own readers that have caught up with the shared one give way to it.
    pub(super) fn offer_joins(&mut self) {
        // The record says when they did.
        if self.replaying {
            return;
        }
        let joinable = self.readers.keys().filter(|stream| self.joins(**stream).is_some()).copied();
        let joins: Vec<Ddl> = joinable
            .filter(|stream| !self.ddl.iter().any(|ddl| matches!(ddl, Ddl::Join(other) if other == stream)))
            .map(Ddl::Join)
            .collect();
        self.ddl.extend(joins);
    }
}

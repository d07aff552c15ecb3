//! Epochs of an earlier run, done again from their records: the same rows in the same epochs, so the same answers.
//!
//! Rows of sources are not in the log; they are read once more. A record counts them, because a reader that starts elsewhere
//! cuts its batches elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use weir_common::codec;
use weir_common::epoch_log::{Definition, EpochRecord, Mark, Progress, Written};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{RelationId, StreamId};
use weir_common::limits::{EPOCHS_IN_FLIGHT_MAX, REPLAY_QUIET_SECONDS_MAX};
use weir_common::source::{Read, SourceBatch};
use weir_common::state_store::StateStore;

use crate::engine::{TableSpec, TableWrite};
use crate::future;
use crate::lane::Admitted;
use crate::leader::epoch::{InFlight, Inputs};
use crate::leader::{Leader, Message, Next};
use crate::reader::{Event, Known};
use crate::recovery::{Definer, Made, Recovered, Recovery};

impl Leader {
    /// Takes back the last checkpoint, does all epochs since then again, gives up what was not finished, and lets the sources go on.
    pub(super) fn recover(
        &mut self,
        recovery: Recovery,
        store: Option<Arc<dyn StateStore>>,
        messages: &mut UnboundedReceiver<Message>,
    ) -> Result<Recovered> {
        let Recovery { records, dropped, mut definer } = recovery;
        let mut recovered = Recovered::default();
        if let Some(store) = store {
            recovered.checkpoint = self.restore(store, &dropped, definer.as_mut())?;
        }
        self.replaying = true;
        for record in records {
            let record = record?;
            if record.epoch != self.next {
                let message = format!("the epoch log has epoch {} where {} is due", record.epoch, self.next);
                return Err(Error::new(SqlState::DATA_CORRUPTED, message));
            }
            self.wait(messages, |leader| leader.may_launch(&record))?;
            recovered.source_rows += self.redo(record, &dropped, definer.as_mut())?;
            recovered.epochs += 1;
        }
        self.wait(messages, |leader| leader.open.is_empty())?;
        self.replaying = false;
        recovered.committed = self.next - 1;
        self.give_up_unfinished(definer.as_mut());
        self.read_on()?;
        self.offer_joins();
        Ok(recovered)
    }

    /// Handles messages until something is so.
    fn wait(&mut self, messages: &mut UnboundedReceiver<Message>, done: impl Fn(&Leader) -> bool) -> Result<()> {
        while !done(self) {
            let Some(message) = messages.blocking_recv() else { return Err(Error::internal("the workers are gone")) };
            match self.handle(message) {
                Next::GoOn => {}
                Next::Stop => return Err(Error::new(SqlState::ADMIN_SHUTDOWN, "stopped while the epoch log was replayed")),
                Next::Fail(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether an epoch can be opened again: as it could the first time.
    fn may_launch(&self, record: &EpochRecord) -> bool {
        let apart = !record.definitions.is_empty() || !record.joins.is_empty() || !record.admitted.is_empty();
        let room = if apart { self.open.is_empty() } else { self.open.len() < EPOCHS_IN_FLIGHT_MAX };
        room && record.lives.iter().all(|view| self.filled.contains(view) || !self.views.contains_key(view))
            && (self.behind.is_empty() || record.progress.is_empty())
    }

    /// One epoch; the rows that sources gave for it.
    fn redo(&mut self, record: EpochRecord, dropped: &BTreeSet<RelationId>, definer: &mut dyn Definer) -> Result<u64> {
        self.go_on_to(record.wall_micros);
        for stream in &record.joins {
            self.join(*stream);
        }
        for definition in &record.definitions {
            match definition {
                Definition::Made { relation, words } => match self.made_again(*relation, words, definer, dropped)? {
                    Made::Table(TableSpec { id, watermark: Some(watermark), .. }) if self.tables.contains_key(&id) => {
                        self.set_watermark(id, watermark);
                    }
                    Made::Table(spec) => self.create_table(spec)?,
                    Made::Source(source, Some(watermark)) => self.set_watermark(source, watermark),
                    Made::View(spec) => {
                        let name = spec.name.clone();
                        let made = self.create_view(spec, Some(&record.readings));
                        made.map_err(|error| {
                            error.clone().with_message(format!("materialized view \"{name}\" cannot be made again: {}", error.message()))
                        })?;
                    }
                    Made::Source(_, None) | Made::Nothing => {}
                },
                Definition::Dropped(relations) => {
                    definer.dropped(relations);
                    self.drop_relations(relations);
                }
            }
        }
        let mut flight = self.in_flight();
        flight.synced = true;
        let mut inputs = Inputs::new();
        for Written { table, rows } in record.writes.iter().filter(|written| !dropped.contains(&written.table)) {
            let schema = self.tables.get(table).map(|table| table.schema.clone()).ok_or_else(|| unknown(*table))?;
            let write = TableWrite { table: *table, delta: codec::decode(rows, &schema)? };
            let changes = self.check_keys(std::slice::from_ref(&write))?;
            self.apply_keys(changes);
            self.written(*table, &write.delta, record.wall_micros)?;
            inputs.entry((*table).into()).or_default().push((None, write.delta));
        }
        for progress in &record.progress {
            let future = record.marks.iter().find(|mark| mark.stream == progress.stream).map(|mark| mark.future);
            let several = record.partitions.iter().find(|partitions| partitions.stream == progress.stream);
            let latest = several.map_or(vec![progress.latest], |partitions| partitions.latest.clone());
            self.read_again(progress, latest, future, &mut flight, &mut inputs)?;
        }
        self.mark_again(&record.marks, &flight);
        self.filled.retain(|view| !record.lives.contains(view));
        let source_rows = flight.source_rows as u64;
        let mut admitted: Vec<Admitted> = vec![];
        // One that has stopped has no late rows, and may have other columns than the condition names.
        let admits = |view: &RelationId| self.views.contains_key(view) && self.failure((*view).into()).is_none();
        for view in record.admitted.iter().copied().filter(admits) {
            let words = record.conditions.iter().find(|(of, _)| *of == view).map(|(_, words)| words);
            let condition = words.map(|words| definer.condition(view, words)).transpose()?.flatten();
            admitted.push(Admitted { view, condition, discards: record.discarded.contains(&view), certain_only: false });
        }
        let full = self.full_again(&record.full);
        self.launch(flight, inputs, &record.lives, admitted, full);
        Ok(source_rows)
    }

    fn made_again(
        &mut self,
        relation: RelationId,
        words: &[u8],
        definer: &mut dyn Definer,
        dropped: &BTreeSet<RelationId>,
    ) -> Result<Made> {
        let made = definer.made(words, dropped)?;
        self.relations_below = self.relations_below.max(relation.0 + 1);
        if !dropped.contains(&relation) {
            self.knows(relation, words.to_vec());
        }
        Ok(made)
    }

    /// Watermarks go on by rows, or as the record says.
    fn mark_again(&mut self, marks: &[Mark], flight: &InFlight) {
        // While epochs are done again no reader is silent: of itself the wall clock moves nothing.
        self.advance_watermarks(flight);
        for mark in marks {
            if let Some(reader) = self.readers.get_mut(&mark.stream) {
                reader.clock.raise(mark.watermark, flight.wall_micros);
            }
        }
    }

    /// Takes from a reader what it gave for an epoch the first time; `latest` are the greatest event times of its partitions then, and
    /// `future` tells of rows that were dated too far ahead, if there were any.
    fn read_again(
        &mut self,
        to: &Progress,
        latest: Vec<Option<i64>>,
        future: Option<u64>,
        flight: &mut InFlight,
        inputs: &mut Inputs,
    ) -> Result<()> {
        // What read only for views that are dropped later is not there.
        if !self.readers.contains_key(&to.stream) {
            return Ok(());
        }
        let looks = future.is_some_and(|future| future > self.readers[&to.stream].future);
        if !self.read_between(to, looks, flight, inputs)? {
            self.read_as_many(to, looks, flight, inputs)?;
        }
        let reader = self.readers.get_mut(&to.stream).expect("it was read from");
        if looks && future != Some(reader.future) {
            return Err(changed(&reader.spec.name, to, None));
        }
        reader.position = to.position.clone();
        reader.bytes = to.bytes;
        reader.clock.set_latest(latest);
        reader.idle_in = None;
        if to.idle {
            reader.idle(flight.epoch);
        }
        if to.ended {
            reader.end(flight.epoch);
        }
        Ok(())
    }

    /// Where the order of rows depends on when they came: takes what lies between two positions. False where it does not.
    fn read_between(&mut self, to: &Progress, looks: bool, flight: &mut InFlight, inputs: &mut Inputs) -> Result<bool> {
        let reader = &self.readers[&to.stream];
        if reader.rows >= to.rows && reader.dead >= to.dead {
            return Ok(true);
        }
        let name = reader.spec.name.clone();
        let failed = |error| changed(&name, to, Some(error));
        let Some(mut between) = reader.spec.source.between(&reader.position, &to.position).map_err(failed)? else { return Ok(false) };
        loop {
            match between.next().map_err(failed)? {
                Read::Batch(batch) => self.deal_again(to.stream, batch, looks, flight, inputs)?,
                Read::Idle | Read::PartitionIdle(_) | Read::Unreachable => {}
                Read::End => break,
            }
        }
        let reader = &self.readers[&to.stream];
        if (reader.rows, reader.dead) != (to.rows, to.dead) {
            return Err(changed(&name, to, None));
        }
        Ok(true)
    }

    /// Takes as many rows and dead letters as the reader gave.
    fn read_as_many(&mut self, to: &Progress, looks: bool, flight: &mut InFlight, inputs: &mut Inputs) -> Result<()> {
        loop {
            let reader = self.readers.get_mut(&to.stream).expect("whoever reads again has its reader");
            if reader.rows >= to.rows && reader.dead >= to.dead {
                return Ok(());
            }
            let batch = match reader.ahead.take() {
                Some(batch) => batch,
                None => {
                    if reader.reader.is_none() && reader.ended_in.is_none() {
                        // It stands where the checkpoint was taken.
                        let (spec, position) = (reader.spec.clone(), reader.position.clone());
                        let known = Known { idle: false, ..reader.known() };
                        let opened = self.read(&spec, &position, known).map_err(|error| changed(&spec.name, to, Some(error)))?;
                        self.readers.get_mut(&to.stream).expect("found above").goes_on_with(opened);
                    }
                    let reader = self.readers.get_mut(&to.stream).expect("found above");
                    let wait = Duration::from_secs(REPLAY_QUIET_SECONDS_MAX);
                    match reader.reader.as_ref().map(|reader| reader.events.recv_timeout(wait).map(|told| told.event)) {
                        Some(Ok(Event::Batch(batch, _))) => batch,
                        // All that is there has been read, and there was more.
                        Some(Ok(Event::Idle)) if reader.spec.source.catches_up() => return Err(changed(&reader.spec.name, to, None)),
                        Some(Ok(Event::Idle | Event::PartitionIdle(_) | Event::Partitions(_) | Event::Unreachable)) => continue,
                        Some(Ok(Event::Failed(error))) => return Err(changed(&reader.spec.name, to, Some(error))),
                        Some(Ok(Event::End) | Err(_)) | None => return Err(changed(&reader.spec.name, to, None)),
                    }
                }
            };
            let reader = self.readers.get_mut(&to.stream).expect("whoever reads again has its reader");
            let (now, later) = cut(batch, (to.rows - reader.rows) as usize, (to.dead - reader.dead) as usize);
            if now.rows.num_rows() == 0 && now.dead.is_empty() && later.is_some() {
                return Err(changed(&reader.spec.name, to, None));
            }
            reader.ahead = later;
            self.deal_again(to.stream, now, looks, flight, inputs)?;
        }
    }

    /// Deals a batch, and looks for rows that are dated too far ahead if there were some then: records of earlier versions have none.
    fn deal_again(&mut self, stream: StreamId, batch: SourceBatch, looks: bool, flight: &mut InFlight, inputs: &mut Inputs) -> Result<()> {
        let of = self.readers[&stream].spec.watermark.filter(|_| looks);
        let latest = of.and_then(|of| future::latest(&batch.rows, of.column));
        self.deal(stream, batch, latest, flight, inputs)
    }

    /// Views that were not filled were never there for anybody: they are dropped, and the log will say so.
    fn give_up_unfinished(&mut self, definer: &mut dyn Definer) {
        let unfinished: Vec<RelationId> = self.views.iter().filter(|(_, view)| view.filling.is_some()).map(|(id, _)| *id).rev().collect();
        if unfinished.is_empty() {
            return;
        }
        definer.dropped(&unfinished);
        self.drop_relations(&unfinished);
        self.definitions.push(Definition::Dropped(unfinished));
    }

    /// Sources go on behind the last epoch: what was read beyond it is read again, in batches whose positions are known.
    fn read_on(&mut self) -> Result<()> {
        // A restart is an outage: whoever gave nothing before it may have something now.
        let wall_micros = self.clock.wall_micros().max(self.last_wall_micros);
        let streams: Vec<_> = self.readers.iter().filter(|(_, reader)| reader.ended_in.is_none()).map(|(stream, _)| *stream).collect();
        for stream in streams {
            let reader = self.readers.get_mut(&stream).expect("listed above");
            reader.ahead = None;
            reader.reader = None;
            // Nothing happens in a restart: where all had been read, no epoch says so again.
            let (spec, position, known) = (reader.spec.clone(), reader.position.clone(), reader.known());
            let again = self.read(&spec, &position, known);
            let reader = self.readers.get_mut(&stream).expect("listed above");
            match again {
                Ok(again) => {
                    reader.goes_on_with(again);
                    if known.idle {
                        reader.clock.all_silent(wall_micros);
                    }
                }
                // As when a source fails at any other time: the rest goes on.
                Err(error) => {
                    tracing::error!(source = spec.name, %error, "source stopped");
                    reader.error = Some(error);
                }
            }
        }
        Ok(())
    }
}

/// The first rows and dead letters of a batch, and the rest if there is one.
fn cut(mut batch: SourceBatch, rows: usize, dead: usize) -> (SourceBatch, Option<SourceBatch>) {
    let (rows, dead) = (rows.min(batch.rows.num_rows()), dead.min(batch.dead.len()));
    if rows == batch.rows.num_rows() && dead == batch.dead.len() {
        return (batch, None);
    }
    let later = SourceBatch {
        partition: batch.partition,
        rows: batch.rows.slice(rows, batch.rows.num_rows() - rows),
        origins: batch.origins.as_ref().map(|origins| Arc::new(origins.slice(rows, batch.rows.num_rows() - rows))),
        dead: batch.dead.split_off(dead),
        position: batch.position.clone(),
        bytes: 0,
    };
    batch.rows = batch.rows.slice(0, rows);
    batch.origins = batch.origins.map(|origins| Arc::new(origins.slice(0, rows)));
    (batch, Some(later))
}

fn unknown(table: RelationId) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("the epoch log has rows of table {table}, which it did not create"))
}

/// A source no longer has what it gave.
fn changed(name: &str, to: &Progress, cause: Option<Error>) -> Error {
    let message =
        format!("source \"{name}\" no longer gives the {} rows and {} dead letters that it gave before the restart", to.rows, to.dead);
    let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
    let error = match cause {
        Some(cause) => error.with_detail(cause.message()),
        None => error,
    };
    error.with_hint("Put back what it read, and start again. Nothing was changed in the data directory.")
}

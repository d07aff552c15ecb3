//! The times of epochs: what rows and the wall clock make of watermarks, and when an epoch is needed for the sake of time alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use weir_common::delta::Delta;
use weir_common::epoch_log::Mark;
use weir_common::error::Result;
use weir_common::ids::{RelationId, StreamId};
use weir_common::limits::{CLOCK_TICK_MILLIS, WATERMARK_TICK_MILLIS};
use weir_common::source::Watermark;
use weir_dataflow::times::{EpochTimes, TimeOf};

use crate::lane::{Watermarks, WorkerStats};
use crate::leader::epoch::InFlight;
use crate::leader::{Leader, Table, View};

/// The watermark of each reader, and of each table that declares one.
pub(super) type Marks = BTreeMap<StreamId, Option<i64>>;

impl Leader {
    /// The watermarks now.
    pub(super) fn marks(&self) -> Marks {
        let tables = self.tables.iter().filter_map(|(table, of)| Some((StreamId::from(*table), of.watermark.as_ref()?.1.at())));
        self.readers.iter().map(|(stream, reader)| (*stream, reader.watermark())).chain(tables).collect()
    }

    /// Rows are written to a table in an epoch: its watermark will follow those that are added, but for what is dated too far ahead of the
    /// wall clock to be believed. Such rows are in the table all the same.
    pub(super) fn written(&mut self, table: RelationId, delta: &Delta, wall_micros: i64) -> Result<()> {
        let Some((of, clock)) = self.tables.get_mut(&table).and_then(|table| table.watermark.as_mut()) else { return Ok(()) };
        let limit = wall_micros.saturating_add(of.max_future);
        let Some(times) = delta.rows.column(of.column).as_primitive_opt::<TimestampMicrosecondType>() else { return Ok(()) };
        let added = times.iter().enumerate().filter(|(row, _)| delta.weights.get(*row) > 0);
        clock.gave(0, added.filter_map(|(_, time)| time.filter(|time| *time <= limit)).max());
        Ok(())
    }

    /// How the watermark of a source or table follows its event times from the next epoch on. It stays where it is until that lets it go
    /// on; with its other column the plans of views go wrong.
    pub(super) fn set_watermark(&mut self, relation: RelationId, watermark: Watermark) {
        for reader in self.readers.values_mut().filter(|reader| reader.source == relation) {
            reader.spec.watermark = Some(watermark);
        }
        if let Some((of, _)) = self.tables.get_mut(&relation).and_then(|table| table.watermark.as_mut()) {
            *of = watermark;
        }
        self.watermarks.insert(relation, watermark);
    }

    /// The watermarks of what a view is made of, as of the last commit.
    pub(super) fn watermarks_of(&self, stream: StreamId) -> Watermarks {
        let view = u32::try_from(stream.0).ok().and_then(|id| self.views.get(&RelationId(id)));
        let readers = view.into_iter().flat_map(|view| &view.readers);
        readers.map(|(source, streams)| (*source, least(streams, &self.committed_marks))).collect()
    }

    /// The times of an epoch as a view sees them.
    pub(super) fn times(&self, view: &View, before: &Marks, after: &Marks) -> EpochTimes {
        let watermarks = view.readers.iter().map(|(source, streams)| (*source, least(streams, before), least(streams, after)));
        let ended = view.readers.iter().filter_map(|(source, streams)| {
            let came_to = |stream| self.readers.get(stream).filter(|reader| reader.ended_in.is_some())?.clock.at();
            Some((*source, streams.iter().map(came_to).collect::<Option<Vec<_>>>()?.into_iter().min()?))
        });
        EpochTimes { wall_micros: self.last_wall_micros, watermarks: watermarks.collect(), ended: ended.collect() }
    }

    /// Brings the watermarks of readers to the wall clock of the epoch that has taken its rows; for its record, what the wall clock did.
    /// Those of tables follow their rows, or a delay that has become shorter.
    pub(super) fn advance_watermarks(&mut self, flight: &InFlight) -> Vec<Mark> {
        for (of, clock) in self.tables.values_mut().filter_map(|table| table.watermark.as_mut()) {
            clock.advance(of, flight.wall_micros);
        }
        let mut told = flight.future.clone();
        for (stream, reader) in &mut self.readers {
            reader.listen(flight.wall_micros);
            let Some(of) = &reader.spec.watermark else { continue };
            if reader.clock.advance(of, flight.wall_micros) {
                told.insert(*stream);
            }
        }
        // The record says what came of it.
        if !self.replaying {
            told.extend(self.level(flight.wall_micros));
        }
        told.iter().map(|stream| self.readers[stream].mark(*stream)).collect()
    }

    /// What a checkpoint keeps of watermarks.
    pub(super) fn standing_marks(&self) -> Vec<Mark> {
        let of_table = |(table, of): (&RelationId, &Table)| {
            let (_, clock) = of.watermark.as_ref()?;
            Some(Mark { stream: (*table).into(), watermark: clock.at(), future: 0 })
        };
        let tables = self.tables.iter().filter_map(of_table);
        self.readers.iter().map(|(stream, reader)| reader.mark(*stream)).chain(tables).collect()
    }

    /// The greatest event time of each table that declares a watermark.
    pub(super) fn latest_of_tables(&self) -> BTreeMap<RelationId, i64> {
        self.tables.iter().filter_map(|(table, of)| Some((*table, of.watermark.as_ref()?.1.latest()?))).collect()
    }

    /// The next epoch is at this wall clock.
    pub(super) fn go_on_to(&mut self, wall_micros: i64) {
        // Of facts alone: when the epoch is done again, the same views are told.
        self.clock_ticks = tick_of(wall_micros) != tick_of(self.last_wall_micros);
        self.last_wall_micros = wall_micros;
    }

    /// The moment has come that was asked for: if a time that goes on by itself has come to what a view waits for, an epoch comes.
    pub(super) fn tick(&mut self) {
        self.tick_asked = None;
        let wall_micros = self.clock.wall_micros().max(self.last_wall_micros);
        self.ticked |= self.passes_watermark(wall_micros) || self.clock_due().is_some_and(|due| due <= wall_micros);
    }

    /// Whether a watermark comes to what a view waits for when it is as late as this.
    fn passes_watermark(&self, wall_micros: i64) -> bool {
        let mut before = self.marks();
        let mut after = before.clone();
        for (stream, reader) in &self.readers {
            let Some(of) = reader.going_on() else { continue };
            after.insert(*stream, reader.clock.at_wall(&of, reader.heard(wall_micros)));
        }
        before.retain(|stream, mark| after.get(stream) != Some(mark));
        !before.is_empty()
            && self.waits().iter().any(|(streams, due)| {
                streams.iter().any(|stream| before.contains_key(stream)) && least(streams, &after).is_some_and(|mark| mark >= *due)
            })
    }

    /// Asks to be woken while a view waits for the watermark of a source that gives nothing, or for the wall clock.
    pub(super) fn ask_for_tick(&mut self) {
        if self.ticked {
            return;
        }
        let most = Duration::from_millis(WATERMARK_TICK_MILLIS);
        let mut wait = None;
        // While an epoch is on its way, it is not known what will be waited for.
        if self.open.is_empty()
            && let Some(due) = self.clock_due()
        {
            let left = due.saturating_sub(self.clock.wall_micros()).max(0);
            // The wall clock may be set, so it is looked at from time to time.
            wait = Some(Duration::from_micros(left as u64).min(most));
        }
        let goes_on = |stream: &StreamId| {
            self.readers.get(stream).is_some_and(|reader| reader.going_on().is_some_and(|of| reader.clock.goes_on(&of)))
        };
        if wait.is_none()
            && self.tick_asked.is_none()
            && self.readers.keys().any(goes_on)
            && self.waits().iter().any(|(streams, _)| streams.iter().any(goes_on))
        {
            wait = Some(most);
        }
        let Some(at) = wait.map(|wait| Instant::now() + wait) else { return };
        if self.tick_asked.is_none_or(|asked| at < asked)
            && let Some(pacer) = &self.pacer
        {
            pacer.ask(at);
            self.tick_asked = Some(at);
        }
    }

    /// The first moment at which an epoch makes rows of live views come or go by itself: not in the tick of the last epoch.
    fn clock_due(&self) -> Option<i64> {
        let clocked = || self.views.iter().filter(|(_, view)| view.clocked && view.filling.is_none());
        clocked().next()?;
        let of_worker = |worker: &WorkerStats| {
            let shards = worker.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            clocked().filter_map(|(id, _)| shards.get(&StreamId::from(*id))?.due.get(&TimeOf::Wall).copied()).min()
        };
        let due = self.stats.iter().filter_map(of_worker).min()?;
        Some(due.max((tick_of(self.last_wall_micros) + 1) * CLOCK_TICK_MICROS))
    }

    /// What live views wait for: readers of one source, and a watermark of all of them.
    fn waits(&self) -> Vec<(&BTreeSet<StreamId>, i64)> {
        let mut waits = vec![];
        for worker in self.stats.iter() {
            let shards = worker.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for (id, view) in self.views.iter().filter(|(_, view)| view.timed && view.filling.is_none()) {
                let due = shards.get(&StreamId::from(*id)).map(|stats| &stats.due);
                let of_source = |(time, at): (&TimeOf, &i64)| match time {
                    TimeOf::Source(source) => Some((view.readers.get(source)?, *at)),
                    TimeOf::Wall => None,
                };
                waits.extend(due.into_iter().flatten().filter_map(of_source));
            }
        }
        waits
    }
}

const CLOCK_TICK_MICROS: i64 = CLOCK_TICK_MILLIS as i64 * 1000;

/// The number of the tick that a moment of the wall clock lies in.
fn tick_of(wall_micros: i64) -> i64 {
    wall_micros.div_euclid(CLOCK_TICK_MICROS)
}

/// The least watermark of these streams; `None` before all have one.
pub(super) fn least(streams: &BTreeSet<StreamId>, marks: &Marks) -> Option<i64> {
    streams.iter().map(|stream| *marks.get(stream)?).min().flatten()
}

//! The leader's readers: which streams read which source, and what an epoch takes of them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::epoch_log::{Mark, Partitions, Progress, Reading};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::EPOCH_SOURCE_ROWS_MAX;
use weir_common::source::{Position, SourceBatch, Watermark};

use crate::checkpoint::standing::{ReaderStanding, Standing};
use crate::event_clock::EventClock;
use crate::future;
use crate::lane::LaneMessage;
use crate::leader::epoch::{InFlight, Inputs};
use crate::leader::{Leader, Message, OWN_READERS_FROM};
use crate::reader::{Event, Known, Reader, SourceSpec, Told};

/// A reader, and what has been taken of it.
pub(super) struct ReaderState {
    pub(super) source: RelationId,
    pub(super) spec: SourceSpec,
    /// The view whose own reader it is.
    pub(super) own: Option<RelationId>,
    pub(super) reader: Option<Reader>,
    /// How long its thread was held up, as far as that was taken into account.
    pub(super) held_up: i64,
    /// While epochs are done again: what was read beyond the last one.
    pub(super) ahead: Option<SourceBatch>,
    pub(super) position: Position,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) dead: u64,
    /// Its watermark, where one is declared.
    pub(super) clock: EventClock,
    /// Rows that were dated too far ahead; `rows` counts them too.
    pub(super) future: u64,
    /// The epoch with its last rows, once a finite source has been read to its end.
    pub(super) ended_in: Option<Epoch>,
    /// The epoch with its latest rows, while all that is there has been read.
    pub(super) idle_in: Option<Epoch>,
    /// The epoch in which all that was there had been read for the first time.
    pub(super) caught_up_in: Option<Epoch>,
    pub(super) error: Option<Error>,
}

impl ReaderState {
    /// At the source's start, without a reader.
    fn new(source: RelationId, spec: SourceSpec, own: Option<RelationId>) -> Self {
        ReaderState {
            source,
            spec,
            own,
            reader: None,
            held_up: 0,
            ahead: None,
            position: Position::default(),
            rows: 0,
            bytes: 0,
            dead: 0,
            clock: EventClock::new(),
            future: 0,
            ended_in: None,
            idle_in: None,
            caught_up_in: None,
            error: None,
        }
    }

    /// Whether all rows that there are have reached the views, and can be read.
    pub(super) fn is_at_end(&self, committed: Epoch) -> bool {
        self.ended_in.or(self.idle_in).is_some_and(|epoch| epoch <= committed)
    }

    /// Whether that was so at some time.
    pub(super) fn has_caught_up(&self, committed: Epoch) -> bool {
        self.caught_up_in.is_some_and(|epoch| epoch <= committed)
    }

    /// What the wall clock has to do with where it stands.
    pub(super) fn mark(&self, stream: StreamId) -> Mark {
        Mark { stream, watermark: self.clock.at(), future: self.future }
    }

    /// The partitions, where there are several.
    pub(super) fn partitions(&self, stream: StreamId) -> Option<Partitions> {
        let latest = self.clock.latest_of_each();
        (latest.len() > 1).then(|| Partitions { stream, latest: latest.collect() })
    }

    /// What it has given until this wall clock has been taken, as far as it has: that ends silences, and nothing else does.
    pub(super) fn listen(&mut self, wall_micros: i64) {
        let Some(reader) = &self.reader else { return };
        // What it could not hand over, it could not read either.
        let held_up = reader.held_up(wall_micros);
        self.clock.put_off(held_up - self.held_up, wall_micros);
        self.held_up = held_up;
        self.clock.hear(self.heard(wall_micros));
    }

    /// The wall clock up to which all has been taken that it has read, if it is this now.
    pub(super) fn heard(&self, wall_micros: i64) -> i64 {
        if self.waiting() == 0 { self.clock.heard().max(wall_micros) } else { self.clock.heard() }
    }

    /// It is read on by this thread.
    pub(super) fn goes_on_with(&mut self, reader: Reader) {
        (self.reader, self.held_up, self.error) = (Some(reader), 0, None);
    }

    /// What is known of it, for a thread that reads on.
    pub(super) fn known(&self) -> Known {
        Known { partitions: self.clock.latest_of_each().len() as u32, idle: self.idle_in.is_some() }
    }

    /// All that there is has been read, and more may come.
    pub(super) fn idle(&mut self, epoch: Epoch) {
        self.idle_in = Some(epoch);
        self.caught_up_in.get_or_insert(epoch);
    }

    /// The source has come to its end.
    pub(super) fn end(&mut self, epoch: Epoch) {
        self.ended_in = Some(epoch);
        self.caught_up_in.get_or_insert(epoch);
        self.reader = None;
    }

    /// Where it stands.
    pub(super) fn progress(&self, stream: StreamId) -> Progress {
        Progress {
            stream,
            position: self.position.clone(),
            rows: self.rows,
            dead: self.dead,
            bytes: self.bytes,
            latest: self.clock.latest(),
            idle: self.idle_in.is_some(),
            ended: self.ended_in.is_some(),
        }
    }

    /// Events that wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.reader.as_ref().map_or(0, |reader| reader.events.len())
    }

    /// How its watermark follows its event times, unless it has none or has come to its end.
    pub(super) fn going_on(&self) -> Option<Watermark> {
        self.spec.watermark.filter(|_| self.ended_in.is_none())
    }

    /// The promise about event times to come; the end of time once the source has ended.
    pub(super) fn watermark(&self) -> Option<i64> {
        self.spec.watermark.as_ref()?;
        if self.ended_in.is_some() { Some(i64::MAX) } else { self.clock.at() }
    }
}

impl Leader {
    /// Takes what readers have, up to the epoch's budget, and deals the batches out to the workers; says where readers stand
    /// that have moved.
    pub(super) fn drain_readers(&mut self, flight: &mut InFlight, inputs: &mut Inputs) -> Result<Vec<Progress>> {
        let epoch = flight.epoch;
        let mut moved = vec![];
        let streams: Vec<StreamId> = self.readers.keys().copied().collect();
        if streams.is_empty() {
            return Ok(moved);
        }
        self.first_reader = (self.first_reader + 1) % streams.len();
        for turn in 0..streams.len() {
            let stream = streams[(self.first_reader + turn) % streams.len()];
            let mut events = 0;
            while flight.source_rows < EPOCH_SOURCE_ROWS_MAX {
                let reader = self.readers.get_mut(&stream).expect("listed above");
                let Some(Told { at, event }) = reader.reader.as_ref().and_then(|reader| reader.events.try_recv().ok()) else { break };
                events += 1;
                reader.clock.hear(at);
                match event {
                    Event::Batch(batch, latest) => {
                        self.deal(stream, batch, latest, flight, inputs)?;
                    }
                    Event::Partitions(partitions) => {
                        reader.clock.grow(partitions as usize);
                        reader.idle_in = None;
                    }
                    Event::PartitionIdle(partition) => reader.clock.silent(partition, flight.wall_micros),
                    Event::Idle => {
                        reader.idle(epoch);
                        reader.clock.all_silent(flight.wall_micros);
                    }
                    Event::Unreachable => {
                        reader.idle_in = None;
                        reader.clock.interrupt();
                    }
                    Event::End => {
                        reader.end(epoch);
                        tracing::info!(source = reader.spec.name, rows = reader.rows, "source read to its end");
                    }
                    Event::Failed(error) => {
                        tracing::error!(source = reader.spec.name, %error, "source stopped");
                        reader.error = Some(error);
                        reader.reader = None;
                        reader.clock.interrupt();
                    }
                }
            }
            if events > 0 {
                moved.push(self.readers[&stream].progress(stream));
            }
        }
        Ok(moved)
    }

    /// Counts a batch, keeps its dead letters, and deals its rows to the next worker. `latest` is the greatest event time among them;
    /// those that are dated too far ahead become dead letters.
    pub(super) fn deal(
        &mut self,
        stream: StreamId,
        batch: SourceBatch,
        latest: Option<i64>,
        flight: &mut InFlight,
        inputs: &mut Inputs,
    ) -> Result<()> {
        let reader = self.readers.get_mut(&stream).expect("whoever deals has its reader");
        let SourceBatch { partition, rows, origins, dead, position, bytes } = batch;
        let first = reader.rows;
        flight.source_rows += rows.num_rows();
        reader.rows += rows.num_rows() as u64;
        reader.bytes += bytes;
        reader.dead += dead.len() as u64;
        reader.position = position;
        reader.idle_in = None;
        let mut latest = latest;
        let mut delta = Delta::of_source(rows, origins);
        // Every reader of a source meets the same rows in the same order: each is told once.
        let met = self.rows_met.entry(reader.source).or_insert(0);
        if let Some(of) = &reader.spec.watermark
            && let limit = flight.wall_micros.saturating_add(of.max_future)
            && latest.is_some_and(|latest| latest > limit)
        {
            let (stay, letters) = future::take_out(&reader.spec.name, &delta, of.column, limit)?;
            reader.future += letters.len() as u64;
            flight.future.insert(stream);
            let untold = letters.into_iter().filter(|(row, _)| first + *row as u64 >= *met);
            flight.dead.extend(untold.map(|(_, letter)| DeadLetter { time_micros: flight.wall_micros, ..letter }));
            latest = future::latest(&stay.rows, of.column);
            delta = stay;
        }
        *met = reader.rows.max(*met);
        reader.clock.gave(partition, latest);
        // As every row, every reader of a source meets the same letters in the same order.
        let told = self.letters_told.entry(reader.source).or_insert(0);
        let known = dead.len().saturating_sub(reader.dead.saturating_sub(*told) as usize);
        *told = reader.dead.max(*told);
        flight.dead.extend(dead.into_iter().skip(known).map(|letter| DeadLetter { time_micros: flight.wall_micros, ..letter }));
        if !delta.is_empty() {
            self.next_worker = (self.next_worker + 1) % self.lane.workers();
            inputs.entry(stream).or_default().push((Some(self.next_worker), delta));
        }
        Ok(())
    }

    /// A thread that reads on from a position, and wakes the leader when it has something.
    pub(super) fn read(&self, spec: &SourceSpec, from: &Position, known: Known) -> Result<Reader> {
        let (ready, to_self) = (self.ready.clone(), self.to_self.clone());
        Reader::start(spec, from, known, self.clock.clone(), move || {
            if !ready.swap(true, Ordering::SeqCst) {
                // Without a leader there is nobody to wake.
                let _ = to_self.send(Message::Ready);
            }
        })
    }

    /// The stream on which a new view reads a source from its start: the shared reader while it has not given anything
    /// out, a reader of the view's own otherwise.
    pub(super) fn reader_for(&mut self, source: RelationId, spec: &SourceSpec, view: RelationId) -> Result<StreamId> {
        let shared = StreamId::from(source);
        match self.readers.get(&shared) {
            Some(reader) if reader.rows == 0 && reader.dead == 0 && reader.ended_in.is_none() => {
                // One that failed tries again: a view of its own would be something that the log does not tell of.
                if reader.error.is_some() {
                    let again = self.read(spec, &Position::default(), Known { idle: false, ..reader.known() })?;
                    self.readers.get_mut(&shared).expect("just seen").goes_on_with(again);
                }
                Ok(shared)
            }
            Some(_) => {
                let stream = StreamId(self.next_own_reader);
                self.next_own_reader += 1;
                self.add_reader(stream, source, spec, Some(view))?;
                Ok(stream)
            }
            None => {
                self.add_reader(shared, source, spec, None)?;
                Ok(shared)
            }
        }
    }

    /// The stream that the log says a view reads: new, or as new.
    pub(super) fn reader_again(&mut self, reading: &Reading, spec: &SourceSpec, standing: Option<&Standing>) -> Result<StreamId> {
        let stream = reading.stream;
        if !self.readers.contains_key(&stream) {
            let own = (stream.0 >= OWN_READERS_FROM).then_some(reading.view);
            self.next_own_reader = self.next_own_reader.max(stream.0 + 1).max(OWN_READERS_FROM);
            match standing {
                None => self.add_reader(stream, reading.source, spec, own)?,
                Some(standing) => self.restore_reader(stream, reading.source, spec, own, standing)?,
            }
        }
        Ok(stream)
    }

    /// A new reader at the source's start.
    fn add_reader(&mut self, stream: StreamId, source: RelationId, spec: &SourceSpec, own: Option<RelationId>) -> Result<()> {
        let mut state = ReaderState::new(source, self.altered(source, spec), own);
        state.goes_on_with(self.read(spec, &Position::default(), state.known())?);
        self.lane.send(LaneMessage::CreateReader(stream));
        self.readers.insert(stream, state);
        Ok(())
    }

    /// A source with the watermark that was said last.
    fn altered(&self, source: RelationId, spec: &SourceSpec) -> SourceSpec {
        SourceSpec { watermark: self.watermarks.get(&source).copied().or(spec.watermark), ..spec.clone() }
    }

    /// A reader that stands where it stood at a checkpoint, and is opened when it is needed.
    fn restore_reader(
        &mut self,
        stream: StreamId,
        source: RelationId,
        spec: &SourceSpec,
        own: Option<RelationId>,
        standing: &Standing,
    ) -> Result<()> {
        let unknown =
            || Error::new(SqlState::DATA_CORRUPTED, format!("the checkpoint does not say how far source \"{}\" was read", spec.name));
        let ReaderStanding { progress, caught_up } = standing.reader(stream).ok_or_else(unknown)?;
        let epoch = standing.epoch;
        // Checkpoints of earlier versions tell of no marks: there rows alone moved watermarks.
        let spec = self.altered(source, spec);
        let by_rows = progress.latest.zip(spec.watermark.as_ref()).map(|(latest, of)| latest.saturating_sub(of.delay));
        let (watermark, future) = standing.mark(stream).map_or((by_rows, 0), |mark| (mark.watermark, mark.future));
        self.lane.send(LaneMessage::CreateReader(stream));
        let state = ReaderState {
            position: progress.position.clone(),
            rows: progress.rows,
            bytes: progress.bytes,
            dead: progress.dead,
            clock: EventClock::standing(standing.latest_of_each(progress), watermark),
            future,
            ended_in: progress.ended.then_some(epoch),
            idle_in: progress.idle.then_some(epoch),
            caught_up_in: caught_up.then_some(epoch),
            ..ReaderState::new(source, spec, own)
        };
        self.readers.insert(stream, state);
        Ok(())
    }

    /// The view whose own reader this is, and the shared stream, where both readers have given the same.
    fn is_level(&self, stream: StreamId) -> Option<(RelationId, StreamId)> {
        let own = self.readers.get(&stream)?;
        let view = own.own?;
        let shared = StreamId::from(own.source);
        let other = self.readers.get(&shared)?;
        let level = own.position == other.position
            && own.rows == other.rows
            && own.ended_in.is_some() == other.ended_in.is_some()
            && own.known().partitions == other.known().partitions
            && own.error.is_none()
            && other.error.is_none();
        (level && !own.position.is_start()).then_some((view, shared))
    }

    /// The view and the shared stream that it can read instead of its own reader's, because both stand at one position and one watermark.
    pub(super) fn joins(&self, stream: StreamId) -> Option<(RelationId, StreamId)> {
        let (view, shared) = self.is_level(stream)?;
        let live = self.views.get(&view)?.filling.is_none();
        (live && self.readers[&stream].clock.at() == self.readers[&shared].clock.at()).then_some((view, shared))
    }

    /// Readers that have given the same come to one watermark, the later of the two, so that they can join: one may have gone on by itself
    /// for longer. In an epoch, so that the views of both are told. The streams that moved.
    pub(super) fn level(&mut self, wall_micros: i64) -> Vec<StreamId> {
        let pairs: Vec<_> = self.readers.keys().filter_map(|stream| Some([*stream, self.is_level(*stream)?.1])).collect();
        let mut moved = vec![];
        for pair in pairs {
            let at = pair.iter().map(|stream| self.readers[stream].clock.at()).max().flatten();
            for stream in pair {
                let clock = &mut self.readers.get_mut(&stream).expect("found above").clock;
                if at > clock.at() {
                    clock.raise(at, wall_micros);
                    moved.push(stream);
                }
            }
        }
        moved
    }

    pub(super) fn drop_unused_readers(&mut self) {
        let used: BTreeSet<StreamId> = self.views.values().flat_map(|view| view.inputs.iter().copied()).collect();
        let unused: Vec<StreamId> = self.readers.keys().filter(|stream| !used.contains(stream)).copied().collect();
        if !unused.is_empty() {
            self.readers.retain(|stream, _| used.contains(stream));
            self.lane.send(LaneMessage::Drop(unused.into()));
        }
    }
}

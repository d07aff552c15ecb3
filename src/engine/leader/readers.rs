//! The leader's readers: which streams read which source, and what an epoch takes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::EPOCH_SOURCE_ROWS_MAX;
use weir_common::source::Position;

use crate::lane::{Dealt, LaneMessage};
use crate::leader::{InFlight, Leader, Message};
use crate::reader::{Event, Reader, SourceSpec};

/// A reader, and what has been taken of it.
pub(super) struct ReaderState {
    pub(super) source: RelationId,
    pub(super) spec: SourceSpec,
    /// The view whose own reader it is.
    pub(super) own: Option<RelationId>,
    pub(super) reader: Option<Reader>,
    pub(super) position: Position,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) dead: u64,
    pub(super) latest: Option<i64>,
    /// The epoch with its last rows, once a finite source has been read to its end.
    pub(super) ended_in: Option<Epoch>,
    /// The epoch with its latest rows, while all that is there has been read.
    pub(super) idle_in: Option<Epoch>,
    /// The epoch in which all that was there had been read for the first time.
    pub(super) caught_up_in: Option<Epoch>,
    pub(super) error: Option<Error>,
}

impl ReaderState {
    /// Whether all rows that there are have reached the views, and can be read.
    pub(super) fn is_at_end(&self, committed: Epoch) -> bool {
        self.ended_in.or(self.idle_in).is_some_and(|epoch| epoch <= committed)
    }

    /// Whether that was so at some time.
    pub(super) fn has_caught_up(&self, committed: Epoch) -> bool {
        self.caught_up_in.is_some_and(|epoch| epoch <= committed)
    }

    /// Events that wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.reader.as_ref().map_or(0, |reader| reader.events.len())
    }

    /// The promise about event times to come: greatest so far less the delay; the end of time once the source has ended.
    pub(super) fn watermark(&self) -> Option<i64> {
        let (_, delay) = self.spec.watermark?;
        if self.ended_in.is_some() {
            return Some(i64::MAX);
        }
        self.latest.map(|latest| latest.saturating_sub(delay))
    }
}

impl Leader {
    /// Takes what readers have, up to the epoch's budget, and deals the batches out to the workers.
    pub(super) fn drain_readers(&mut self, flight: &mut InFlight, inputs: &mut BTreeMap<StreamId, Vec<Dealt>>, wall_micros: i64) {
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
                        reader.idle_in = None;
                        // Every reader of a source meets the same letters in the same order: each is told once.
                        let told = self.letters_told.entry(reader.source).or_insert(0);
                        let known = batch.dead.len().saturating_sub(reader.dead.saturating_sub(*told) as usize);
                        *told = reader.dead.max(*told);
                        flight
                            .dead
                            .extend(batch.dead.into_iter().skip(known).map(|letter| DeadLetter { time_micros: wall_micros, ..letter }));
                        if batch.rows.num_rows() > 0 {
                            self.next_worker = (self.next_worker + 1) % self.lane.workers();
                            inputs.entry(stream).or_default().push((Some(self.next_worker), Delta::insert(batch.rows)));
                        }
                    }
                    Event::Idle => {
                        reader.idle_in = Some(epoch);
                        reader.caught_up_in.get_or_insert(epoch);
                    }
                    Event::End => {
                        reader.ended_in = Some(epoch);
                        reader.caught_up_in.get_or_insert(epoch);
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

    /// The stream on which a new view reads a source from its start: the shared reader while it has not given anything
    /// out, a reader of the view's own otherwise.
    pub(super) fn reader_for(&mut self, source: RelationId, spec: &SourceSpec, view: RelationId) -> Result<StreamId> {
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
            idle_in: None,
            caught_up_in: None,
            error: None,
        };
        self.readers.insert(stream, state);
        Ok(stream)
    }

    /// The view and the shared stream that it can read instead of its own reader's, because both stand at one position.
    pub(super) fn joins(&self, stream: StreamId) -> Option<(RelationId, StreamId)> {
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

    pub(super) fn drop_unused_readers(&mut self) {
        let used: BTreeSet<StreamId> = self.views.values().flat_map(|view| view.inputs.iter().copied()).collect();
        let unused: Vec<StreamId> = self.readers.keys().filter(|stream| !used.contains(stream)).copied().collect();
        if !unused.is_empty() {
            self.readers.retain(|stream, _| used.contains(stream));
            self.lane.send(LaneMessage::Drop(unused.into()));
        }
    }
}

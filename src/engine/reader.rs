//! Threads that read sources: each decodes ahead of the epoch clock into a bounded queue.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, TrySendError, bounded};
use weir_common::clock::Clock;
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::{READER_QUEUE_BATCHES_MAX, SOURCE_PARTITIONS_MAX};
use weir_common::source::{Position, Read, SourceBatch, SourceRef, Watermark};

use crate::future::latest;

/// A source as the engine needs it.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Its name, for messages.
    pub name: String,
    /// Opens readers.
    pub source: SourceRef,
    /// How its watermark follows its event times, where one is declared.
    pub watermark: Option<Watermark>,
}

/// What a reader thread hands over.
pub enum Event {
    /// Rows, and the greatest event time among them.
    Batch(SourceBatch, Option<i64>),
    /// There are as many partitions as this now.
    Partitions(u32),
    /// One partition has been read to its end while others go on. Told once between batches of it.
    PartitionIdle(u32),
    /// All that is there has been read; more may come. Told once between batches.
    Idle,
    /// Something outside cannot be reached. Told once between other events.
    Unreachable,
    /// A finite source is at its end.
    End,
    /// The source cannot go on.
    Failed(Error),
}

/// An event, and the wall clock at which it was read.
pub struct Told {
    /// Microseconds since 1970 UTC.
    pub at: i64,
    /// What was read.
    pub event: Event,
}

/// What is known of a source before it is read, and need not be told.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How many partitions it has.
    pub partitions: u32,
    /// Whether there is nothing behind the position.
    pub idle: bool,
}

/// How long a reader's thread has waited for somebody to take what it had read.
#[derive(Default)]
struct HeldUp {
    micros: i64,
    /// The wall clock since which it waits.
    since: Option<i64>,
}

/// A running reader thread.
pub struct Reader {
    /// What it has read and nobody has taken.
    pub events: Receiver<Told>,
    held_up: Arc<Mutex<HeldUp>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Opens the source at a position and reads on a thread of its own; `wake` is called after each event.
    pub fn start(
        spec: &SourceSpec,
        from: &Position,
        known: Known,
        clock: Arc<dyn Clock>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Reader> {
        let mut reader = spec.source.open(from)?;
        let (send, events) = bounded(READER_QUEUE_BATCHES_MAX);
        let (stop, held_up) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(HeldUp::default())));
        let (stopped, held) = (stop.clone(), held_up.clone());
        let mut teller = Teller::new(known, spec.watermark.map(|watermark| watermark.column));
        // The queue's other end goes away when the reader is dropped.
        let hand_over = move |event: Event| {
            let sent = match send.try_send(Told { at: clock.wall_micros(), event }) {
                Ok(()) => true,
                Err(TrySendError::Disconnected(_)) => false,
                Err(TrySendError::Full(told)) => {
                    held.lock().unwrap_or_else(PoisonError::into_inner).since = Some(clock.wall_micros());
                    let sent = send.send(told).is_ok();
                    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                    let since = held.since.take();
                    held.micros += since.map_or(0, |since| clock.wall_micros().saturating_sub(since).max(0));
                    sent
                }
            };
            if sent {
                wake();
            }
            sent
        };
        let read = move || {
            while !stopped.load(Ordering::Relaxed) {
                let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (reader.next(), reader.partitions())));
                let (next, partitions) = next.unwrap_or_else(|_| (Err(Error::internal("the source's reader panicked")), 0));
                for event in teller.tell(next, partitions) {
                    let last = matches!(event, Event::End | Event::Failed(_));
                    if !hand_over(event) || last {
                        return;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("read {}", spec.name))
            .spawn(read)
            .map_err(|error| Error::internal(format!("no thread for source \"{}\": {error}", spec.name)))?;
        Ok(Reader { events, held_up, stop, thread: Some(thread) })
    }

    /// How long it has been held up so far because nobody took what it had read, microseconds; it is this wall clock.
    pub fn held_up(&self, wall_micros: i64) -> i64 {
        let held = self.held_up.lock().unwrap_or_else(PoisonError::into_inner);
        held.micros + held.since.map_or(0, |since| wall_micros.saturating_sub(since).max(0))
    }
}

/// Decides what of all that a source says is news.
struct Teller {
    known: Known,
    /// The column of the event time.
    event_time: Option<usize>,
    /// Partitions that were told to be at their end.
    at_end: BTreeSet<u32>,
    unreachable: bool,
}

impl Teller {
    fn new(known: Known, event_time: Option<usize>) -> Self {
        Teller { known, event_time, at_end: BTreeSet::new(), unreachable: false }
    }

    /// The news in what was read, in order, when there are so many partitions.
    fn tell(&mut self, read: Result<Read>, partitions: u32) -> impl Iterator<Item = Event> + use<> {
        let partitions = partitions.max(match &read {
            Ok(Read::Batch(SourceBatch { partition, .. }) | Read::PartitionIdle(partition)) => partition.saturating_add(1),
            _ => 1,
        });
        let read = if partitions > SOURCE_PARTITIONS_MAX { Err(too_many(partitions)) } else { read };
        let mut grown = None;
        if read.is_ok() && partitions > self.known.partitions {
            // Of the new ones it is not known yet.
            self.known = Known { partitions, idle: false };
            grown = Some(Event::Partitions(partitions));
        }
        let event = match read {
            Ok(Read::Batch(batch)) => {
                self.at_end.remove(&batch.partition);
                (self.known.idle, self.unreachable) = (false, false);
                let latest = self.event_time.and_then(|column| latest(&batch.rows, column));
                Some(Event::Batch(batch, latest))
            }
            Ok(Read::Idle) => {
                self.unreachable = false;
                (!std::mem::replace(&mut self.known.idle, true)).then_some(Event::Idle)
            }
            Ok(Read::PartitionIdle(partition)) => {
                self.unreachable = false;
                (!self.known.idle && self.at_end.insert(partition)).then_some(Event::PartitionIdle(partition))
            }
            Ok(Read::Unreachable) => {
                self.known.idle = false;
                self.at_end.clear();
                (!std::mem::replace(&mut self.unreachable, true)).then_some(Event::Unreachable)
            }
            Ok(Read::End) => Some(Event::End),
            Err(error) => Some(Event::Failed(error)),
        };
        grown.into_iter().chain(event)
    }
}

fn too_many(partitions: u32) -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("the source has {partitions} partitions or more, and a source may have {SOURCE_PARTITIONS_MAX}"),
    )
    .with_hint("Read some of them by a source of their own.")
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Free the queue so that a blocked send ends, then let the thread finish by itself: it may be inside a read.
        self.events = crossbeam_channel::never();
        drop(self.thread.take());
    }
}

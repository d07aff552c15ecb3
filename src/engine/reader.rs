//! Threads that read sources: each decodes ahead of the epoch clock into a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use weir_common::error::{Error, Result};
use weir_common::limits::READER_QUEUE_BATCHES_MAX;
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
    /// All that is there has been read; more may come. Told once between batches.
    Idle,
    /// A finite source is at its end.
    End,
    /// The source cannot go on.
    Failed(Error),
}

/// A running reader thread.
pub struct Reader {
    /// What it has read and nobody has taken.
    pub events: Receiver<Event>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Opens the source at a position and reads on a thread of its own; `wake` is called after each event. `idle` says that it is
    /// known to have nothing behind the position, and need not tell.
    pub fn start(spec: &SourceSpec, from: &Position, idle: bool, wake: impl Fn() + Send + 'static) -> Result<Reader> {
        let mut reader = spec.source.open(from)?;
        let (send, events) = bounded(READER_QUEUE_BATCHES_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, event_time) = (stop.clone(), spec.watermark.map(|watermark| watermark.column));
        let read = move || {
            let mut idle = idle;
            while !stopped.load(Ordering::Relaxed) {
                let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.next()))
                    .unwrap_or_else(|_| Err(Error::internal("the source's reader panicked")));
                let was_idle = std::mem::replace(&mut idle, matches!(next, Ok(Read::Idle)));
                let (event, last) = match next {
                    Ok(Read::Idle) if was_idle => continue,
                    Ok(Read::Idle) => (Event::Idle, false),
                    Ok(Read::Batch(batch)) => {
                        let latest = event_time.and_then(|column| latest(&batch.rows, column));
                        (Event::Batch(batch, latest), false)
                    }
                    Ok(Read::End) => (Event::End, true),
                    Err(error) => (Event::Failed(error), true),
                };
                // The queue's other end goes away when the reader is dropped.
                if send.send(event).is_err() {
                    return;
                }
                wake();
                if last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("read {}", spec.name))
            .spawn(read)
            .map_err(|error| Error::internal(format!("no thread for source \"{}\": {error}", spec.name)))?;
        Ok(Reader { events, stop, thread: Some(thread) })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Free the queue so that a blocked send ends, then let the thread finish by itself: it may be inside a read.
        self.events = crossbeam_channel::never();
        drop(self.thread.take());
    }
}

//! Group commit: one thread writes the log, and one sync serves all records that waited for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::{LOG_QUEUE_BYTES_MAX, LOG_QUEUE_RECORDS_MAX, LOG_RECORD_BYTES_MAX};

use crate::log::Log;

/// What is called when it is known whether something is on disk; on the log's thread, so it should only pass the word.
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// The log and the thread that writes it.
///
/// # Contract
/// - Records are written in the order in which they were submitted, and `done` is called in that order, after their sync.
/// - After an error of the log every later record gets the same error.
/// - Every `done` is called once, whatever happens.
pub struct GroupCommit {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Log>>,
}

/// What the log's thread has done so far, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that were synced.
    pub records: u64,
    /// Bytes of these records, without what the log adds.
    pub bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Nanoseconds that writing and syncing took, all of them together.
    pub sync_nanos_sum: u64,
    /// Nanoseconds that the longest of them took.
    pub sync_nanos_max: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Files of the log on disk.
    pub log_segments: u64,
    /// Records that wait now, besides those that are being written.
    pub waiting_records: u64,
    /// Threads that wait to submit, because the queue is full.
    pub waiting_for_room: u64,
}

enum Request {
    Record { number: u64, bytes: Vec<u8>, waiter: Waiter },
    DropBefore { number: u64, waiter: Waiter },
}

/// Somebody who is told in any case, also when the thread ends by a panic.
struct Waiter(Option<Done>);

impl Waiter {
    fn tell(mut self, result: Result<()>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(gone()));
        }
    }
}

/// How much may wait; only tests have others than those of the limits.
#[derive(Clone, Copy)]
struct Room {
    records: usize,
    bytes: usize,
}

struct Shared {
    room: Room,
    queue: Mutex<Queue>,
    /// Something is in the queue, or it is closed.
    filled: Condvar,
    /// Something was taken from the queue, or it is closed.
    emptied: Condvar,
    counts: Counts,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    bytes: usize,
    /// Number of the last record that was submitted.
    last: Option<u64>,
    blocked: u64,
    /// Nothing is taken in any more.
    closed: bool,
}

#[derive(Default)]
struct Counts {
    records: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_nanos_sum: AtomicU64,
    sync_nanos_max: AtomicU64,
    log_bytes: AtomicU64,
    log_segments: AtomicU64,
}

impl GroupCommit {
    /// Starts the thread.
    pub fn start(log: Log) -> Result<Self> {
        Self::start_with(log, Room { records: LOG_QUEUE_RECORDS_MAX, bytes: LOG_QUEUE_BYTES_MAX })
    }

    fn start_with(log: Log, room: Room) -> Result<Self> {
        let queue = Mutex::new(Queue { last: log.last(), ..Queue::default() });
        let shared = Shared { room, queue, filled: Condvar::new(), emptied: Condvar::new(), counts: Counts::default() };
        shared.counts.measure(&log);
        let shared = Arc::new(shared);
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("epoch log".into()).spawn(move || write(log, &theirs)).map_err(|error| {
            Error::new(SqlState::INSUFFICIENT_RESOURCES, format!("could not start the thread of the epoch log: {error}"))
        })?;
        Ok(GroupCommit { shared, thread: Some(thread) })
    }

    /// Writes a record, and calls `done` when it survives a crash, or never will. Its number must be larger than all before. Waits
    /// while too much is in the queue.
    ///
    /// A record that is too large (54000) is told at once, is not written, and does not keep others from being written.
    pub fn submit(&self, number: u64, bytes: Vec<u8>, done: Done) {
        if bytes.len() > LOG_RECORD_BYTES_MAX {
            return done(Err(crate::log::too_large(bytes.len())));
        }
        let mut queue = self.shared.lock();
        assert!(queue.last.is_none_or(|last| number > last), "numbers in the log rise: {number} after {:?}", queue.last);
        queue.last = Some(number);
        let room = self.shared.room;
        let full = |queue: &Queue| queue.requests.len() >= room.records || queue.bytes + bytes.len() > room.bytes;
        queue.blocked += 1;
        // What is larger than all room waits until it is alone.
        while !queue.closed && !queue.requests.is_empty() && full(&queue) {
            queue = self.shared.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.blocked -= 1;
        queue.bytes += bytes.len();
        self.put(queue, Request::Record { number, bytes, waiter: Waiter(Some(done)) });
    }

    /// Removes segments that hold only records with smaller numbers ([`Log::drop_before`]), after what was submitted before.
    pub fn drop_before(&self, number: u64, done: Done) {
        self.put(self.shared.lock(), Request::DropBefore { number, waiter: Waiter(Some(done)) });
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.shared.counts;
        let queue = self.shared.lock();
        Counters {
            records: of(&counts.records),
            bytes: of(&counts.bytes),
            syncs: of(&counts.syncs),
            sync_nanos_sum: of(&counts.sync_nanos_sum),
            sync_nanos_max: of(&counts.sync_nanos_max),
            log_bytes: of(&counts.log_bytes),
            log_segments: of(&counts.log_segments),
            waiting_records: queue.requests.len() as u64,
            waiting_for_room: queue.blocked,
        }
    }

    /// Writes what waits, ends the thread, and gives the log back.
    pub fn stop(mut self) -> Result<Log> {
        self.end().unwrap_or_else(|| Err(gone()))
    }

    fn put(&self, mut queue: MutexGuard<'_, Queue>, request: Request) {
        if queue.closed {
            // Only a thread that has panicked closes the queue under us. Nobody is called while the queue is locked.
            drop(queue);
            drop(request);
            return;
        }
        queue.requests.push_back(request);
        drop(queue);
        self.shared.filled.notify_one();
    }

    fn end(&mut self) -> Option<Result<Log>> {
        let thread = self.thread.take()?;
        self.shared.close();
        Some(thread.join().map_err(|_| gone()))
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    /// All that waits; nothing when the queue is closed and everything was taken.
    fn take(&self) -> VecDeque<Request> {
        let mut queue = self.lock();
        while queue.requests.is_empty() && !queue.closed {
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.bytes = 0;
        let requests = std::mem::take(&mut queue.requests);
        drop(queue);
        self.emptied.notify_all();
        requests
    }
}

impl Counts {
    fn measure(&self, log: &Log) {
        self.log_bytes.store(log.bytes(), Ordering::Relaxed);
        self.log_segments.store(log.segments() as u64, Ordering::Relaxed);
    }
}

/// The thread ends, maybe by a panic: nothing is taken in any more, and whoever waits is told.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close();
        let left = std::mem::take(&mut self.0.lock().requests);
        drop(left);
    }
}

/// The log's thread.
fn write(mut log: Log, shared: &Shared) -> Log {
    let _ending = Ending(shared);
    loop {
        let requests = shared.take();
        if requests.is_empty() {
            return log;
        }
        let (mut waiting, mut drops, mut bytes_written) = (Vec::new(), Vec::new(), 0);
        for request in requests {
            match request {
                Request::Record { number, bytes, waiter } => {
                    bytes_written += bytes.len() as u64;
                    // An error of the log stays with it: the sync below tells it again.
                    let _ = log.append(number, &bytes);
                    waiting.push(waiter);
                }
                Request::DropBefore { number, waiter } => drops.push((number, waiter)),
            }
        }
        if !waiting.is_empty() {
            let began = Instant::now();
            let synced = log.sync();
            let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            if synced.is_ok() {
                let counts = &shared.counts;
                counts.records.fetch_add(waiting.len() as u64, Ordering::Relaxed);
                counts.bytes.fetch_add(bytes_written, Ordering::Relaxed);
                counts.syncs.fetch_add(1, Ordering::Relaxed);
                counts.sync_nanos_sum.fetch_add(nanos, Ordering::Relaxed);
                counts.sync_nanos_max.fetch_max(nanos, Ordering::Relaxed);
                counts.measure(&log);
            }
            for waiter in waiting {
                waiter.tell(synced.clone());
            }
        }
        // After the records: nobody waits for a file to be removed.
        for (number, waiter) in drops {
            let dropped = log.drop_before(number);
            shared.counts.measure(&log);
            waiter.tell(dropped);
        }
    }
}

fn gone() -> Error {
    Error::internal("the thread of the epoch log has ended")
}

#[cfg(test)]
mod tests;

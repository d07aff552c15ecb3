//! A feed: what has changed in one relation, commit by commit, kept for a while and read by any number of subscribers.
//!
//! Workers leave their parts of a commit; when all have, it is complete and can be read. Nothing waits for a reader: what does not
//! fit is dropped, oldest first, and a reader that had not got there is cut.
//!
//! # Invariants
//! - It has every change after `oldest`, and none before it.
//! - Commits become complete in order: every worker commits in the order of the lane.
//! - A relation that nobody subscribes to has no feed, and one that a commit does not reach hears nothing of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::Array;
use tokio::sync::watch;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::Epoch;
use weir_common::limits::{SUBSCRIBE_BYTES_MAX, SUBSCRIBE_HISTORY_SECONDS, SUBSCRIBE_ROWS_MAX};
use weir_dataflow::consolidate::consolidate;

/// What a feed keeps.
#[derive(Clone, Copy, Debug)]
pub struct FeedLimits {
    /// How long changes are kept that all subscribers have read, and a feed that has none.
    pub history: Duration,
    /// Rows that are kept, read or not; the latest commit is kept whatever its size.
    pub rows: usize,
    /// Bytes of these rows, likewise.
    pub bytes: usize,
}

impl Default for FeedLimits {
    fn default() -> Self {
        let history = Duration::from_secs(SUBSCRIBE_HISTORY_SECONDS);
        FeedLimits { history, rows: SUBSCRIBE_ROWS_MAX, bytes: SUBSCRIBE_BYTES_MAX }
    }
}

/// What subscriptions have cost since the start, over all feeds.
#[derive(Debug, Default)]
pub struct FeedCounters {
    /// Commits that a worker left a part of, empty or not: the work that subscriptions are to the engine.
    pub parts: AtomicU64,
    /// Subscribers that were cut because they were too slow.
    pub cut: AtomicU64,
}

/// The changes of one commit to one relation.
pub(crate) struct Commit {
    pub(crate) epoch: Epoch,
    wall_micros: i64,
    rows: usize,
    /// Rows of all commits before it that were ever here.
    rows_before: u64,
    bytes: usize,
    delta: Mutex<Changes>,
}

enum Changes {
    /// As the workers left them.
    Parts(Vec<Delta>),
    /// Every row once.
    Whole(Delta),
}

impl Commit {
    /// The change, every row once; whoever asks first puts it together for all.
    pub(crate) fn delta(&self) -> Result<Delta> {
        let mut changes = self.delta.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = match &*changes {
            Changes::Whole(delta) => return Ok(delta.clone()),
            Changes::Parts(parts) => match parts.as_slice() {
                [part] => consolidate(part)?,
                parts => consolidate(&Delta::concat(parts[0].rows.schema_ref(), parts)?)?,
            },
        };
        *changes = Changes::Whole(whole.clone());
        Ok(whole)
    }

    /// Rows before they were put together.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// The feed of one relation.
pub(crate) struct Feed {
    workers: usize,
    limits: FeedLimits,
    counters: Arc<FeedCounters>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// Workers that have joined it, and those that have left it.
    joined: usize,
    left: usize,
    oldest: Epoch,
    commits: VecDeque<Arc<Commit>>,
    /// Rows of all commits that were ever here.
    rows_ever: u64,
    rows: usize,
    bytes: usize,
    coming: BTreeMap<Epoch, Coming>,
    /// What each reader has read up to; `None` while it does not know where it starts.
    readers: BTreeMap<u64, Option<Epoch>>,
    next_reader: u64,
    /// Since when, in wall time of commits, it has had no reader.
    unread_since: Option<i64>,
    /// There is no more to come, and why.
    ended: Option<Error>,
    /// Nobody can join any more.
    closed: bool,
}

/// A commit that not all workers have left their part of.
#[derive(Default)]
struct Coming {
    parts: Vec<Delta>,
    workers: usize,
}

/// A reader's place in a feed; it is free when this is dropped.
pub(crate) struct Seat {
    feed: Arc<Feed>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.feed.lock().readers.remove(&self.number);
    }
}

/// How far a reader is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) position: Option<Epoch>,
    pub(crate) commits: u64,
    pub(crate) rows: u64,
}

impl Feed {
    pub(crate) fn new(workers: usize, limits: FeedLimits, counters: Arc<FeedCounters>) -> Feed {
        Feed { workers, limits, counters, state: Mutex::default(), changed: watch::channel(()).0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a reader, who does not know yet where to start; `None` when the feed has ended.
    pub(crate) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let number = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(number, None);
        state.unread_since = None;
        Some(Seat { feed: self.clone(), number })
    }

    /// A worker is about to leave the parts of all commits from now on; `changed` is the last one that changed its rows.
    pub(crate) fn join(&self, changed: Epoch) {
        let mut state = self.lock();
        if state.joined < self.workers {
            state.joined += 1;
            state.oldest = state.oldest.max(changed);
        }
    }

    /// A worker's part of a commit, which may be empty. False: nobody wants any more.
    pub(crate) fn push(&self, epoch: Epoch, wall_micros: i64, parts: Vec<Delta>) -> bool {
        self.counters.parts.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        let coming = state.coming.entry(epoch).or_default();
        coming.parts.extend(parts);
        coming.workers += 1;
        if coming.workers < self.workers {
            return true;
        }
        let parts = state.coming.remove(&epoch).map(|coming| coming.parts).unwrap_or_default();
        if !parts.is_empty() {
            let (rows, bytes) = (parts.iter().map(Delta::num_rows).sum(), parts.iter().map(bytes_of).sum());
            state.rows += rows;
            state.bytes += bytes;
            let (delta, rows_before) = (Mutex::new(Changes::Parts(parts)), state.rows_ever);
            state.rows_ever += rows as u64;
            state.commits.push_back(Arc::new(Commit { epoch, wall_micros, rows, rows_before, bytes, delta }));
            self.changed.send_replace(());
        }
        self.trim(&mut state, wall_micros);
        !state.closed
    }

    /// Lets go of what is too much or too old, and of everything when nobody has come for long.
    fn trim(&self, state: &mut State, wall_micros: i64) {
        let history = self.limits.history.as_micros() as i64;
        let read = state.readers.values().map(|position| position.unwrap_or(0)).min().unwrap_or(Epoch::MAX);
        while let Some(front) = state.commits.front() {
            let too_much = (state.rows > self.limits.rows || state.bytes > self.limits.bytes) && state.commits.len() > 1;
            let too_old = front.epoch <= read && front.wall_micros.saturating_add(history) <= wall_micros;
            if !too_much && !too_old {
                break;
            }
            state.oldest = front.epoch;
            state.rows -= front.rows;
            state.bytes -= front.bytes;
            state.commits.pop_front();
        }
        if state.readers.is_empty() {
            let since = *state.unread_since.get_or_insert(wall_micros);
            if since.saturating_add(history) <= wall_micros {
                state.closed = true;
                state.commits.clear();
            }
        }
    }

    /// A worker will leave no more, for the relation is gone; when all have said so, it has ended.
    pub(crate) fn leave(&self, error: Error) {
        let mut state = self.lock();
        state.left += 1;
        let last = state.left == self.workers;
        drop(state);
        if last {
            self.end(error);
        }
    }

    /// There will be no more; readers are told why when they have read what there is.
    pub(crate) fn end(&self, error: Error) {
        let mut state = self.lock();
        state.closed = true;
        state.ended.get_or_insert(error);
        drop(state);
        self.changed.send_replace(());
    }

    /// Every reader, and how far it is behind.
    pub(crate) fn readers(&self) -> Vec<Behind> {
        let state = self.lock();
        let behind = |position: &Option<Epoch>| {
            let at = state.commits.partition_point(|commit| position.is_none_or(|position| commit.epoch <= position));
            let rows = state.commits.get(at).map_or(0, |first| state.rows_ever - first.rows_before);
            Behind { position: *position, commits: (state.commits.len() - at) as u64, rows }
        };
        state.readers.values().map(behind).collect()
    }
}

impl Seat {
    /// Hears when there may be something to read.
    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.feed.changed.subscribe()
    }

    /// Starts after a commit, which is `now` unless `as_of` says an earlier one; returns the changes between the two. `now` is a
    /// commit that every worker had carried out when it joined.
    pub(crate) fn start(&self, as_of: Option<Epoch>, now: Epoch) -> Result<Vec<Arc<Commit>>> {
        let mut state = self.feed.lock();
        let from = as_of.unwrap_or(now);
        if from > now {
            let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("AS OF {from} is a commit that has not been yet"));
            return Err(error.with_detail(format!("The latest commit is {now}.")));
        }
        if from < state.oldest {
            let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("AS OF {from} is before the changes that are kept"));
            let oldest = state.oldest;
            return Err(error
                .with_detail(format!("The oldest commit that a subscription to this relation can start at is {oldest}, the latest {now}."))
                .with_hint(
                    "Subscribe without AS OF: the snapshot has what was missed. --subscribe-history says how long changes are kept.",
                ));
        }
        state.readers.insert(self.number, Some(from));
        Ok(state.commits.iter().filter(|commit| commit.epoch > from && commit.epoch <= now).cloned().collect())
    }

    /// The next commit with changes, if there is one; an error after the last that there will be, or when some were dropped unread.
    pub(crate) fn next(&self) -> Result<Option<Arc<Commit>>> {
        let mut state = self.feed.lock();
        let position = state.readers.get(&self.number).copied().flatten().unwrap_or(0);
        if position < state.oldest {
            self.feed.counters.cut.fetch_add(1, Ordering::Relaxed);
            let error = Error::new(SqlState::INSUFFICIENT_RESOURCES, "subscription cut: the client reads more slowly than rows change");
            let oldest = state.oldest;
            return Err(error
                .with_detail(format!("It got every change up to commit {position}; changes up to commit {oldest} are no longer kept."))
                .with_hint("Subscribe again: the snapshot has what was missed."));
        }
        let at = state.commits.partition_point(|commit| commit.epoch <= position);
        match state.commits.get(at).cloned() {
            Some(commit) => {
                state.readers.insert(self.number, Some(commit.epoch));
                Ok(Some(commit))
            }
            None => state.ended.clone().map_or(Ok(None), Err),
        }
    }

    /// There was nothing up to this commit, which all workers have carried out.
    pub(crate) fn pass(&self, epoch: Epoch) {
        self.feed.lock().readers.insert(self.number, Some(epoch));
    }
}

fn bytes_of(delta: &Delta) -> usize {
    let columns = delta.rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0));
    columns.sum::<usize>() + delta.num_rows() * size_of::<i64>()
}

#[cfg(test)]
mod tests;

//! A subscription: the rows of a relation as of one commit, then what every later commit changes in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::Epoch;
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::snapshot::Snapshot;
use weir_dataflow::consolidate::consolidate;

use crate::feed::{Commit, Seat};

/// What a subscriber wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Start at this commit instead of the latest.
    pub as_of: Option<Epoch>,
    /// End after this commit.
    pub up_to: Option<Epoch>,
    /// Hear of commits without changes too.
    pub progress: bool,
}

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum Change {
    /// A commit changed rows: every row once, no weight zero.
    Rows(Epoch, Delta),
    /// Nothing has changed since, up to this commit.
    Quiet(Epoch),
}

/// How far each worker has committed, and who wants to hear of it.
pub(crate) struct CommitBoard {
    committed: Vec<AtomicU64>,
    listeners: AtomicUsize,
    changed: watch::Sender<()>,
}

impl CommitBoard {
    pub(crate) fn new(workers: usize, committed: Epoch) -> CommitBoard {
        let committed = (0..workers).map(|_| AtomicU64::new(committed)).collect();
        CommitBoard { committed, listeners: AtomicUsize::new(0), changed: watch::channel(()).0 }
    }

    /// A worker has served a commit, and has told all feeds of it.
    pub(crate) fn committed(&self, worker: usize, epoch: Epoch) {
        self.committed[worker].store(epoch, Ordering::SeqCst);
        if self.listeners.load(Ordering::SeqCst) > 0 {
            self.changed.send_replace(());
        }
    }

    /// The last commit that all workers have served.
    fn by_all(&self) -> Epoch {
        self.committed.iter().map(|worker| worker.load(Ordering::SeqCst)).min().unwrap_or(0)
    }
}

/// Somebody who wants to hear of commits.
struct Listener {
    board: Arc<CommitBoard>,
    changed: watch::Receiver<()>,
}

impl Listener {
    fn new(board: Arc<CommitBoard>) -> Listener {
        board.listeners.fetch_add(1, Ordering::SeqCst);
        Listener { changed: board.changed.subscribe(), board }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.board.listeners.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The rows that a subscription starts with.
pub struct Start {
    snapshot: Snapshot,
    /// What has changed since the commit that it starts at.
    since: Vec<Arc<Commit>>,
    commit: Epoch,
}

impl Start {
    /// The commit that it starts at.
    pub fn commit(&self) -> Epoch {
        self.commit
    }

    /// The rows as of that commit. May compute for long where it is not the latest.
    pub fn rows(&self) -> Result<Vec<Delta>> {
        let mut rows: Vec<Delta> = self.snapshot.batches()?.into_iter().map(Delta::insert).collect();
        if self.since.is_empty() {
            return Ok(rows);
        }
        for commit in &self.since {
            let delta = commit.delta()?;
            let weights = (0..delta.num_rows()).map(|row| -delta.weights.get(row)).collect();
            rows.push(Delta::weighted(delta.rows, weights));
        }
        Ok(vec![consolidate(&Delta::concat(&self.snapshot.schema, &rows)?)?])
    }
}

/// A subscription to one relation. Dropping it ends it.
pub struct Subscription {
    seat: Seat,
    changed: watch::Receiver<()>,
    listener: Option<Listener>,
    fatal: watch::Receiver<Option<Error>>,
    position: Epoch,
    up_to: Option<Epoch>,
}

impl Subscription {
    /// Starts a reader; `snapshot` is of a commit after which the feed has everything.
    pub(crate) fn start(
        seat: Seat,
        snapshot: Snapshot,
        wanted: Wanted,
        board: Arc<CommitBoard>,
        fatal: watch::Receiver<Option<Error>>,
    ) -> Result<(Start, Subscription)> {
        let since = seat.start(wanted.as_of, snapshot.epoch)?;
        let commit = wanted.as_of.unwrap_or(snapshot.epoch);
        if let Some(up_to) = wanted.up_to.filter(|up_to| *up_to < commit) {
            let message = format!("UP TO {up_to} is before commit {commit}, at which the subscription starts");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        let listener = (wanted.progress || wanted.up_to.is_some()).then(|| Listener::new(board));
        let changed = seat.listen();
        let subscription = Subscription { seat, changed, listener, fatal, position: commit, up_to: wanted.up_to };
        Ok((Start { snapshot, since, commit }, subscription))
    }

    /// What comes next; `None` after the commit that it was to end with. To be polled to its end once it was begun.
    pub async fn next(&mut self) -> Result<Option<Change>> {
        loop {
            if self.up_to.is_some_and(|up_to| self.position >= up_to) {
                return Ok(None);
            }
            // Before looking: what comes after the look is heard.
            self.changed.mark_unchanged();
            let passed = self.listener.as_mut().map(|listener| {
                listener.changed.mark_unchanged();
                listener.board.by_all()
            });
            match self.seat.next()? {
                Some(commit) if self.up_to.is_some_and(|up_to| commit.epoch > up_to) => {
                    self.position = self.up_to.unwrap_or(commit.epoch);
                    return Ok(Some(Change::Quiet(self.position)));
                }
                Some(commit) => {
                    self.position = commit.epoch;
                    let epoch = commit.epoch;
                    let delta = delta(commit).await?;
                    if !delta.is_empty() {
                        return Ok(Some(Change::Rows(epoch, delta)));
                    }
                    continue;
                }
                None => {}
            }
            if let Some(passed) = passed.map(|passed| self.up_to.map_or(passed, |up_to| up_to.min(passed)))
                && passed > self.position
            {
                self.position = passed;
                self.seat.pass(passed);
                return Ok(Some(Change::Quiet(passed)));
            }
            self.wait().await?;
        }
    }

    /// Waits until there may be something.
    async fn wait(&mut self) -> Result<()> {
        let commits = async {
            match &mut self.listener {
                Some(listener) => listener.changed.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let failed = async {
            match self.fatal.wait_for(Option::is_some).await {
                Ok(error) => error.clone(),
                // A stop that was asked for.
                Err(_) => None,
            }
        };
        tokio::select! {
            // Both senders are held here: neither is ever gone.
            _ = self.changed.changed() => Ok(()),
            _ = commits => Ok(()),
            failed = failed => Err(failed.unwrap_or_else(|| Error::new(SqlState::ADMIN_SHUTDOWN, "the engine is stopping"))),
        }
    }
}

/// The change of a commit; a large one is put together on another thread.
async fn delta(commit: Arc<Commit>) -> Result<Delta> {
    if commit.rows() <= BATCH_ROWS_MAX {
        return commit.delta();
    }
    let put_together = tokio::task::spawn_blocking(move || commit.delta()).await;
    put_together.map_err(|error| Error::internal(format!("a change was not put together: {error}")))?
}

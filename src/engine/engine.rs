//! The handle that everybody else holds: start, define, write, read, ask, stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use weir_common::clock::Clock;
use weir_common::delta::Delta;
use weir_common::epoch_log::{Definition, EpochLog};
use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::ExprRef;
use weir_common::ids::{Epoch, RelationId};
use weir_common::limits::{LANE_REQUESTS_MAX, MEMORY_STEPS, WRITE_BYTES_MAX};
use weir_common::snapshot::Snapshot;
use weir_common::source::Watermark;
use weir_common::state_store::StateStore;
use weir_dataflow::lower::DataflowPlan;

use crate::checkpoint;
use crate::feed::FeedLimits;
use crate::lane::{Lane, LateTaken, PeekReply, Report, WorkerStats};
use crate::leader::{self, Admission, Ddl, Message, News};
use crate::reader::SourceSpec;
use crate::recovery::{Recovered, Recovery};
use crate::status::{Failures, Status};
use crate::subscription::{CommitBoard, Start, Subscription, Wanted};
use crate::worker::{self, WorkerSeat};

/// How to start an engine.
pub struct EngineConfig {
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Tells wall time.
    pub clock: Arc<dyn Clock>,
    /// Keeps the record of every epoch.
    pub log: Box<dyn EpochLog>,
    /// Rows that may wait on one worker for views that are being filled ([`weir_common::limits::FILLING_ROWS_MAX`]).
    pub filling_rows_max: usize,
    /// What the log held before; `None` for a new database.
    pub recovery: Option<Recovery>,
    /// Where checkpoints go, and come from; `None` where nothing is kept, or everything is done again.
    pub checkpoints: Option<CheckpointConfig>,
    /// Bytes that tables and views may take together; `None` for any number.
    pub memory_limit: Option<u64>,
    /// What is kept of changes for those who subscribe to them.
    pub feeds: FeedLimits,
}

/// How checkpoints are taken.
#[derive(Clone)]
pub struct CheckpointConfig {
    /// Keeps them.
    pub store: Arc<dyn StateStore>,
    /// Between one and the next, while anything happens.
    pub interval: Duration,
    /// Bytes of changes, over all workers, after which one does not wait for its time.
    pub bytes: u64,
    /// Rows of state that a worker copies in one go, before epochs get their turn; at least 1.
    pub slice_rows: usize,
}

/// A table to create.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The table.
    pub id: RelationId,
    /// Its name, for messages.
    pub name: String,
    /// Its columns, all nullable (NOT NULL is checked before rows get here).
    pub schema: SchemaRef,
    /// The primary key's columns.
    pub key: Option<Vec<usize>>,
    /// The name of the primary key's constraint, for messages; without one, the table's with `_pkey` behind it.
    pub key_name: Option<String>,
    /// How its watermark follows the event times that are written, where one is declared. A table is never idle, and what was written
    /// is believed.
    pub watermark: Option<Watermark>,
}

/// A materialized view to create.
#[derive(Clone, Debug)]
pub struct ViewSpec {
    /// The view; its number is greater than those of all that it reads.
    pub id: RelationId,
    /// The relation of the rows that come too late for its windows: a number of its own, greater than `id`, where its plan takes out
    /// late rows. A temporary view may do without: then late rows are counted only.
    pub late: Option<RelationId>,
    /// How many of those rows are kept.
    pub late_entries_max: u64,
    /// Its name, for messages.
    pub name: String,
    /// What it computes.
    pub plan: Arc<DataflowPlan>,
    /// The sources among the relations that it imports.
    pub sources: BTreeMap<RelationId, SourceSpec>,
    /// Whether its rows are kept. A view that keeps none only counts them: it cannot be read, and [`Status`] says the count.
    pub keep: bool,
    /// Whether neither the log nor a checkpoint has it: a restart forgets it, and what it reads may be dropped, with it.
    pub temporary: bool,
}

/// Rows that a transaction takes from and adds to one table.
#[derive(Clone, Debug)]
pub struct TableWrite {
    /// The table.
    pub table: RelationId,
    /// The rows, in the table's schema; weights are +1 and -1, and a row with -1 is there.
    pub delta: Delta,
}

/// Which entries of a view's late rows are meant.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Logged: a [`crate::recovery::Definer`] makes the same of it after a restart.
    pub words: String,
    /// A boolean over the columns of the late rows, which depends on nothing else.
    pub predicate: ExprRef,
}

impl TableWrite {
    /// Bytes of memory that its rows take.
    pub(crate) fn bytes(&self) -> usize {
        self.delta.rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX / 1024)).sum()
    }
}

/// A running engine. Clones are the same engine; it stops when [`Engine::stop`] is called.
#[derive(Clone)]
pub struct Engine {
    leader: mpsc::UnboundedSender<Message>,
    /// Bounds the requests that wait for the leader.
    permits: Arc<Semaphore>,
    workers: usize,
    commits: Arc<CommitBoard>,
    fatal: watch::Receiver<Option<Error>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Engine {
    /// The first epoch of a new database.
    pub const FIRST_EPOCH: Epoch = 1;

    /// Starts the worker threads and the leader; returns when all that was logged has been done again.
    pub fn start(config: EngineConfig) -> Result<(Engine, Recovered)> {
        let workers = config.workers.max(1);
        let (to_leader, from_all) = mpsc::unbounded_channel();
        let stats = Arc::new((0..workers).map(|_| WorkerStats::default()).collect::<Vec<_>>());
        let failures = Failures::default();
        let mut inboxes = vec![];
        let mut seats = vec![];
        let position = config.checkpoints.as_ref().map(|checkpoints| checkpoint::position(&*checkpoints.store)).transpose()?.flatten();
        let first = position.map_or(Self::FIRST_EPOCH, |epoch| epoch + 1);
        let slice_rows = config.checkpoints.as_ref().map_or(1, |checkpoints| checkpoints.slice_rows);
        let dirty_bytes_max = config.checkpoints.as_ref().map_or(usize::MAX, |checkpoints| checkpoints.bytes as usize / workers);
        let store = config.checkpoints.as_ref().map(|checkpoints| checkpoints.store.clone());
        let resized_bytes = config.memory_limit.map(|limit| limit as usize / MEMORY_STEPS / workers);
        let commits = Arc::new(CommitBoard::new(workers, first - 1));
        for _ in 0..workers {
            let (send, inbox) = crossbeam_channel::unbounded();
            inboxes.push(send);
            let (leader, stats, failures) = (to_leader.clone(), stats.clone(), failures.clone());
            seats.push(Mutex::new(Some(WorkerSeat {
                inbox,
                leader,
                stats,
                failures,
                first,
                filling_rows_max: config.filling_rows_max,
                store: store.clone(),
                dirty_bytes_max,
                slice_rows,
                commits: commits.clone(),
                resized_bytes,
            })));
        }
        let (announce, announced) = crossbeam_channel::bounded(workers);
        let to_leader_of_workers = to_leader.clone();
        let run = move || {
            let config =
                timely::Config { communication: timely::CommunicationConfig::Process(workers), worker: timely::WorkerConfig::default() };
            let guards = timely::execute(config, move |worker| {
                let index = worker.index();
                let seat = seats[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take().expect("each worker sits down once");
                let _ = announce.send((index, std::thread::current()));
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker::run(worker, seat)));
                if let Err(panic) = ended {
                    let _ = to_leader_of_workers.send(Message::Report(index, Report::Died(panic_text(panic.as_ref()))));
                }
                // Dataflows that are still there would keep timely stepping for ever.
                for dataflow in worker.installed_dataflows() {
                    worker.drop_dataflow(dataflow);
                }
            });
            if let Ok(guards) = guards {
                for result in guards.join() {
                    if let Err(error) = result {
                        tracing::error!(error, "a worker ended badly");
                    }
                }
            }
        };
        let timely = spawn("timely", run)?;
        let mut threads = vec![None; workers];
        for _ in 0..workers {
            let (index, thread) = announced.recv().map_err(|_| Error::internal("the worker threads did not start"))?;
            threads[index] = Some(thread);
        }
        let lane = Lane::new(inboxes.into_iter().zip(threads.into_iter().flatten()).collect());
        let (died, fatal) = watch::channel(None);
        let (tell, recovered) = crossbeam_channel::bounded(1);
        let to_self = to_leader.clone();
        let lead = move || {
            let of_panic = died.clone();
            let run = move || leader::run(config, lane, from_all, to_self, stats, failures, News { recovered: tell, died });
            if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
                let _ = of_panic.send(Some(Error::internal(format!("the leader panicked: {}", panic_text(panic.as_ref())))));
            }
        };
        let leader = spawn("leader", lead)?;
        let engine = Engine {
            leader: to_leader,
            permits: Arc::new(Semaphore::new(LANE_REQUESTS_MAX)),
            workers,
            commits,
            fatal,
            threads: Arc::new(Mutex::new(vec![leader, timely])),
        };
        match recovered.recv() {
            Ok(Ok(recovered)) => Ok((engine, recovered)),
            Ok(Err(error)) => {
                engine.stop();
                Err(error)
            }
            Err(_) => {
                let error = engine.fatal.borrow().clone().unwrap_or_else(|| Error::internal("the leader did not start"));
                engine.stop();
                Err(error)
            }
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Adds a table with these rows, in the table's schema; when it returns, the table is durable, and can be written and read.
    /// `words` are logged: a [`crate::recovery::Definer`] makes the same of them after a restart.
    pub async fn create_table(&self, spec: TableSpec, rows: Option<Delta>, words: Vec<u8>) -> Result<()> {
        self.ddl(|reply| Ddl::CreateTable { spec, rows, words, reply }).await
    }

    /// Adds a view; returns when it is filled from tables and views, and has begun to read its sources. `words` as for a table.
    pub async fn create_view(&self, spec: ViewSpec, words: Vec<u8>) -> Result<()> {
        self.ddl(|reply| Ddl::CreateView { spec, words, reply }).await
    }

    /// Removes relations of whatever kind, those that depend on others first, and the readers that only they used.
    pub async fn drop_relations(&self, relations: Vec<RelationId>) -> Result<()> {
        self.define(vec![Definition::Dropped(relations)]).await
    }

    /// Logs definitions at once, all or none; the engine itself needs to know of those that are dropped only.
    pub async fn define(&self, definitions: Vec<Definition>) -> Result<()> {
        self.ddl(|reply| Ddl::Define(definitions, Some(reply))).await
    }

    /// How the watermark of a source or table follows its event times from now on, by the same column; when it returns, that is durable.
    /// A watermark never steps back: with a longer delay it waits. `words` as for a table.
    pub async fn set_watermark(&self, relation: RelationId, watermark: Watermark, words: Vec<u8>) -> Result<()> {
        self.ddl(|reply| Ddl::SetWatermark { relation, watermark, words, reply }).await
    }

    /// Removes a view that is being created and that nobody waits for any more; does not wait itself.
    pub fn abandon(&self, relations: Vec<RelationId>) {
        // Without a leader there is nothing left to remove.
        let _ = self.leader.send(Message::Ddl(Ddl::Define(vec![Definition::Dropped(relations)], None)));
    }

    /// Removes a temporary view, made or being made; does not wait for it.
    pub fn drop_temporary(&self, view: RelationId) {
        // Without a leader there is nothing left to remove.
        let _ = self.leader.send(Message::Ddl(Ddl::DropTemporary(view)));
    }

    /// Writes all or nothing, in one epoch. When it returns, every view shows it to whoever reads from then on.
    pub async fn write(&self, writes: Vec<TableWrite>) -> Result<Epoch> {
        let bytes: usize = writes.iter().map(TableWrite::bytes).sum();
        if bytes > WRITE_BYTES_MAX {
            let message = format!("the rows of a transaction take {bytes} bytes, more than {WRITE_BYTES_MAX}");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Write them in several transactions."));
        }
        self.request(|reply| Message::Write(writes, reply)).await?
    }

    /// Says whether a write would be refused if it were made now, and takes nothing in: an early word for a transaction
    /// that will be written at its end.
    pub async fn check(&self, writes: Vec<TableWrite>) -> Result<()> {
        self.request(|reply| Message::Check(writes, reply)).await?
    }

    /// The relations as they are at one commit: all writes that have returned are in it.
    pub async fn snapshot(&self, relations: &[(RelationId, SchemaRef)]) -> Result<(Epoch, Vec<Snapshot>)> {
        let _permit = self.permits.acquire().await.map_err(|_| self.stopped())?;
        let (reply, replies) = mpsc::unbounded_channel::<Result<PeekReply>>();
        let streams = relations.iter().map(|(id, _)| (*id).into()).collect();
        self.leader.send(Message::Peek(streams, reply)).map_err(|_| self.stopped())?;
        self.gather(relations.iter().map(|(_, schema)| schema.clone()).collect(), replies).await
    }

    /// Puts the workers' answers to a read together.
    async fn gather(
        &self,
        schemas: Vec<SchemaRef>,
        mut replies: mpsc::UnboundedReceiver<Result<PeekReply>>,
    ) -> Result<(Epoch, Vec<Snapshot>)> {
        let mut epoch = None;
        let mut runs = vec![vec![]; schemas.len()];
        let mut watermarks = vec![vec![]; schemas.len()];
        for _ in 0..self.workers {
            let part = replies.recv().await.ok_or_else(|| {
                if let Some(error) = self.fatal.borrow().clone() {
                    return error;
                }
                Error::new(SqlState::UNDEFINED_TABLE, "a relation was dropped while it was being read")
                    .with_hint("Run the statement again.")
            })?;
            let part = part?;
            assert!(epoch.is_none_or(|epoch| epoch == part.epoch), "all workers answer a read for one commit");
            epoch = Some(part.epoch);
            // All workers tell the same.
            watermarks.iter_mut().zip(part.watermarks.iter()).for_each(|(all, told)| all.clone_from(told));
            for (all, some) in runs.iter_mut().zip(part.runs) {
                all.extend(some);
            }
        }
        let epoch = epoch.unwrap_or_default();
        let parts = schemas.into_iter().zip(runs).zip(watermarks);
        let snapshots = parts.map(|((schema, runs), watermarks)| Snapshot { schema, epoch, runs, watermarks }).collect();
        Ok((epoch, snapshots))
    }

    /// Puts the late rows of a view into their windows, each once, and takes them out of the late rows; how many entries there were. With
    /// a condition, those only that it holds for, and is not NULL or an error. `is_final`: who reads the view relies on its results; an error
    /// (`2BP01`) while somebody subscribes to it, or to a query over it. Whoever does so later starts at this commit or behind it.
    pub async fn admit_late(&self, view: RelationId, condition: Option<Condition>, is_final: bool) -> Result<LateTaken> {
        self.request(|reply| Message::Ddl(Ddl::AdmitLate(Admission { view, condition, discards: false, is_final, reply }))).await?
    }

    /// Takes late rows of a view away, as [`Engine::admit_late`] does, without using them; how many entries there were.
    pub async fn discard_late(&self, view: RelationId, condition: Option<Condition>) -> Result<LateTaken> {
        self.request(|reply| Message::Ddl(Ddl::AdmitLate(Admission { view, condition, discards: true, is_final: false, reply }))).await?
    }

    /// Subscribes to a table or view: its rows as of the latest commit (or an earlier one, while its changes are kept), then what
    /// every later commit changes. There is no gap between the two, and nothing twice.
    pub async fn subscribe(&self, relation: RelationId, schema: SchemaRef, wanted: Wanted) -> Result<(Start, Subscription)> {
        let (reply, replies) = mpsc::unbounded_channel::<Result<PeekReply>>();
        let (seat, seated) = oneshot::channel();
        let _permit = self.permits.acquire().await.map_err(|_| self.stopped())?;
        self.leader.send(Message::Subscribe(relation.into(), reply, seat)).map_err(|_| self.stopped())?;
        let (_, mut snapshots) = self.gather(vec![schema], replies).await?;
        let seat = seated.await.map_err(|_| self.stopped())?;
        let snapshot = snapshots.pop().ok_or_else(|| Error::internal("a subscription to one relation was shown none"))?;
        Subscription::start(seat, snapshot, wanted, self.commits.clone(), self.fatal.clone())
    }

    /// Takes a checkpoint; when it returns, a restart begins there. While a view is being filled, it waits for that. Without a store
    /// nothing happens.
    pub async fn checkpoint(&self) -> Result<()> {
        self.request(Message::Checkpoint).await?
    }

    /// What there is to say about sources, views and dead letters.
    pub async fn status(&self) -> Result<Status> {
        // A read of nothing, behind every commit that was answered: after it, the workers have counted those.
        self.snapshot(&[]).await?;
        self.request(Message::Status).await
    }

    /// Resolves when the engine has failed beyond use, with the reason.
    pub async fn failed(&self) -> Error {
        let mut fatal = self.fatal.clone();
        loop {
            if let Some(error) = fatal.borrow_and_update().clone() {
                return error;
            }
            if fatal.changed().await.is_err() {
                // A stop that was asked for is no failure.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops readers, workers and the leader, and waits for them. Blocks.
    pub fn stop(&self) {
        let _ = self.leader.send(Message::Shutdown);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Why a request gets no answer.
    fn stopped(&self) -> Error {
        let failed = self.fatal.borrow().clone();
        failed.unwrap_or_else(|| Error::new(SqlState::ADMIN_SHUTDOWN, "the engine is stopping"))
    }

    async fn ddl(&self, make: impl FnOnce(oneshot::Sender<Result<()>>) -> Ddl) -> Result<()> {
        self.request(|reply| Message::Ddl(make(reply))).await?
    }

    async fn request<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|_| self.stopped())?;
        let (reply, answer) = oneshot::channel();
        self.leader.send(make(reply)).map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(|error| Error::internal(format!("no thread for the {name}: {error}")))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_string()
}

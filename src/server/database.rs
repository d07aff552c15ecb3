//! What all sessions share: the engine, the catalog and its one writer, the table locks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use tokio::sync::OwnedMutexGuard;
use weir_common::clock::{Clock, SystemClock};
use weir_common::delta::Delta;
use weir_common::epoch_log::{Definition, Forgetful};
use weir_common::error::{Error, Result};
use weir_common::ids::{Epoch, RelationId};
use weir_common::limits::{CHECKPOINT_BYTES, CHECKPOINT_INTERVAL_SECONDS, CHECKPOINT_SLICE_ROWS, FILLING_ROWS_MAX};
use weir_common::source::Watermark;
use weir_common::state_store::StateStore;
use weir_engine::recovery::{Recovered, Recovery};
use weir_engine::{CheckpointConfig, Engine, EngineConfig, FeedLimits, ViewSpec};
use weir_sql::catalog::{Catalog, Relation};
use weir_storage::data_dir::DataDir;
use weir_storage::group_commit::GroupCommit;

use crate::activity::Activity;
use crate::durable::backup;
use crate::durable::definer::CatalogDefiner;
use crate::durable::kept::{DiskLog, Kept};
use crate::durable::words;
use crate::locks::{TableLocks, TransactionId};
use crate::metrics::{Disk, Metrics};
use crate::pgwire::cancel::Registry;
use crate::statement::table;

/// The one database of a server.
pub struct Database {
    /// Maintains tables and views.
    pub engine: Engine,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Write locks.
    pub locks: Arc<TableLocks>,
    /// Who is connected, and what they do.
    pub activity: Arc<Activity>,
    /// How their connections are reached.
    pub connections: Arc<Registry>,
    /// Counters.
    pub metrics: Metrics,
    /// When the server started, microseconds since 1970 UTC.
    pub started_micros: i64,
    catalog: RwLock<Versioned>,
    /// Held by whoever changes the catalog: definitions come one after the other.
    definitions: Arc<tokio::sync::Mutex<()>>,
    next_transaction: AtomicU64,
    /// Numbers below it were given to relations, also to those that came to nothing.
    next_relation: AtomicU32,
    /// `None` where nothing is kept.
    kept: Option<OnDisk>,
}

/// What a database has on disk.
struct OnDisk {
    log: Arc<GroupCommit>,
    store: Arc<dyn StateStore>,
    /// Nobody else may use it until the end.
    _dir: DataDir,
}

/// When checkpoints are taken.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointOptions {
    /// Between one and the next, while anything happens.
    pub interval: Duration,
    /// Bytes of changes after which one does not wait for its time.
    pub bytes: u64,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        CheckpointOptions { interval: Duration::from_secs(CHECKPOINT_INTERVAL_SECONDS), bytes: CHECKPOINT_BYTES }
    }
}

#[derive(Clone, Default)]
struct Versioned {
    catalog: Catalog,
    version: u64,
}

/// The right to change the catalog; others wait until it is dropped.
pub struct Definitions {
    database: Arc<Database>,
    turn: Arc<OwnedMutexGuard<()>>,
}

impl Database {
    /// A database that forgets everything when it stops, and the engine that maintains it.
    pub fn start(workers: usize) -> Result<Arc<Self>> {
        let (log, clock) = (Box::new(Forgetful), Arc::new(SystemClock));
        let (engine, _) = Engine::start(EngineConfig {
            workers,
            clock: clock.clone(),
            log,
            filling_rows_max: FILLING_ROWS_MAX,
            recovery: None,
            checkpoints: None,
            memory_limit: None,
            feeds: FeedLimits::default(),
        })?;
        Ok(Arc::new(Database::new(engine, clock, Catalog::default(), None)))
    }

    /// The database in a data directory, with all that was in it; `memory_limit`: bytes that tables and views may take; `feeds`: what
    /// is kept for subscribers.
    pub fn open(
        dir: &Path,
        workers: usize,
        checkpoints: CheckpointOptions,
        memory_limit: Option<u64>,
        feeds: FeedLimits,
    ) -> Result<Arc<Self>> {
        let opened = Instant::now();
        let kept = Kept::open(dir)?;
        let (definer, catalog) = CatalogDefiner::new(workers);
        let clock = Arc::new(SystemClock);
        let recovery = Some(Recovery { records: kept.records, dropped: kept.dropped, definer: Box::new(definer) });
        let store: Arc<dyn StateStore> = Arc::new(kept.store);
        let CheckpointOptions { interval, bytes } = checkpoints;
        let checkpoints = Some(CheckpointConfig { store: store.clone(), interval, bytes, slice_rows: CHECKPOINT_SLICE_ROWS });
        let (engine, recovered) = Engine::start(EngineConfig {
            workers,
            clock: clock.clone(),
            log: Box::new(DiskLog(kept.log.clone())),
            filling_rows_max: FILLING_ROWS_MAX,
            recovery,
            checkpoints,
            memory_limit,
            feeds,
        })?;
        let Recovered { committed, checkpoint, epochs, source_rows } = recovered;
        if committed > 0 {
            let (checkpoint, relations) = checkpoint.unwrap_or_default();
            let seconds = opened.elapsed().as_secs_f64();
            tracing::info!(committed, checkpoint, relations, epochs, source_rows, seconds, "recovered: a checkpoint, and the epochs since");
        }
        let catalog = catalog.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        Ok(Arc::new(Database::new(engine, clock, catalog, Some(OnDisk { log: kept.log, store, _dir: kept.dir }))))
    }

    fn new(engine: Engine, clock: Arc<dyn Clock>, catalog: Catalog, kept: Option<OnDisk>) -> Self {
        Database {
            engine,
            started_micros: clock.wall_micros(),
            clock,
            locks: Arc::default(),
            activity: Arc::default(),
            connections: Arc::default(),
            metrics: Metrics::default(),
            next_relation: AtomicU32::new(catalog.next_id().0),
            catalog: RwLock::new(Versioned { catalog, version: 0 }),
            definitions: Arc::default(),
            next_transaction: AtomicU64::new(1),
            kept,
        }
    }

    /// What is on disk, and was done for it; `None` where nothing is kept.
    pub fn disk(&self) -> Option<Disk> {
        self.kept.as_ref().map(|kept| Disk { log: kept.log.counters(), checkpoint_bytes: kept.store.disk_bytes() })
    }

    /// Puts all that is committed now into a new directory, from which a data directory can be made; says which commit that is.
    pub async fn backup(&self, dir: &str) -> Result<Epoch> {
        let Some(kept) = &self.kept else {
            return Err(
                Error::unsupported("a database that is not kept cannot be backed up").with_hint("Start the server with --data DIR.")
            );
        };
        self.engine.checkpoint().await?;
        let (store, dir) = (kept.store.clone(), PathBuf::from(dir));
        let made = tokio::task::spawn_blocking(move || backup::make(&*store, &dir)).await;
        made.map_err(|error| Error::internal(format!("the backup was not made: {error}")))?
    }

    fn publish(&self, catalog: Catalog) {
        let mut versioned = self.catalog.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        versioned.catalog = catalog;
        versioned.version += 1;
    }

    /// The catalog as it is now, and its version: equal versions are equal catalogs.
    pub fn catalog(&self) -> (Catalog, u64) {
        let versioned = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        (versioned.catalog.clone(), versioned.version)
    }

    /// Waits for the turn to change the catalog.
    pub async fn definitions(self: &Arc<Self>) -> Definitions {
        Definitions { database: self.clone(), turn: Arc::new(self.definitions.clone().lock_owned().await) }
    }

    /// A number for a new relation, never given before.
    pub fn next_id(&self) -> RelationId {
        RelationId(self.next_relation.fetch_add(1, Ordering::Relaxed))
    }

    /// A number for a new transaction.
    pub fn next_transaction(&self) -> TransactionId {
        self.next_transaction.fetch_add(1, Ordering::Relaxed)
    }
}

impl Definitions {
    /// The catalog that will be changed.
    pub fn catalog(&self) -> Catalog {
        self.database.catalog().0
    }

    /// A number for a new relation, never given before.
    pub fn next_id(&self) -> RelationId {
        self.database.next_id()
    }

    /// Makes a change visible to everybody.
    pub fn publish(&self, catalog: Catalog) {
        self.database.publish(catalog);
    }

    /// Adds a relation that the engine need not know.
    pub async fn add(&self, relation: Relation) -> Result<()> {
        let definitions = vec![Definition::Made { relation: relation.id, words: words::of(&relation)? }];
        self.define(definitions, self.catalog().with(relation)).await
    }

    /// Puts a source or table in its own place, with a watermark that follows its event times in another way.
    pub async fn set_watermark(&self, relation: Relation, watermark: Watermark) -> Result<()> {
        let (engine, id, words) = (self.database.engine.clone(), relation.id, words::of(&relation)?);
        self.carry_out(async move { engine.set_watermark(id, watermark, words).await }, self.catalog().with(relation)).await
    }

    /// Puts a relation that the engine need not know in the place of another. A view is younger than all that it names, so it has
    /// a number of its own.
    pub async fn replace(&self, before: RelationId, relation: Relation) -> Result<()> {
        let made = Definition::Made { relation: relation.id, words: words::of(&relation)? };
        let definitions = vec![Definition::Dropped(vec![before]), made];
        self.define(definitions, self.catalog().without(before).with(relation)).await
    }

    /// Removes relations, given with dependents before what they depend on.
    pub async fn remove(&self, relations: &[RelationId]) -> Result<()> {
        let catalog = relations.iter().fold(self.catalog(), |catalog, id| catalog.without(*id));
        // Nobody begins to read them while they go.
        self.publish(catalog.clone());
        self.define(vec![Definition::Dropped(relations.to_vec())], catalog).await
    }

    /// Logs definitions, then makes the catalog visible that they lead to.
    async fn define(&self, definitions: Vec<Definition>, catalog: Catalog) -> Result<()> {
        let engine = self.database.engine.clone();
        self.carry_out(async move { engine.define(definitions).await }, catalog).await
    }

    /// Does what the engine has to do, then makes the catalog visible that it leads to. Both happen even if nobody waits for it (a cancel,
    /// a lost client): the log and the catalog never differ.
    async fn carry_out(&self, done: impl Future<Output = Result<()>> + Send + 'static, catalog: Catalog) -> Result<()> {
        let (database, turn) = (self.database.clone(), self.turn.clone());
        let carried_out = tokio::spawn(async move {
            let result = done.await;
            if result.is_ok() {
                database.publish(catalog);
            }
            drop(turn);
            result
        });
        carried_out.await.map_err(|error| Error::internal(format!("a definition was not carried out: {error}")))?
    }

    /// Creates a table with these rows in the engine and the catalog; if it is not waited for to the end, nothing is left.
    pub async fn add_table(&self, relation: Relation, rows: Vec<RecordBatch>) -> Result<()> {
        let rows = Delta::insert(concat_batches(&relation.schema(), &rows)?);
        let unfinished = Unfinished::new(&self.database.engine, relation.id);
        let rows = (!rows.is_empty()).then_some(rows);
        self.database.engine.create_table(table::spec(&relation), rows, words::of(&relation)?).await?;
        unfinished.keep();
        self.publish(self.catalog().with(relation));
        Ok(())
    }

    /// Creates a materialized view in the engine and the catalog; if it is not waited for to the end, nothing is left.
    pub async fn add_view(&self, relation: Relation, spec: ViewSpec) -> Result<()> {
        let unfinished = Unfinished::new(&self.database.engine, relation.id);
        self.database.engine.create_view(spec, words::of(&relation)?).await?;
        unfinished.keep();
        self.publish(self.catalog().with(relation));
        Ok(())
    }
}

/// A relation that the engine is making: dropped again when nobody waits for it any more (a cancel, a lost client).
pub struct Unfinished<'a> {
    engine: &'a Engine,
    id: Option<RelationId>,
}

impl<'a> Unfinished<'a> {
    /// For a relation that the engine is about to be told of.
    pub fn new(engine: &'a Engine, id: RelationId) -> Self {
        Unfinished { engine, id: Some(id) }
    }

    /// It is there to stay.
    pub fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.engine.abandon(vec![id]);
        }
    }
}

//! What all sessions share: the engine, the catalog and its one writer, the table locks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use weir_common::clock::{Clock, SystemClock};
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_common::limits::FILLING_ROWS_MAX;
use weir_engine::log::MemoryLog;
use weir_engine::{Engine, EngineConfig, TableSpec, TableWrite};
use weir_sql::catalog::{Catalog, Relation, RelationKind};

use crate::activity::Activity;
use crate::locks::{TableLocks, TransactionId};
use crate::metrics::Metrics;
use crate::pgwire::cancel::Registry;

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
    definitions: tokio::sync::Mutex<()>,
    next_transaction: AtomicU64,
    /// Numbers below it were given to relations, also to those that came to nothing.
    next_relation: AtomicU32,
}

#[derive(Clone, Default)]
struct Versioned {
    catalog: Catalog,
    version: u64,
}

/// The right to change the catalog; others wait until it is dropped.
pub struct Definitions<'a> {
    database: &'a Database,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Database {
    /// A database without relations, and the engine that maintains it.
    pub fn start(workers: usize) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let log = Box::new(MemoryLog::default());
        let engine = Engine::start(EngineConfig { workers, clock: clock.clone(), log, filling_rows_max: FILLING_ROWS_MAX })?;
        Ok(Database::new(engine, clock))
    }

    /// A database without relations on a running engine.
    pub fn new(engine: Engine, clock: Arc<dyn Clock>) -> Self {
        Database {
            engine,
            started_micros: clock.wall_micros(),
            clock,
            locks: Arc::default(),
            activity: Arc::default(),
            connections: Arc::default(),
            metrics: Metrics::default(),
            catalog: RwLock::default(),
            definitions: tokio::sync::Mutex::default(),
            next_transaction: AtomicU64::new(1),
            next_relation: AtomicU32::new(RelationId::FIRST_USER.0),
        }
    }

    /// The catalog as it is now, and its version: equal versions are equal catalogs.
    pub fn catalog(&self) -> (Catalog, u64) {
        let versioned = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        (versioned.catalog.clone(), versioned.version)
    }

    /// Waits for the turn to change the catalog.
    pub async fn definitions(&self) -> Definitions<'_> {
        Definitions { database: self, _turn: self.definitions.lock().await }
    }

    /// A number for a new transaction.
    pub fn next_transaction(&self) -> TransactionId {
        self.next_transaction.fetch_add(1, Ordering::Relaxed)
    }
}

impl Definitions<'_> {
    /// The catalog that will be changed.
    pub fn catalog(&self) -> Catalog {
        self.database.catalog().0
    }

    /// A number for a new relation, never given before.
    pub fn next_id(&self) -> RelationId {
        RelationId(self.database.next_relation.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a change visible to everybody.
    pub fn publish(&self, catalog: Catalog) {
        let mut versioned = self.database.catalog.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        versioned.catalog = catalog;
        versioned.version += 1;
    }

    /// Adds a relation that the engine knows already, or need not know.
    pub fn add(&self, relation: Relation) {
        self.publish(self.catalog().with(relation));
    }

    /// Creates a table with these rows in the engine and the catalog; if it is not waited for to the end, nothing is left.
    pub async fn add_table(&self, relation: Relation, rows: Vec<RecordBatch>) -> Result<()> {
        let key = relation.key().map(<[usize]>::to_vec);
        let schema = relation.schema();
        let (name, key_name) = (relation.name.clone(), relation.key_name());
        let spec = TableSpec { id: relation.id, name, schema: schema.clone(), key, key_name };
        let unfinished = Unfinished::new(&self.database.engine, relation.id);
        self.database.engine.create_table(spec).await?;
        let delta = Delta::insert(concat_batches(&schema, &rows)?);
        if !delta.is_empty() {
            self.database.engine.write(vec![TableWrite { table: relation.id, delta }]).await?;
        }
        unfinished.keep();
        self.add(relation);
        Ok(())
    }

    /// Removes relations, given with dependents before what they depend on: first from the catalog, then from the engine.
    pub async fn remove(&self, relations: &[RelationId]) -> Result<()> {
        let mut catalog = self.catalog();
        let mut of_engine = vec![];
        for id in relations {
            if catalog.by_id(*id).is_some_and(|relation| !matches!(relation.kind, RelationKind::View(_))) {
                of_engine.push(*id);
            }
            catalog = catalog.without(*id);
        }
        self.publish(catalog);
        self.database.engine.drop_relations(of_engine).await
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

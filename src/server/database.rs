//! What all sessions share: the engine, the catalog and its one writer, the table locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use weir_common::clock::Clock;
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_engine::{Engine, TableSpec};
use weir_sql::catalog::{Catalog, Relation, RelationKind};

use crate::locks::{TableLocks, TransactionId};
use crate::metrics::Metrics;

/// The one database of a server.
pub struct Database {
    /// Maintains tables and views.
    pub engine: Engine,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Write locks.
    pub locks: Arc<TableLocks>,
    /// Counters.
    pub metrics: Metrics,
    /// When the server started, microseconds since 1970 UTC.
    pub started_micros: i64,
    catalog: RwLock<Versioned>,
    /// Held by whoever changes the catalog: definitions come one after the other.
    definitions: tokio::sync::Mutex<()>,
    next_transaction: AtomicU64,
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
    /// A database without relations on a running engine.
    pub fn new(engine: Engine, clock: Arc<dyn Clock>) -> Self {
        Database {
            engine,
            started_micros: clock.wall_micros(),
            clock,
            locks: Arc::default(),
            metrics: Metrics::default(),
            catalog: RwLock::default(),
            definitions: tokio::sync::Mutex::default(),
            next_transaction: AtomicU64::new(1),
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

    /// Creates a table in the engine and the catalog.
    pub async fn add_table(&self, relation: Relation) -> Result<()> {
        let key = relation.key().map(<[usize]>::to_vec);
        let spec = TableSpec { id: relation.id, name: relation.name.clone(), schema: relation.schema(), key };
        self.database.engine.create_table(spec).await?;
        self.add(relation);
        Ok(())
    }

    /// Removes relations, given with dependents before what they depend on: first from the catalog, then from the engine.
    pub async fn remove(&self, relations: &[RelationId]) -> Result<()> {
        let mut catalog = self.catalog();
        let mut stored = vec![];
        for id in relations {
            if let Some(relation) = catalog.by_id(*id)
                && matches!(relation.kind, RelationKind::Table(_) | RelationKind::MaterializedView(_))
            {
                stored.push(*id);
            }
            catalog = catalog.without(*id);
        }
        self.publish(catalog);
        self.database.engine.drop_relations(stored).await
    }
}

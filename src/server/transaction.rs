//! A session's transaction: one commit to read, writes that nobody else sees yet, and the locks that protect them.
//!
//! # Invariants
//! - All reads of a transaction show one commit, but for tables that it has locked: those show the state they were
//!   locked in, with its own writes on top.
//! - Writes leave the session at COMMIT only, all of them in one epoch.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::snapshot::Snapshot;
use weir_dataflow::consolidate::consolidate;
use weir_engine::TableWrite;
use weir_engine::keys::PendingKeys;

use crate::database::Database;
use crate::locks::{TableLock, TransactionId};
use crate::overlay;
use crate::variables::Variables;

/// A transaction, explicit or implicit.
pub struct Transaction {
    /// Its number, for locks.
    pub id: TransactionId,
    /// `false` for the implicit one of a message with several statements.
    pub block: bool,
    /// A statement failed; only the end is accepted.
    pub failed: bool,
    /// When it began, microseconds since 1970 UTC: its `now()`.
    pub started_micros: i64,
    /// What the session variables were before it.
    pub before: Variables,
    /// Definitions that took effect inside it, to be named when it is rolled back.
    pub defined: Vec<String>,
    /// An INSERT .. ON CONFLICT has found keys that were not there: others may insert them before the COMMIT.
    pub looked_for_keys: bool,
    /// What it has looked at.
    snapshot: HashMap<RelationId, Snapshot>,
    tables: BTreeMap<RelationId, Changed>,
    savepoints: Vec<Savepoint>,
}

/// A table that the transaction has changed or locked.
#[derive(Default)]
struct Changed {
    /// The state that it was locked in.
    locked: Option<Snapshot>,
    _lock: Option<TableLock>,
    writes: Vec<Delta>,
    /// The keys of all writes, where the table has any; made anew when writes are undone.
    keys: Option<PendingKeys>,
    /// The base with the writes, until the next write.
    current: Option<Snapshot>,
}

impl Changed {
    /// The keys of all writes so far.
    fn keys(&mut self, constraint: &str, schema: SchemaRef, key: &[usize]) -> Result<&mut PendingKeys> {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => {
                let mut keys = PendingKeys::new(constraint, schema, key.to_vec())?;
                for delta in &self.writes {
                    keys.add(delta)?;
                }
                keys
            }
        };
        Ok(self.keys.insert(keys))
    }
}

struct Savepoint {
    name: String,
    writes: BTreeMap<RelationId, usize>,
    variables: Variables,
    cursors: u64,
}

impl Transaction {
    /// A transaction that begins now.
    pub fn new(database: &Database, block: bool, before: Variables) -> Self {
        Transaction {
            id: database.next_transaction(),
            block,
            failed: false,
            started_micros: database.clock.wall_micros(),
            before,
            defined: vec![],
            looked_for_keys: false,
            snapshot: HashMap::new(),
            tables: BTreeMap::new(),
            savepoints: vec![],
        }
    }

    /// The rows of these relations as the transaction sees them.
    pub async fn read(&mut self, database: &Database, relations: &[RelationId]) -> Result<HashMap<RelationId, Snapshot>> {
        self.fix(database, relations).await?;
        let mut found = HashMap::new();
        for relation in relations {
            found.insert(*relation, self.read_one(*relation)?);
        }
        Ok(found)
    }

    fn read_one(&mut self, relation: RelationId) -> Result<Snapshot> {
        let committed = || {
            let known = self.snapshot.get(&relation).cloned();
            known.ok_or_else(|| Error::internal(format!("relation {relation} was not looked at")))
        };
        let Some(changed) = self.tables.get(&relation) else { return committed() };
        if let Some(current) = &changed.current {
            return Ok(current.clone());
        }
        let base = changed.locked.clone().map_or_else(committed, Ok)?;
        let current = overlay::apply(&base, &changed.writes)?;
        self.tables.entry(relation).or_default().current = Some(current.clone());
        Ok(current)
    }

    /// Looks at relations that the transaction has not seen yet, in one read. A block looks at everything at once, so that
    /// all its reads show the commit of its first one; an implicit transaction looks at what its statements name.
    async fn fix(&mut self, database: &Database, relations: &[RelationId]) -> Result<()> {
        for attempt in 0.. {
            let (catalog, _) = database.catalog();
            let all = self.block && self.snapshot.is_empty();
            let wanted: Vec<_> = catalog
                .relations()
                .filter(|relation| relation.is_stored() && !self.snapshot.contains_key(&relation.id))
                .filter(|relation| all || relations.contains(&relation.id))
                .map(|relation| (relation.id, relation.schema()))
                .collect();
            if wanted.is_empty() {
                return Ok(());
            }
            match database.engine.snapshot(&wanted).await {
                Ok((_, snapshots)) => {
                    self.snapshot.extend(wanted.into_iter().map(|(id, _)| id).zip(snapshots));
                    return Ok(());
                }
                // Another relation was dropped between the look at the catalog and the read.
                Err(error) if error.sqlstate() == SqlState::UNDEFINED_TABLE && attempt < 3 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Locks a table for UPDATE, DELETE or SELECT FOR UPDATE; its latest state is what the transaction sees from here on.
    /// `beside` is what the statement reads besides: where nothing has been looked at yet, it is of the same commit.
    pub async fn lock(&mut self, database: &Database, table: RelationId, beside: &[RelationId], timeout: Option<Duration>) -> Result<()> {
        if self.tables.get(&table).is_some_and(|changed| changed.locked.is_some()) {
            return Ok(());
        }
        let lock = database.locks.lock(table, self.id, timeout).await?;
        let locked = if self.snapshot.is_empty() {
            let relations: Vec<RelationId> = beside.iter().copied().chain([table]).collect();
            self.fix(database, &relations).await?;
            self.snapshot.get(&table).cloned()
        } else {
            None
        };
        let locked = match locked {
            Some(locked) => locked,
            None => latest(database, table).await?,
        };
        let changed = self.tables.entry(table).or_default();
        changed.locked = Some(locked);
        changed._lock = Some(lock);
        changed.current = None;
        Ok(())
    }

    /// Shows a table that is locked as it is now: with the rows that others have inserted since, who need no lock for it.
    pub async fn refresh(&mut self, database: &Database, table: RelationId) -> Result<()> {
        let now = latest(database, table).await?;
        if let Some(changed) = self.tables.get_mut(&table)
            && changed.locked.is_some()
        {
            changed.locked = Some(now);
            changed.current = None;
            // A write that was refused may have left keys behind.
            changed.keys = None;
        }
        Ok(())
    }

    /// Refuses a change of rows that others have changed after the transaction had read them (40001).
    pub fn check_unchanged(&self, table: RelationId, old: &[arrow::record_batch::RecordBatch]) -> Result<()> {
        let Some(before) = self.snapshot.get(&table) else { return Ok(()) };
        let Some(now) = self.tables.get(&table).and_then(|changed| changed.locked.as_ref()) else { return Ok(()) };
        if overlay::any_changed(before, now, old)? {
            return Err(Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
                .with_hint("Another transaction changed a row after this one had read it. Run the transaction again."));
        }
        Ok(())
    }

    /// Adds a statement's changes, after checking its keys against all commits and the transaction's own writes.
    pub async fn write(&mut self, database: &Database, table: RelationId, delta: Delta) -> Result<()> {
        if delta.is_empty() {
            return Ok(());
        }
        let (catalog, _) = database.catalog();
        let relation = catalog
            .by_id(table)
            .ok_or_else(|| Error::new(SqlState::UNDEFINED_TABLE, "the table was dropped while the transaction wrote to it"))?;
        let changed = self.tables.entry(table).or_default();
        let unknown = match relation.key() {
            Some(key) => changed.keys(&relation.key_name().unwrap_or_default(), relation.schema(), key)?.add(&delta)?,
            None => vec![],
        };
        if !unknown.is_empty() {
            let unknown = delta.take(&UInt32Array::from(unknown))?;
            database.engine.check(vec![TableWrite { table, delta: unknown }]).await?;
        }
        let changed = self.tables.entry(table).or_default();
        changed.writes.push(delta);
        changed.current = None;
        Ok(())
    }

    /// All changes, one delta a table.
    pub fn changes(&self) -> Result<Vec<TableWrite>> {
        let mut writes = vec![];
        for (table, changed) in &self.tables {
            let Some(first) = changed.writes.first() else { continue };
            let delta = consolidate(&Delta::concat(&first.rows.schema(), &changed.writes)?)?;
            if !delta.is_empty() {
                writes.push(TableWrite { table: *table, delta });
            }
        }
        Ok(writes)
    }

    /// Whether anything would be written.
    pub fn has_changes(&self) -> bool {
        self.tables.values().any(|changed| !changed.writes.is_empty())
    }

    /// SAVEPOINT; `cursors` is the mark of the session's cursors.
    pub fn savepoint(&mut self, name: &str, variables: &Variables, cursors: u64) {
        let writes = self.tables.iter().map(|(table, changed)| (*table, changed.writes.len())).collect();
        self.savepoints.push(Savepoint { name: name.to_string(), writes, variables: variables.clone(), cursors });
    }

    /// RELEASE: forgets the savepoint and those after it.
    pub fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    /// ROLLBACK TO: undoes what came after the savepoint, and ends a failed state. Locks are kept. Returns the variables and
    /// the mark of the cursors to go back to.
    pub fn rollback_to(&mut self, name: &str) -> Result<(Variables, u64)> {
        let at = self.find_savepoint(name)?;
        self.savepoints.truncate(at + 1);
        let savepoint = &self.savepoints[at];
        for (table, changed) in &mut self.tables {
            let keep = savepoint.writes.get(table).copied().unwrap_or(0);
            // Also without writes to undo: a statement that failed may have left keys behind.
            changed.keys = None;
            if changed.writes.len() > keep {
                changed.writes.truncate(keep);
                changed.current = None;
            }
        }
        self.failed = false;
        Ok((savepoint.variables.clone(), savepoint.cursors))
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| Error::new(SqlState::INVALID_SAVEPOINT, format!("savepoint \"{name}\" does not exist")))
    }
}

/// The error of a COMMIT that found a key which an INSERT .. ON CONFLICT of the transaction had not found: by then it could
/// not be looked up again. The transaction can be run again, and then finds it.
pub fn key_came_between(error: Error) -> Error {
    if error.sqlstate() != SqlState::UNIQUE_VIOLATION {
        return error;
    }
    let serialization = Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent insert")
        .with_hint("Another transaction inserted a key that INSERT ... ON CONFLICT had not found. Run the transaction again.");
    match error.detail() {
        Some(detail) => serialization.with_detail(detail),
        None => serialization,
    }
}

/// A relation at the latest commit.
pub async fn latest(database: &Database, relation: RelationId) -> Result<Snapshot> {
    let (catalog, _) = database.catalog();
    let schema = catalog
        .by_id(relation)
        .map(|relation| relation.schema())
        .ok_or_else(|| Error::new(SqlState::UNDEFINED_TABLE, format!("relation with OID {relation} does not exist")))?;
    let (_, mut snapshots) = database.engine.snapshot(&[(relation, schema)]).await?;
    snapshots.pop().ok_or_else(|| Error::internal("a read of one relation gave none"))
}

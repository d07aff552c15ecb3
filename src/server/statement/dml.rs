//! INSERT, UPDATE and DELETE: rows computed by a plan, then written in the transaction, or at once in one of their own.
//! What RETURNING gives is computed before anything is written, so that an error in it leaves no trace.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::limits::UPSERT_ATTEMPTS_MAX;
use weir_sql::ScalarValue;
use weir_sql::dml::{DeletePlan, InsertPlan, UpdatePlan, Written};
use weir_sql::statement::Parsed;

use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::{Session, done, rows};
use crate::transaction::Transaction;

/// INSERT.
pub async fn insert(session: &mut Session, parsed: &Parsed, plan: &InsertPlan, parameters: &[ScalarValue]) -> Result<Outcome> {
    refuse_if_read_only(session, "INSERT")?;
    if plan.looks_at_keys() {
        return upsert(session, parsed, plan, parameters).await;
    }
    let snapshots = Arc::new(session.snapshots(&plan.relations).await?);
    let context = session.context(parsed).await?;
    let written = context.run_insert(plan, parameters, snapshots).await?;
    let outcome = outcome(&written, plan.returns(), RowsTag::Insert);
    write(session, plan.target, vec![], written.new).await?;
    Ok(outcome)
}

/// INSERT .. ON CONFLICT: the table is locked, so that rows that are there stay as they are. Whoever only inserts takes no
/// lock, and may be first with a key that was looked up in vain: then it is looked up again.
async fn upsert(session: &mut Session, parsed: &Parsed, plan: &InsertPlan, parameters: &[ScalarValue]) -> Result<Outcome> {
    for attempt in 0..UPSERT_ATTEMPTS_MAX {
        let own = lock(session, plan.target, &plan.relations).await?;
        if attempt > 0 && !own {
            refresh(session, plan.target).await?;
        }
        let computed = async {
            let snapshots = Arc::new(session.snapshots(&plan.relations).await?);
            let context = session.context(parsed).await?;
            let written = context.run_insert(plan, parameters, snapshots).await?;
            check_unchanged(session, plan.target, &written.old)?;
            Ok(written)
        };
        let written = match computed.await {
            Ok(written) => written,
            Err(error) => return end(session, own, Err(error)).await,
        };
        let answer = outcome(&written, plan.returns(), RowsTag::Insert);
        let result = match write(session, plan.target, written.old, written.new).await {
            Ok(()) if own => session.commit().await,
            Ok(()) => {
                session.transaction.iter_mut().for_each(|transaction| transaction.looked_for_keys = true);
                Ok(())
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => return Ok(answer),
            Err(error) if error.sqlstate() == SqlState::UNIQUE_VIOLATION => {
                tracing::debug!(%error, "a key came between: they are looked up again");
            }
            Err(error) => return end(session, own, Err(error)).await,
        }
        if own {
            session.rollback();
        }
        // An epoch of nothing: once it is over, whatever was written before it can be read.
        session.database.engine.write(vec![]).await?;
    }
    Err(Error::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent inserts")
        .with_detail(format!("In {UPSERT_ATTEMPTS_MAX} attempts, others were first with a key each time."))
        .with_hint("Run the statement again."))
}

async fn refresh(session: &mut Session, table: RelationId) -> Result<()> {
    let database = session.database.clone();
    match &mut session.transaction {
        Some(transaction) => transaction.refresh(&database, table).await,
        None => Ok(()),
    }
}

/// UPDATE: the table is locked, so that the rows it reads are the rows it replaces.
pub async fn update(session: &mut Session, parsed: &Parsed, plan: &UpdatePlan, parameters: &[ScalarValue]) -> Result<Outcome> {
    refuse_if_read_only(session, "UPDATE")?;
    let own = lock(session, plan.target, &plan.relations).await?;
    let result = async {
        let snapshots = Arc::new(session.snapshots(&plan.relations).await?);
        let context = session.context(parsed).await?;
        let written = context.run_update(plan, parameters, snapshots).await?;
        check_unchanged(session, plan.target, &written.old)?;
        let outcome = outcome(&written, plan.returns(), RowsTag::Update);
        write(session, plan.target, written.old, written.new).await?;
        Ok(outcome)
    };
    let result = result.await;
    end(session, own, result).await
}

/// DELETE: likewise.
pub async fn delete(session: &mut Session, parsed: &Parsed, plan: &DeletePlan, parameters: &[ScalarValue]) -> Result<Outcome> {
    refuse_if_read_only(session, "DELETE")?;
    let own = lock(session, plan.target, &plan.relations).await?;
    let result = async {
        let snapshots = Arc::new(session.snapshots(&plan.relations).await?);
        let context = session.context(parsed).await?;
        let written = context.run_delete(plan, parameters, snapshots).await?;
        check_unchanged(session, plan.target, &written.old)?;
        let outcome = outcome(&written, plan.returns(), RowsTag::Delete);
        write(session, plan.target, written.old, vec![]).await?;
        Ok(outcome)
    };
    let result = result.await;
    end(session, own, result).await
}

/// What a change answers: the rows of RETURNING, or their number.
fn outcome(written: &Written, returns: Option<SchemaRef>, tag: RowsTag) -> Outcome {
    match (returns, &written.returned) {
        (Some(schema), Some(returned)) => rows(schema, returned.clone(), tag),
        _ => done(tag.complete(written.rows as u64)),
    }
}

/// Writes whole rows of a table: within the transaction, or in one of their own.
pub async fn write(session: &mut Session, table: RelationId, old: Vec<RecordBatch>, new: Vec<RecordBatch>) -> Result<()> {
    let catalog = session.catalog();
    let schema = catalog
        .by_id(table)
        .map(|relation| relation.schema())
        .ok_or_else(|| Error::new(SqlState::UNDEFINED_TABLE, "the table was dropped while the statement ran"))?;
    let delta = delta(&schema, old, new)?;
    if delta.is_empty() {
        return Ok(());
    }
    let database = session.database.clone();
    match &mut session.transaction {
        Some(transaction) => transaction.write(&database, table, delta).await,
        None => {
            let _shield = session.shield.raise();
            database.engine.write(vec![weir_engine::TableWrite { table, delta }]).await.map(|_| ())
        }
    }
}

fn delta(schema: &SchemaRef, old: Vec<RecordBatch>, new: Vec<RecordBatch>) -> Result<Delta> {
    let (old, new) = (concat_batches(schema, &old)?, concat_batches(schema, &new)?);
    if old.num_rows() == 0 {
        return Ok(Delta::insert(new));
    }
    Delta::concat(schema, &[Delta::retract(old), Delta::insert(new)])
}

/// Locks the table in the transaction; without one, in a transaction for this statement alone, which [`end`] ends.
pub async fn lock(session: &mut Session, table: RelationId, beside: &[RelationId]) -> Result<bool> {
    let own = session.transaction.is_none();
    if own {
        session.transaction = Some(Transaction::new(&session.database, false, session.variables.clone()));
    }
    let timeout = session.variables.timeout("lock_timeout");
    let database = session.database.clone();
    let locked = match &mut session.transaction {
        Some(transaction) => transaction.lock(&database, table, beside, timeout).await,
        None => Err(Error::internal("a transaction ended by itself")),
    };
    if own && locked.is_err() {
        session.rollback();
    }
    locked.map(|()| own)
}

/// Ends what [`lock`] began, if it began anything.
pub async fn end(session: &mut Session, own: bool, result: Result<Outcome>) -> Result<Outcome> {
    match result {
        Ok(outcome) if own => session.commit().await.map(|()| outcome),
        Err(error) if own => {
            session.rollback();
            Err(error)
        }
        result => result,
    }
}

fn check_unchanged(session: &Session, table: RelationId, old: &[RecordBatch]) -> Result<()> {
    match &session.transaction {
        Some(transaction) => transaction.check_unchanged(table, old),
        None => Ok(()),
    }
}

/// Refuses a change in a READ ONLY transaction.
pub fn refuse_if_read_only(session: &Session, what: &str) -> Result<()> {
    if session.variables.is_on("transaction_read_only") {
        return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, format!("cannot execute {what} in a read-only transaction")));
    }
    Ok(())
}

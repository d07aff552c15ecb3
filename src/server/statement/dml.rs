//! INSERT, UPDATE and DELETE: rows computed by a plan, then written in the transaction, or at once in one of their own.

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_sql::ScalarValue;
use weir_sql::dml::{DeletePlan, InsertPlan, UpdatePlan};
use weir_sql::statement::Parsed;

use crate::pgwire::backend::Outcome;
use crate::session::{Session, done};
use crate::transaction::Transaction;

/// INSERT.
pub async fn insert(session: &mut Session, parsed: &Parsed, plan: &InsertPlan, parameters: &[ScalarValue]) -> Result<Outcome> {
    refuse_if_read_only(session, "INSERT")?;
    let snapshots = Arc::new(session.snapshots(&plan.relations).await?);
    let context = session.context(parsed).await?;
    let written = context.run_insert(plan, parameters, snapshots).await?;
    write(session, plan.target, vec![], written.new).await?;
    Ok(done(format!("INSERT 0 {}", written.rows)))
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
        write(session, plan.target, written.old, written.new).await?;
        Ok(done(format!("UPDATE {}", written.rows)))
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
        write(session, plan.target, written.old, vec![]).await?;
        Ok(done(format!("DELETE {}", written.rows)))
    };
    let result = result.await;
    end(session, own, result).await
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
async fn lock(session: &mut Session, table: RelationId, beside: &[RelationId]) -> Result<bool> {
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

async fn end(session: &mut Session, own: bool, result: Result<Outcome>) -> Result<Outcome> {
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

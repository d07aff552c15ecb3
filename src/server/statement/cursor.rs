//! DECLARE, FETCH, MOVE and CLOSE.

use weir_common::error::{Error, Result, SqlState};
use weir_sql::ScalarValue;
use weir_sql::read::QueryPlan;
use weir_sql::statement::{Declare, Fetch, Parsed};

use crate::cursors::Declared;
use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::{Session, done};
use crate::statement::query;

/// DECLARE: the query begins over the snapshots of the transaction; its rows wait to be fetched.
pub async fn declare(
    session: &mut Session,
    parsed: &Parsed,
    declare: &Declare,
    plan: &QueryPlan,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    if !declare.hold && !session.transaction.as_ref().is_some_and(|transaction| transaction.block) {
        return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, "DECLARE CURSOR can only be used in transaction blocks"));
    }
    if declare.name.is_empty() {
        return Err(Error::new(SqlState::INVALID_CURSOR_NAME, "invalid cursor name: must not be empty"));
    }
    session.cursors.check_free(&declare.name)?;
    let rows = query::rows(session, parsed, plan, parameters).await?;
    let declared = Declared {
        statement: parsed.text.clone(),
        binary: declare.binary,
        scroll: declare.scroll,
        hold: declare.hold,
        schema: rows.schema,
        batches: rows.batches,
        created_micros: session.database.clock.wall_micros(),
    };
    let in_transaction = session.transaction.is_some();
    session.cursors.open(&declare.name, declared, in_transaction)?;
    Ok(done("DECLARE CURSOR"))
}

/// FETCH, MOVE.
pub async fn fetch(session: &mut Session, fetch: &Fetch) -> Result<Outcome> {
    let cursor = session.cursors.require(&fetch.name)?;
    if fetch.moves {
        return Ok(done(format!("MOVE {}", cursor.skip(fetch.direction).await?)));
    }
    Ok(Outcome::Rows { schema: cursor.schema.clone(), batches: cursor.fetch(fetch.direction), tag: RowsTag::Fetch })
}

/// CLOSE; `None` is ALL.
pub fn close(session: &mut Session, name: Option<&str>) -> Result<Outcome> {
    let Some(name) = name else {
        session.cursors.close_all();
        return Ok(done("CLOSE CURSOR ALL"));
    };
    if !session.cursors.close(name) {
        return Err(Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist")));
    }
    Ok(done("CLOSE CURSOR"))
}

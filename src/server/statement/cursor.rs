//! DECLARE, FETCH, MOVE and CLOSE.

use std::time::Duration;

use weir_common::error::{Error, Result, SqlState};
use weir_sql::ScalarValue;
use weir_sql::statement::{Declare, DeclareRows, Fetch, Parsed};

use crate::cursors::Declared;
use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::{Plan, Session, done};
use crate::statement::{query, subscribe};

/// DECLARE: the subscription begins, or the query begins over the snapshots of the transaction; its rows wait to be fetched.
pub async fn declare(
    session: &mut Session,
    parsed: &Parsed,
    declare: &Declare,
    plan: &Plan,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    if !declare.hold && !session.transaction.as_ref().is_some_and(|transaction| transaction.block) {
        return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, "DECLARE CURSOR can only be used in transaction blocks"));
    }
    if declare.name.is_empty() {
        return Err(Error::new(SqlState::INVALID_CURSOR_NAME, "invalid cursor name: must not be empty"));
    }
    session.cursors.check_free(&declare.name)?;
    let (schema, batches) = match (&declare.rows, plan) {
        (DeclareRows::Query(_), Plan::Query(plan)) => {
            let rows = query::rows(session, parsed, plan, parameters).await?;
            (rows.schema, rows.batches)
        }
        (DeclareRows::Subscribe(said), Plan::Subscribe(plan)) => (plan.schema(), subscribe::start(session, said, plan).await?),
        _ => return Err(Error::internal("a cursor was prepared without its plan")),
    };
    let declared = Declared {
        statement: parsed.text.clone(),
        binary: declare.binary,
        scroll: declare.scroll,
        hold: declare.hold,
        live: matches!(plan, Plan::Subscribe(_)),
        schema,
        batches,
        created_micros: session.database.clock.wall_micros(),
    };
    let in_transaction = session.transaction.is_some();
    session.cursors.open(&declare.name, declared, in_transaction)?;
    Ok(done("DECLARE CURSOR"))
}

/// FETCH, MOVE.
pub async fn fetch(session: &mut Session, fetch: &Fetch) -> Result<Outcome> {
    let cursor = session.cursors.require(&fetch.name)?;
    if let Some(timeout) = &fetch.timeout
        && !cursor.live
    {
        let error = Error::unsupported(format!("cursor \"{}\" is not over SUBSCRIBE: its rows are all there", fetch.name));
        return Err(error.with_position(timeout.position).with_hint("Leave the timeout out; statement_timeout bounds a FETCH."));
    }
    let timeout = fetch.timeout.map(|timeout| Duration::from_millis(timeout.millis));
    if fetch.moves {
        return Ok(done(format!("MOVE {}", cursor.skip(fetch.direction, timeout).await?)));
    }
    Ok(Outcome::Rows { schema: cursor.schema.clone(), batches: cursor.fetch(fetch.direction, timeout), tag: RowsTag::Fetch })
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

//! SET, RESET and DISCARD.

use weir_common::error::{Error, Result, SqlState};
use weir_sql::statement::{Discard, Reset, Set, SetScope, SetTransaction, SetValue, TransactionModes};

use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};

/// SET, SET LOCAL.
pub fn set(session: &mut Session, set: &Set) -> Result<Outcome> {
    let local = set.scope == SetScope::Local;
    if local && session.transaction.is_none() {
        session.notify(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET LOCAL can only be used in transaction blocks"));
        return Ok(done("SET"));
    }
    let result = match &set.value {
        SetValue::Default => session.variables.reset(&set.name, local),
        SetValue::Values(values) => session.variables.set(&set.name, &values.join(", "), local),
    };
    result.map_err(|error| if error.position().is_none() { error.with_position(set.position) } else { error })?;
    follow_defaults(session);
    Ok(done("SET"))
}

/// SET TRANSACTION, SET SESSION CHARACTERISTICS.
pub fn set_transaction(session: &mut Session, set: &SetTransaction) -> Result<Outcome> {
    if !set.session && session.transaction.is_none() {
        session.notify(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET TRANSACTION can only be used in transaction blocks"));
        return Ok(done("SET"));
    }
    modes(session, &set.modes, if set.session { "default_transaction" } else { "transaction" })?;
    if set.session {
        follow_defaults(session);
    }
    Ok(done("SET"))
}

/// Outside a block, the defaults of transactions are what the next statement runs with.
fn follow_defaults(session: &mut Session) {
    if !session.transaction.as_ref().is_some_and(|transaction| transaction.block) {
        session.variables.begin();
    }
}

/// Applies transaction modes to the variables that begin with `prefix`.
pub fn modes(session: &mut Session, modes: &TransactionModes, prefix: &str) -> Result<()> {
    let on = |flag: bool| if flag { "on" } else { "off" };
    if let Some(isolation) = modes.isolation {
        session.variables.set(&format!("{prefix}_isolation"), isolation.spelling(), false)?;
    }
    if let Some(read_only) = modes.read_only {
        session.variables.set(&format!("{prefix}_read_only"), on(read_only), false)?;
    }
    if let Some(deferrable) = modes.deferrable {
        session.variables.set(&format!("{prefix}_deferrable"), on(deferrable), false)?;
    }
    Ok(())
}

/// RESET.
pub fn reset(session: &mut Session, reset: &Reset) -> Result<Outcome> {
    match reset {
        Reset::All => session.variables.reset_all(),
        Reset::Variable(name) => session.variables.reset(name, false)?,
    }
    follow_defaults(session);
    Ok(done("RESET"))
}

/// DISCARD.
pub fn discard(session: &mut Session, discard: Discard) -> Result<Outcome> {
    let tag = match discard {
        Discard::All => {
            if session.transaction.as_ref().is_some_and(|transaction| transaction.block) {
                return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, "DISCARD ALL cannot run inside a transaction block"));
            }
            session.variables.reset_all();
            session.cursors.close_all();
            session.named.clear();
            "DISCARD ALL"
        }
        // Plans live in prepared statements only, and are made anew when the catalog changes.
        Discard::Plans => "DISCARD PLANS",
        Discard::Sequences => "DISCARD SEQUENCES",
        Discard::Temp => "DISCARD TEMP",
    };
    Ok(done(tag))
}

//! BEGIN, COMMIT, ROLLBACK and savepoints.

use weir_common::error::{Error, Result, SqlState};
use weir_sql::ast::Ident;
use weir_sql::statement::Transaction as Control;

use crate::names;
use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};
use crate::statement::variable;
use crate::transaction::Transaction;

/// Transaction control.
pub async fn run(session: &mut Session, control: &Control) -> Result<Outcome> {
    match control {
        Control::Begin { modes, start } => {
            let before = session.variables.clone();
            // Modes that are refused begin nothing.
            let applied = variable::modes(session, modes, "transaction");
            if let Err(error) = applied {
                session.variables = before;
                return Err(error);
            }
            match &mut session.transaction {
                Some(transaction) if transaction.block => {
                    session.notify(Notice::warning(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress"));
                }
                // The implicit transaction of a message becomes a block, with what it has done so far.
                Some(transaction) => transaction.block = true,
                None => session.transaction = Some(Transaction::new(&session.database, true, before)),
            }
            Ok(done(if *start { "START TRANSACTION" } else { "BEGIN" }))
        }
        Control::Commit => {
            if !in_block(session) {
                session.notify(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress"));
                // The implicit transaction of a message ends here all the same, as in Postgres.
                session.commit().await?;
                return Ok(done("COMMIT"));
            }
            if session.transaction.as_ref().is_some_and(|transaction| transaction.failed) {
                session.rollback();
                return Ok(done("ROLLBACK"));
            }
            session.commit().await?;
            Ok(done("COMMIT"))
        }
        Control::Rollback => {
            if !in_block(session) {
                session.notify(Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress"));
            }
            session.rollback();
            Ok(done("ROLLBACK"))
        }
        Control::Savepoint(name) => {
            let (variables, cursors) = (session.variables.clone(), session.cursors.mark());
            block(session, "SAVEPOINT")?.savepoint(&names::ident(name), &variables, cursors);
            Ok(done("SAVEPOINT"))
        }
        Control::Release(name) => {
            block(session, "RELEASE SAVEPOINT")?.release(&names::ident(name))?;
            Ok(done("RELEASE"))
        }
        Control::RollbackTo(name) => rollback_to(session, name),
    }
}

fn rollback_to(session: &mut Session, name: &Ident) -> Result<Outcome> {
    let (variables, cursors) = block(session, "ROLLBACK TO SAVEPOINT")?.rollback_to(&names::ident(name))?;
    session.variables.restore(variables);
    session.cursors.rollback_to(cursors);
    Ok(done("ROLLBACK"))
}

fn in_block(session: &Session) -> bool {
    session.transaction.as_ref().is_some_and(|transaction| transaction.block)
}

fn block<'a>(session: &'a mut Session, what: &str) -> Result<&'a mut Transaction> {
    session
        .transaction
        .as_mut()
        .filter(|transaction| transaction.block)
        .ok_or_else(|| Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks")))
}

//! Transaction control.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState};

use crate::parser::cursor::Cursor;
use crate::parser::unsupported;
use crate::statement::{IsolationLevel, Statement, Transaction, TransactionModes};

/// Any statement that begins, ends or marks a transaction.
pub(super) fn transaction(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.at("COMMIT PREPARED") || cursor.at("ROLLBACK PREPARED") {
        let what = if cursor.at("COMMIT") { "COMMIT PREPARED" } else { "ROLLBACK PREPARED" };
        return Ok(unsupported::unsupported(what.to_string(), "Weir has no two-phase commit.", cursor));
    }
    let transaction = if cursor.eat("BEGIN") {
        cursor.eat_one_of(&["WORK", "TRANSACTION"]);
        Transaction::Begin { modes: modes(cursor)?, start: false }
    } else if cursor.eat("START") {
        cursor.expect("TRANSACTION")?;
        Transaction::Begin { modes: modes(cursor)?, start: true }
    } else if cursor.eat("COMMIT") || cursor.eat("END") {
        cursor.eat_one_of(&["WORK", "TRANSACTION"]);
        no_chain(cursor)?;
        Transaction::Commit
    } else if cursor.eat("SAVEPOINT") {
        Transaction::Savepoint(cursor.ident()?)
    } else if cursor.eat("RELEASE") {
        cursor.eat("SAVEPOINT");
        Transaction::Release(cursor.ident()?)
    } else {
        let rollback = cursor.eat("ROLLBACK");
        if !rollback {
            cursor.expect("ABORT")?;
        }
        cursor.eat_one_of(&["WORK", "TRANSACTION"]);
        if rollback && cursor.eat("TO") {
            cursor.eat("SAVEPOINT");
            Transaction::RollbackTo(cursor.ident()?)
        } else {
            no_chain(cursor)?;
            Transaction::Rollback
        }
    };
    Ok(Statement::Transaction(transaction))
}

/// Modes with or without commas between them; none is fine.
pub(super) fn modes(cursor: &mut Cursor<'_>) -> Result<TransactionModes> {
    let mut modes = TransactionModes::default();
    let mut comma = false;
    loop {
        let position = cursor.position();
        let again = if cursor.eat("ISOLATION LEVEL") {
            modes.isolation.replace(isolation(cursor)?).is_some()
        } else if cursor.eat("READ ONLY") {
            modes.read_only.replace(true).is_some()
        } else if cursor.eat("READ WRITE") {
            modes.read_only.replace(false).is_some()
        } else if cursor.eat("NOT DEFERRABLE") {
            modes.deferrable.replace(false).is_some()
        } else if cursor.eat("DEFERRABLE") {
            modes.deferrable.replace(true).is_some()
        } else if comma {
            return Err(cursor.unexpected());
        } else {
            return Ok(modes);
        };
        if again {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").with_position(position));
        }
        comma = cursor.eat_token(&Token::Comma);
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<IsolationLevel> {
    let levels = [
        ("READ UNCOMMITTED", IsolationLevel::ReadUncommitted),
        ("READ COMMITTED", IsolationLevel::ReadCommitted),
        ("REPEATABLE READ", IsolationLevel::RepeatableRead),
        ("SERIALIZABLE", IsolationLevel::Serializable),
    ];
    match levels.into_iter().find(|(words, _)| cursor.eat(words)) {
        Some((_, level)) => Ok(level),
        None => Err(cursor.unexpected_for(&["SERIALIZABLE", "READ", "REPEATABLE"])),
    }
}

/// `AND NO CHAIN` says what happens anyway; `AND CHAIN` is refused.
fn no_chain(cursor: &mut Cursor<'_>) -> Result<()> {
    let position = cursor.position();
    if cursor.eat("AND CHAIN") {
        return Err(cursor.unsupported(position, "AND CHAIN is not supported yet").with_hint("Send BEGIN after it."));
    }
    if cursor.at("AND") {
        cursor.expect("AND NO CHAIN")?;
    }
    Ok(())
}

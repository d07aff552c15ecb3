//! INSERT, UPDATE and DELETE: sqlparser's trees, with only what Postgres has and Weir carries out.

use datafusion::sql::sqlparser::ast::{self, FromTable, TableObject};
use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState};

use crate::parser::check;
use crate::parser::cursor::{self, Cursor};
use crate::parser::split::Piece;
use crate::statement::Statement;

/// `INSERT INTO t [AS a] [(columns)] query | VALUES | DEFAULT VALUES`
pub(super) fn insert(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut statement = match cursor.run(|parser| parser.parse_statement())? {
        ast::Statement::Insert(insert) => insert,
        _ => return Err(cursor.unexpected()),
    };
    if statement.on.is_some() {
        return Err(refuse(piece, &["ON", "CONFLICT"], "INSERT ... ON CONFLICT", "Look the key up first, in the same transaction."));
    }
    if statement.returning.is_some() {
        return Err(no_returning(piece));
    }
    let plain = statement.into
        && matches!(statement.table, TableObject::TableName(_))
        && statement.or.is_none()
        && !statement.ignore
        && !statement.overwrite
        && statement.assignments.is_empty()
        && statement.partitioned.is_none()
        && statement.after_columns.is_empty()
        && !statement.has_table_keyword
        && statement.output.is_none()
        && !statement.replace_into
        && statement.priority.is_none()
        && statement.insert_alias.is_none()
        && statement.settings.is_none()
        && statement.format_clause.is_none()
        && statement.multi_table_insert_type.is_none()
        && statement.multi_table_into_clauses.is_empty()
        && statement.multi_table_when_clauses.is_empty()
        && statement.multi_table_else_clause.is_none();
    if !plain {
        return Err(foreign("INSERT", "INSERT INTO table [(columns)] VALUES (...) or INSERT INTO table [(columns)] SELECT ..."));
    }
    check::query(&mut statement)?;
    Ok(Statement::Insert(Box::new(statement)))
}

/// `UPDATE t [AS a] SET .. [FROM ..] [WHERE ..]`
pub(super) fn update(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut statement = match cursor.run(|parser| parser.parse_statement())? {
        ast::Statement::Update(update) => update,
        _ => return Err(cursor.unexpected()),
    };
    if statement.returning.is_some() {
        return Err(no_returning(piece));
    }
    let plain = statement.table.joins.is_empty()
        && matches!(statement.from, None | Some(ast::UpdateTableFromKind::AfterSet(_)))
        && statement.output.is_none()
        && statement.or.is_none()
        && statement.order_by.is_empty()
        && statement.limit.is_none();
    if !plain {
        return Err(foreign("UPDATE", "UPDATE table SET column = value [FROM ...] [WHERE ...]"));
    }
    check::query(&mut statement)?;
    Ok(Statement::Update(Box::new(statement)))
}

/// `DELETE FROM t [AS a] [USING ..] [WHERE ..]`
pub(super) fn delete(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut statement = match cursor.run(|parser| parser.parse_statement())? {
        ast::Statement::Delete(delete) => delete,
        _ => return Err(cursor.unexpected()),
    };
    if statement.returning.is_some() {
        return Err(no_returning(piece));
    }
    let one_table = matches!(&statement.from, FromTable::WithFromKeyword(tables) if tables.len() == 1 && tables[0].joins.is_empty());
    let plain = one_table
        && statement.tables.is_empty()
        && statement.output.is_none()
        && statement.order_by.is_empty()
        && statement.limit.is_none();
    if !plain {
        return Err(foreign("DELETE", "DELETE FROM table [USING ...] [WHERE ...]"));
    }
    check::query(&mut statement)?;
    Ok(Statement::Delete(Box::new(statement)))
}

fn no_returning(piece: &Piece<'_>) -> Error {
    refuse(piece, &["RETURNING"], "RETURNING", "Use a SELECT after it, in the same transaction.")
}

fn foreign(command: &str, form: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, format!("{command} has a clause that Postgres does not know"))
        .with_hint(format!("The form is {form}."))
}

/// Refuses a clause, at its first word outside parentheses.
fn refuse(piece: &Piece<'_>, words: &[&str], what: &str, hint: &str) -> Error {
    let error = Error::unsupported(format!("{what} is not supported yet")).with_hint(hint);
    let mut depth = 0usize;
    for (index, token) in piece.tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        let here = words.iter().enumerate().all(|(n, word)| piece.tokens.get(index + n).is_some_and(|t| cursor::is_word(&t.token, word)));
        if depth == 0
            && here
            && let Some(position) = cursor::position(piece.text, token.span.start)
        {
            return error.with_position(position);
        }
    }
    error
}

//! INSERT, UPDATE and DELETE: sqlparser's trees, with only what Postgres has and Weir carries out.

use datafusion::sql::sqlparser::ast::{self, FromTable, OnConflictAction, OnInsert, SelectItem, TableObject};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_common::error::{Error, Result, SqlState};

use crate::parser::check;
use crate::parser::cursor::{self, Cursor};
use crate::parser::split::Piece;
use crate::statement::Statement;

/// `INSERT INTO t [AS a] [(columns)] query | VALUES | DEFAULT VALUES [ON CONFLICT ..] [RETURNING ..]`
pub(super) fn insert(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut statement = match conflict_clause(piece) {
        None => insert_statement(cursor)?,
        Some(at) => {
            let mut head = Cursor::within(piece, 0..at);
            let mut statement = insert_statement(&mut head)?;
            head.finish()?;
            let tail = on_conflict(piece, at)?;
            while !cursor.done() {
                cursor.next();
            }
            (statement.on, statement.returning) = (tail.on, tail.returning);
            statement
        }
    };
    match &statement.on {
        None => {}
        Some(OnInsert::OnConflict(conflict))
            if matches!(conflict.action, OnConflictAction::DoUpdate(_)) && conflict.conflict_target.is_none() =>
        {
            let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
            let error = Error::new(SqlState::SYNTAX_ERROR, message).with_hint("For example, ON CONFLICT (column_name).");
            return Err(at_words(piece, &["ON", "CONFLICT"], error));
        }
        Some(OnInsert::OnConflict(_)) => {}
        Some(_) => return Err(foreign("INSERT", "INSERT INTO table ... ON CONFLICT (column) DO UPDATE SET column = value")),
    }
    returning(statement.returning.as_deref(), piece)?;
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

fn insert_statement(cursor: &mut Cursor<'_>) -> Result<ast::Insert> {
    match cursor.run(|parser| parser.parse_statement())? {
        ast::Statement::Insert(insert) => Ok(insert),
        _ => Err(cursor.unexpected()),
    }
}

/// Where ON CONFLICT begins. sqlparser takes its first word for an alias after `SELECT 1`, so it is cut off.
fn conflict_clause(piece: &Piece<'_>) -> Option<usize> {
    let at = find(piece, &["ON", "CONFLICT"])?;
    let next = &piece.tokens.get(at + 2)?.token;
    let begins = *next == Token::LParen || ["DO", "ON"].iter().any(|word| cursor::is_word(next, word));
    begins.then_some(at)
}

/// ON CONFLICT and what follows it, as that of an INSERT with nothing else.
fn on_conflict(piece: &Piece<'_>, at: usize) -> Result<ast::Insert> {
    let span = piece.tokens[at].span;
    let words = ["INSERT", "INTO", "t", "DEFAULT", "VALUES"].into_iter().map(Token::make_keyword);
    let mut tokens: Vec<TokenWithSpan> = words.map(|token| TokenWithSpan { token, span }).collect();
    tokens.extend_from_slice(&piece.tokens[at..]);
    let mut cursor = Cursor::new(&Piece { tokens, ..piece.clone() });
    let parsed = insert_statement(&mut cursor).and_then(|statement| cursor.finish().map(|()| statement));
    parsed.map_err(|error| unsupported_target(piece, at).unwrap_or(error))
}

/// `UPDATE t [AS a] SET .. [FROM ..] [WHERE ..] [RETURNING ..]`
pub(super) fn update(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut statement = match cursor.run(|parser| parser.parse_statement())? {
        ast::Statement::Update(update) => update,
        _ => return Err(cursor.unexpected()),
    };
    returning(statement.returning.as_deref(), piece)?;
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

/// `DELETE FROM t [AS a] [USING ..] [WHERE ..] [RETURNING ..]`
pub(super) fn delete(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut statement = match cursor.run(|parser| parser.parse_statement())? {
        ast::Statement::Delete(delete) => delete,
        _ => return Err(cursor.unexpected()),
    };
    returning(statement.returning.as_deref(), piece)?;
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

/// What RETURNING may list: expressions, `*` and `t.*`, as Postgres has them.
fn returning(items: Option<&[SelectItem]>, piece: &Piece<'_>) -> Result<()> {
    let plain = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => true,
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => *options == Default::default(),
        SelectItem::ExprWithAliases { .. } => false,
    };
    match items.unwrap_or_default().iter().all(plain) {
        true => Ok(()),
        false => Err(at_words(piece, &["RETURNING"], foreign("RETURNING", "RETURNING * or RETURNING expression [AS name], ..."))),
    }
}

/// What stands between `ON CONFLICT` and `DO` where that is more than the names of columns: Postgres' expressions,
/// collations, operator classes and predicates, which match indexes that Weir does not have.
fn unsupported_target(piece: &Piece<'_>, at: usize) -> Option<Error> {
    let mut index = at + 2;
    let token = |index: usize| piece.tokens.get(index).map_or(&Token::EOF, |token| &token.token);
    if *token(index) != Token::LParen {
        return None;
    }
    let mut depth = 0usize;
    let mut names_only = true;
    let mut expects_name = true;
    loop {
        index += 1;
        match token(index) {
            Token::EOF => return None,
            Token::RParen if depth == 0 => break,
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        names_only &= depth == 0
            && match token(index) {
                Token::Word(_) => std::mem::replace(&mut expects_name, false),
                Token::Comma => !std::mem::replace(&mut expects_name, true),
                _ => false,
            };
    }
    let predicate = cursor::is_word(token(index + 1), "WHERE");
    if names_only && !predicate {
        return None;
    }
    let what = if names_only { "WHERE after the columns of ON CONFLICT" } else { "ON CONFLICT on anything but columns" };
    let error = Error::unsupported(format!("{what} is not supported yet")).with_hint("Name the columns of the primary key.");
    Some(at_words(piece, &["ON", "CONFLICT"], error))
}

fn foreign(command: &str, form: &str) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, format!("{command} has a clause that Postgres does not know"))
        .with_hint(format!("The form is {form}."))
}

/// The first token of these words, outside parentheses.
fn find(piece: &Piece<'_>, words: &[&str]) -> Option<usize> {
    let mut depth = 0usize;
    piece.tokens.iter().enumerate().position(|(index, token)| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        let here = |(n, word): (usize, &&str)| piece.tokens.get(index + n).is_some_and(|token| cursor::is_word(&token.token, word));
        depth == 0 && words.iter().enumerate().all(here)
    })
}

/// The error, placed where these words stand.
fn at_words(piece: &Piece<'_>, words: &[&str], error: Error) -> Error {
    match find(piece, words).and_then(|index| cursor::position(piece.text, piece.tokens[index].span.start)) {
        Some(position) => error.with_position(position),
        None => error,
    }
}

//! CREATE TABLE.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result};

use crate::parser::columns::{self, Columns};
use crate::parser::cursor::Cursor;
use crate::parser::split::Piece;
use crate::parser::view;
use crate::statement::{CreateTable, Statement, TableQuery};

/// After `CREATE TABLE`.
pub(super) fn create(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let if_not_exists = cursor.eat("IF NOT EXISTS");
    let name = cursor.name()?;
    if cursor.at_one_of(&["OF", "PARTITION OF"]).is_some() {
        return Err(refuse_tail(cursor).unwrap_or_else(|| cursor.unexpected()));
    }
    let mut table = CreateTable {
        name,
        if_not_exists,
        columns: Vec::new(),
        primary_key: None,
        primary_key_name: None,
        checks: Vec::new(),
        watermark: None,
        query: None,
    };
    let mut names = Vec::new();
    let mut declared = false;
    if at_name_list(cursor) {
        names = cursor.optional_idents()?;
    } else if cursor.peek().token == Token::LParen {
        if *cursor.peek_nth(1) == Token::RParen {
            return Err(cursor
                .unsupported(cursor.position(), "tables without columns are not supported yet")
                .with_hint("Declare a column."));
        }
        declared = true;
        let relation = table.name.to_string();
        let Columns { columns, primary_key, primary_key_name, checks, watermark } = checked(cursor, &relation)?;
        table = CreateTable { columns, primary_key, primary_key_name, checks, watermark, ..table };
    }
    if let Some(error) = refuse_tail(cursor) {
        return Err(error);
    }
    if !declared {
        // Without types, the columns come from a query.
        table.query = Some(query(cursor, piece, names)?);
    }
    Ok(Statement::CreateTable(table))
}

fn checked(cursor: &mut Cursor<'_>, relation: &str) -> Result<Columns> {
    let columns = columns::columns(cursor, relation)?;
    columns.check(cursor)?;
    Ok(columns)
}

/// `(a, b)`: names without types.
fn at_name_list(cursor: &Cursor<'_>) -> bool {
    cursor.peek().token == Token::LParen
        && matches!(cursor.peek_nth(1), Token::Word(_))
        && matches!(cursor.peek_nth(2), Token::Comma | Token::RParen)
        && {
            // `(a, b int)` is a declaration that lacks a type: the column parser says so.
            let mut n = 1;
            while matches!(cursor.peek_nth(n), Token::Word(_) | Token::Comma)
                && matches!(cursor.peek_nth(n + 1), Token::Comma | Token::Word(_))
            {
                if matches!((cursor.peek_nth(n), cursor.peek_nth(n + 1)), (Token::Word(_), Token::Word(_))) {
                    return false;
                }
                n += 1;
            }
            super::cursor::is_word(cursor.peek_nth(n + 2), "AS")
        }
}

fn query(cursor: &mut Cursor<'_>, piece: &Piece<'_>, columns: Vec<Ident>) -> Result<TableQuery> {
    cursor.expect("AS")?;
    if cursor.at("EXECUTE") {
        return Err(cursor
            .unsupported(cursor.position(), "CREATE TABLE AS EXECUTE is not supported yet")
            .with_hint("Write the query itself."));
    }
    let first = cursor.index();
    let end = view::data_clause(piece, first)?;
    let mut inner = Cursor::within(piece, first..end);
    let query = inner.query()?;
    inner.finish()?;
    while !cursor.done() {
        cursor.next();
    }
    Ok(TableQuery { columns, query })
}

/// Clauses after the columns that Weir does not have.
fn refuse_tail(cursor: &Cursor<'_>) -> Option<Error> {
    let clauses = [
        ("INHERITS", "INHERITS", "Use a view with UNION ALL."),
        ("PARTITION BY", "PARTITION BY", "Weir spreads every table over its workers by itself."),
        ("PARTITION OF", "PARTITION OF", "Weir spreads every table over its workers by itself."),
        ("OF", "CREATE TABLE OF", "Name the columns."),
        ("USING", "USING", "There is one way to store a table."),
        ("ON COMMIT", "ON COMMIT", "It belongs to temporary tables, which are not supported yet."),
        ("TABLESPACE", "TABLESPACE", "There is one place to store tables."),
        ("WITH", "WITH options of a table are", "A table has no options; to read from a connector use CREATE SOURCE."),
        ("WITHOUT OIDS", "WITHOUT OIDS", "Leave it out: no table has OIDs."),
        ("INCLUDE", "INCLUDE", "A table has no connector; use CREATE SOURCE."),
        ("FORMAT", "FORMAT", "A table has no connector; use CREATE SOURCE."),
    ];
    clauses.into_iter().find(|(words, ..)| cursor.at(words)).map(|(_, what, hint)| {
        let verb = if what.ends_with(" are") { "" } else { " is" };
        cursor.unsupported(cursor.position(), format!("{what}{verb} not supported yet")).with_hint(hint)
    })
}

//! PREPARE, EXECUTE and DEALLOCATE.

use datafusion::sql::sqlparser::ast::{DataType, Expr};
use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::Result;

use crate::parser::cursor::{self, Cursor};
use crate::parser::split::Piece;
use crate::parser::{self, check};
use crate::statement::{Execute, Parsed, Prepare, Statement};

/// What a statement that can be prepared begins with.
const PREPARABLE: [&str; 7] = ["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE"];

/// `PREPARE name [(types)] AS statement`
pub(super) fn prepare(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    cursor.expect("PREPARE")?;
    if cursor.at("TRANSACTION") {
        return Ok(parser::unsupported::unsupported(
            "PREPARE TRANSACTION".to_string(),
            "Commit here; Weir takes no part in two-phase commits.",
            cursor,
        ));
    }
    let name = cursor::folded(&cursor.ident()?);
    let mut types = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        types = cursor.list(parameter_type)?;
        cursor.expect_token(&Token::RParen)?;
    }
    cursor.expect("AS")?;
    if cursor.at_one_of(&PREPARABLE).is_none() && cursor.peek().token != Token::LParen {
        return Err(cursor.unexpected());
    }
    let position = cursor.position();
    let inner = piece.tail(cursor.index());
    let statement = parser::statement(&inner).map_err(|error| match error.position() {
        Some(at) => error.with_position(at + position - 1),
        None => error,
    })?;
    while !cursor.done() {
        cursor.next();
    }
    let statement = Parsed { statement, text: inner.text.to_string(), offset: inner.offset };
    Ok(Statement::Prepare(Prepare { name, types, statement: Box::new(statement) }))
}

fn parameter_type(cursor: &mut Cursor<'_>) -> Result<Option<DataType>> {
    if cursor.eat("UNKNOWN") {
        return Ok(None);
    }
    cursor.run(|parser| parser.parse_data_type()).map(Some)
}

/// `EXECUTE name [(arguments)]`
pub(super) fn execute(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("EXECUTE")?;
    let name = cursor::folded(&cursor.ident()?);
    let mut arguments = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        arguments = cursor.list(argument)?;
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(Statement::Execute(Execute { name, arguments }))
}

fn argument(cursor: &mut Cursor<'_>) -> Result<Expr> {
    let mut argument = cursor.expr()?;
    check::query(&mut argument)?;
    Ok(argument)
}

/// `DEALLOCATE [PREPARE] name | ALL`
pub(super) fn deallocate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DEALLOCATE")?;
    cursor.eat("PREPARE");
    Ok(Statement::Deallocate(name_or_all(cursor)?))
}

/// A name, or `ALL`, which is `None`.
pub(super) fn name_or_all(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.eat("ALL") { Ok(None) } else { Ok(Some(cursor::folded(&cursor.ident()?))) }
}

//! EXPLAIN.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState, nearest};

use crate::parser::cursor::{self, Cursor};
use crate::parser::split::Piece;
use crate::parser::{self, unsupported};
use crate::statement::{Explain, Parsed, Statement};

const OPTIONS: &[&str] =
    &["analyze", "verbose", "format", "costs", "buffers", "timing", "summary", "settings", "wal", "generic_plan", "memory", "serialize"];

/// `EXPLAIN [ANALYZE] [VERBOSE] statement`, `EXPLAIN (options) statement`
pub(super) fn explain(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    cursor.expect("EXPLAIN")?;
    if cursor.at("WATERMARK") {
        return Ok(unsupported::unsupported(
            "EXPLAIN WATERMARK".to_string(),
            "SELECT * FROM weir.watermarks shows where it stands.",
            cursor,
        ));
    }
    let (mut analyze, mut verbose) = (false, false);
    // A parenthesis may open a query as well as options; no option is called SELECT.
    let query = matches!(cursor.peek_nth(1), Token::LParen) || cursor::is_word(cursor.peek_nth(1), "SELECT");
    if cursor.peek().token == Token::LParen
        && !query
        && !cursor::is_word(cursor.peek_nth(1), "WITH")
        && !cursor::is_word(cursor.peek_nth(1), "VALUES")
    {
        cursor.expect_token(&Token::LParen)?;
        cursor.list(|cursor| option(cursor, &mut analyze, &mut verbose))?;
        cursor.expect_token(&Token::RParen)?;
    } else {
        analyze = cursor.eat_one_of(&["ANALYZE", "ANALYSE"]).is_some();
        verbose = cursor.eat("VERBOSE");
    }
    if cursor.done() {
        return Err(cursor.unexpected());
    }
    let position = cursor.position();
    if cursor.at("EXPLAIN") {
        return Err(cursor.unexpected());
    }
    let inner = piece.tail(cursor.index());
    let statement = parser::statement(&inner).map_err(|error| match error.position() {
        Some(at) => error.with_position(at + position - 1),
        None => error,
    })?;
    match statement {
        Statement::Query(_) | Statement::Execute(_) | Statement::Declare(_) => {}
        Statement::CreateMaterializedView(_) if !analyze => {}
        Statement::CreateMaterializedView(_) => {
            return Err(cursor
                .unsupported(position, "EXPLAIN ANALYZE of CREATE MATERIALIZED VIEW is not supported yet")
                .with_hint("Create the view, then read weir.operators; or leave ANALYZE out."));
        }
        _ => {
            return Err(cursor
                .unsupported(position, "EXPLAIN is only supported for a query, EXECUTE, DECLARE and CREATE MATERIALIZED VIEW")
                .with_hint("Explain the SELECT that the statement contains."));
        }
    }
    while !cursor.done() {
        cursor.next();
    }
    let statement = Parsed { statement, text: inner.text.to_string(), offset: inner.offset };
    Ok(Statement::Explain(Explain { analyze, verbose, statement: Box::new(statement) }))
}

fn option(cursor: &mut Cursor<'_>, analyze: &mut bool, verbose: &mut bool) -> Result<()> {
    let position = cursor.position();
    let Token::Word(word) = cursor.peek().token.clone() else { return Err(cursor.unexpected()) };
    let name = match word.value.to_lowercase() {
        name if name == "analyse" => "analyze".to_string(),
        name => name,
    };
    cursor.next();
    if !OPTIONS.contains(&name.as_str()) {
        let error = Error::new(SqlState::SYNTAX_ERROR, format!("unrecognized EXPLAIN option \"{name}\"")).with_position(position);
        return Err(match nearest(&name, OPTIONS.iter().copied()) {
            Some(option) => error.with_hint(format!("Perhaps you meant \"{option}\".")),
            None => error,
        });
    }
    let value = match cursor.peek().token.clone() {
        Token::Word(word) => Some(word.value),
        Token::Number(number, _) => Some(number),
        Token::SingleQuotedString(string) => Some(string),
        _ => None,
    };
    if value.is_some() {
        cursor.next();
    }
    if name == "format" {
        return match value {
            Some(format) if format.eq_ignore_ascii_case("text") => Ok(()),
            Some(format) => Err(cursor
                .unsupported(position, format!("EXPLAIN (FORMAT {}) is not supported yet", format.to_uppercase()))
                .with_hint("Use FORMAT TEXT.")),
            None => Err(Error::new(SqlState::SYNTAX_ERROR, "format requires a parameter").with_position(position)),
        };
    }
    let on = boolean(value.as_deref())
        .ok_or_else(|| Error::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value")).with_position(position))?;
    match name.as_str() {
        "analyze" => *analyze = on,
        "verbose" => *verbose = on,
        // What would be shown, Weir does not have; not to show it is what it does.
        _ if on => {
            return Err(cursor
                .unsupported(position, format!("EXPLAIN option {} is not supported yet", name.to_uppercase()))
                .with_hint("Use ANALYZE or VERBOSE."));
        }
        _ => {}
    }
    Ok(())
}

/// A boolean as Postgres' options take it; none is true.
pub(super) fn boolean(value: Option<&str>) -> Option<bool> {
    match value.map(str::to_lowercase).as_deref() {
        None | Some("true" | "on" | "1") => Some(true),
        Some("false" | "off" | "0") => Some(false),
        Some(_) => None,
    }
}

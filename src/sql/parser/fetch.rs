//! DECLARE, FETCH, MOVE and CLOSE.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState};

use crate::parser::cursor::{self, Cursor};
use crate::parser::{options, prepared, subscribe};
use crate::statement::{Declare, DeclareRows, Fetch, FetchDirection, FetchTimeout, OptionValue, Statement};

/// `DECLARE name [BINARY] [ASENSITIVE | INSENSITIVE] [[NO] SCROLL] CURSOR [WITH HOLD | WITHOUT HOLD] FOR query | SUBSCRIBE ..`
pub(super) fn declare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DECLARE")?;
    let name = cursor::folded(&cursor.ident()?);
    let (mut binary, mut scroll, mut no_scroll, mut insensitive, mut asensitive) = (false, false, false, false, false);
    loop {
        if cursor.eat("NO SCROLL") {
            no_scroll = true;
            continue;
        }
        match cursor.eat_one_of(&["BINARY", "SCROLL", "INSENSITIVE", "ASENSITIVE", "CURSOR"]) {
            Some("BINARY") => binary = true,
            Some("SCROLL") => scroll = true,
            // Every cursor is: it shows its transaction's commit.
            Some("INSENSITIVE") => insensitive = true,
            // Asks for nothing.
            Some("ASENSITIVE") => asensitive = true,
            Some(_) => break,
            None => return Err(cursor.unexpected_for(&["CURSOR", "SCROLL", "BINARY"])),
        }
    }
    if scroll && no_scroll {
        return Err(Error::new(SqlState::INVALID_CURSOR_DEFINITION, "cannot specify both SCROLL and NO SCROLL"));
    }
    if insensitive && asensitive {
        return Err(Error::new(SqlState::INVALID_CURSOR_DEFINITION, "cannot specify both INSENSITIVE and ASENSITIVE"));
    }
    let hold = cursor.eat("WITH HOLD");
    if !hold {
        cursor.eat("WITHOUT HOLD");
    }
    cursor.expect("FOR")?;
    if cursor.at("SUBSCRIBE") {
        let position = cursor.position();
        if scroll {
            return Err(cursor
                .unsupported(position, "a SCROLL cursor over SUBSCRIBE is not supported")
                .with_hint("Leave SCROLL out: what was fetched is not kept."));
        }
        let subscribe = Box::new(subscribe::subscribe(cursor)?);
        return Ok(Statement::Declare(Declare { name, binary, scroll, hold, rows: DeclareRows::Subscribe(subscribe) }));
    }
    if cursor.at_one_of(&["SELECT", "WITH", "VALUES", "TABLE"]).is_none() && cursor.peek().token != Token::LParen {
        return Err(cursor.unexpected());
    }
    let query = cursor.query()?;
    Ok(Statement::Declare(Declare { name, binary, scroll, hold, rows: DeclareRows::Query(query) }))
}

/// `FETCH [direction] [FROM | IN] name [WITH (timeout = '1s')]`, `MOVE ..`
pub(super) fn fetch(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let moves = cursor.eat("MOVE");
    if !moves {
        cursor.expect("FETCH")?;
    }
    // Alone, a word of direction is the name of a cursor.
    let named = *cursor.peek_nth(1) == Token::EOF || cursor::is_word(cursor.peek_nth(1), "WITH");
    let direction = if named { FetchDirection::Forward(Some(1)) } else { direction(cursor)? };
    cursor.eat_one_of(&["FROM", "IN"]);
    let name = cursor::folded(&cursor.ident()?);
    let mut timeout = None;
    if cursor.eat("WITH") {
        for (option, OptionValue { value, position }) in options::options(cursor)? {
            if option != "timeout" {
                let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unknown option \"{option}\""));
                return Err(error.with_position(position).with_hint("The option of FETCH is timeout."));
            }
            let millis = millis(&value).ok_or_else(|| {
                let message = format!("invalid value for option \"timeout\": \"{value}\"");
                let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(position);
                error.with_hint("Give a number and a unit: '500ms', '1s', '2min'.")
            })?;
            timeout = Some(FetchTimeout { millis, position });
        }
    }
    Ok(Statement::Fetch(Fetch { name, direction, moves, timeout }))
}

/// A time such as `500ms`, `1s` or `1 second`, in milliseconds; those without a unit.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "min" | "m" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn direction(cursor: &mut Cursor<'_>) -> Result<FetchDirection> {
    let words = ["NEXT", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "ALL", "FORWARD", "BACKWARD"];
    Ok(match cursor.eat_one_of(&words) {
        Some("NEXT") => FetchDirection::Forward(Some(1)),
        Some("PRIOR") => FetchDirection::Backward(Some(1)),
        Some("FIRST") => FetchDirection::Absolute(1),
        Some("LAST") => FetchDirection::Absolute(-1),
        Some("ABSOLUTE") => FetchDirection::Absolute(count(cursor)?.ok_or_else(|| cursor.unexpected())?),
        Some("RELATIVE") => FetchDirection::Relative(count(cursor)?.ok_or_else(|| cursor.unexpected())?),
        Some("ALL") => FetchDirection::Forward(None),
        Some("FORWARD") if cursor.eat("ALL") => FetchDirection::Forward(None),
        Some("BACKWARD") if cursor.eat("ALL") => FetchDirection::Backward(None),
        Some("FORWARD") => steps(count(cursor)?.unwrap_or(1)),
        Some(_) => steps(-count(cursor)?.unwrap_or(1)),
        None => steps(count(cursor)?.unwrap_or(1)),
    })
}

fn steps(count: i64) -> FetchDirection {
    match count {
        0 => FetchDirection::Relative(0),
        1.. => FetchDirection::Forward(Some(count.unsigned_abs())),
        _ => FetchDirection::Backward(Some(count.unsigned_abs())),
    }
}

/// A number of rows with its sign, within 32 bits as in Postgres; `None` where something else comes next.
fn count(cursor: &mut Cursor<'_>) -> Result<Option<i64>> {
    let negative = match cursor.peek().token {
        Token::Minus => true,
        Token::Plus => false,
        Token::Number(..) => return number(cursor).map(Some),
        _ => return Ok(None),
    };
    cursor.next();
    let count = number(cursor)?;
    Ok(Some(if negative { -count } else { count }))
}

fn number(cursor: &mut Cursor<'_>) -> Result<i64> {
    let number = match &cursor.peek().token {
        Token::Number(number, _) => number.parse::<i32>().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| cursor.unexpected())?;
    cursor.next();
    Ok(number.into())
}

/// `CLOSE name | ALL`
pub(super) fn close(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("CLOSE")?;
    Ok(Statement::Close(prepared::name_or_all(cursor)?))
}

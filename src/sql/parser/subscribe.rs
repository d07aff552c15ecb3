//! SUBSCRIBE: what to follow, from which commit to which, and the shape of its rows.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::Epoch;

use crate::parser::cursor::{self, Cursor};
use crate::parser::{explain, options};
use crate::statement::{OptionValue, Subscribe, SubscribeTarget, Upsert};

/// `SUBSCRIBE [TO] name | (query) [EMIT FINAL] [ENVELOPE UPSERT (KEY (columns))] [WITH (options)] [AS OF commit] [UP TO commit]`
pub(super) fn subscribe(cursor: &mut Cursor<'_>) -> Result<Subscribe> {
    cursor.expect("SUBSCRIBE")?;
    // A relation may be called "to".
    if cursor.at("TO") && *cursor.peek_nth(1) != Token::EOF {
        cursor.next();
    }
    let target = if cursor.eat_token(&Token::LParen) {
        if cursor.at_one_of(&["INSERT", "UPDATE", "DELETE"]).is_some() {
            return Err(cursor.unexpected());
        }
        let query = cursor.query()?;
        cursor.expect_token(&Token::RParen)?;
        SubscribeTarget::Query(query)
    } else {
        let position = cursor.position();
        SubscribeTarget::Relation { name: cursor.name()?, position }
    };
    let emit_position = cursor.position();
    let emit_final = cursor.eat("EMIT FINAL").then_some(emit_position);
    let upsert = if cursor.at("ENVELOPE") { Some(upsert(cursor)?) } else { None };
    let mut subscribe = Subscribe { target, emit_final, upsert, snapshot: true, progress: false, as_of: None, up_to: None };
    if cursor.eat("WITH") {
        for (name, option) in options::options(cursor)? {
            match name.as_str() {
                "snapshot" => subscribe.snapshot = boolean(&name, &option)?,
                "progress" => subscribe.progress = boolean(&name, &option)?,
                _ => {
                    let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unknown option \"{name}\""));
                    return Err(error.with_position(option.position).with_hint("The options of SUBSCRIBE are snapshot and progress."));
                }
            }
        }
    }
    if cursor.eat("AS OF") {
        subscribe.as_of = Some(commit(cursor)?);
    }
    if cursor.eat("UP TO") {
        subscribe.up_to = Some(commit(cursor)?);
    }
    Ok(subscribe)
}

fn upsert(cursor: &mut Cursor<'_>) -> Result<Upsert> {
    let position = cursor.position();
    cursor.expect("ENVELOPE")?;
    if cursor.at("DEBEZIUM") {
        return Err(cursor
            .unsupported(cursor.position(), "ENVELOPE DEBEZIUM is not supported yet")
            .with_hint("Use ENVELOPE UPSERT, or none: each row then has its weight in weir_diff."));
    }
    cursor.expect("UPSERT")?;
    cursor.expect_token(&Token::LParen)?;
    cursor.expect("KEY")?;
    cursor.expect_token(&Token::LParen)?;
    let key = cursor.list(Cursor::ident)?;
    cursor.expect_token(&Token::RParen)?;
    cursor.expect_token(&Token::RParen)?;
    Ok(Upsert { key, position })
}

fn boolean(name: &str, option: &OptionValue) -> Result<bool> {
    explain::boolean(Some(&option.value)).ok_or_else(|| {
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("option \"{name}\" is true or false, not \"{}\"", option.value));
        error.with_position(option.position)
    })
}

/// The number of a commit.
fn commit(cursor: &mut Cursor<'_>) -> Result<Epoch> {
    if cursor.at("AT") || cursor.at("TIMESTAMP") || cursor::is_word(&cursor.peek().token, "NOW") {
        return Err(cursor.unexpected().with_hint("AS OF and UP TO take the number of a commit, such as weir.snapshot.commit shows."));
    }
    let commit = match &cursor.peek().token {
        Token::Number(number, _) => number.parse::<i64>().ok().and_then(|number| Epoch::try_from(number).ok()),
        Token::SingleQuotedString(text) => text.parse::<i64>().ok().and_then(|number| Epoch::try_from(number).ok()),
        _ => None,
    };
    let commit = commit.ok_or_else(|| cursor.unexpected())?;
    cursor.next();
    Ok(commit)
}

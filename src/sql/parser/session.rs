//! What concerns the session or the server: SET, SHOW, RESET, DISCARD, UNLISTEN, CHECKPOINT, BACKUP.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::Result;

use crate::parser::cursor::{self, Cursor};
use crate::parser::{drop, transaction, unsupported};
use crate::statement::{Discard, ObjectKind, Reset, Set, SetScope, SetTransaction, SetValue, Show, Statement};

/// `SET ..`
pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("SET")?;
    if cursor.eat("CONSTRAINTS") {
        return Ok(unsupported::unsupported("SET CONSTRAINTS".to_string(), "Keys are checked at commit.", cursor));
    }
    let scope = if cursor.at("SESSION AUTHORIZATION") || cursor.at("SESSION CHARACTERISTICS") {
        SetScope::Session
    } else if cursor.eat("LOCAL") {
        SetScope::Local
    } else {
        cursor.eat("SESSION");
        SetScope::Session
    };
    let position = cursor.position();
    if cursor.eat("SESSION CHARACTERISTICS") {
        cursor.expect("AS TRANSACTION")?;
        return set_transaction(cursor, true);
    }
    if cursor.eat("TRANSACTION") {
        if cursor.at("SNAPSHOT") {
            return Ok(unsupported::unsupported("SET TRANSACTION SNAPSHOT".to_string(), "Read in one transaction.", cursor));
        }
        return set_transaction(cursor, false);
    }
    // These stand for variables and take no `=`.
    let special = [
        ("TIME ZONE", "timezone"),
        ("SESSION AUTHORIZATION", "session_authorization"),
        ("ROLE", "role"),
        ("NAMES", "client_encoding"),
        ("SCHEMA", "search_path"),
    ];
    let assigned = matches!(cursor.peek_nth(1), Token::Eq) || cursor::is_word(cursor.peek_nth(1), "TO");
    let (name, value) = match special.into_iter().find(|(words, _)| !assigned && cursor.eat(words)) {
        Some(("NAMES", name)) if cursor.done() => (name.to_string(), SetValue::Default),
        Some(("TIME ZONE", name)) if cursor.eat("LOCAL") => (name.to_string(), SetValue::Default),
        Some((_, name)) => (name.to_string(), single(cursor)?),
        None => {
            let name = variable(cursor)?;
            if !cursor.eat("TO") {
                cursor.expect_token(&Token::Eq)?;
            }
            (name, list(cursor)?)
        }
    };
    Ok(Statement::Set(Set { scope, name, value, position }))
}

fn set_transaction(cursor: &mut Cursor<'_>, session: bool) -> Result<Statement> {
    let modes = transaction::modes(cursor)?;
    if modes == Default::default() {
        return Err(cursor.unexpected());
    }
    Ok(Statement::SetTransaction(SetTransaction { session, modes }))
}

fn single(cursor: &mut Cursor<'_>) -> Result<SetValue> {
    if cursor.eat("DEFAULT") { Ok(SetValue::Default) } else { Ok(SetValue::Values(vec![value(cursor)?])) }
}

fn list(cursor: &mut Cursor<'_>) -> Result<SetValue> {
    if cursor.eat("DEFAULT") { Ok(SetValue::Default) } else { Ok(SetValue::Values(cursor.list(value)?)) }
}

/// A word folds to lower case as everywhere; a string, a quoted word or a number stays as it is.
fn value(cursor: &mut Cursor<'_>) -> Result<String> {
    let position = cursor.position();
    if cursor.at("INTERVAL") {
        return Err(cursor
            .unsupported(position, "an interval as a setting is not supported yet")
            .with_hint("Name the time zone ('Europe/Paris'), or give hours from UTC ('+02:00')."));
    }
    match cursor.peek().token.clone() {
        Token::Word(word) => {
            cursor.next();
            Ok(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() })
        }
        Token::Number(number, _) => {
            cursor.next();
            Ok(number)
        }
        sign @ (Token::Minus | Token::Plus) => {
            cursor.next();
            let Token::Number(number, _) = cursor.peek().token.clone() else { return Err(cursor.unexpected()) };
            cursor.next();
            Ok(if sign == Token::Minus { format!("-{number}") } else { number })
        }
        _ => cursor.string(),
    }
}

/// The name of a variable, lower case; `a.b` for those of extensions.
fn variable(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = word(cursor)?;
    while cursor.eat_token(&Token::Period) {
        name.push('.');
        name.push_str(&word(cursor)?);
    }
    Ok(name)
}

fn word(cursor: &mut Cursor<'_>) -> Result<String> {
    match &cursor.peek().token {
        Token::Word(word) => {
            let word = word.value.to_lowercase();
            cursor.next();
            Ok(word)
        }
        _ => Err(cursor.unexpected()),
    }
}

/// Variables that are called by several words.
fn named_by_words(cursor: &mut Cursor<'_>) -> Option<&'static str> {
    [
        ("TIME ZONE", "timezone"),
        ("TRANSACTION ISOLATION LEVEL", "transaction_isolation"),
        ("SESSION AUTHORIZATION", "session_authorization"),
    ]
    .into_iter()
    .find(|(words, _)| cursor.eat(words))
    .map(|(_, name)| name)
}

/// `SHOW ..`
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("SHOW")?;
    if let Some(name) = named_by_words(cursor) {
        return Ok(Statement::Show(Show::Variable(name.to_string())));
    }
    if cursor.eat("CREATE") {
        let Some(kind) = drop::kind(cursor) else {
            return Err(cursor.unexpected_for(&["TABLE", "SOURCE", "VIEW", "MATERIALIZED"]));
        };
        return Ok(Statement::Show(Show::Create { kind, name: cursor.name()? }));
    }
    if let Some(what) = cursor.at_one_of(&["SINKS", "INDEXES"]) {
        return Ok(unsupported::unsupported(format!("SHOW {what}"), "There are none yet.", cursor));
    }
    let kinds = [
        ("TABLES", ObjectKind::Table),
        ("SOURCES", ObjectKind::Source),
        ("VIEWS", ObjectKind::View),
        ("MATERIALIZED VIEWS", ObjectKind::MaterializedView),
    ];
    if let Some((_, kind)) = kinds.into_iter().find(|(words, _)| cursor.eat(words)) {
        return Ok(Statement::Show(Show::Objects(kind)));
    }
    if cursor.at("ALL") {
        cursor.expect("ALL")?;
        return Ok(Statement::Show(Show::All));
    }
    if cursor.at("COLUMNS FROM") || cursor.at("COLUMNS IN") {
        return Err(cursor.unexpected().with_hint("SELECT * FROM information_schema.columns, or \\d name in psql."));
    }
    Ok(Statement::Show(Show::Variable(variable(cursor)?)))
}

/// `RESET ..`
pub(super) fn reset(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("RESET")?;
    if cursor.eat("ALL") {
        return Ok(Statement::Reset(Reset::All));
    }
    let name = match named_by_words(cursor) {
        Some(name) => name.to_string(),
        None => variable(cursor)?,
    };
    Ok(Statement::Reset(Reset::Variable(name)))
}

/// `DISCARD ..`
pub(super) fn discard(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DISCARD")?;
    match cursor.eat_one_of(&["ALL", "PLANS", "SEQUENCES", "TEMPORARY", "TEMP"]) {
        Some("ALL") => Ok(Statement::Discard(Discard::All)),
        Some("PLANS") => Ok(Statement::Discard(Discard::Plans)),
        Some("SEQUENCES") => Ok(Statement::Discard(Discard::Sequences)),
        Some(_) => Ok(Statement::Discard(Discard::Temp)),
        None => Err(cursor.unexpected_for(&["ALL", "PLANS", "SEQUENCES", "TEMP"])),
    }
}

/// `UNLISTEN channel | *`
pub(super) fn unlisten(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("UNLISTEN")?;
    let all = cursor.eat_token(&Token::Mul);
    Ok(Statement::Unlisten(if all { None } else { Some(cursor::folded(&cursor.ident()?)) }))
}

/// `BACKUP TO 'directory'`
pub(super) fn backup(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("BACKUP TO")?;
    Ok(Statement::Backup(cursor.string()?))
}

/// `CHECKPOINT`
pub(super) fn checkpoint(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("CHECKPOINT")?;
    Ok(Statement::Checkpoint)
}

//! Options: `WITH (name = value, ..)`.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState};

use crate::parser::cursor::Cursor;
use crate::statement::{OptionValue, Options};

/// `(name = value, ..)`, at least one.
pub(super) fn options(cursor: &mut Cursor<'_>) -> Result<Options> {
    let mut options = Options::new();
    cursor.expect_token(&Token::LParen)?;
    cursor.list(|cursor| {
        let position = cursor.position();
        let name = name(cursor)?;
        cursor.expect_token(&Token::Eq)?;
        let value = value(cursor, &name)?;
        if options.contains_key(&name) {
            return Err(Error::new(SqlState::SYNTAX_ERROR, format!("option \"{name}\" is given more than once")).with_position(position));
        }
        options.insert(name, OptionValue { value, position });
        Ok(())
    })?;
    cursor.expect_token(&Token::RParen)?;
    Ok(options)
}

/// `properties.bootstrap.server`, or any name in quotes.
pub(super) fn name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = part(cursor)?;
    while cursor.eat_token(&Token::Period) {
        name.push('.');
        name.push_str(&part(cursor)?);
    }
    Ok(name)
}

fn part(cursor: &mut Cursor<'_>) -> Result<String> {
    match &cursor.peek().token {
        Token::Word(word) => {
            let part = if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() };
            cursor.next();
            Ok(part)
        }
        Token::SingleQuotedString(_) => cursor.string(),
        _ => Err(cursor.unexpected()),
    }
}

fn value(cursor: &mut Cursor<'_>, name: &str) -> Result<String> {
    let position = cursor.position();
    let sign = match &cursor.peek().token {
        Token::Minus => "-",
        Token::Plus => "+",
        _ => "",
    };
    if !sign.is_empty() {
        cursor.next();
    }
    match cursor.peek().token.clone() {
        Token::Number(number, _) => {
            cursor.next();
            Ok(if sign == "-" { format!("-{number}") } else { number })
        }
        _ if !sign.is_empty() => Err(cursor.unexpected()),
        Token::Word(word) if word.quote_style.is_none() && ["TRUE", "FALSE"].contains(&word.value.to_uppercase().as_str()) => {
            cursor.next();
            Ok(word.value.to_lowercase())
        }
        Token::Word(word) => Err(Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", word.value))
            .with_position(position)
            .with_hint(format!("Write the value of an option in quotes: {name} = '{}'.", word.value))),
        _ => cursor.string(),
    }
}

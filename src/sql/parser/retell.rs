//! The text of a CREATE, told again with another watermark.

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_common::error::{Error, Result};

use crate::parser::cursor::is_word;
use crate::parser::split::{self, Piece};
use crate::statement::Watermark;

/// A `CREATE SOURCE` or `CREATE TABLE` that has a `WATERMARK FOR`, with this one in its place.
pub fn with_watermark(sql: &str, watermark: &Watermark) -> Result<String> {
    let piece = piece(sql)?;
    let open = piece.tokens.iter().position(|token| token.token == Token::LParen).ok_or_else(unknown)?;
    let clause = items(&piece.tokens, open).into_iter().find(|item| {
        let at = |nth: usize, word| piece.tokens.get(item.start + nth).is_some_and(|token| is_word(&token.token, word));
        at(0, "WATERMARK") && at(1, "FOR")
    });
    let at = bytes(&piece, &clause.ok_or_else(unknown)?)?;
    let said = format!("WATERMARK FOR {} AS {}", watermark.column, watermark.expr);
    Ok(format!("{}{said}{}", &piece.text[..at.start], &piece.text[at.end..]))
}

/// A `CREATE SOURCE` with this value for an option of its `WITH (..)`, or without the option.
pub fn with_option(sql: &str, name: &str, value: Option<&str>) -> Result<String> {
    let piece = piece(sql)?;
    let tokens = &piece.tokens;
    let follows = |at: &usize| tokens.get(at + 1).is_some_and(|token| token.token == Token::LParen);
    let with = (0..tokens.len()).filter(follows).find(|at| is_word(&tokens[*at].token, "WITH")).ok_or_else(unknown)?;
    let items = items(tokens, with + 1);
    let named = |item: &Range<usize>| match &tokens[item.start].token {
        Token::Word(word) if word.quote_style.is_none() => word.value.eq_ignore_ascii_case(name),
        Token::Word(word) => word.value == name,
        Token::SingleQuotedString(word) => word == name,
        _ => false,
    };
    // `name = value` and not `name.more = value`.
    let found = items.iter().position(|item| named(item) && tokens.get(item.start + 1).is_some_and(|token| token.token == Token::Eq));
    let said = value.map(|value| format!("{name} = '{}'", value.replace('\'', "''")));
    let (at, said) = match (found, said) {
        (Some(found), Some(said)) => (bytes(&piece, &items[found])?, said),
        (Some(0), None) => {
            let next = items.get(1).ok_or_else(unknown)?;
            (bytes(&piece, &items[0])?.start..bytes(&piece, next)?.start, String::new())
        }
        (Some(found), None) => (bytes(&piece, &items[found - 1])?.end..bytes(&piece, &items[found])?.end, String::new()),
        (None, Some(said)) => {
            let end = bytes(&piece, items.last().ok_or_else(unknown)?)?.end;
            (end..end, format!(", {said}"))
        }
        (None, None) => return Ok(sql.to_string()),
    };
    Ok(format!("{}{said}{}", &piece.text[..at.start], &piece.text[at.end..]))
}

fn piece(sql: &str) -> Result<Piece<'_>> {
    split::split(sql)?.into_iter().next().ok_or_else(unknown)
}

/// The tokens of what stands between the commas of the parentheses that open here.
fn items(tokens: &[TokenWithSpan], open: usize) -> Vec<Range<usize>> {
    let (mut items, mut first, mut depth) = (vec![], open + 1, 0);
    for (at, token) in tokens.iter().enumerate().skip(open + 1) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => {
                items.push(first..at);
                break;
            }
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => {
                items.push(first..at);
                first = at + 1;
            }
            _ => {}
        }
    }
    items
}

/// Where tokens stand in the text.
fn bytes(piece: &Piece<'_>, tokens: &Range<usize>) -> Result<Range<usize>> {
    let token = |at: usize| piece.tokens.get(at).ok_or_else(unknown);
    let at = |location| split::offsets(piece.text, location).map(|at| at.bytes).ok_or_else(unknown);
    Ok(at(token(tokens.start)?.span.start)?..at(token(tokens.end.wrapping_sub(1))?.span.end)?)
}

fn unknown() -> Error {
    Error::internal("the statement that made the relation is not what was thought")
}

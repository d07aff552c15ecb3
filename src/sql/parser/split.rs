//! Splitting: a query string's tokens, read once, cut at each top-level `;`.
//!
//! Strings, dollar quotes and comments hide a `;` because the tokenizer reads them first. Each piece has the spans of
//! its tokens counted from its own text, so that a statement means the same alone as among others.

use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace};
use weir_common::error::{Error, Result, SqlState};

use crate::parser::PgDialect;

/// One statement: text and tokens, the latter without blanks and comments.
#[derive(Clone, Debug)]
pub(super) struct Piece<'a> {
    /// From the first to the last token.
    pub(super) text: &'a str,
    /// Characters before the text in the query string.
    pub(super) offset: usize,
    /// Spans count from the start of the text.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// What follows.
    pub(super) end: End,
}

/// What stands where tokens run out: for errors that say "at or near".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Characters into the piece's text, from 1.
    pub(super) position: usize,
    /// The token there; `None` at the end of input.
    pub(super) token: Option<String>,
}

impl<'a> Piece<'a> {
    /// The piece from a token on, as a statement of its own.
    pub(super) fn tail(&self, first: usize) -> Piece<'a> {
        let origin = self.tokens[first].span.start;
        let before = offsets(self.text, origin).unwrap_or_default();
        Piece {
            text: &self.text[before.bytes..],
            offset: self.offset + before.chars,
            tokens: self.tokens[first..].iter().cloned().map(|token| rebase(token, origin)).collect(),
            end: End { position: self.end.position - before.chars, token: self.end.token.clone() },
        }
    }
}

/// The statements of a query string; none for blank or comment-only text.
pub(super) fn split(sql: &str) -> Result<Vec<Piece<'_>>> {
    if let Some(at) = sql.find('\0') {
        return Err(Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\": 0x00")
            .with_position(sql[..at].chars().count() + 1));
    }
    let tokens = Tokenizer::new(&PgDialect, sql).tokenize_with_location().map_err(|error| unreadable(sql, error))?;
    let mut pieces = Vec::new();
    let mut walk = Walk { text: sql, at: Offsets::default(), location: Location { line: 1, column: 1 } };
    let mut current: Vec<TokenWithSpan> = Vec::new();
    // A newline between two strings makes them one, as in standard SQL.
    let mut newline = false;
    for token in tokens {
        match &token.token {
            Token::Whitespace(blank) => newline |= !matches!(blank, Whitespace::Space | Whitespace::Tab | Whitespace::MultiLineComment(_)),
            Token::SemiColon => {
                finish(sql, &mut walk, std::mem::take(&mut current), Some(token.span.start), &mut pieces);
                newline = false;
            }
            _ => {
                join_or_push(&mut current, token, newline);
                newline = false;
            }
        }
    }
    finish(sql, &mut walk, current, None, &mut pieces);
    Ok(pieces)
}

fn join_or_push(tokens: &mut Vec<TokenWithSpan>, token: TokenWithSpan, newline: bool) {
    if newline
        && let Token::SingleQuotedString(more) = &token.token
        && let Some(TokenWithSpan { token: Token::SingleQuotedString(string), span }) = tokens.last_mut()
    {
        string.push_str(more);
        span.end = token.span.end;
        return;
    }
    tokens.push(token);
}

/// Adds a piece for the tokens up to a `;` or the end of the input, if there are any.
fn finish<'a>(sql: &'a str, walk: &mut Walk<'a>, tokens: Vec<TokenWithSpan>, semicolon: Option<Location>, pieces: &mut Vec<Piece<'a>>) {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
    let origin = first.span.start;
    let start = walk.to(origin);
    let stop = walk.to(last.span.end);
    let end = match semicolon {
        Some(location) => End { position: walk.to(location).chars - start.chars + 1, token: Some(";".to_string()) },
        None => End { position: stop.chars + sql[stop.bytes..].chars().count() - start.chars + 1, token: None },
    };
    pieces.push(Piece {
        text: &sql[start.bytes..stop.bytes],
        offset: start.chars,
        tokens: tokens.into_iter().map(|token| rebase(token, origin)).collect(),
        end,
    });
}

/// The same token with its span counted from `origin`.
fn rebase(token: TokenWithSpan, origin: Location) -> TokenWithSpan {
    let shift = |at: Location| Location {
        line: at.line - origin.line + 1,
        column: if at.line == origin.line { at.column - origin.column + 1 } else { at.column },
    };
    TokenWithSpan { span: Span { start: shift(token.span.start), end: shift(token.span.end) }, token: token.token }
}

/// A place in a text, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) bytes: usize,
    pub(crate) chars: usize,
}

/// Where a location of the tokenizer is in the text it read; `None` for the empty location.
pub(crate) fn offsets(text: &str, location: Location) -> Option<Offsets> {
    (location.line > 0).then(|| Walk { text, at: Offsets::default(), location: Location { line: 1, column: 1 } }.to(location))
}

/// Turns ascending locations into offsets in one pass over a text.
struct Walk<'a> {
    text: &'a str,
    at: Offsets,
    location: Location,
}

impl Walk<'_> {
    fn to(&mut self, target: Location) -> Offsets {
        for char in self.text[self.at.bytes..].chars() {
            if self.location >= target {
                break;
            }
            self.at.bytes += char.len_utf8();
            self.at.chars += 1;
            if char == '\n' {
                self.location = Location { line: self.location.line + 1, column: 1 };
            } else {
                self.location.column += 1;
            }
        }
        self.at
    }
}

/// A text that has no tokens: an open quote or comment, mostly.
fn unreadable(sql: &str, error: TokenizerError) -> Error {
    let message = error.message.to_lowercase();
    let at = offsets(sql, error.location);
    let rest = at.map(|at| &sql[at.bytes..]).unwrap_or_default();
    // The tokenizer reports an open dollar quote or comment at the end of the text, where it noticed.
    let (what, opening) = if message.contains("multi-line comment") {
        ("unterminated /* comment", sql.rfind("/*").map(|at| &sql[at..]))
    } else if message.contains("dollar-quoted") {
        ("unterminated dollar-quoted string", open_dollar_quote(sql))
    } else if message.contains("close delimiter '\"'") {
        ("unterminated quoted identifier", Some(rest))
    } else if message.contains("unterminated") {
        ("unterminated quoted string", Some(rest))
    } else {
        ("syntax error", Some(rest))
    };
    let Some(near) = opening.filter(|near| !near.is_empty()) else {
        return Error::new(SqlState::SYNTAX_ERROR, format!("{what} at end of input")).with_position(sql.chars().count() + 1);
    };
    let position = sql[..sql.len() - near.len()].chars().count() + 1;
    let shown: String = near.trim_end().chars().take(NEAR_CHARS_MAX).collect();
    let error = Error::new(SqlState::SYNTAX_ERROR, format!("{what} at or near \"{shown}\"")).with_position(position);
    match what {
        "unterminated quoted string" => error.with_hint("A quote inside a string is written twice: 'it''s'."),
        _ => error,
    }
}

/// From the last dollar quote that stands an odd number of times.
fn open_dollar_quote(sql: &str) -> Option<&str> {
    sql.match_indices('$').find_map(|(at, _)| {
        let tag = &sql[at..at + 1 + sql[at + 1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))? + 1];
        (tag.ends_with('$') && sql.matches(tag).count() % 2 == 1).then(|| &sql[at..])
    })
}

/// Characters of a token that an error quotes.
pub(super) const NEAR_CHARS_MAX: usize = 100;

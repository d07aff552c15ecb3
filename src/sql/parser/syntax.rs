//! Syntax errors as Postgres words them, out of sqlparser's.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, TokenWithSpan};
use weir_common::error::{Error, SqlState};

use crate::parser::cursor::Cursor;
use crate::parser::split::NEAR_CHARS_MAX;

/// statement_too_complex
pub(super) const STATEMENT_TOO_COMPLEX: SqlState = SqlState("54001");

/// Words that are worth a hint when one is misspelt.
const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "DISTINCT",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "VALUES",
    "JOIN",
    "INSERT",
    "INTO",
    "UPDATE",
    "DELETE",
    "CREATE",
    "TABLE",
    "SOURCE",
    "VIEW",
    "MATERIALIZED",
    "INDEX",
    "SINK",
    "REPLACE",
    "EXISTS",
    "PRIMARY",
    "DEFAULT",
    "INTERVAL",
    "WATERMARK",
    "INCLUDE",
    "FORMAT",
    "ENCODE",
    "PLAIN",
    "ALLOW",
    "LATENESS",
    "EMIT",
    "CHANGES",
    "FINAL",
    "WINDOW",
    "CLOSE",
    "EXPLAIN",
    "ANALYZE",
    "VERBOSE",
    "SHOW",
    "DROP",
    "CASCADE",
    "RESTRICT",
    "COPY",
    "STDIN",
    "STDOUT",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "TRANSACTION",
    "ISOLATION",
    "SAVEPOINT",
    "RELEASE",
    "RESET",
    "DISCARD",
    "DEALLOCATE",
    "COLUMNS",
    "SOURCES",
    "TABLES",
    "VIEWS",
    "BETWEEN",
    "PARTITION",
    "TIMESTAMP",
];

/// Words that look like a keyword and are another language's.
const SPELLINGS: &[(&str, &str)] = &[("MATERIALISED", "MATERIALIZED"), ("ANALYSE", "ANALYZE"), ("LATENCY", "LATENESS")];

/// `syntax error at or near ..` at a token, with a hint if it or a word just before it is nearly a keyword.
pub(super) fn error_at(cursor: &Cursor<'_>, token: &TokenWithSpan, wanted: &[&str]) -> Error {
    let place = cursor.describe(token);
    let error = match &place.token {
        None => Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input"),
        Some(text) => Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", shown(text))),
    };
    let error = error.with_position(place.position);
    match hint(cursor, place.token.as_deref().unwrap_or_default(), token.span.start, wanted) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// sqlparser's error; where it stopped when it does not say where.
pub(super) fn from_parser(error: ParserError, cursor: &Cursor<'_>) -> Error {
    let text = match error {
        ParserError::RecursionLimitExceeded => return too_deep(),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
    };
    let (reason, location) = location(&text);
    let error = match location {
        Some(at) => match cursor.token_at(at) {
            Some(token) => error_at(cursor, token, &[]),
            None => error_at(cursor, cursor.peek(), &[]),
        },
        // "found: EOF" has no location.
        None if reason.ends_with("found: EOF") => error_at(cursor, &eof(), &[]),
        None => error_at(cursor, cursor.peek(), &[]),
    };
    match detail(reason) {
        Some(detail) => error.with_detail(detail),
        None => error,
    }
}

/// A statement that nests deeper than the server can follow.
pub(super) fn too_deep() -> Error {
    Error::new(STATEMENT_TOO_COMPLEX, "statement too complex: expressions or subqueries nest too deeply")
        .with_hint("Compute the inner parts in a view or a subquery in FROM; write a long chain of OR as IN (...).")
}

fn eof() -> TokenWithSpan {
    TokenWithSpan::new_eof()
}

/// Splits ` at Line: 1, Column: 8` from the end of a message.
pub(crate) fn location(text: &str) -> (&str, Option<Location>) {
    let Some((reason, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let Some((line, column)) = place.split_once(", Column: ") else { return (text, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (reason, Some(Location { line, column })),
        _ => (text, None),
    }
}

/// What sqlparser wanted, where that helps.
fn detail(reason: &str) -> Option<String> {
    let wanted = match reason.strip_prefix("Expected: ") {
        Some(rest) => rest.split_once(", found: ").map_or(rest, |(wanted, _)| wanted),
        None if reason.is_empty() => return None,
        None => return Some(sentence(reason)),
    };
    match wanted {
        // What may follow a complete statement is anybody's guess.
        "end of statement" | "an SQL statement" => None,
        wanted => Some(format!("Expected {wanted}.")),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(NEAR_CHARS_MAX) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_string(),
    }
}

fn hint(cursor: &Cursor<'_>, near: &str, at: Location, wanted: &[&str]) -> Option<String> {
    if let Some(word) = wanted.iter().find(|word| is_near(near, word)) {
        return Some(format!("Perhaps you meant \"{word}\"."));
    }
    // sqlparser takes a misspelt keyword for an alias and stumbles over what comes next.
    let typed = std::iter::once(near).chain(cursor.words_before(at).take(2));
    for word in typed {
        if let Some(meant) = misspelt(word) {
            return Some(format!("Perhaps you meant \"{meant}\"."));
        }
    }
    let clause = std::iter::once(near).chain(cursor.words_before(at).take(1)).find_map(|word| match word.to_uppercase().as_str() {
        "EMIT" => Some("EMIT ON UPDATE, EMIT ON WINDOW CLOSE or EMIT FINAL"),
        "LATENESS" => Some("ALLOW LATENESS INTERVAL '...'"),
        _ => None,
    })?;
    Some(format!("{clause} stands at the end of CREATE MATERIALIZED VIEW."))
}

/// The keyword that a word was meant to be, if it is not one itself.
fn misspelt(word: &str) -> Option<&'static str> {
    let word = word.to_uppercase();
    if let Some((_, meant)) = SPELLINGS.iter().find(|(spelling, _)| *spelling == word) {
        return Some(meant);
    }
    if word.len() < 4 || WORDS.contains(&word.as_str()) || is_keyword(&word) {
        return None;
    }
    WORDS.iter().copied().filter(|keyword| is_near(&word, keyword)).min_by_key(|keyword| strsim::damerau_levenshtein(&word, keyword))
}

/// One slip in a short word, two in a long one.
fn is_near(word: &str, keyword: &str) -> bool {
    let reach = if keyword.len() <= 6 { 1 } else { 2 };
    word.len() >= 3 && strsim::damerau_levenshtein(&word.to_uppercase(), keyword) <= reach
}

fn is_keyword(word: &str) -> bool {
    datafusion::sql::sqlparser::keywords::ALL_KEYWORDS.binary_search(&word).is_ok()
}

//! CREATE VIEW and CREATE MATERIALIZED VIEW.
//!
//! sqlparser would take `EMIT` after a query for an alias, so the clauses of ours are cut off the end of the token list
//! before it reads the query.

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_common::error::{Error, Result, SqlState};

use crate::parser::cursor::{self, Cursor};
use crate::parser::options;
use crate::parser::split::Piece;
use crate::statement::{CreateMaterializedView, CreateView, Emit, Options, Statement};

/// After `CREATE VIEW`.
pub(super) fn create(cursor: &mut Cursor<'_>, piece: &Piece<'_>, or_replace: bool) -> Result<Statement> {
    let if_not_exists = if_not_exists(cursor, or_replace)?;
    let name = cursor.name()?;
    let columns = column_names(cursor)?;
    if cursor.at("WITH") {
        return Err(cursor.unsupported(cursor.position(), "options of a view are not supported yet").with_hint("Leave WITH (...) out."));
    }
    cursor.expect("AS")?;
    let first = cursor.index();
    let end = (first..piece.tokens.len()).find(|index| at_check_option(&piece.tokens[*index..])).unwrap_or(piece.tokens.len());
    let body = body(piece, first..end)?;
    if end < piece.tokens.len() {
        let position = cursor.position_of(piece.tokens[end].span.start).unwrap_or(1);
        return Err(cursor
            .unsupported(position, "WITH CHECK OPTION is not supported yet")
            .with_hint("A view cannot be written to; leave it out."));
    }
    skip(cursor);
    let Body { query, text, offset } = body;
    Ok(Statement::CreateView(CreateView { name, or_replace, if_not_exists, columns, query, query_text: text, query_offset: offset }))
}

/// After `CREATE MATERIALIZED VIEW`.
pub(super) fn create_materialized(cursor: &mut Cursor<'_>, piece: &Piece<'_>, or_replace: bool) -> Result<Statement> {
    let if_not_exists = if_not_exists(cursor, or_replace)?;
    let name = cursor.name()?;
    let columns = column_names(cursor)?;
    let mut clauses = Clauses::default();
    if cursor.eat("WITH") {
        clauses.options = Some(options::options(cursor)?);
    }
    for (word, hint) in [("USING", "There is one way to store a view."), ("TABLESPACE", "There is one place to store views.")] {
        if cursor.at(word) {
            return Err(cursor.unsupported(cursor.position(), format!("{word} is not supported yet")).with_hint(hint));
        }
    }
    cursor.expect("AS")?;
    let first = cursor.index();
    let end = query_end(&piece.tokens, first);
    let Body { query, text, offset } = body(piece, first..end)?;
    clauses.read(&mut Cursor::within(piece, end..piece.tokens.len()))?;
    skip(cursor);
    Ok(Statement::CreateMaterializedView(CreateMaterializedView {
        name,
        or_replace,
        if_not_exists,
        columns,
        query,
        query_text: text,
        query_offset: offset,
        options: clauses.options.unwrap_or_default(),
        allow_lateness: clauses.allow_lateness,
        emit: clauses.emit.map(|(emit, _)| emit),
        emit_position: clauses.emit.map(|(_, position)| position),
    }))
}

fn if_not_exists(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<bool> {
    let position = cursor.position();
    let if_not_exists = cursor.eat("IF NOT EXISTS");
    if if_not_exists && or_replace {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "OR REPLACE and IF NOT EXISTS exclude each other").with_position(position));
    }
    Ok(if_not_exists)
}

/// `(a, b)`, each name once.
fn column_names(cursor: &mut Cursor<'_>) -> Result<Vec<Ident>> {
    let columns = cursor.optional_idents()?;
    for (n, column) in columns.iter().enumerate() {
        if columns[..n].iter().any(|earlier| cursor::folded(earlier) == cursor::folded(column)) {
            let message = format!("column \"{}\" specified more than once", cursor::folded(column));
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_position(cursor.position_of(column.span.start).unwrap_or(1)));
        }
    }
    Ok(columns)
}

struct Body {
    query: Box<Query>,
    text: String,
    offset: usize,
}

fn body(piece: &Piece<'_>, range: std::ops::Range<usize>) -> Result<Body> {
    let from = piece.tokens.get(range.start).map(|token| token.span.start);
    let to = piece.tokens[..range.end].last().map(|token| token.span.end);
    let mut cursor = Cursor::within(piece, range);
    let query = cursor.query()?;
    cursor.finish()?;
    let (text, offset) = from.map(|from| cursor.text_between(from, to)).unwrap_or_default();
    Ok(Body { query, text: text.to_string(), offset })
}

fn skip(cursor: &mut Cursor<'_>) {
    while !cursor.done() {
        cursor.next();
    }
}

/// The clauses after the query of a materialized view, in any order.
#[derive(Default)]
struct Clauses {
    options: Option<Options>,
    allow_lateness: Option<Expr>,
    emit: Option<(Emit, usize)>,
}

impl Clauses {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        while !cursor.done() {
            let position = cursor.position();
            let again = if cursor.eat("WITH NO DATA") {
                return Err(cursor
                    .unsupported(position, "WITH NO DATA is not supported yet")
                    .with_hint("A materialized view is filled and kept up to date from its creation on."));
            } else if cursor.eat("WITH DATA") {
                false
            } else if cursor.eat("WITH") {
                self.options.replace(options::options(cursor)?).is_some()
            } else if cursor.eat("ALLOW") {
                cursor.expect("LATENESS")?;
                self.allow_lateness.replace(cursor.expr()?).is_some()
            } else if cursor.eat("EMIT") {
                self.emit.replace((emit(cursor)?, position)).is_some()
            } else {
                return Err(cursor.unexpected_for(&["EMIT", "ALLOW", "WITH"]));
            };
            if again {
                let message = "WITH, ALLOW LATENESS and EMIT may be given only once";
                return Err(Error::new(SqlState::SYNTAX_ERROR, message).with_position(position));
            }
        }
        Ok(())
    }
}

fn emit(cursor: &mut Cursor<'_>) -> Result<Emit> {
    if cursor.eat("CHANGES") {
        return Ok(Emit::Update);
    }
    if cursor.eat("FINAL") {
        return Ok(Emit::Final);
    }
    let unknown = |cursor: &Cursor<'_>| cursor.unexpected().with_hint("Write EMIT ON UPDATE, EMIT ON WINDOW CLOSE or EMIT FINAL.");
    if !cursor.eat("ON") {
        return Err(unknown(cursor));
    }
    match cursor.eat_one_of(&["UPDATE", "WINDOW CLOSE"]) {
        Some("UPDATE") => Ok(Emit::Update),
        Some(_) => Ok(Emit::WindowClose),
        None => Err(unknown(cursor)),
    }
}

/// Where the query of a materialized view ends and our clauses begin: the first of their words outside parentheses
/// after which the query cannot go on.
fn query_end(tokens: &[TokenWithSpan], first: usize) -> usize {
    let mut depth = 0usize;
    let mut end = tokens.len();
    for (index, token) in tokens.iter().enumerate().skip(first) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            // Whatever looked like a clause before was an alias.
            Token::Comma => end = tokens.len(),
            Token::Word(_) if goes_on(tokens, index) => end = tokens.len(),
            _ => {}
        }
        if depth == 0 && end == tokens.len() && at_clause(&tokens[index..]) {
            end = index;
        }
    }
    end
}

/// Whether a word is one that only a query goes on with.
fn goes_on(tokens: &[TokenWithSpan], index: usize) -> bool {
    let is = |index: usize, word: &str| cursor::is_word(&tokens[index].token, word);
    let words = [
        "SELECT",
        "FROM",
        "JOIN",
        "WHERE",
        "GROUP",
        "HAVING",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "AND",
        "OR",
        "VALUES",
    ];
    // EMIT ON WINDOW CLOSE is ours.
    words.iter().any(|word| is(index, word)) || (is(index, "WINDOW") && !is(index - 1, "ON") && !is(index - 1, "EMIT"))
}

fn at_clause(tokens: &[TokenWithSpan]) -> bool {
    let word = |n: usize, word: &str| tokens.get(n).is_some_and(|token| cursor::is_word(&token.token, word));
    let one_of = |n: usize, words: &[&str]| words.iter().any(|w| word(n, w));
    if word(0, "WITH") {
        // A WITH that begins a query is followed by a name.
        return tokens.get(1).is_some_and(|token| token.token == Token::LParen) || word(1, "DATA") || (word(1, "NO") && word(2, "DATA"));
    }
    (word(0, "ALLOW") && word(1, "LATENESS"))
        || (word(0, "EMIT") && one_of(1, &["ON", "CHANGES", "FINAL", "WINDOW", "UPDATE", "CLOSE", "IMMEDIATELY"]))
}

fn at_check_option(tokens: &[TokenWithSpan]) -> bool {
    let word = |n: usize, word: &str| tokens.get(n).is_some_and(|token| cursor::is_word(&token.token, word));
    let check = |n: usize| word(n, "CHECK") && word(n + 1, "OPTION");
    word(0, "WITH") && (check(1) || ((word(1, "LOCAL") || word(1, "CASCADED")) && check(2)))
}

/// Where the query of `CREATE TABLE AS` ends: before `WITH DATA`. `WITH NO DATA` is refused.
pub(super) fn data_clause(piece: &Piece<'_>, first: usize) -> Result<usize> {
    let count = piece.tokens.len();
    let word = |back: usize, word: &str| {
        count >= first + back && piece.tokens.get(count - back).is_some_and(|token| cursor::is_word(&token.token, word))
    };
    if word(3, "WITH") && word(2, "NO") && word(1, "DATA") {
        let error = Error::unsupported("WITH NO DATA is not supported yet")
            .with_hint("Create the table with columns, or add WHERE false to the query.");
        return Err(match cursor::position(piece.text, piece.tokens[count - 3].span.start) {
            Some(position) => error.with_position(position),
            None => error,
        });
    }
    Ok(if word(2, "WITH") && word(1, "DATA") { count - 2 } else { count })
}

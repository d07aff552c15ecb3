//! From text to statements: the tokens once, cut at `;`, then each statement by its first word.
//!
//! Queries and changes of rows go to sqlparser; everything else is read here, so that nothing is accepted and ignored.
//! An error's position counts characters from 1 in the whole query string.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::parser::split::Piece;
use crate::statement::{Parsed, Statement};

mod dialect; // Postgres' precedences
mod split; // a query string cut into statements
mod cursor; // reading one statement's tokens
mod syntax; // syntax errors in Postgres words
mod depth; // how deeply a statement may nest
mod reserved; // reserved words in the place of names
mod windows; // TABLE and PARTITION BY in a window function
mod check; // what a query may hold
mod change; // INSERT, UPDATE, DELETE
mod create; // CREATE ..
mod alter; // ALTER
mod retell; // the text of a CREATE, told again
mod columns; // column lists, constraints and watermarks
mod table; // CREATE TABLE
mod source; // CREATE SOURCE
mod view; // CREATE [MATERIALIZED] VIEW
mod options; // WITH (..)
mod drop; // DROP ..
mod truncate; // TRUNCATE
mod copy; // COPY
mod explain; // EXPLAIN
mod session; // SET, SHOW, RESET, DISCARD, CHECKPOINT, BACKUP
mod prepared; // PREPARE, EXECUTE, DEALLOCATE
mod subscribe; // SUBSCRIBE
mod fetch; // DECLARE, FETCH, MOVE, CLOSE
mod transaction; // BEGIN .. COMMIT
mod unsupported; // understood, and not there yet
#[cfg(test)]
mod tests;

pub use depth::STACK_BYTES_MIN;
pub(crate) use dialect::PgDialect;
pub use retell::{with_option, with_watermark};
pub(crate) use split::offsets;
pub(crate) use syntax::location;
pub(crate) use windows::PARTITION_BY;

/// Splits a query string into its statements and parses each; empty for empty or comment-only text.
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    split::split(sql)?.into_iter().map(|piece| parsed(&windows::readable(piece))).collect()
}

/// One statement; its errors are in place.
fn parsed(piece: &Piece<'_>) -> Result<Parsed> {
    match statement(piece) {
        Ok(statement) => Ok(Parsed { statement, text: piece.text.to_string(), offset: piece.offset }),
        Err(error) => Err(match error.position() {
            Some(position) => error.with_position(position + piece.offset),
            None => error,
        }),
    }
}

/// One statement; positions of errors count from the piece's text.
fn statement(piece: &Piece<'_>) -> Result<Statement> {
    depth::check(&piece.tokens)?;
    let result = unchecked(piece);
    // INCLUDE lists the columns of a connector by words that a query reserves.
    let queries = !piece.tokens.get(1).is_some_and(|token| cursor::is_word(&token.token, "SOURCE"));
    let Some(index) = reserved::misplaced(&piece.tokens).filter(|_| queries) else { return result };
    let error = Cursor::within(piece, index..piece.tokens.len()).unexpected();
    match result {
        // Of two errors the first counts.
        Err(earlier) if earlier.position() < error.position() => Err(earlier),
        _ => Err(error),
    }
}

fn unchecked(piece: &Piece<'_>) -> Result<Statement> {
    let mut cursor = Cursor::new(piece);
    let statement = match first_word(cursor.peek()).as_str() {
        "SELECT" | "WITH" | "VALUES" | "(" => Statement::Query(cursor.query()?),
        "TABLE" => return table_command(piece),
        "INSERT" => change::insert(&mut cursor, piece)?,
        "UPDATE" => change::update(&mut cursor, piece)?,
        "DELETE" => change::delete(&mut cursor, piece)?,
        "COPY" => copy::copy(&mut cursor)?,
        "CREATE" => create::create(&mut cursor, piece)?,
        "DROP" => drop::drop(&mut cursor)?,
        "ALTER" => alter::alter(&mut cursor, piece)?,
        "TRUNCATE" => truncate::truncate(&mut cursor)?,
        "EXPLAIN" => explain::explain(&mut cursor, piece)?,
        "SHOW" => session::show(&mut cursor)?,
        "SET" => session::set(&mut cursor)?,
        "RESET" => session::reset(&mut cursor)?,
        "DISCARD" => session::discard(&mut cursor)?,
        "PREPARE" => prepared::prepare(&mut cursor, piece)?,
        "EXECUTE" => prepared::execute(&mut cursor)?,
        "DEALLOCATE" => prepared::deallocate(&mut cursor)?,
        "DECLARE" => fetch::declare(&mut cursor)?,
        "FETCH" | "MOVE" => fetch::fetch(&mut cursor)?,
        "CLOSE" => fetch::close(&mut cursor)?,
        "SUBSCRIBE" => Statement::Subscribe(Box::new(subscribe::subscribe(&mut cursor)?)),
        "UNLISTEN" => session::unlisten(&mut cursor)?,
        "BACKUP" => session::backup(&mut cursor)?,
        "CHECKPOINT" => session::checkpoint(&mut cursor)?,
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => transaction::transaction(&mut cursor)?,
        word => unsupported::statement(word, &mut cursor)?,
    };
    cursor.finish()?;
    Ok(statement)
}

/// The word that says what a statement is, upper case; empty for anything that no statement begins with.
fn first_word(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_uppercase(),
        Token::LParen => "(".to_string(),
        _ => String::new(),
    }
}

/// `TABLE t` is `SELECT * FROM t`.
fn table_command(piece: &Piece<'_>) -> Result<Statement> {
    let span = piece.tokens[0].span;
    let words = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
    let mut tokens: Vec<TokenWithSpan> = words.into_iter().map(|token| TokenWithSpan { token, span }).collect();
    tokens.extend_from_slice(&piece.tokens[1..]);
    let mut cursor = Cursor::new(&Piece { tokens, ..piece.clone() });
    let query = cursor.query()?;
    cursor.finish()?;
    Ok(Statement::Query(query))
}

//! Tests of the parser, by what a statement does; here is what they share.

use weir_common::error::Error;

use super::{offsets, parse};
use crate::statement::*;

mod copy; // COPY and its options
mod cursors; // prepared statements and cursors
mod drop; // DROP
mod errors; // where errors point, and what they hint at
mod explain; // EXPLAIN
mod query; // SELECT and what it may not have
mod rows; // INSERT, UPDATE, DELETE, TRUNCATE
mod session; // SET, SHOW, RESET, DISCARD
mod source; // CREATE SOURCE
mod alter; // ALTER
mod split; // statements and nothing between semicolons
mod subscribe; // SUBSCRIBE
mod table; // CREATE TABLE
mod transaction; // BEGIN, COMMIT, SAVEPOINT
mod view; // CREATE VIEW, CREATE MATERIALIZED VIEW

/// The one statement of a text.
fn one(sql: &str) -> Statement {
    match parse(sql) {
        Ok(mut all) if all.len() == 1 => all.remove(0).statement,
        other => panic!("{sql}\n{other:?}"),
    }
}

fn error(sql: &str) -> Error {
    match parse(sql) {
        Ok(parsed) => panic!("{sql}\nparsed: {parsed:?}"),
        Err(error) => error,
    }
}

/// Each row: statement, SQLSTATE, message, and the text that the position points at (`$` for the end, empty for nowhere).
fn refuses(table: &[(&str, &str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, sqlstate, message, at) in table {
        let error = match parse(sql) {
            Err(error) => error,
            Ok(parsed) => {
                wrong.push(format!("{sql}\n   parsed: {:?}", parsed.into_iter().map(|p| p.statement).collect::<Vec<_>>()));
                continue;
            }
        };
        let position = match *at {
            "" => None,
            "$" => Some(sql.chars().count() + 1),
            at => Some(sql[..sql.find(at).expect("the text is there")].chars().count() + 1),
        };
        if (error.sqlstate().0, error.message(), error.position()) != (*sqlstate, *message, position) {
            wrong.push(format!("{sql}\n   got {error:?} at {:?}, expected [{sqlstate}] {message} at {position:?}", error.position()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn hint(sql: &str) -> String {
    error(sql).hint().unwrap_or_default().to_string()
}

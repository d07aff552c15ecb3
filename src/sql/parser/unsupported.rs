//! Statements that are understood and not there yet, each with what to do instead; anything else is a syntax error.

use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::statement::{Statement, Unsupported};

/// First word, and what to do instead.
const STATEMENTS: &[(&str, &str)] = &[
    ("ALTER", "Create it anew: DROP ... CASCADE, then CREATE."),
    ("ANALYZE", "Weir keeps no statistics that it would have to gather."),
    ("ANALYSE", "Weir keeps no statistics that it would have to gather."),
    ("CALL", "Weir has no procedures; use SQL statements."),
    ("CLUSTER", "Weir decides how tables are stored."),
    ("COMMENT", "Keep the comment in the script that creates the object."),
    ("DO", "Weir has no procedural language; use SQL statements."),
    ("GRANT", "Any user may do anything until there is authentication."),
    ("IMPORT", "Use CREATE SOURCE."),
    ("LISTEN", "SUBSCRIBE to the view or table."),
    ("LOAD", "Weir has no extensions."),
    ("LOCK", "Transactions that write the same row are serialized without it."),
    ("MERGE", "Use UPDATE and INSERT in one transaction."),
    ("NOTIFY", "Insert into a table that the other side reads."),
    ("REASSIGN", "Any user may do anything until there is authentication."),
    ("REFRESH", "A materialized view is always up to date; there is nothing to refresh."),
    ("REINDEX", "Weir has no indexes that could need it."),
    ("REVOKE", "Any user may do anything until there is authentication."),
    ("SECURITY", "Any user may do anything until there is authentication."),
    ("VACUUM", "Weir frees space by itself."),
];

/// What cannot be created: the words, and what to do instead.
const CREATABLE: &[(&str, &str)] = &[
    ("UNIQUE INDEX", "Declare PRIMARY KEY in CREATE TABLE."),
    ("INDEX", "Weir reads a view or table whole, or by its primary key."),
    ("SINK", "Read the view over a Postgres connection."),
    ("CONNECTION", "Give the options in CREATE SOURCE."),
    ("SECRET", "Give the options in CREATE SOURCE."),
    ("TEST", ""),
    ("SCHEMA", "All objects are in schema public."),
    ("DATABASE", "The one database is weir."),
    ("RECURSIVE VIEW", "Use CREATE VIEW name AS WITH RECURSIVE ..."),
    ("EXTENSION", "Weir has no extensions."),
    ("FUNCTION", "Weir has no functions written in SQL; use a view."),
    ("PROCEDURE", "Weir has no procedures; use SQL statements."),
    ("AGGREGATE", ""),
    ("OPERATOR", ""),
    ("CAST", ""),
    ("TYPE", "Use the built-in types."),
    ("DOMAIN", "Use the built-in types."),
    ("COLLATION", ""),
    ("SEQUENCE", "Give the numbers in INSERT."),
    ("TRIGGER", "Use a materialized view over the table."),
    ("EVENT TRIGGER", ""),
    ("RULE", "Use a view."),
    ("POLICY", "Any user may do anything until there is authentication."),
    ("ROLE", "Any user may do anything until there is authentication."),
    ("USER MAPPING", "Use CREATE SOURCE."),
    ("USER", "Any user may do anything until there is authentication."),
    ("GROUP", "Any user may do anything until there is authentication."),
    ("FOREIGN TABLE", "Use CREATE SOURCE."),
    ("FOREIGN DATA", "Use CREATE SOURCE."),
    ("SERVER", "Use CREATE SOURCE."),
    ("PUBLICATION", ""),
    ("SUBSCRIPTION", "Use CREATE SOURCE."),
    ("STATISTICS", "Weir keeps no statistics that it would have to gather."),
    ("TABLESPACE", ""),
    ("LANGUAGE", "Weir has no procedural language; use SQL statements."),
    ("ACCESS METHOD", ""),
    ("CONVERSION", ""),
    ("TEXT SEARCH", ""),
    ("TRANSFORM", ""),
];

/// Kinds that `ALTER` and `DROP` name too, beside those that can be created.
const EXISTING: &[&str] = &["TABLE", "SOURCE", "VIEW", "MATERIALIZED VIEW", "SYSTEM", "DEFAULT PRIVILEGES", "LARGE OBJECT", "OWNED"];

/// A statement that begins with none of the words that Weir acts on; consumes all of it.
pub(super) fn statement(word: &str, cursor: &mut Cursor<'_>) -> Result<Statement> {
    let Some((word, hint)) = STATEMENTS.iter().find(|(known, _)| *known == word) else {
        return Err(cursor.unexpected());
    };
    cursor.expect(word)?;
    let kind = if *word == "ALTER" { kind(cursor) } else { None };
    let what = kind.map_or(word.to_string(), |kind| format!("{word} {kind}"));
    Ok(unsupported(what, hint, cursor))
}

/// After `CREATE`: a kind of object that there is not yet; consumes all of it.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    match CREATABLE.iter().find(|(kind, _)| cursor.at(kind)) {
        Some((kind, hint)) => Ok(unsupported(format!("CREATE {kind}"), hint, cursor)),
        None => Err(cursor.unexpected_for(&["MATERIALIZED", "TABLE", "SOURCE", "VIEW"])),
    }
}

/// After `DROP`: likewise.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    match kind(cursor) {
        Some(kind) => Ok(unsupported(format!("DROP {kind}"), "", cursor)),
        None => Err(cursor.unexpected_for(&["MATERIALIZED", "TABLE", "SOURCE", "VIEW"])),
    }
}

/// A statement to be refused when it is executed; consumes the rest of its tokens.
pub(super) fn unsupported(what: String, hint: &str, cursor: &mut Cursor<'_>) -> Statement {
    while !cursor.done() {
        cursor.next();
    }
    Statement::Unsupported(Unsupported { what, hint: (!hint.is_empty()).then(|| hint.to_string()) })
}

fn kind(cursor: &Cursor<'_>) -> Option<&'static str> {
    CREATABLE.iter().map(|(kind, _)| *kind).chain(EXISTING.iter().copied()).find(|kind| cursor.at(kind))
}

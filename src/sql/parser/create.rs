//! CREATE: what is created, and which words before it are refused.

use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::parser::split::Piece;
use crate::parser::{source, table, unsupported, view};
use crate::statement::Statement;

/// `CREATE [OR REPLACE] kind ..`
pub(super) fn create(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    cursor.expect("CREATE")?;
    let replace_at = cursor.position();
    let or_replace = cursor.eat("OR REPLACE");
    let storage_at = cursor.position();
    if let Some(storage) = cursor.eat_one_of(&["TEMPORARY", "TEMP", "UNLOGGED", "GLOBAL", "LOCAL"]) {
        if cursor.at_one_of(&["TABLE", "VIEW", "TEMPORARY", "TEMP", "SEQUENCE"]).is_none() {
            return Err(cursor.unexpected());
        }
        let what = if storage == "UNLOGGED" { "UNLOGGED tables are" } else { "temporary tables and views are" };
        return Err(cursor
            .unsupported(storage_at, format!("{what} not supported yet"))
            .with_hint("Create an ordinary one and drop it when it is no longer needed."));
    }
    if cursor.eat("MATERIALIZED VIEW") {
        return view::create_materialized(cursor, piece, or_replace);
    }
    if cursor.eat("VIEW") {
        return view::create(cursor, piece, or_replace);
    }
    if or_replace && cursor.at_one_of(&["TABLE", "SOURCE"]).is_some() {
        return Err(cursor
            .unsupported(replace_at, "OR REPLACE is only supported for views")
            .with_hint("DROP it first, with CASCADE if views depend on it."));
    }
    if cursor.eat("TABLE") {
        return table::create(cursor, piece);
    }
    if cursor.eat("SOURCE") {
        return source::create(cursor);
    }
    unsupported::create(cursor)
}

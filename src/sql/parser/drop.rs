//! DROP.

use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::parser::unsupported;
use crate::statement::{Drop, ObjectKind, Statement};

/// `DROP kind [IF EXISTS] name [, ..] [CASCADE | RESTRICT]`
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DROP")?;
    let Some(kind) = kind(cursor) else { return unsupported::drop(cursor) };
    let if_exists = cursor.eat("IF EXISTS");
    let names = cursor.list(Cursor::name)?;
    let cascade = cursor.eat_one_of(&["CASCADE", "RESTRICT"]) == Some("CASCADE");
    Ok(Statement::Drop(Drop { kind, names, if_exists, cascade }))
}

/// The words of a kind of object, if they come next.
pub(super) fn kind(cursor: &mut Cursor<'_>) -> Option<ObjectKind> {
    let kinds = [
        ("TABLE", ObjectKind::Table),
        ("SOURCE", ObjectKind::Source),
        ("VIEW", ObjectKind::View),
        ("MATERIALIZED VIEW", ObjectKind::MaterializedView),
        ("INDEX", ObjectKind::Index),
        ("SINK", ObjectKind::Sink),
    ];
    kinds.into_iter().find(|(words, _)| cursor.eat(words)).map(|(_, kind)| kind)
}

//! What definitions of relations have in common: names that must be free, and what a transaction block is told.

use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::types::PgType;
use weir_sql::catalog::{Catalog, ColumnDef, Relation, RelationKind};
use weir_sql::statement::{ColumnSpec, ObjectKind, Options};
use weir_sql::types::pg_type;

use crate::names;
use crate::pgwire::backend::Notice;
use crate::session::Session;

/// Whether to create a relation: `false` where it exists and IF NOT EXISTS was said.
pub fn should_create(session: &mut Session, catalog: &Catalog, name: &str, if_not_exists: bool) -> Result<bool> {
    match catalog.check_free(name) {
        Ok(()) => Ok(true),
        Err(error) if if_not_exists => {
            let mut notice = Notice::notice(format!("{}, skipping", error.message()));
            notice.sqlstate = error.sqlstate();
            session.notify(notice);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Inside a block, says that a definition is not part of it: it has taken effect, and ROLLBACK will not undo it.
pub fn note(session: &mut Session, what: String) {
    if let Some(transaction) = &mut session.transaction
        && transaction.block
    {
        transaction.defined.push(what.clone());
        session.notify(Notice::notice(format!("{what} took effect at once; ROLLBACK will not undo it")));
    }
}

/// Declared columns, with their types looked up.
pub fn columns(specs: &[ColumnSpec]) -> Result<Vec<ColumnDef>> {
    let mut columns: Vec<ColumnDef> = vec![];
    for spec in specs {
        let name = names::ident(&spec.name);
        if columns.iter().any(|column| column.name == name) {
            return Err(
                Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")).with_position(spec.position)
            );
        }
        let ty: PgType = pg_type(&spec.data_type)?;
        let mut column = ColumnDef::new(name, ty);
        column.not_null = spec.not_null;
        column.default = spec.default.as_ref().map(ToString::to_string);
        columns.push(column);
    }
    if columns.is_empty() {
        return Err(Error::unsupported("a relation without columns is not supported"));
    }
    Ok(columns)
}

/// The word that a statement about a relation begins with, in the forms that errors need.
pub struct Verb {
    /// `DROP`
    pub word: &'static str,
    /// `dropped`
    pub done: &'static str,
    /// `remove`
    pub does: &'static str,
    /// What else there is such a statement for.
    pub kinds: &'static [ObjectKind],
}

/// Refuses a relation that is not of the kind that a statement says.
pub fn check_kind(relation: &Relation, kind: ObjectKind, verb: &Verb) -> Result<()> {
    let actual = match relation.kind {
        RelationKind::Table(_) => ObjectKind::Table,
        RelationKind::Source(_) => ObjectKind::Source,
        RelationKind::View(_) => ObjectKind::View,
        RelationKind::MaterializedView(_) => ObjectKind::MaterializedView,
        RelationKind::LateRows(_) => {
            let message = format!("\"{}\" cannot be {} by itself", relation.name, verb.done);
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, message);
            return Err(error.with_hint("It goes with the materialized view that its rows came too late for."));
        }
    };
    if actual == kind {
        return Ok(());
    }
    let article = if kind == ObjectKind::Index { "an" } else { "a" };
    let error = Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not {article} {}", relation.name, kind.noun()));
    let Verb { word, does, kinds, .. } = verb;
    Err(match kinds.contains(&actual) {
        true => error.with_hint(format!("Use {word} {} to {does} a {}.", actual.noun().to_uppercase(), actual.noun())),
        false => error.with_hint(format!("It is a {}, which has nothing to {does} in this way.", actual.noun())),
    })
}

/// Refuses options that nothing knows.
pub fn refuse_options(options: &Options, known: &[&str], later: &[(&str, &str)]) -> Result<()> {
    for (name, option) in options {
        if known.contains(&name.as_str()) {
            continue;
        }
        if let Some((_, why)) = later.iter().find(|(later, _)| later == name) {
            return Err(Error::unsupported(format!("option \"{name}\" is not supported yet"))
                .with_hint(*why)
                .with_position(option.position));
        }
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unknown option \"{name}\"")).with_position(option.position);
        let names = known.iter().copied().chain(later.iter().map(|(name, _)| *name));
        return Err(match nearest(name, names) {
            Some(near) => error.with_hint(format!("Perhaps you meant the option \"{near}\".")),
            None => error,
        });
    }
    Ok(())
}

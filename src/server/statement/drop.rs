//! DROP: relations with what depends on them, if that was said.

use std::collections::BTreeSet;

use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_sql::catalog::{Relation, RelationKind, told};
use weir_sql::statement::{Drop, ObjectKind};

use crate::names;
use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};
use crate::statement::{define, dml};

/// DROP.
pub async fn run(session: &mut Session, drop: &Drop) -> Result<Outcome> {
    let tag = format!("DROP {}", drop.kind.noun().to_uppercase());
    dml::refuse_if_read_only(session, &tag)?;
    if matches!(drop.kind, ObjectKind::Index | ObjectKind::Sink) && !drop.if_exists {
        return Err(Error::unsupported(format!("{tag} is not supported yet")).with_hint("There are no such objects yet."));
    }
    let database = session.database.clone();
    let definitions = database.definitions().await;
    let catalog = definitions.catalog();
    let mut named: Vec<RelationId> = vec![];
    for name in &drop.names {
        let name = names::relation(name)?;
        match catalog.by_name(&name) {
            Some(relation) => {
                check_kind(relation, drop.kind)?;
                if !named.contains(&relation.id) {
                    named.push(relation.id);
                }
            }
            None if drop.if_exists => {
                session.notify(Notice::notice(format!("{} \"{name}\" does not exist, skipping", drop.kind.noun())));
            }
            None => {
                let error = catalog.missing(&name);
                return Err(error.with_message(format!("{} \"{name}\" does not exist", drop.kind.noun())));
            }
        }
    }
    if !drop.cascade
        && let Some(error) = catalog.dependents_error(&named)
    {
        return Err(error);
    }
    let others: Vec<RelationId> = catalog.dependents_of(&named).into_iter().map(|(dependent, _)| dependent).collect();
    let cascaded: Vec<String> = others
        .iter()
        .filter_map(|id| catalog.by_id(*id))
        .map(|relation| format!("drop cascades to {} {}", relation.kind.word(), relation.name))
        .collect();
    match cascaded.as_slice() {
        [] => {}
        [one] => session.notify(Notice::notice(one.clone())),
        several => {
            let mut notice = Notice::notice(format!("drop cascades to {} other objects", several.len()));
            notice.detail = Some(told(several));
            session.notify(notice);
        }
    }
    // What depends on a relation is younger than it.
    let order: BTreeSet<RelationId> = named.into_iter().chain(others).collect();
    let order: Vec<RelationId> = order.into_iter().rev().collect();
    if !order.is_empty() {
        definitions.remove(&order).await?;
        define::note(session, tag.clone());
    }
    Ok(done(tag))
}

fn check_kind(relation: &Relation, kind: ObjectKind) -> Result<()> {
    let actual = match relation.kind {
        RelationKind::Table(_) => ObjectKind::Table,
        RelationKind::Source(_) => ObjectKind::Source,
        RelationKind::View(_) => ObjectKind::View,
        RelationKind::MaterializedView(_) => ObjectKind::MaterializedView,
        RelationKind::LateRows(_) => {
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" cannot be dropped by itself", relation.name));
            return Err(error.with_hint("It goes with the materialized view that its rows came too late for."));
        }
    };
    if actual == kind {
        return Ok(());
    }
    let article = if kind == ObjectKind::Index { "an" } else { "a" };
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not {article} {}", relation.name, kind.noun())).with_hint(format!(
        "Use DROP {} to remove a {}.",
        actual.noun().to_uppercase(),
        actual.noun()
    )))
}

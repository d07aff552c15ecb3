//! DROP: relations with what depends on them, if that was said.

use std::collections::BTreeSet;

use weir_common::error::{Error, Result};
use weir_common::ids::RelationId;
use weir_sql::catalog::told;
use weir_sql::statement::{Drop, ObjectKind};

use crate::names;
use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};
use crate::statement::define::Verb;
use crate::statement::{define, dml};

/// How errors say it.
const DROP: Verb = Verb {
    word: "DROP",
    done: "dropped",
    does: "remove",
    kinds: &[ObjectKind::Table, ObjectKind::Source, ObjectKind::View, ObjectKind::MaterializedView],
};

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
                define::check_kind(relation, drop.kind, &DROP)?;
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

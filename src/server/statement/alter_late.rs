//! ALTER MATERIALIZED VIEW .. ADMIT LATE: late rows go into the windows that were closed; DISCARD LATE: they only go.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState};
use weir_common::snapshot::Snapshot;
use weir_engine::Condition;
use weir_sql::catalog::{Catalog, MaterializedViewDef, Relation, RelationKind};
use weir_sql::lower::plan_condition;
use weir_sql::statement::{self, AlterLate, LateAction};

use crate::names;
use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};
use crate::statement::{define, dml};

/// Admits or discards the late rows of a view, all or those that a condition holds for; a notice says how many entries there were.
pub async fn run(session: &mut Session, alter: &AlterLate) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "ALTER MATERIALIZED VIEW")?;
    let name = names::relation(&alter.name)?;
    let database = session.database.clone();
    // Nothing that reads the view comes or goes meanwhile.
    let definitions = database.definitions().await;
    let catalog = definitions.catalog();
    let Some(relation) = catalog.by_name(&name) else {
        if alter.if_exists {
            session.notify(Notice::notice(format!("relation \"{name}\" does not exist, skipping")));
            return Ok(done("ALTER MATERIALIZED VIEW"));
        }
        return Err(catalog.missing(&name));
    };
    let RelationKind::MaterializedView(view) = &relation.kind else {
        let message = format!("\"{name}\" is a {}", relation.kind.word());
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint("Only a materialized view has late rows."));
    };
    if view.late.is_none() {
        return Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("no row is late for \"{name}\": its windows never close"),
        )
        .with_hint("ALLOW LATENESS, EMIT ON WINDOW CLOSE and EMIT FINAL close windows."));
    }
    if alter.action == LateAction::Admit {
        check_admits(&catalog, relation, view)?;
    }
    let condition = match &alter.condition {
        Some(said) => condition(session, &catalog, relation, said).await?,
        None => None,
    };
    let (done_to, taken) = match alter.action {
        LateAction::Admit => ("admitted", database.engine.admit_late(relation.id, condition, view.facts.append_only).await?),
        LateAction::Discard => ("discarded", database.engine.discard_late(relation.id, condition).await?),
    };
    define::note(session, format!("ALTER MATERIALIZED VIEW {name} {}", alter.action.words()));
    let rows = |count: u64| if count == 1 { "1 late row".to_string() } else { format!("{count} late rows") };
    session.notify(Notice::notice(format!("{done_to} {}", rows(taken.entries))));
    if taken.left > 0 {
        let hint =
            "Others were discarded or not kept, and what takes those back is in no window. DISCARD LATE WHERE weight < 0 lets that go.";
        let message = format!("{} cannot be admitted: what is taken back may not be in the windows", rows(taken.left));
        let notice = Notice::notice(message);
        session.notify(Notice { hint: Some(hint.to_string()), ..notice });
    }
    if alter.action == LateAction::Admit && taken.dropped > 0 {
        let hint = "There were as many as late_entries allows. A view that is created anew reads all that its inputs still have.";
        let notice = Notice::notice(format!("{} of \"{name}\" were not kept since it was created", rows(taken.dropped)));
        session.notify(Notice { hint: Some(hint.to_string()), ..notice });
    }
    Ok(done("ALTER MATERIALIZED VIEW"))
}

/// An error where late rows cannot go into the windows of a view.
fn check_admits(catalog: &Catalog, relation: &Relation, view: &MaterializedViewDef) -> Result<()> {
    let name = &relation.name;
    if !view.admits_late {
        return Err(Error::unsupported(format!("\"{name}\" does not keep what its closed windows would need to take late rows"))
            .with_hint(
                "Sessions need all rows; DISTINCT, and min and max over rows that can be taken back, all values: create it WITH (keep_closed = 'true').",
            ));
    }
    let reader = reader(catalog, relation);
    if let Some(reader) = reader.filter(|_| view.facts.append_only) {
        let message =
            format!("late rows cannot be admitted to \"{name}\", because {} \"{}\" relies on its results", reader.kind.word(), reader.name);
        return Err(Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail("The results of EMIT FINAL never change.")
            .with_hint("Drop what reads it, or create it with EMIT ON WINDOW CLOSE, whose results may be revised."));
    }
    Ok(())
}

/// Which entries are meant. A condition that fails on one of those that there are is refused.
async fn condition(session: &Session, catalog: &Catalog, view: &Relation, said: &statement::Condition) -> Result<Option<Condition>> {
    let Some(late) = view.late() else { return Ok(None) };
    let placed = |error: Error| match error.position() {
        Some(position) => error.with_position(position + said.offset),
        None => error,
    };
    let Some(predicate) = plan_condition(catalog, &late, &said.text).map_err(placed)? else { return Ok(None) };
    let (_, snapshots) = session.database.engine.snapshot(&[(late.id, late.schema())]).await?;
    for rows in snapshots.iter().map(Snapshot::batches).collect::<Result<Vec<_>>>()?.concat() {
        predicate.evaluate(&rows)?;
    }
    Ok(Some(Condition { words: said.text.clone(), predicate }))
}

/// A materialized view that is made of this one, directly or through views that are planned anew wherever they are read; those over its
/// late rows only are none.
fn reader(catalog: &Catalog, relation: &Relation) -> Option<Arc<Relation>> {
    let late = relation.late().map(|late| late.id);
    let mut read_as = BTreeSet::from([relation.id]);
    for other in catalog.relations() {
        if Some(other.id) == late || !other.depends_on.iter().any(|on| read_as.contains(on)) {
            continue;
        }
        if matches!(other.kind, RelationKind::MaterializedView(_)) {
            return Some(other.clone());
        }
        read_as.insert(other.id);
    }
    None
}

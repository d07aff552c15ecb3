//! CREATE VIEW and CREATE MATERIALIZED VIEW.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_dataflow::lower::lower;
use weir_engine::ViewSpec;
use weir_engine::reader::SourceSpec;
use weir_sql::catalog::{Catalog, MaterializedViewDef, Relation, RelationKind, ViewDef, late_name};
use weir_sql::lower::{ViewPlan, WindowClauses, plan_view};
use weir_sql::statement::{CreateMaterializedView, CreateView, OptionValue, Parsed};

use crate::names;
use crate::pgwire::backend::{Notice, Outcome};
use crate::session::{Session, done};
use crate::statement::{define, dml};

/// CREATE [OR REPLACE] VIEW.
pub async fn create(session: &mut Session, parsed: &Parsed, create: &CreateView) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "CREATE VIEW")?;
    let name = names::relation(&create.name)?;
    let database = session.database.clone();
    let definitions = database.definitions().await;
    let catalog = definitions.catalog();
    let before = catalog.by_name(&name).filter(|_| create.or_replace).cloned();
    if before.is_none() && !define::should_create(session, &catalog, &name, create.if_not_exists)? {
        return Ok(done("CREATE VIEW"));
    }
    let columns: Vec<String> = create.columns.iter().map(names::ident).collect();
    let plan = session.context(parsed).await?.plan_plain_view(&create.query, &parsed.text, &columns)?;
    if let Some(before) = &before {
        if !matches!(before.kind, RelationKind::View(_)) {
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a view")));
        }
        if plan.depends_on.contains(&before.id) {
            let error = Error::new(SqlState::INVALID_TABLE_DEFINITION, format!("view \"{name}\" cannot be defined in terms of itself"));
            return Err(error.with_hint("Write its old query in the place of its name."));
        }
        if let Some(error) = catalog.dependents_error(&[before.id]) {
            return Err(error
                .with_message(format!("cannot replace view {name} because other objects depend on it"))
                .with_hint("They were planned with its old query: drop and create them anew."));
        }
    }
    let view = Relation {
        id: definitions.next_id(),
        name: name.clone(),
        kind: RelationKind::View(ViewDef { query: create.query_text.clone() }),
        columns: plan.columns,
        sql: parsed.text.clone(),
        depends_on: plan.depends_on,
    };
    match before {
        Some(before) => definitions.replace(before.id, view).await?,
        None => definitions.add(view).await?,
    }
    define::note(session, format!("CREATE VIEW {name}"));
    Ok(done("CREATE VIEW"))
}

/// CREATE MATERIALIZED VIEW: over tables and views it returns when the view is filled, over a source when it reads.
pub async fn create_materialized(session: &mut Session, parsed: &Parsed, create: &CreateMaterializedView) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "CREATE MATERIALIZED VIEW")?;
    let name = names::relation(&create.name)?;
    let database = session.database.clone();
    let definitions = database.definitions().await;
    let catalog = definitions.catalog();
    if !define::should_create(session, &catalog, &name, create.if_not_exists)? {
        return Ok(done("CREATE MATERIALIZED VIEW"));
    }
    let plan = plan(&catalog, &name, parsed, create, true)?;
    if plan.late.is_some() {
        catalog.check_free(&late_name(&name)).map_err(|error| error.with_hint("The view's late rows would have this name."))?;
    }
    let id = definitions.next_id();
    if plan.late.is_some() {
        let late = definitions.next_id();
        debug_assert_eq!(late.0, id.0 + 1, "definitions take numbers one at a time");
    }
    let mut spec = spec(&catalog, id, &name, &plan, database.engine.workers())?;
    spec.keep = !session.count_only;
    let relation = Relation {
        id,
        name: name.clone(),
        kind: RelationKind::MaterializedView(MaterializedViewDef {
            query: create.query_text.clone(),
            facts: plan.promised,
            late: plan.late,
            late_positions: true,
            admits_late: plan.admits_late,
            life: plan.life,
        }),
        columns: plan.columns,
        sql: parsed.text.clone(),
        depends_on: plan.depends_on,
    };
    definitions.add_view(relation, spec).await?;
    for notice in plan.notices {
        session.notify(Notice { hint: notice.hint().map(String::from), ..Notice::notice(notice.message()) });
    }
    define::note(session, format!("CREATE MATERIALIZED VIEW {name}"));
    Ok(done("CREATE MATERIALIZED VIEW"))
}

/// Plans a materialized view. `late_positions`: whether its late rows tell where in a source they come from, as they do unless an earlier
/// version of Weir made it.
pub fn plan(catalog: &Catalog, name: &str, parsed: &Parsed, create: &CreateMaterializedView, late_positions: bool) -> Result<ViewPlan> {
    if create.or_replace {
        return Err(Error::unsupported("CREATE OR REPLACE MATERIALIZED VIEW is not supported yet").with_hint("Drop the view first."));
    }
    define::refuse_options(&create.options, &["retention", "keep_closed", "late_entries"], &[])?;
    let keep_closed = match create.options.get("keep_closed") {
        Some(option) => Some((boolean("keep_closed", option)?, option.position)),
        None => None,
    };
    let late_entries = match create.options.get("late_entries") {
        Some(option) => Some((entries(option)?, option.position)),
        None => None,
    };
    let clauses = WindowClauses {
        emit: create.emit.zip(create.emit_position),
        lateness: create.allow_lateness.clone(),
        retention: create.options.get("retention").map(|option| (option.value.clone(), option.position)),
        keep_closed,
        late_entries,
        late_positions,
    };
    let columns: Vec<String> = create.columns.iter().map(names::ident).collect();
    plan_view(catalog, name, &create.query, &parsed.text, &columns, &clauses)
}

fn boolean(name: &str, option: &OptionValue) -> Result<bool> {
    match option.value.to_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        other => {
            let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("option \"{name}\" is true or false, not \"{other}\""));
            Err(error.with_position(option.position))
        }
    }
}

/// How many entries are kept.
fn entries(option: &OptionValue) -> Result<u64> {
    option.value.trim().parse().ok().filter(|entries| *entries > 0).ok_or_else(|| {
        let message = format!("option \"late_entries\" is a number of late rows, 1 or more, not \"{}\"", option.value);
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(option.position)
    })
}

/// A materialized view as the engine knows it.
pub fn spec(catalog: &Catalog, id: RelationId, name: &str, plan: &ViewPlan, workers: usize) -> Result<ViewSpec> {
    let dataflow = Arc::new(lower(&plan.root, name, workers)?);
    let late = plan.late.as_ref().map(|_| RelationId(id.0 + 1));
    let (late_entries_max, sources) = (plan.late_entries_max, sources(catalog, plan));
    Ok(ViewSpec { id, late, late_entries_max, name: name.to_string(), plan: dataflow, sources, keep: true, temporary: false })
}

/// The sources among the relations that a view reads.
fn sources(catalog: &Catalog, plan: &ViewPlan) -> BTreeMap<RelationId, SourceSpec> {
    let imports = plan.root.imports().into_iter().filter_map(|(id, _)| catalog.by_id(id));
    imports
        .filter_map(|relation| match &relation.kind {
            RelationKind::Source(source) => {
                let watermark = source.watermark;
                Some((relation.id, SourceSpec { name: relation.name.clone(), source: source.source.clone(), watermark }))
            }
            _ => None,
        })
        .collect()
}

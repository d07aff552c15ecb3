//! SUBSCRIBE: to a table or materialized view, or to a query that is maintained while somebody subscribes to it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::lateness::{Emit, WindowLife};
use weir_engine::subscription::Wanted;
use weir_sql::ast;
use weir_sql::catalog::{Catalog, Relation, RelationKind};
use weir_sql::lower::{ViewPlan, WindowClauses, plan_view};
use weir_sql::parser;
use weir_sql::statement::{Parsed, Statement, Subscribe, SubscribeTarget, Upsert};

use crate::names;
use crate::pgwire::backend::{Batches, Notice, Outcome, RowsTag};
use crate::session::Session;
use crate::statement::view;
use crate::subscribe::shape::Shape;
use crate::subscribe::{self, TemporaryView};

/// What the view of a query is called in messages.
const QUERY_NAME: &str = "(subscription)";

/// A subscription that can be started.
pub struct SubscribePlan {
    target: Target,
    shape: Arc<Shape>,
}

enum Target {
    Relation(RelationId, SchemaRef),
    Query(Box<ViewPlan>),
}

impl SubscribePlan {
    /// The columns that clients get.
    pub fn schema(&self) -> SchemaRef {
        self.shape.schema().clone()
    }
}

/// Plans a subscription against a catalog.
pub fn plan(catalog: &Catalog, parsed: &Parsed, said: &Subscribe) -> Result<SubscribePlan> {
    let target = match &said.target {
        SubscribeTarget::Query(query) => Target::Query(Box::new(maintained(catalog, query, &parsed.text, said.emit_final)?)),
        SubscribeTarget::Relation { name, position } => {
            let relation = names::relation(name).and_then(|name| catalog.require(&name).cloned());
            let relation = relation.map_err(|error| error.with_position(*position))?;
            let shows_final = match said.emit_final {
                Some(position) if relation.is_stored() => check_final(&relation).map_err(|error| error.with_position(position))?,
                _ => true,
            };
            match relation.is_stored() && shows_final {
                true => Target::Relation(relation.id, relation.schema()),
                false => {
                    let all = format!("SELECT * FROM {name}");
                    let select = parser::parse(&all)?.pop().map(|parsed| parsed.statement);
                    let Some(Statement::Query(query)) = select else { return Err(Error::internal("SUBSCRIBE made no query")) };
                    let plan = maintained(catalog, &query, &all, said.emit_final);
                    Target::Query(Box::new(plan.map_err(|error| error.with_position(said.emit_final.unwrap_or(*position)))?))
                }
            }
        }
    };
    let schema = match &target {
        Target::Relation(_, schema) => schema,
        Target::Query(plan) => &plan.schema,
    };
    let key = said.upsert.as_ref().map(|upsert| key(schema, upsert)).transpose()?;
    let shape = Arc::new(Shape::new(schema, said.progress, key.as_deref()));
    Ok(SubscribePlan { target, shape })
}

/// Plans the view of a query. With EMIT FINAL, rows of windows that are closed below it wait for that, and windows of its own are shown
/// when they are closed.
fn maintained(catalog: &Catalog, query: &ast::Query, sql: &str, emit_final: Option<usize>) -> Result<ViewPlan> {
    let plan = plan_view(catalog, QUERY_NAME, query, sql, &[], &WindowClauses::default())?;
    let Some(position) = emit_final else { return Ok(plan) };
    if plan.life.as_ref().is_some_and(removes_when_closed) {
        return Err(removed("the view that this query reads").with_position(position));
    }
    if let Some(held_back) = plan.held_back() {
        return Ok(held_back);
    }
    let clauses = WindowClauses { emit: Some((Emit::Final, position)), ..WindowClauses::default() };
    let plan = plan_view(catalog, QUERY_NAME, query, sql, &[], &clauses)?;
    if !plan.promised.append_only {
        // Something above the windows, or beside them, takes rows back.
        return Err(Error::unsupported("not all rows of this query are final when they come")
            .with_position(position)
            .with_hint("EMIT FINAL is for the groups of windows that a watermark closes; sum them up where they arrive."));
    }
    Ok(plan)
}

/// Whether a table or materialized view has final rows only; an error where it never has any that are known to be.
fn check_final(relation: &Relation) -> Result<bool> {
    let RelationKind::MaterializedView(view) = &relation.kind else {
        let message = format!("nothing in {} \"{}\" is ever final", relation.kind.word(), relation.name);
        return Err(Error::unsupported(message).with_hint("EMIT FINAL is for windows that a watermark closes."));
    };
    match &view.life {
        None => Err(Error::unsupported(format!("the rows of \"{}\" are of no windows that close", relation.name)).with_hint(
            "ALLOW LATENESS, EMIT ON WINDOW CLOSE and EMIT FINAL close the windows of a view; window_end must be among its columns, or the window_start of TUMBLE or HOP.",
        )),
        Some(life) if removes_when_closed(life) => Err(removed(&format!("\"{}\"", relation.name))),
        Some(life) => Ok(life.emit == Emit::Final && life.retention.is_none()),
    }
}

/// Whether rows go in the moment in which they would be final.
fn removes_when_closed(life: &WindowLife) -> bool {
    life.retention == Some(life.lateness)
}

fn removed(from: &str) -> Error {
    Error::unsupported(format!("{from} removes what is in its windows when they are closed"))
        .with_hint("Create the view of the windows with an allowed lateness that is shorter than its retention.")
}

/// The columns of ENVELOPE UPSERT.
fn key(schema: &SchemaRef, upsert: &Upsert) -> Result<Vec<usize>> {
    let mut key = vec![];
    for column in &upsert.key {
        let name = names::ident(column);
        let at = schema.fields().iter().position(|field| *field.name() == name).ok_or_else(|| {
            let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" named in ENVELOPE UPSERT does not exist"));
            error.with_position(upsert.position)
        })?;
        if key.contains(&at) {
            let error = Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"));
            return Err(error.with_position(upsert.position));
        }
        key.push(at);
    }
    Ok(key)
}

/// SUBSCRIBE by itself.
pub async fn run(session: &mut Session, said: &Subscribe, plan: &SubscribePlan) -> Result<Outcome> {
    let batches = start(session, said, plan).await?;
    Ok(Outcome::Rows { schema: plan.schema(), batches, tag: RowsTag::Subscribe })
}

/// Starts a subscription: its rows, as they come.
pub async fn start(session: &mut Session, said: &Subscribe, plan: &SubscribePlan) -> Result<Batches> {
    if session.transaction.as_ref().is_some_and(|transaction| transaction.has_changes()) {
        let error = Error::new(SqlState::ACTIVE_SQL_TRANSACTION, "SUBSCRIBE cannot run in a transaction that has written");
        return Err(error.with_hint("A subscription shows what is committed: COMMIT first."));
    }
    let database = session.database.clone();
    let wanted = Wanted { as_of: said.as_of, up_to: said.up_to, progress: said.progress };
    let (id, schema, view) = match &plan.target {
        Target::Relation(id, schema) => (*id, schema.clone(), None),
        Target::Query(query) => {
            for notice in &query.notices {
                session.notify(Notice { hint: notice.hint().map(String::from), ..Notice::notice(notice.message()) });
            }
            let id = database.next_id();
            let mut spec = view::spec(&session.catalog(), id, QUERY_NAME, query, database.engine.workers())?;
            // Nobody could read its late rows.
            (spec.temporary, spec.late) = (true, None);
            // Dropped again however this ends.
            let view = TemporaryView::new(database.engine.clone(), id);
            database.engine.create_view(spec, vec![]).await?;
            (id, query.schema.clone(), Some(view))
        }
    };
    let (start, subscription) = database.engine.subscribe(id, schema, wanted).await?;
    Ok(subscribe::stream(start, said.snapshot, subscription, plan.shape.clone(), view))
}

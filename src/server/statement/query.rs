//! Queries: planned, then run at one commit, as a stream.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use weir_common::error::Result;
use weir_common::types::PgType;
use weir_sql::ScalarValue;
use weir_sql::ast::{self, Visit, Visitor};
use weir_sql::catalog::{RelationKind, SCHEMAS, WEIR};
use weir_sql::context::{Context, SnapshotSource};
use weir_sql::pg_catalog;
use weir_sql::read::QueryPlan;
use weir_sql::statement::{CopyTarget, Parsed, Statement};

use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::Session;

/// The schemas that a statement's relations are qualified with.
fn schemas(query: &ast::Query) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
            let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(crate::names::ident).collect();
            match parts.as_slice() {
                [name] if name.starts_with("pg_") => self.0.push("pg_catalog".into()),
                [.., schema, _] => self.0.push(schema.clone()),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(vec![]);
    let _ = query.visit(&mut names);
    names.0
}

fn query_of(parsed: &Parsed) -> Option<&ast::Query> {
    match &parsed.statement {
        Statement::Query(query) => Some(query),
        Statement::Copy(copy) => match &copy.target {
            CopyTarget::Query(query) => Some(query),
            CopyTarget::Table { .. } => None,
        },
        Statement::Explain(explain) => query_of(&explain.statement),
        Statement::Insert(insert) => insert.source.as_deref(),
        _ => None,
    }
}

/// Whether it reads schema `weir`, so that the engine has to be asked first.
pub fn names_weir(parsed: &Parsed) -> bool {
    match &parsed.statement {
        // COPY weir.sources TO STDOUT
        Statement::Copy(copy) if matches!(&copy.target, CopyTarget::Table { name, .. } if name.0.len() == 2) => true,
        _ => query_of(parsed).is_some_and(|query| schemas(query).iter().any(|schema| schema == WEIR)),
    }
}

/// Whether it shows the system itself: such a plan holds what it was planned with, and is good for one run.
pub fn names_system(parsed: &Parsed) -> bool {
    query_of(parsed).is_some_and(|query| {
        schemas(query).iter().any(|schema| SCHEMAS[1..].contains(&schema.as_str())) || pg_catalog::needs_rewrite(query)
    })
}

/// Plans a query.
pub fn plan(context: &Context, query: &ast::Query, sql: &str, types: &[Option<PgType>]) -> Result<QueryPlan> {
    let mut query = query.clone();
    // The locks are taken when it runs.
    query.locks.clear();
    context.plan_query(&query, sql, types)
}

/// Runs a planned query.
pub async fn run(
    session: &mut Session,
    parsed: &Parsed,
    query: &ast::Query,
    plan: &QueryPlan,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    if !query.locks.is_empty() {
        lock(session, plan).await?;
    }
    let snapshots = snapshots(session, plan).await?;
    let context = session.context(parsed).await?;
    let rows = context.execute(plan, parameters, snapshots).await?;
    Ok(Outcome::Rows { schema: rows.schema, batches: rows.batches, tag: RowsTag::Select })
}

/// The rows of all stored relations that a plan reads.
pub async fn snapshots(session: &mut Session, plan: &QueryPlan) -> Result<Arc<dyn SnapshotSource>> {
    let snapshots: HashMap<_, _> = session.snapshots(&plan.relations).await?;
    Ok(Arc::new(snapshots))
}

/// SELECT .. FOR UPDATE: the tables' locks until the transaction ends. Outside a transaction they would end at once.
async fn lock(session: &mut Session, plan: &QueryPlan) -> Result<()> {
    let catalog = session.catalog();
    let timeout = session.variables.timeout("lock_timeout");
    let database = session.database.clone();
    let Some(transaction) = &mut session.transaction else { return Ok(()) };
    for relation in &plan.relations {
        if catalog.by_id(*relation).is_some_and(|relation| matches!(relation.kind, RelationKind::Table(_))) {
            transaction.lock(&database, *relation, timeout).await?;
        }
    }
    Ok(())
}

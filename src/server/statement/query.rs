//! Queries: planned, then run at one commit, as a stream.

use std::collections::HashMap;
use std::sync::Arc;

use weir_common::error::Result;
use weir_common::types::PgType;
use weir_sql::ScalarValue;
use weir_sql::ast;
use weir_sql::catalog::{Catalog, Relation, RelationKind, WEIR};
use weir_sql::context::{Context, SnapshotSource};
use weir_sql::read::{QueryPlan, Rows};
use weir_sql::statement::Parsed;

use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::Session;

/// Whether the statement, or a plain view that it may read, has one of these words. It may say yes too often, which costs
/// a question or a plan; it never says no wrongly.
fn mentions(catalog: &Catalog, parsed: &Parsed, words: &[&str]) -> bool {
    let has = |text: &str| words.iter().any(|word| text.contains(word));
    let of_views = |relation: &Arc<Relation>| matches!(&relation.kind, RelationKind::View(view) if has(&view.query.to_lowercase()));
    has(&parsed.text.to_lowercase()) || catalog.relations().any(of_views)
}

/// Whether it may read schema `weir`, so that the engine has to be asked first.
pub fn names_weir(catalog: &Catalog, parsed: &Parsed) -> bool {
    mentions(catalog, parsed, &[WEIR])
}

/// Whether it may show the session's own prepared statements or cursors.
pub fn names_own(catalog: &Catalog, parsed: &Parsed) -> bool {
    mentions(catalog, parsed, &["pg_prepared_statements", "pg_cursors"])
}

/// Whether it may show the system itself: such a plan holds what it was planned with, and is good for one run.
pub fn names_system(catalog: &Catalog, parsed: &Parsed) -> bool {
    mentions(
        catalog,
        parsed,
        &[WEIR, "pg_", "information_schema", "::reg", "_description", "current_setting", "set_config", "txid_current"],
    )
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
    let rows = rows(session, parsed, plan, parameters).await?;
    Ok(Outcome::Rows { schema: rows.schema, batches: rows.batches, tag: RowsTag::Select })
}

/// The rows of a planned query, at the commit that the session reads.
pub async fn rows(session: &mut Session, parsed: &Parsed, plan: &QueryPlan, parameters: &[ScalarValue]) -> Result<Rows> {
    let snapshots = snapshots(session, plan).await?;
    let context = session.context(parsed).await?;
    context.execute(plan, parameters, snapshots).await
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
            transaction.lock(&database, *relation, &plan.relations, timeout).await?;
        }
    }
    Ok(())
}

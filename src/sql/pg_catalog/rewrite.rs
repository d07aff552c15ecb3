//! Catalog SQL to what DataFusion plans.
//!
//! The rewriter knows which columns each relation of a query has, so it can tell what a subquery takes from outside. It
//! - names system relations in full and drops `pg_catalog.` before functions, operators and collations;
//! - turns casts to `regclass`, `oid`, `"char"` and the like into functions;
//! - turns functions in FROM into derived tables, and correlated subqueries into [`super::subquery`];
//! - expands `*`, and names the columns whose expressions it changes.

mod casts; // types that DataFusion does not have
mod detect; // whether a query speaks of the system
mod expr; // expressions at one level, and subqueries
mod from; // relations and functions in FROM
mod operators; // operators, patterns, subscripts
mod scope; // which columns are in sight
mod select; // queries
mod order; // ORDER BY with subqueries
mod syntax; // small pieces of syntax trees
mod walk; // one expression from the leaves up

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use weir_common::error::Result;

use super::facts::SessionFacts;

pub use detect::needs_rewrite;
pub(super) use detect::{aggregates, placeholders};

/// Makes of a query one that DataFusion plans; a query that does not speak of the system stays as it is.
///
/// Columns get the names that Postgres gives them. Names may repeat: telling them apart is the planner's, as for any query.
pub fn rewrite(query: &mut ast::Query, facts: &Arc<SessionFacts>) -> Result<()> {
    if needs_rewrite(query) {
        operators::join_paths(query);
        select::Rewriter::new(facts).query(query, true)?;
    }
    Ok(())
}

//! Catalog SQL to what DataFusion plans.
//!
//! The rewriter knows which columns each relation of a query has, so it can tell what a subquery takes from outside. It
//! - names system relations in full and drops `pg_catalog.` before functions, operators and collations;
//! - turns casts to `regclass`, `oid`, `"char"` and the like into functions;
//! - turns functions in FROM into derived tables, and correlated subqueries into [`super::subquery`];
//! - expands `*`, and gives every column a name of its own.

mod casts; // types that DataFusion does not have
mod detect; // whether a query speaks of the system
mod expr; // one expression
mod from; // relations and functions in FROM
mod names; // what Postgres calls a column
mod scope; // which columns are in sight
mod select; // queries
mod syntax; // small pieces of syntax trees

use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use weir_common::error::Result;

use super::facts::SessionFacts;

pub use detect::needs_rewrite;
pub(super) use detect::{aggregates, placeholders};

/// A query that DataFusion plans, with the names its columns must have.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The query.
    pub query: ast::Query,
    /// The names of its columns, which may repeat; the query's own are unique. Empty when the query selects `*` from a
    /// relation that the catalog does not have: then the query's own names stand.
    pub names: Vec<String>,
}

/// The query as DataFusion plans it.
pub fn rewrite(mut query: ast::Query, facts: &Arc<SessionFacts>) -> Result<Rewritten> {
    let mut rewriter = select::Rewriter::new(facts);
    let names = rewriter.query(&mut query, true)?;
    Ok(Rewritten { query, names: names.unwrap_or_default() })
}

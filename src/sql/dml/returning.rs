//! RETURNING: what a change says about its rows, each as it is afterwards, or before it went.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::sql::sqlparser::ast::{self, Ident, SelectItem, Spanned, Visit, Visitor};
use weir_common::error::{Error, Result, SqlState};

use crate::catalog::Relation;
use crate::context::{Context, SnapshotSource, at};
use crate::dml::scope::{Scope, ScopeColumn, ScopedQuery};
use crate::names::{last_part, normalized};
use crate::parameter::Types;
use crate::read::output_schema;

impl Context {
    /// Plans RETURNING over the table's columns, called by `qualifier`, and `others`, which the change has read beside it.
    pub(super) fn plan_returning(
        &self,
        items: Option<&[SelectItem]>,
        table: &Relation,
        qualifier: &Ident,
        others: Vec<ScopeColumn>,
        sql: &str,
        types: &mut Types,
    ) -> Result<Option<ScopedQuery>> {
        let Some(items) = items else { return Ok(None) };
        for item in items {
            self.refuse_aggregates(item, "RETURNING").map_err(|error| self.error(at(error, item.span()), sql))?;
        }
        let scope = Scope::new(table_columns(table, qualifier).into_iter().chain(others).collect());
        let query = self.plan_scope(&scope, items.to_vec(), None, sql, types.known())?;
        let mut repeats = false;
        let looked = query.plan.apply(|node| {
            repeats |= matches!(node, LogicalPlan::Unnest(_));
            Ok(TreeNodeRecursion::Continue)
        });
        looked.map_err(|error| self.error(error, sql))?;
        if repeats {
            return Err(Error::unsupported("set-returning functions are not allowed in RETURNING"));
        }
        types.learn(&items.to_vec(), &query.parameters);
        let all = output_schema(&query.plan)?;
        let schema = Arc::new(Schema::new(all.fields()[..all.fields().len() - 1].to_vec()));
        Ok(Some(ScopedQuery::new(scope, query, schema)))
    }

    /// What RETURNING gives for these rows, a row each.
    pub(super) async fn returned(
        &self,
        returning: Option<&ScopedQuery>,
        columns: Vec<ArrayRef>,
        rows: usize,
        parameters: &[ScalarValue],
        snapshots: &Arc<dyn SnapshotSource>,
    ) -> Result<Option<RecordBatch>> {
        match returning {
            None => Ok(None),
            Some(query) => Ok(Some(self.run_scope(query, columns, rows, parameters, snapshots).await?.0)),
        }
    }

    /// Refuses calls of aggregate and window functions outside subqueries.
    pub(super) fn refuse_aggregates(&self, node: &impl Visit, place: &str) -> Result<()> {
        struct Finds<'a> {
            context: &'a Context,
            place: &'a str,
            depth: usize,
        }
        impl Visitor for Finds<'_> {
            type Break = Error;
            fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<Error> {
                self.depth += 1;
                ControlFlow::Continue(())
            }
            fn post_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<Error> {
                self.depth -= 1;
                ControlFlow::Continue(())
            }
            fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Error> {
                let ast::Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
                let (kind, state) = if function.over.is_some() {
                    ("window", SqlState::WINDOWING_ERROR)
                } else if self.context.get_aggregate_meta(&last_part(&function.name)).is_some() {
                    ("aggregate", SqlState::GROUPING_ERROR)
                } else {
                    return ControlFlow::Continue(());
                };
                match self.depth {
                    0 => ControlFlow::Break(Error::new(state, format!("{kind} functions are not allowed in {}", self.place))),
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        match node.visit(&mut Finds { context: self, place, depth: 0 }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

/// The table's columns, by the name that the statement gives it.
pub(super) fn table_columns(table: &Relation, qualifier: &Ident) -> Vec<ScopeColumn> {
    let qualifier = TableReference::bare(normalized(qualifier));
    table.schema().fields().iter().map(|field| (Some(qualifier.clone()), field.clone())).collect()
}

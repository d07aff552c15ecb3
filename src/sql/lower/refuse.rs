//! What cannot be maintained yet, and what to write instead. Checked before the optimizer changes the query's shape.

use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{self, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::error::Error;

use crate::context::{at, external};
use crate::function::compared::ComparedWithNow;
use crate::function::window::Sessions;
use crate::lower::{aggregate, session, temporal, windows};
use crate::names::last_part;

/// Refuses an analyzed plan that has a part which cannot be maintained.
pub(super) fn check(plan: &LogicalPlan, query: &ast::Query) -> Result<(), DataFusionError> {
    let mut reads = false;
    plan.apply_with_subqueries(|node| {
        reads |= matches!(node, LogicalPlan::TableScan(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| match refused_expr(expr) {
                Some((function, error)) => {
                    let of_now = function.as_ref().and_then(|function| temporal::outside(function, query));
                    Err(of_now.unwrap_or_else(|| place(error, function.as_deref(), query)))
                }
                None => Ok(TreeNodeRecursion::Continue),
            })
        })?;
        if is_refused(node) {
            return Err(external(self::node(node)));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !reads {
        let error = Error::unsupported("a materialized view must read a table, a source or a view")
            .with_hint("Use CREATE VIEW for a constant query.");
        return Err(external(error));
    }
    Ok(())
}

fn is_refused(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::TableScan(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => false,
        LogicalPlan::Unnest(unnest) => windows::of(unnest).is_none(),
        LogicalPlan::Window(window) => session::of(window).is_none(),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))),
        LogicalPlan::Sort(sort) => sort.fetch.is_some(),
        _ => true,
    }
}

/// Why a step is refused.
pub(super) fn node(node: &LogicalPlan) -> Error {
    let yet =
        |what: &str, hint: &str| Error::unsupported(format!("{what} cannot be maintained in a materialized view yet")).with_hint(hint);
    match node {
        LogicalPlan::Distinct(Distinct::On(_)) => {
            yet("DISTINCT ON", "Use max or min with GROUP BY, or select the rows when reading the view.")
        }
        LogicalPlan::Join(_) => yet("a join", "Make a view of each side, and join them when reading: SELECT ... FROM a JOIN b ..."),
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            yet("LIMIT", "Leave it out of the view, and put ORDER BY and LIMIT into the SELECT that reads it.")
        }
        LogicalPlan::Window(_) => {
            yet("a window function (OVER)", "Use GROUP BY with TUMBLE, or the window function in the SELECT that reads the view.")
        }
        LogicalPlan::Aggregate(_) => yet("GROUPING SETS, CUBE or ROLLUP", "Write one GROUP BY for each set, joined by UNION ALL."),
        LogicalPlan::Subquery(_) => yet("a subquery in an expression", "Make it a view of its own, and combine the two when reading."),
        LogicalPlan::Values(_) => yet("VALUES", "Put the rows into a table."),
        LogicalPlan::EmptyRelation(_) => yet("a SELECT without FROM", "Put the row into a table."),
        LogicalPlan::RecursiveQuery(_) => yet("WITH RECURSIVE", "Use it in the SELECT that reads the view."),
        LogicalPlan::Unnest(_) => yet("unnest", "Use it in the SELECT that reads the view."),
        other => yet(&other.display().to_string(), "Leave it out of the view, and apply it when reading."),
    }
}

/// Why an expression is refused, with the function that it is about.
fn refused_expr(expr: &Expr) -> Option<(Option<String>, Error)> {
    match expr {
        Expr::ScalarFunction(_) if ComparedWithNow::of(expr).is_some() => None,
        Expr::ScalarFunction(call) => {
            let name = call.func.name().to_string();
            let error = match call.func.signature().volatility {
                Volatility::Immutable => return None,
                Volatility::Stable => Error::unsupported(format!("{name}() cannot be used in a materialized view yet"))
                    .with_hint("Its value changes without any row changing; use it in the SELECT that reads the view."),
                Volatility::Volatile => Error::unsupported(format!("{name}() cannot be used in a materialized view")).with_hint(
                    "It gives another value each time, so a row could not be taken back; compute it before the row is inserted.",
                ),
            };
            Some((Some(name), error))
        }
        Expr::AggregateFunction(call) => {
            let name = call.func.name().to_string();
            refused_aggregate(call, &name).map(|error| (Some(name), error))
        }
        Expr::WindowFunction(_) if Sessions::of(expr).is_some() => None,
        Expr::WindowFunction(call) => {
            let error = Error::unsupported("a window function (OVER) cannot be maintained in a materialized view yet")
                .with_hint("Use GROUP BY with TUMBLE, or the window function in the SELECT that reads the view.");
            Some((Some(call.fun.name().to_string()), error))
        }
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) | Expr::OuterReferenceColumn(..) => {
            let error = Error::unsupported("a subquery in an expression cannot be maintained in a materialized view yet")
                .with_hint("Make it a view of its own, and combine the two when reading.");
            Some((None, error))
        }
        _ => None,
    }
}

fn refused_aggregate(call: &AggregateFunction, name: &str) -> Option<Error> {
    if call.params.args.len() > 1 {
        let error = Error::unsupported(format!("{name} of several arguments cannot be maintained in a materialized view yet"));
        return Some(error.with_hint("Give it one argument, such as a CASE expression."));
    }
    if !call.params.order_by.is_empty() {
        return Some(Error::unsupported(format!("{name}(... ORDER BY ...) cannot be maintained in a materialized view yet")));
    }
    aggregate::function(call).err().map(|error| match error {
        DataFusionError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::internal(error.to_string()),
        },
        error => Error::internal(error.to_string()),
    })
}

/// The error at the first call of the function in the query's text, where there is one.
fn place(error: Error, function: Option<&str>, query: &ast::Query) -> DataFusionError {
    struct Find<'a>(&'a str);
    impl Visitor for Find<'_> {
        type Break = Span;
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Span> {
            match expr {
                ast::Expr::Function(function) if last_part(&function.name) == self.0 => ControlFlow::Break(function.name.span()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match function.map(|function| query.visit(&mut Find(function))) {
        Some(ControlFlow::Break(span)) => at(error, span),
        _ => external(error),
    }
}

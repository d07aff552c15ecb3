//! Functions where a relation can stand, as Postgres has them: their column is called as they are, functions of one value
//! give one row, and `generate_series` in a SELECT list gives rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF};
use datafusion::sql::sqlparser::ast::{self, Ident, Query, Select, TableAlias, TableAliasColumnDef, TableFactor, VisitMut, VisitorMut};
use weir_common::error::Error;
use weir_common::types::PgType;

use crate::context::external;
use crate::function::cast::PgCast;
use crate::names::{call, last_part};

/// What gives a row for each number, time or date of a range.
pub(crate) const SERIES: &str = "generate_series";

/// Makes `generate_series(..)` in SELECT lists give rows and not a list.
pub(crate) fn unnest_series(query: &mut Query) {
    struct Lists;
    impl VisitorMut for Lists {
        type Break = ();
        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &mut select.projection {
                if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } = item {
                    let named = matches!(expr, ast::Expr::Function(function) if last_part(&function.name) == SERIES);
                    let _ = expr.visit(&mut Series { in_query: 0, in_unnest: 0 });
                    // The column keeps its name.
                    if named && matches!(item, ast::SelectItem::UnnamedExpr(_)) {
                        let ast::SelectItem::UnnamedExpr(expr) = item.clone() else { continue };
                        *item = ast::SelectItem::ExprWithAlias { expr, alias: Ident::new(SERIES) };
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    struct Series {
        in_query: usize,
        in_unnest: usize,
    }
    impl VisitorMut for Series {
        type Break = ();
        fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.in_query += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.in_query -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
            self.in_unnest += usize::from(is_unnest(expr));
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
            self.in_unnest -= usize::from(is_unnest(expr));
            if self.in_query + self.in_unnest == 0
                && let ast::Expr::Function(function) = expr
                && last_part(&function.name) == SERIES
            {
                *expr = call("unnest", vec![expr.clone()]);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Lists);
}

fn is_unnest(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Function(function) if last_part(&function.name) == "unnest")
}

/// Calls the column of each function in FROM as the function is called there: `FROM generate_series(1, 3) AS g` has `g`.
/// Stands behind the planner of windows, whose relations have the columns of what they read.
#[derive(Debug)]
pub(crate) struct FunctionNames;

impl RelationPlanner for FunctionNames {
    fn plan_relation(&self, mut relation: TableFactor, _context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let named = match &mut relation {
            TableFactor::Table { name, args: Some(_), alias, .. } | TableFactor::Function { name, alias, .. } => {
                Some((alias, last_part(name)))
            }
            TableFactor::UNNEST { alias, .. } => Some((alias, "unnest".to_string())),
            _ => None,
        };
        if let Some((alias, name)) = named {
            let alias = alias.get_or_insert_with(|| TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None });
            if alias.columns.is_empty() {
                alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
            }
        }
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}

/// A function of one value where a relation stands: one row, or for lists that are ranges one for each element.
pub(crate) fn rows_of(name: &str, function: Arc<ScalarUDF>, args: Vec<Expr>) -> Result<LogicalPlan> {
    check_arguments(name, &args)?;
    let plan = LogicalPlanBuilder::empty(true).project([function.call(args).alias(name)])?;
    if name == SERIES { plan.unnest_column(name)?.build() } else { plan.build() }
}

/// The arguments of a series of times, in which literals in quotes are what their place asks for: times, and a step.
pub(crate) fn as_times(args: Vec<Expr>) -> Result<Vec<Expr>> {
    let empty = DFSchema::empty();
    let known = args.iter().take(2).filter_map(|arg| arg.get_type(&empty).ok()).find(|ty| !is_text(ty) && !ty.is_null());
    let wanted = [known.clone(), known, Some(PgType::Interval.arrow())];
    let typed = |(arg, wanted): (Expr, Option<DataType>)| match (&arg, wanted) {
        (Expr::Literal(ScalarValue::Utf8(Some(_)), _), Some(wanted)) => {
            ScalarUDF::from(PgCast::explicit(&Field::new("", wanted, true))).call(vec![arg])
        }
        _ => arg,
    };
    Ok(args.into_iter().zip(wanted.into_iter().chain(std::iter::repeat(None))).map(typed).collect())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Refuses arguments that change from row to row: that would be a lateral join, which DataFusion has not for functions.
pub(crate) fn check_arguments(name: &str, args: &[Expr]) -> Result<()> {
    for arg in args {
        if arg.exists(|expr| Ok(matches!(expr, Expr::Column(_) | Expr::OuterReferenceColumn(..))))? {
            let error = Error::unsupported(format!("{name}() in FROM cannot take columns of the tables beside it"));
            return Err(external(error.with_hint("Call it in the SELECT list of a subquery on that table.")));
        }
    }
    Ok(())
}

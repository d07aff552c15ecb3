//! Times are microseconds. DataFusion lets dates and timestamps meet in nanoseconds, which know the years 1677 to 2262 only.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union};

/// The plan without any nanoseconds, unless it reads something that has some.
pub(crate) fn in_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    let meet = any(&plan, |node| {
        let mut found = false;
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(matches!(expr, Expr::Cast(Cast { field, .. }) if micros(field.data_type()).is_some())))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    })?;
    if !meet {
        return Ok(plan);
    }
    let changed = plan.clone().transform_up_with_subqueries(|node| {
        let (names, schema) = (NamePreserver::new(&node), merge_schema(&node.inputs()));
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(in_expr(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })?;
        // What is above sees other types.
        node.map_data(|node| match node {
            LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
            LogicalPlan::Union(union) => Ok(LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)),
            node => node.recompute_schema(),
        })
    });
    let changed = changed?.data;
    let rest = any(&changed, |node| Ok(node.schema().fields().iter().any(|field| has_nanos(field.data_type()))))?;
    Ok(if rest { plan } else { changed })
}

/// The expression without any nanoseconds, unless one of its columns has some.
pub(crate) fn in_expr_over(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let is_nanos = |column| schema.field_from_column(column).is_ok_and(|field| has_nanos(field.data_type()));
    match expr.column_refs().into_iter().any(is_nanos) {
        true => Ok(expr.clone()),
        false => Ok(in_expr(expr.clone(), schema)?.data),
    }
}

/// Whether something holds of a node of a plan, or of its subqueries'.
fn any(plan: &LogicalPlan, is_it: impl Fn(&LogicalPlan) -> Result<bool>) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= is_it(node)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn in_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::Cast(Cast { expr, field }) => match micros(field.data_type()) {
                Some(micros) => Transformed::yes(Expr::Cast(Cast::new(expr, micros))),
                None => Transformed::no(Expr::Cast(Cast { expr, field })),
            },
            // No text and no table gives any: it was a time in microseconds.
            Expr::Literal(ScalarValue::TimestampNanosecond(nanos, zone), metadata) => {
                let micros = nanos.map(|nanos| nanos.div_euclid(1000));
                Transformed::yes(Expr::Literal(ScalarValue::TimestampMicrosecond(micros, zone), metadata))
            }
            // It takes no other ones.
            Expr::ScalarFunction(mut call) if call.func.name() == "date_bin" && call.args.len() == 3 => {
                let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
                let origin = call.args.remove(2);
                call.args.push(match origin.get_type(schema)? {
                    DataType::Timestamp(..) => Expr::Cast(Cast::new(Box::new(origin), nanos)),
                    _ => origin,
                });
                Transformed::yes(Expr::ScalarFunction(call))
            }
            // Such as now().
            Expr::ScalarFunction(_) => match micros(&expr.get_type(schema)?) {
                Some(micros) => Transformed::yes(Expr::Cast(Cast::new(Box::new(expr), micros))),
                None => Transformed::no(expr),
            },
            expr => Transformed::no(expr),
        })
    })
}

fn micros(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        _ => None,
    }
}

/// Whether values of a type are in nanoseconds, or lists of such.
fn has_nanos(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => has_nanos(of.data_type()),
        data_type => micros(data_type).is_some(),
    }
}

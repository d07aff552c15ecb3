//! Constant intervals, as windows need them.

use std::sync::Arc;

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer;
use weir_common::error::{Error, SqlState};

use crate::context::at;
use crate::function::parse;
use crate::window::invalid;

/// Microseconds as an interval.
pub(super) fn literal(micros: i64) -> Expr {
    let interval = IntervalMonthDayNano::new(0, (micros / 86_400_000_000) as i32, micros % 86_400_000_000 * 1000);
    lit(ScalarValue::IntervalMonthDayNano(Some(interval)))
}

/// A constant interval: months, and microseconds of the rest (a day is 24 hours: windows are aligned in UTC).
pub(super) fn constant(expr: &ast::Expr, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<(i64, i64)> {
    let schema = Arc::new(DFSchema::empty());
    let planned = context.sql_to_expr(expr.clone(), &schema)?;
    let options = Arc::new(context.context_provider().options().clone());
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(schema.clone()).with_config_options(options).build());
    let value = simplifier.simplify(simplifier.coerce(planned, &schema)?)?;
    let value = match value {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => parse::interval(&text).map_err(|error| at(error, span))?,
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) => value,
        _ => {
            let error = Error::new(SqlState::DATATYPE_MISMATCH, format!("a window needs a constant interval, not {expr}"))
                .with_hint("Write it as INTERVAL '1 minute'.");
            return Err(at(error, span));
        }
    };
    let days = (value.days as i64).checked_mul(86_400_000_000);
    let micros = days.and_then(|days| days.checked_add(value.nanoseconds / 1000)).ok_or_else(|| invalid("interval out of range", span))?;
    Ok((value.months as i64, micros))
}

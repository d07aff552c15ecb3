//! `INTERVAL '1 year 2 months 04:05:06'`: Postgres' spellings of an interval, put into the one that DataFusion reads.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Value, VisitMut, VisitorMut};

/// Rewrites every interval literal that Postgres can read; what it cannot read is left for DataFusion to refuse.
pub(crate) fn spell_out(statement: &mut impl VisitMut) {
    struct Speller;
    impl VisitorMut for Speller {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Interval(interval) = expr
                && interval.leading_field.is_none()
                && let Expr::Value(literal) = interval.value.as_mut()
                && let Value::SingleQuotedString(text) = &mut literal.value
                && let Ok(parsed) = weir_common::interval::parse(text)
                && let Some(value) = parsed.to_arrow()
            {
                *text = format!("{} months {} days {} nanoseconds", value.months, value.days, value.nanoseconds);
            }
            ControlFlow::Continue(())
        }
    }
    // It never breaks off.
    let _ = statement.visit(&mut Speller);
}

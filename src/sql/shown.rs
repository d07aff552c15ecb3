//! Expressions as people write them, for EXPLAIN: `window_start(s.ts, 00:01:00)`, `price * 2 > 10`.
//!
//! What state is known by is another text, which never changes; this one may.

use arrow::util::display::array_value_to_string;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::Expr;
use weir_common::interval::{Interval, clock_text};
use weir_common::types::PgType;

use crate::function::arithmetic::Arithmetic;
use crate::function::cast::PgCast;
use crate::function::length::Length;
use crate::function::window::{Window, WindowEdge};
use crate::names::display_name;

/// The text of an expression.
pub(crate) fn shown(expr: &Expr) -> String {
    let text = expr.clone().transform_up(|expr| Ok(as_text(&expr).map_or_else(|| Transformed::no(expr), Transformed::yes)));
    let text = text.map_or_else(|_| expr.human_display().to_string(), |text| text.data.human_display().to_string());
    display_name(&text)
}

/// What DataFusion would show otherwise than a user wrote it, as a column with that name.
fn as_text(expr: &Expr) -> Option<Expr> {
    let text = match expr {
        Expr::Literal(value, _) => literal(value),
        Expr::Cast(cast) => format!("CAST({} AS {})", cast.expr.human_display(), PgType::of_arrow(cast.field.data_type()).spelling()),
        Expr::ScalarFunction(call) => {
            let arguments: Vec<String> = call.args.iter().map(|argument| argument.human_display().to_string()).collect();
            if let Some(arithmetic) = call.func.inner().downcast_ref::<Arithmetic>() {
                let [left, right] = arguments.as_slice() else { return None };
                format!("({left} {} {right})", arithmetic.operator())
            } else if let Some(edge) = call.func.inner().downcast_ref::<WindowEdge>() {
                let [time, micros, months, offset] = arguments.as_slice() else { return None };
                let name = if edge.is_end() { "window_end" } else { "window_start" };
                let numbers = [micros, months, offset].map(|number| ScalarValue::Int64(number.parse().ok()));
                let window = Window::of([&numbers[0], &numbers[1], &numbers[2]])?;
                format!("{name}({time}, {})", lengths(window))
            } else if let Some(cast) = call.func.inner().downcast_ref::<PgCast>() {
                format!("CAST({} AS {})", arguments.first()?, cast.spelling())
            } else if Length::of(expr).is_some() {
                arguments.into_iter().next()?
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(Expr::Column(Column::new_unqualified(text)))
}

/// How long a window is, and where it starts if that is not 1970.
fn lengths(window: Window) -> String {
    let (length, offset) = match window {
        Window::Micros { size, offset } => (interval(Interval::of_micros(size)), offset),
        Window::Months { months, offset } => (interval(Interval { months: months as i32, ..Interval::default() }), offset),
    };
    if offset == 0 { length } else { format!("{length}, {}", interval(Interval::of_micros(offset))) }
}

fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".into();
    }
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => quoted(text),
        ScalarValue::IntervalMonthDayNano(Some(value)) => format!("INTERVAL '{}'", interval(Interval::of_arrow(*value))),
        other => {
            let data_type = other.data_type();
            let text = other.to_array().ok().and_then(|array| array_value_to_string(&array, 0).ok()).unwrap_or_else(|| other.to_string());
            match data_type.is_numeric() || data_type == arrow::datatypes::DataType::Boolean {
                true => text,
                false => format!("{} {}", PgType::of_arrow(&data_type).spelling().to_uppercase(), quoted(&text.replacen('T', " ", 1))),
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `1 mon 2 days 03:00:00`, without what is nothing.
fn interval(Interval { months, days, micros }: Interval) -> String {
    let count = |number: i32, what: &str| match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        number => Some(format!("{number} {what}s")),
    };
    let clock = (micros != 0 || (months, days) == (0, 0)).then(|| clock_text(micros));
    let parts: Vec<String> = [count(months, "mon"), count(days, "day"), clock].into_iter().flatten().collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::IntervalMonthDayNano;
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn literals_and_operators_are_as_in_sql() {
        let interval = IntervalMonthDayNano::new(14, 1, 3_600_000_000_000);
        let interval = Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), None);
        assert_eq!(shown(&interval), "INTERVAL '14 mons 1 day 01:00:00'");
        assert_eq!(shown(&col("a").gt(lit(5_i64)).and(col("b").eq(lit("it's")))), "a > 5 AND b = 'it''s'");
        assert_eq!(shown(&Expr::Literal(ScalarValue::Boolean(None), None)), "NULL");
        let moment = ScalarValue::TimestampMicrosecond(Some(1_357_016_400_000_000), None);
        assert_eq!(shown(&Expr::Literal(moment, None)), "TIMESTAMP WITHOUT TIME ZONE '2013-01-01 05:00:00'");
    }

    #[test]
    fn lengths_are_intervals() {
        assert_eq!(lengths(Window::Micros { size: 60_000_000, offset: 0 }), "00:01:00");
        assert_eq!(lengths(Window::Micros { size: 86_400_000_000, offset: -3_600_000_000 }), "1 day, -01:00:00");
        assert_eq!(lengths(Window::Months { months: 3, offset: 0 }), "3 mons");
    }
}

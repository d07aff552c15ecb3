//! CHECK constraints as text.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use crate::dml::expression;

/// `CHECK ((a > 0))`, or with fewer parentheses where it is to be pretty: as `pg_get_constraintdef` gives it.
pub(in crate::pg_catalog) fn check_definition(expr: &str, pretty: bool) -> String {
    format!("CHECK {}", check_clause(expr, pretty))
}

/// The condition in its parentheses.
pub(in crate::pg_catalog) fn check_clause(expr: &str, pretty: bool) -> String {
    match expression(expr, "CHECK") {
        Ok(parsed) if pretty => format!("({})", without_parentheses(&parsed)),
        Ok(parsed) => format!("({})", explicit(&parsed)),
        Err(_) => format!("({expr})"),
    }
}

fn without_parentheses(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => without_parentheses(inner),
        other => other,
    }
}

/// The expression with parentheses around each operator.
fn explicit(expr: &Expr) -> String {
    match expr {
        Expr::Nested(inner) => explicit(inner),
        Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
            let mut terms = Vec::new();
            chain(expr, op, &mut terms);
            format!("({})", terms.join(&format!(" {op} ")))
        }
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", explicit(left), explicit(right)),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("(NOT {})", explicit(expr)),
        Expr::UnaryOp { op, expr } if !matches!(expr.as_ref(), Expr::Value(value) if matches!(value.value, Value::Number(..))) => {
            format!("({op} {})", explicit(expr))
        }
        Expr::IsNull(expr) => format!("({} IS NULL)", explicit(expr)),
        Expr::IsNotNull(expr) => format!("({} IS NOT NULL)", explicit(expr)),
        Expr::Between { expr, negated, low, high } => {
            let (expr, low, high) = (explicit(expr), explicit(low), explicit(high));
            match negated {
                false => format!("(({expr} >= {low}) AND ({expr} <= {high}))"),
                true => format!("(({expr} < {low}) OR ({expr} > {high}))"),
            }
        }
        Expr::InList { .. } | Expr::Like { .. } | Expr::ILike { .. } | Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => {
            format!("({expr})")
        }
        other => other.to_string(),
    }
}

/// The operands of a chain of one operator.
fn chain(expr: &Expr, wanted: &BinaryOperator, terms: &mut Vec<String>) {
    match expr {
        Expr::BinaryOp { left, op, right } if op == wanted => {
            chain(left, wanted, terms);
            chain(right, wanted, terms);
        }
        Expr::Nested(inner) => chain(inner, wanted, terms),
        other => terms.push(explicit(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::check_definition;

    #[test]
    fn operators_get_their_parentheses() {
        let plain = |expr: &str| check_definition(expr, false);
        assert_eq!(plain("a > 0"), "CHECK ((a > 0))");
        assert_eq!(plain("a + 1 > b AND b > -1 AND (c IS NULL)"), "CHECK ((((a + 1) > b) AND (b > -1) AND (c IS NULL)))");
        assert_eq!(plain("NOT a BETWEEN 1 AND 2"), "CHECK ((NOT ((a >= 1) AND (a <= 2))))");
        assert_eq!(plain("ok"), "CHECK (ok)");
        assert_eq!(check_definition("(a > 0 OR b < 1)", true), "CHECK (a > 0 OR b < 1)");
    }
}

//! Parameters (`$1`): which there are, and what their place says about their type.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::ast::{self, Value, Visit, Visitor};
use weir_common::types::PgType;

use crate::types::pg_type;

/// How many parameters a statement has: the highest number that it names.
pub(crate) fn count(statement: &impl Visit) -> usize {
    struct Highest(usize);
    impl Visitor for Highest {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
            if let Some(index) = index_of_value(&value.value) {
                self.0 = self.0.max(index + 1);
            }
            ControlFlow::Continue(())
        }
    }
    let mut highest = Highest(0);
    let _ = statement.visit(&mut highest);
    highest.0
}

/// Types that syntax alone gives: `$1::int`, `CAST($1 AS int)`, `LIMIT $1`. Keys count from 0.
pub(crate) fn types_from_syntax(statement: &impl Visit) -> HashMap<usize, PgType> {
    struct Types(HashMap<usize, PgType>);
    impl Types {
        fn note(&mut self, expr: &ast::Expr, ty: PgType) {
            if let Some(index) = index(expr) {
                self.0.entry(index).or_insert(ty);
            }
        }
    }
    impl Visitor for Types {
        type Break = ();
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
                for expr in limit.iter().chain(offset.iter().map(|offset| &offset.value)) {
                    self.note(expr, PgType::Int8);
                }
            }
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Cast { expr, data_type, .. } = expr
                && let Ok(ty) = pg_type(data_type)
            {
                self.note(expr, ty);
            }
            ControlFlow::Continue(())
        }
    }
    let mut types = Types(HashMap::new());
    let _ = statement.visit(&mut types);
    types.0
}

/// The number of a parameter, from 0, if that is what the expression is.
pub(crate) fn index(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(value) => index_of_value(&value.value),
        ast::Expr::Nested(inner) => index(inner),
        _ => None,
    }
}

fn index_of_value(value: &Value) -> Option<usize> {
    match value {
        Value::Placeholder(name) => name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1),
        _ => None,
    }
}

/// The Postgres type of a parameter whose field the planner inferred.
pub(crate) fn type_of(field: &Field) -> PgType {
    match field.data_type() {
        DataType::Null => PgType::Text,
        // A literal's own precision says nothing about the values to come.
        DataType::Decimal128(..) | DataType::Decimal256(..) => PgType::Numeric(None),
        _ => PgType::of_field(field),
    }
}

//! The values from outside: as a table that a subquery is joined with, or written into it.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use weir_common::error::Error;

use super::Shape;
use crate::pg_catalog::function::external;
use crate::pg_catalog::rewrite::{aggregates, placeholders};

/// The table of values from outside, and its column of row numbers.
pub(super) const OUTER: &str = "weir_outer_rows";
const ROW: &str = "weir_row";

pub(super) fn parse(sql: &str) -> Result<ast::Query> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)?;
    match statements.pop() {
        Some(ast::Statement::Query(query)) => Ok(*query),
        _ => Err(external(Error::internal("a subquery is no query"))),
    }
}

/// The distinct values from outside as a table: their numbers, then a column for each `$n`.
pub(super) fn outer_rows(tuples: &[Vec<ScalarValue>]) -> Result<RecordBatch> {
    let mut columns: Vec<(String, ArrayRef)> = vec![(ROW.to_string(), Arc::new(Int64Array::from_iter_values(0..tuples.len() as i64)))];
    for at in 0..tuples.first().map_or(0, Vec::len) {
        let values = ScalarValue::iter_to_array(tuples.iter().map(|tuple| tuple[at].clone()))?;
        columns.push((parameter(at), values));
    }
    let fields: Vec<Field> = columns.iter().map(|(name, values)| Field::new(name, values.data_type().clone(), true)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, values)| values).collect())?)
}

fn parameter(at: usize) -> String {
    format!("weir_p{}", at + 1)
}

/// The query with `weir_outer_rows` joined in and its row number as the first column; `None` where that would change it.
pub(super) fn join_with_outer(query: &ast::Query, shape: Shape) -> Option<ast::Query> {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain_group = matches!(&select.group_by, ast::GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    let commutes =
        plain_group && select.having.is_none() && select.distinct.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    if !commutes || select.from.is_empty() || aggregates(select) || !placeholders(&select.from).is_empty() {
        return None;
    }
    let mut query = query.clone();
    // What is left in a subquery further in cannot see the joined table.
    let mut inner = Inner { depth: 0, found: false };
    let _ = query.visit(&mut inner);
    if inner.found || (query.order_by.is_some() && shape == Shape::Scalar) {
        return None;
    }
    let _ = query.visit(&mut Replace(|number: usize| identifier(&[OUTER, &parameter(number - 1)])));
    let ast::SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.projection.insert(0, ast::SelectItem::UnnamedExpr(identifier(&[OUTER, ROW])));
    if shape == Shape::Exists {
        select.projection.truncate(1);
        query.order_by = None;
    }
    let factor = parse(&format!("SELECT 1 FROM {OUTER}")).ok()?;
    let ast::SetExpr::Select(mut with_outer) = *factor.body else { return None };
    select.from.append(&mut with_outer.from);
    if let Some(order_by) = &mut query.order_by {
        let ast::OrderByKind::Expressions(keys) = &mut order_by.kind else { return None };
        for key in keys.iter_mut() {
            // ORDER BY 1 means the column that is the second now.
            if let ast::Expr::Value(value) = &mut key.expr {
                let ast::Value::Number(number, _) = &mut value.value else { return None };
                *number = (number.parse::<usize>().ok()? + 1).to_string();
            }
        }
        let first = ast::OrderByExpr {
            expr: identifier(&[OUTER, ROW]),
            options: ast::OrderByOptions { asc: None, nulls_first: None },
            with_fill: None,
        };
        keys.insert(0, first);
    }
    Some(query)
}

/// Finds placeholders in queries inside the query.
struct Inner {
    depth: usize,
    found: bool,
}

impl VisitorMut for Inner {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > 1 && !placeholders(query).is_empty() {
            self.found = true;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Puts expressions in the place of placeholders.
struct Replace<F>(F);

impl<F: FnMut(usize) -> ast::Expr> VisitorMut for Replace<F> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Value(value) = expr
            && let ast::Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|number| number.parse().ok())
        {
            *expr = (self.0)(number);
        }
        ControlFlow::Continue(())
    }
}

fn identifier(parts: &[&str]) -> ast::Expr {
    ast::Expr::CompoundIdentifier(parts.iter().map(|part| ast::Ident::new(*part)).collect())
}

/// The query with values in the place of its placeholders.
pub(super) fn substitute(mut query: ast::Query, values: &[ScalarValue]) -> ast::Query {
    let _ = query.visit(&mut Replace(|number: usize| values.get(number - 1).map_or(null(), literal)));
    query
}

fn null() -> ast::Expr {
    ast::Expr::Value(ast::Value::Null.into())
}

/// A value as an expression of exactly its type.
fn literal(value: &ScalarValue) -> ast::Expr {
    let plain = match value {
        value if value.is_null() => "NULL".to_string(),
        ScalarValue::Boolean(Some(value)) => return ast::Expr::Value(ast::Value::Boolean(*value).into()),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => quoted(text),
        ScalarValue::List(list) => {
            let items = list.value(0);
            let items: Vec<String> = (0..items.len())
                .filter_map(|row| ScalarValue::try_from_array(&items, row).ok())
                .map(|item| literal(&item).to_string())
                .collect();
            format!("make_array({})", items.join(", "))
        }
        other if other.data_type().is_numeric() => other.to_string(),
        other => quoted(&other.to_string()),
    };
    let typed = format!("SELECT arrow_cast({plain}, {})", quoted(&value.data_type().to_string()));
    match parse(&typed).map(|query| *query.body) {
        Ok(ast::SetExpr::Select(mut select)) => match select.projection.pop() {
            Some(ast::SelectItem::UnnamedExpr(expr)) => expr,
            _ => null(),
        },
        _ => null(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

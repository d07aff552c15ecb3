//! ORDER BY with subqueries, which DataFusion does not sort by: their values become columns of a query inside.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Distinct, Expr, OrderByKind, Query, SelectItem, SetExpr, Value, Visit, Visitor};

use super::expr::path;
use super::syntax::{column, derived_query, named, repeated, template};

/// The query inside.
const INSIDE: &str = "weir_sorted";

/// Moves what a SELECT sorts by into a query inside it, if a subquery is part of that; `names` are its columns.
pub(super) fn hoist(query: &mut Query, names: &[String]) {
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|order_by| &order_by.kind) else { return };
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let plain = select.projection.len() == names.len() && !matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)));
    if !plain || !keys.iter().any(|key| has_subquery(&key.expr)) {
        return;
    }
    let mut outside = template("SELECT 1 FROM t");
    (outside.order_by, outside.limit_clause) = (query.order_by.take(), query.limit_clause.take());
    let SetExpr::Select(inner) = query.body.as_mut() else { return };
    for (at, item) in inner.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            *item = named(expr.clone(), &format!("weir_item_{at}"));
        }
    }
    if let Some(OrderByKind::Expressions(keys)) = outside.order_by.as_mut().map(|order_by| &mut order_by.kind) {
        for (at, key) in keys.iter_mut().enumerate() {
            // A number is that of an item, a name that an item has is that item.
            if matches!(&key.expr, Expr::Value(value) if matches!(value.value, Value::Number(..))) {
                continue;
            }
            let item = match path(&key.expr).as_slice() {
                [name] => names.iter().position(|known| known == name),
                _ => None,
            };
            let inside = match item {
                Some(item) => format!("weir_item_{item}"),
                None => {
                    let name = format!("weir_key_{at}");
                    inner.projection.push(named(key.expr.clone(), &name));
                    name
                }
            };
            key.expr = column(INSIDE, &inside);
        }
    }
    if let SetExpr::Select(outer) = outside.body.as_mut() {
        let item = |(at, name): (usize, &String)| {
            let shown = if names[..at].contains(name) { repeated(name, at) } else { name.clone() };
            named(column(INSIDE, &format!("weir_item_{at}")), &shown)
        };
        outer.projection = names.iter().enumerate().map(item).collect();
        outer.from[0].relation = derived_query(query.clone(), INSIDE);
    }
    *query = outside;
}

fn has_subquery(expr: &Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Finder).is_break()
}

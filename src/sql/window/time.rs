//! `window_time`: the last moment of a window, one microsecond before its end. It is the time by which a window can be put into
//! larger ones. Relations of `TABLE(TUMBLE(..))` and the like have it, as in Flink; those of `TUMBLE(..)` where a query names it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, Ident, Query, Select, SetExpr, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut,
};

use crate::names::{last_part, normalized};
use crate::window::{FUNCTIONS, WINDOW_TIME};

/// The argument that asks for the column: no user writes it.
pub(super) const ASKED: &str = "window time";
/// What the names of functions end with that read it.
pub(super) const ROWTIME: &str = "_rowtime";

/// Asks for `window_time` wherever a query names it.
pub(crate) fn ask(query: &mut Query) {
    struct Queries;
    impl VisitorMut for Queries {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            let ordered = names_it(&query.order_by);
            selects(&mut query.body, ordered);
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Queries);
}

fn selects(body: &mut SetExpr, ordered: bool) {
    match body {
        SetExpr::Select(select) if ordered || asks(select) => {
            select.from.iter_mut().for_each(|from| {
                let joined = from.joins.iter_mut().map(|join| &mut join.relation);
                std::iter::once(&mut from.relation).chain(joined).for_each(give);
            });
        }
        SetExpr::SetOperation { left, right, .. } => {
            selects(left, ordered);
            selects(right, ordered);
        }
        _ => {}
    }
}

/// Whether a SELECT names it.
pub(super) fn asks(select: &Select) -> bool {
    names_it(&select.projection) || names_it(&select.selection) || names_it(&select.group_by) || names_it(&select.having)
}

/// Whether a column of this name, or a function that reads it, stands somewhere in it, in no query below.
pub(super) fn names_it(part: &impl Visit) -> bool {
    struct Names {
        depth: usize,
    }
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let names = match expr {
                Expr::Identifier(name) => normalized(name) == WINDOW_TIME,
                Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|name| normalized(name) == WINDOW_TIME),
                Expr::Function(function) => last_part(&function.name).strip_suffix(ROWTIME).is_some_and(|of| FUNCTIONS.contains(&of)),
                _ => false,
            };
            match names && self.depth == 0 {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    part.visit(&mut Names { depth: 0 }).is_break()
}

/// Adds the argument to a window function.
fn give(relation: &mut TableFactor) {
    if let TableFactor::Table { name, args: Some(args), .. } = relation
        && FUNCTIONS.contains(&last_part(name).as_str())
    {
        let yes = ast::Value::Boolean(true).with_empty_span();
        args.args.push(FunctionArg::Named {
            name: Ident::with_quote('"', ASKED),
            arg: FunctionArgExpr::Expr(Expr::Value(yes)),
            operator: FunctionArgOperator::RightArrow,
        });
    }
}

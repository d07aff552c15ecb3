//! `GROUP BY TUMBLE(ts, size)` and its like, with `TUMBLE_START(ts, size)`, `TUMBLE_END` and `TUMBLE_ROWTIME`, as Flink had them
//! before windows in FROM: they become these. Sessions are those of the other keys.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, GroupByExpr, Ident, Query, Select,
    SelectItem, SetExpr, Spanned, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::error::{Error, SqlState};

use crate::context::at;
use crate::names::{column_name, last_part, normalized};
use crate::parser::PARTITION_BY;
use crate::window::time::{ROWTIME, asks, names_it};
use crate::window::{FUNCTIONS, WINDOW_END, WINDOW_START, WINDOW_TIME};

/// Puts the windows of GROUP BY into FROM.
pub(crate) fn move_to_from(query: &mut Query) -> Result<()> {
    struct Queries;
    impl VisitorMut for Queries {
        type Break = DataFusionError;
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
            let windows = match bodies(&mut query.body, names_it(&query.order_by)) {
                Ok(windows) => windows,
                Err(error) => return ControlFlow::Break(error),
            };
            if let (Some(window), Some(order)) = (windows, &mut query.order_by) {
                window.read_in(order)?;
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Queries) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A window in GROUP BY.
struct Grouped {
    /// The function's name.
    name: String,
    args: Vec<FunctionArg>,
    span: Span,
}

/// The window that a query is grouped by, if it is one SELECT.
fn bodies(body: &mut SetExpr, ordered_by_time: bool) -> Result<Option<Grouped>> {
    match body {
        SetExpr::Select(select) => moved(select, ordered_by_time),
        SetExpr::SetOperation { left, right, .. } => {
            bodies(left, false)?;
            bodies(right, false)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn moved(select: &mut Select, ordered_by_time: bool) -> Result<Option<Grouped>> {
    let with_time = ordered_by_time || asks(select);
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(None) };
    let Some(place) = keys.iter().position(|key| window(key).is_some()) else { return Ok(None) };
    let Some(grouped) = window(&keys.remove(place)) else { return Ok(None) };
    let upper = grouped.name.to_uppercase();
    let refused = |message: String, hint: &str| Err(at(Error::unsupported(message).with_hint(hint), grouped.span));
    if keys.iter().any(|key| window(key).is_some()) {
        return refused("GROUP BY takes one window".to_string(), "Put one of them into FROM: FROM TUMBLE(t, ts, INTERVAL '1 minute').");
    }
    let others: Vec<Expr> = keys.clone();
    let columns = [WINDOW_START, WINDOW_END].into_iter().chain(with_time.then_some(WINDOW_TIME));
    keys.splice(place..place, columns.map(|name| Expr::Identifier(Ident::new(name))));
    let in_subquery = "Make what it reads a subquery: FROM (SELECT ... FROM a JOIN b ...) AS t GROUP BY TUMBLE(ts, ...).";
    let [from] = select.from.as_mut_slice() else {
        return refused(format!("{upper} in GROUP BY takes one relation in FROM"), in_subquery);
    };
    let (data, alias) = match &from.relation {
        TableFactor::Table { name, alias, args: None, .. } if from.joins.is_empty() => {
            (parts(name), alias.clone().or_else(|| Some(named(name.0.last()?.as_ident()?.clone()))))
        }
        TableFactor::Derived { subquery, alias, lateral: false, .. } if from.joins.is_empty() => {
            (Some(Expr::Subquery(subquery.clone())), alias.clone())
        }
        _ => (None, None),
    };
    let Some(mut data) = data else {
        return refused(format!("{upper} in GROUP BY takes one relation in FROM"), in_subquery);
    };
    let mut partition = Vec::new();
    if grouped.name == "session" {
        for key in others {
            let Some(column) = column(&key) else {
                let hint = "Write FROM SESSION((SELECT ..., expression AS k FROM t) PARTITION BY k, ts, gap) GROUP BY window_start, window_end, k.";
                return refused(format!("SESSION in GROUP BY takes columns beside it, not {key}"), hint);
            };
            partition.push(column);
        }
        // What WHERE rejects is in no session.
        if select.selection.is_some() {
            data = Expr::Subquery(Box::new(everything(select.clone())));
            select.selection = None;
        }
    }
    let Some((time, rest)) = grouped.args.split_first() else {
        return refused(format!("{upper} in GROUP BY takes a time column first"), "Write GROUP BY TUMBLE(ts, INTERVAL '1 minute').");
    };
    let time = match time {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => unnamed(column(expr).unwrap_or_else(|| expr.clone())),
        other => other.clone(),
    };
    let mut args = vec![unnamed(data)];
    if !partition.is_empty() {
        args.push(FunctionArg::Named {
            name: Ident::with_quote('"', PARTITION_BY),
            arg: FunctionArgExpr::Expr(Expr::Tuple(partition)),
            operator: FunctionArgOperator::RightArrow,
        });
    }
    args.push(time);
    args.extend_from_slice(rest);
    let mut name = Ident::new(grouped.name.clone());
    name.span = grouped.span;
    let mut call = crate::names::call(&grouped.name, Vec::new());
    if let Expr::Function(function) = &mut call {
        function.name = name.into();
        if let FunctionArguments::List(list) = &mut function.args {
            list.args = args;
        }
    }
    select.from[0].relation = relation(call, alias);
    let read = |broken: ControlFlow<DataFusionError>| match broken {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    };
    for item in &mut select.projection {
        // A column keeps the name that its function gives it.
        if let SelectItem::UnnamedExpr(expr @ Expr::Function(_)) = item {
            let alias = Ident::with_quote('"', column_name(expr));
            let before = expr.clone();
            read(grouped.read_in(expr))?;
            if *expr != before {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
            continue;
        }
        read(grouped.read_in(item))?;
    }
    if let Some(having) = &mut select.having {
        read(grouped.read_in(having))?;
    }
    Ok(Some(grouped))
}

impl Grouped {
    /// Puts the window's columns in the place of functions that read them.
    fn read_in(&self, part: &mut impl VisitMut) -> ControlFlow<DataFusionError> {
        struct Edges<'a> {
            grouped: &'a Grouped,
            depth: usize,
        }
        impl VisitorMut for Edges<'_> {
            type Break = DataFusionError;
            fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<DataFusionError> {
                self.depth += 1;
                ControlFlow::Continue(())
            }
            fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<DataFusionError> {
                self.depth -= 1;
                ControlFlow::Continue(())
            }
            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
                let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = &*expr else {
                    return ControlFlow::Continue(());
                };
                let Grouped { name: window, args, .. } = self.grouped;
                let of = last_part(name);
                let column = match of.strip_prefix(window.as_str()) {
                    Some("" | "_start") => WINDOW_START,
                    Some("_end") => WINDOW_END,
                    Some(ROWTIME) => WINDOW_TIME,
                    _ => return ControlFlow::Continue(()),
                };
                if self.depth > 0 {
                    return ControlFlow::Continue(());
                }
                if !same(&list.args, args) {
                    let (of, window) = (of.to_uppercase(), window.to_uppercase());
                    let message = format!("{of} must have the arguments of {window} in GROUP BY");
                    return ControlFlow::Break(at(Error::new(SqlState::GROUPING_ERROR, message), name.span()));
                }
                *expr = Expr::Identifier(Ident::new(column));
                ControlFlow::Continue(())
            }
        }
        part.visit(&mut Edges { grouped: self, depth: 0 })
    }
}

/// Whether these are the same arguments, wherever they stand.
fn same(left: &[FunctionArg], right: &[FunctionArg]) -> bool {
    left.iter().map(ToString::to_string).eq(right.iter().map(ToString::to_string))
}

/// The window that a key is.
fn window(key: &Expr) -> Option<Grouped> {
    match key {
        Expr::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) => {
            let (of, span) = (last_part(name), name.span());
            FUNCTIONS.contains(&of.as_str()).then(|| Grouped { name: of, args: list.args.clone(), span })
        }
        _ => None,
    }
}

/// A column without the name of its relation.
fn column(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Identifier(name) => Some(Expr::Identifier(name.clone())),
        Expr::CompoundIdentifier(parts) => Some(Expr::Identifier(parts.last()?.clone())),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

/// A relation's name as an expression.
fn parts(name: &ast::ObjectName) -> Option<Expr> {
    let parts: Vec<Ident> = name.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<_>>()?;
    Some(if parts.len() == 1 { Expr::Identifier(parts[0].clone()) } else { Expr::CompoundIdentifier(parts) })
}

fn named(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', normalized(&name)), columns: Vec::new(), at: None }
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

/// All that a SELECT reads, before it groups it.
fn everything(select: Select) -> Query {
    let all = SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    let select = Select {
        projection: vec![all],
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        having: None,
        distinct: None,
        ..select
    };
    ast::Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// A function where a relation stands.
fn relation(call: Expr, alias: Option<TableAlias>) -> TableFactor {
    let (name, args) = match call {
        Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) => (name, list.args),
        other => (Ident::new(other.to_string()).into(), Vec::new()),
    };
    TableFactor::Table {
        name,
        alias,
        args: Some(ast::TableFunctionArgs { args, settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

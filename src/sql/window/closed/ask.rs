//! Where a query names `window_final`: what it stands for takes its place, where that is of a view.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::error::{Error, SqlState};
use weir_common::ids::RelationId;

use crate::catalog::{Catalog, MaterializedViewDef, PUBLIC, RelationKind};
use crate::context::at;
use crate::names::{call, normalized};
use crate::window::closed::{FUNCTION, WINDOW_FINAL};

/// What to write where none is found.
const WHOSE: &str = "Materialized views of windows have it that show window_end, or the window_start of TUMBLE or HOP. Beside other relations say whose it is: v.window_final.";

/// Puts what it stands for in the place of `window_final`, wherever a query names that of a view.
pub(crate) fn ask(query: &mut Query, catalog: &Catalog) -> Result<()> {
    replace(query, catalog).map(|_| ())
}

/// Refuses the query of a view that names it: a view is not told when a window that it does not change is closed.
pub(crate) fn refuse(query: &Query, catalog: &Catalog) -> Result<()> {
    match replace(&mut query.clone(), catalog)? {
        None => Ok(()),
        Some(place) => {
            let error = Error::unsupported("window_final cannot be part of a view")
                .with_hint("Name it in the SELECT that reads the view. A view with EMIT FINAL has rows of closed windows only.");
            Err(at(error, place))
        }
    }
}

/// An error with what to write, if it says that there is none.
pub(crate) fn hinted(error: Error) -> Error {
    let is_missing =
        error.sqlstate() == SqlState::UNDEFINED_COLUMN && error.message() == format!("column \"{WINDOW_FINAL}\" does not exist");
    if is_missing { error.with_hint(WHOSE) } else { error }
}

/// Whether a column is named so anywhere.
pub(crate) fn names(query: &Query) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let named = match expr {
                Expr::Identifier(name) => normalized(name) == WINDOW_FINAL,
                Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|name| normalized(name) == WINDOW_FINAL),
                _ => false,
            };
            if named { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    query.visit(&mut Names).is_break()
}

/// Where the first one stood that was replaced.
fn replace(query: &mut Query, catalog: &Catalog) -> Result<Option<Span>> {
    if !names(query) {
        return Ok(None);
    }
    let shadowed = common_names(query);
    let mut asked = Asked { catalog, shadowed, scopes: vec![], orders: vec![], first: None };
    match VisitMut::visit(query, &mut asked) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(asked.first),
    }
}

/// The names of all WITH queries: a view of such a name may not be meant.
fn common_names(query: &Query) -> BTreeSet<String> {
    struct Common(BTreeSet<String>);
    impl Visitor for Common {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.0.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|table| normalized(&table.alias.name)));
            ControlFlow::Continue(())
        }
    }
    let mut common = Common(BTreeSet::new());
    let _ = query.visit(&mut common);
    common.0
}

/// What FROM names, and what its `window_final` is.
struct Item {
    name: String,
    /// The view, and the column that names its windows.
    windowed: Option<(RelationId, String)>,
    /// Whether it is known to have no column of that name itself.
    known: bool,
}

/// What the names in a SELECT may mean.
struct Scope {
    items: Vec<Item>,
    /// Whether an output column has the name, and comes before what FROM has.
    is_output: bool,
    /// For each select item that is nothing but the column: what it is called.
    called: Vec<Option<Ident>>,
    /// Queries in FROM around the place that is looked at: they do not see what is beside them.
    hidden: usize,
}

/// Goes through queries, with the scopes around each name, the innermost last.
struct Asked<'a> {
    catalog: &'a Catalog,
    shadowed: BTreeSet<String>,
    scopes: Vec<Scope>,
    /// What the queries around are ordered by: that is looked at behind the rest, for it sees what FROM has.
    orders: Vec<Option<OrderBy>>,
    first: Option<Span>,
}

impl VisitorMut for Asked<'_> {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        self.orders.push(query.order_by.take());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        query.order_by = self.orders.pop().flatten();
        // Others are ordered by their output columns.
        let SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
        let is_output = select.projection.iter().any(is_output);
        self.scopes.push(Scope { items: self.items(&select.from), is_output, called: vec![], hidden: 0 });
        let visited = VisitMut::visit(&mut query.order_by, self);
        self.scopes.pop();
        visited
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        let called = select.projection.iter().map(output).collect();
        self.scopes.push(Scope { items: self.items(&select.from), is_output: false, called, hidden: 0 });
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        let called = self.scopes.pop().map(|scope| scope.called).unwrap_or_default();
        for (item, called) in select.projection.iter_mut().zip(called) {
            // It is called what was asked for, and not what that stands for.
            if let (SelectItem::UnnamedExpr(expr @ Expr::Function(_)), Some(alias)) = (&*item, called) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        self.hide(factor, 1);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        self.hide(factor, -1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        let (mut name, place, found) = match expr {
            Expr::Identifier(name) if normalized(name) == WINDOW_FINAL => match self.unqualified(name.span) {
                Ok(found) => (found.map(|item| vec![Ident::with_quote('"', &item.name)]), name.span, found),
                Err(error) => return ControlFlow::Break(error),
            },
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [before @ .., relation, name] if normalized(name) == WINDOW_FINAL => {
                    let first = before.first().unwrap_or(relation).span;
                    (Some(parts[..parts.len() - 1].to_vec()), first, self.qualified(&normalized(relation)))
                }
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        if let (Some(name), Some(Item { windowed: Some((view, column)), .. })) = (&mut name, found) {
            name.push(Ident::with_quote('"', column));
            let view = Expr::Value(Value::Number(view.0.to_string(), false).with_empty_span());
            *expr = call(FUNCTION, vec![Expr::CompoundIdentifier(name.clone()), view]);
            self.first.get_or_insert(place);
        }
        ControlFlow::Continue(())
    }
}

impl Asked<'_> {
    fn hide(&mut self, factor: &TableFactor, by: isize) {
        if let (TableFactor::Derived { lateral: false, .. }, Some(scope)) = (factor, self.scopes.last_mut()) {
            scope.hidden = scope.hidden.saturating_add_signed(by);
        }
    }

    /// The scopes that a name sees, the innermost first.
    fn seen(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().rev().filter(|scope| scope.hidden == 0)
    }

    /// What FROM calls so, in the innermost scope that has the name.
    fn qualified(&self, relation: &str) -> Option<&Item> {
        self.seen().find_map(|scope| scope.items.iter().find(|item| item.name == relation))
    }

    /// The only item that has one, in the innermost scope that has any; `None` where something else may be meant.
    fn unqualified(&self, place: Span) -> Result<Option<&Item>> {
        for scope in self.seen() {
            if scope.is_output || scope.items.iter().any(|item| !item.known) {
                return Ok(None);
            }
            let windowed: Vec<&Item> = scope.items.iter().filter(|item| item.windowed.is_some()).collect();
            match windowed.as_slice() {
                [] => {}
                [one] => return Ok(Some(one)),
                several => {
                    let each: Vec<String> = several.iter().map(|item| format!("{}.{WINDOW_FINAL}", item.name)).collect();
                    let message = format!("column reference \"{WINDOW_FINAL}\" is ambiguous");
                    let error = Error::new(SqlState::AMBIGUOUS_COLUMN, message);
                    return Err(at(error.with_hint(format!("It could be {}.", each.join(" or "))), place));
                }
            }
        }
        Ok(None)
    }

    fn items(&self, from: &[TableWithJoins]) -> Vec<Item> {
        let factors = from.iter().flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        factors.flat_map(|factor| self.items_of(factor)).collect()
    }

    fn items_of(&self, factor: &TableFactor) -> Vec<Item> {
        let unknown = |name: String| vec![Item { name, windowed: None, known: false }];
        let (name, alias) = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.items(std::slice::from_ref(table_with_joins)),
            TableFactor::Table { name, alias, args: None, .. } => (name, alias),
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => {
                return unknown(alias.as_ref().map_or(String::new(), |alias| normalized(&alias.name)));
            }
            _ => return unknown(String::new()),
        };
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(normalized).collect();
        let Some(last) = parts.last() else { return unknown(String::new()) };
        let called = alias.as_ref().map_or(last.clone(), |alias| normalized(&alias.name));
        let found = match parts.as_slice() {
            [name] if !self.shadowed.contains(name) => self.catalog.by_name(name),
            [schema, name] if schema == PUBLIC => self.catalog.by_name(name),
            _ => None,
        };
        let Some(relation) = found else { return unknown(called) };
        // Columns that are named anew may have any name.
        if relation.column(WINDOW_FINAL).is_some() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return unknown(called);
        }
        let windowed = match &relation.kind {
            RelationKind::MaterializedView(view) => named_by(view).map(|column| (relation.id, relation.columns[column].name.clone())),
            RelationKind::View(_) => return unknown(called),
            _ => None,
        };
        vec![Item { name: called, windowed, known: true }]
    }
}

/// The column that names the windows of a view, whether they ever close or not.
fn named_by(view: &MaterializedViewDef) -> Option<usize> {
    view.facts.closes.as_ref().map(|closing| closing.column)
}

/// What a select item that is nothing but the column is called.
fn output(item: &SelectItem) -> Option<Ident> {
    let name = match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => name,
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last()?,
        _ => return None,
    };
    (normalized(name) == WINDOW_FINAL).then(|| Ident::with_quote('"', WINDOW_FINAL))
}

/// Whether it gives a column of that name.
fn is_output(item: &SelectItem) -> bool {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => normalized(alias) == WINDOW_FINAL,
        item => output(item).is_some(),
    }
}

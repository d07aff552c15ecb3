//! `window_final`: whether the window that a row of a materialized view is of is closed, at the commit that the query reads. The column is
//! virtual: it is not among the view's columns, and a query that names it asks for it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr as Planned, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use weir_common::error::Error;
use weir_common::ids::RelationId;
use weir_common::plan::WindowEnd;

use crate::catalog::{Catalog, MaterializedViewDef, PUBLIC, RelationKind};
use crate::context::{SnapshotSource, external};
use crate::names::{call, normalized};

/// What users call it.
pub(crate) const WINDOW_FINAL: &str = "window_final";
/// The function that it stands for: of what names the window, and of the number of the view.
pub(crate) const FUNCTION: &str = "weir_window_final";

/// What FROM names, and what its `window_final` is.
struct Item {
    name: String,
    /// The view, and the column that names its windows.
    windowed: Option<(RelationId, String)>,
    /// Whether it is known to have no column of that name itself.
    known: bool,
}

/// Puts what it stands for in the place of `window_final`, wherever a query names that of a view.
pub(crate) fn ask(query: &mut Query, catalog: &Catalog) {
    if names(query) {
        let shadowed = common_names(query);
        let _ = query.visit(&mut Queries { catalog, shadowed });
    }
}

/// Refuses the query of a view that names it: a view is not told when a window that it does not change is closed.
pub(crate) fn refuse(query: &Query, catalog: &Catalog) -> weir_common::error::Result<()> {
    if !names(query) {
        return Ok(());
    }
    let mut asked = query.clone();
    ask(&mut asked, catalog);
    match asked == *query {
        true => Ok(()),
        false => Err(Error::unsupported("window_final cannot be part of a view")
            .with_hint("Name it in the SELECT that reads the view. A view with EMIT FINAL has rows of closed windows only.")),
    }
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

/// Goes through queries, those inside first: what they do not have themselves is of those around them.
struct Queries<'a> {
    catalog: &'a Catalog,
    shadowed: BTreeSet<String>,
}

impl VisitorMut for Queries<'_> {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let items = self.items(select);
            // An output column comes before what FROM has.
            let depth = usize::from(select.projection.iter().any(is_output));
            let _ = VisitMut::visit(&mut query.order_by, &mut Names { items: &items, depth });
        }
        self.selects(&mut query.body);
        ControlFlow::Continue(())
    }
}

impl Queries<'_> {
    fn selects(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => {
                let items = self.items(select);
                for item in &mut select.projection {
                    let alias = output(item);
                    let before = alias.as_ref().map(|_| item.clone());
                    let _ = VisitMut::visit(item, &mut Names { items: &items, depth: 0 });
                    // It is called what was asked for, and not what that stands for.
                    if let (SelectItem::UnnamedExpr(expr), Some(alias)) = (&*item, alias)
                        && before.as_ref() != Some(item)
                    {
                        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                    }
                }
                let _ = VisitMut::visit(select, &mut Names { items: &items, depth: 0 });
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.selects(left);
                self.selects(right);
            }
            _ => {}
        }
    }

    fn items(&self, select: &Select) -> Vec<Item> {
        let from = select.from.iter().flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        from.map(|relation| self.item(relation)).collect()
    }

    fn item(&self, relation: &TableFactor) -> Item {
        let unknown = |name: String| Item { name, windowed: None, known: false };
        let TableFactor::Table { name, alias, args: None, .. } = relation else { return unknown(String::new()) };
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(normalized).collect();
        let called = |name: &str| alias.as_ref().map_or(name.to_string(), |alias| normalized(&alias.name));
        let (name, found) = match parts.as_slice() {
            [name] if !self.shadowed.contains(name) => (called(name), self.catalog.by_name(name)),
            [schema, name] if schema == PUBLIC => (called(name), self.catalog.by_name(name)),
            _ => return unknown(String::new()),
        };
        let Some(relation) = found else { return unknown(name) };
        // Columns that are named anew may have any name.
        if relation.column(WINDOW_FINAL).is_some() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return unknown(name);
        }
        let windowed = match &relation.kind {
            RelationKind::MaterializedView(view) => named_by(view).map(|column| (relation.id, relation.columns[column].name.clone())),
            RelationKind::View(_) => return unknown(name),
            _ => None,
        };
        Item { name, windowed, known: true }
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

/// Goes through the expressions of a SELECT. Names without a relation are not looked up for the queries inside it.
struct Names<'a> {
    items: &'a [Item],
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let found = match expr {
            Expr::Identifier(name) if normalized(name) == WINDOW_FINAL && self.depth == 0 => {
                let mut windowed = self.items.iter().filter(|item| item.windowed.is_some());
                let one = windowed.next().filter(|_| windowed.next().is_none());
                one.filter(|_| self.items.iter().all(|item| item.known)).map(|item| (vec![Ident::with_quote('"', &item.name)], item))
            }
            Expr::CompoundIdentifier(parts) if parts.last().is_some_and(|name| normalized(name) == WINDOW_FINAL) => {
                let before = &parts[..parts.len() - 1];
                let relation = before.last().map(normalized);
                let item = self.items.iter().find(|item| item.windowed.is_some() && Some(&item.name) == relation.as_ref());
                item.map(|item| (before.to_vec(), item))
            }
            _ => None,
        };
        if let Some((mut name, Item { windowed: Some((view, column)), .. })) = found {
            name.push(Ident::with_quote('"', column));
            let view = Expr::Value(Value::Number(view.0.to_string(), false).with_empty_span());
            *expr = call(FUNCTION, vec![Expr::CompoundIdentifier(name), view]);
        }
        ControlFlow::Continue(())
    }
}

/// The function, before and after it is known which windows are closed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowFinal {
    signature: Signature,
    /// The latest moment that names a closed window; `None` before that is known.
    upto: Option<i64>,
}

impl Default for WindowFinal {
    fn default() -> Self {
        WindowFinal { signature: Signature::any(2, Volatility::Stable), upto: None }
    }
}

impl ScalarUDFImpl for WindowFinal {
    fn name(&self) -> &str {
        FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(upto) = self.upto else { return exec_err!("window_final was asked for outside of a query") };
        let named = args.args[0].to_array(args.number_rows)?;
        let Some(named) = named.as_primitive_opt::<TimestampMicrosecondType>() else { return exec_err!("a window is named by no moment") };
        let closed: BooleanArray = named.iter().map(|named| Some(named? <= upto)).collect();
        Ok(ColumnarValue::Array(Arc::new(closed)))
    }
}

/// The plan with what is closed at the commit of these snapshots.
pub(crate) fn decide(plan: LogicalPlan, catalog: &Catalog, snapshots: &dyn SnapshotSource) -> Result<LogicalPlan, DataFusionError> {
    let decided = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Planned::ScalarFunction(mut call) if call.func.name() == FUNCTION => {
                    let view = match call.args.get(1) {
                        Some(Planned::Literal(view, _)) => view.cast_to(&DataType::UInt32)?,
                        _ => ScalarValue::Null,
                    };
                    let ScalarValue::UInt32(Some(view)) = view else { return Err(external(Error::internal("window_final of no view"))) };
                    let view = RelationId(view);
                    let upto = closed_upto(view, catalog, snapshots).map_err(external)?;
                    call.func = Arc::new(ScalarUDF::from(WindowFinal { upto: Some(upto), ..WindowFinal::default() }));
                    Ok(Transformed::yes(Planned::ScalarFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    });
    Ok(decided?.data)
}

/// The latest moment that names a closed window of a view; the first of all where there is none.
fn closed_upto(view: RelationId, catalog: &Catalog, snapshots: &dyn SnapshotSource) -> weir_common::error::Result<i64> {
    let life = match catalog.by_id(view).map(|relation| &relation.kind) {
        Some(RelationKind::MaterializedView(view)) => view.life.as_ref(),
        _ => None,
    };
    let Some(life) = life else { return Ok(i64::MIN) };
    let snapshot = snapshots.snapshot(view)?;
    let watermark = snapshot.watermarks.iter().find(|(source, _)| *source == life.closing.source).and_then(|(_, watermark)| *watermark);
    let Some(watermark) = watermark.map(|watermark| life.closing.watermark(watermark)) else { return Ok(i64::MIN) };
    if watermark == i64::MAX {
        return Ok(i64::MAX);
    }
    let end = watermark.saturating_sub(life.lateness);
    Ok(match life.closing.end {
        WindowEnd::After(micros) => end.saturating_sub(micros),
        WindowEnd::Months(window) => window.start(end).saturating_sub(1),
    })
}

//! Names of output columns, as Postgres gives them: `count`, `?column?`, `case` ...
//!
//! DataFusion wants the names of a SELECT list to differ; Postgres does not. So a repeated name carries a suffix that no
//! user can type while it is inside DataFusion, and [`output_name`] takes it off where rows leave.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, SelectItem,
    SetExpr, TrimWhereField, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::window::closed;

/// Between a name and what makes it unique.
const SUFFIX: char = '\u{1}';

/// The name that a client sees.
pub(crate) fn output_name(name: &str) -> &str {
    name.split(SUFFIX).next().unwrap_or(name)
}

/// The name of a step's column, for EXPLAIN: `count(*)` is `count(Int64(1))` inside DataFusion.
pub(crate) fn display_name(name: &str) -> String {
    output_name(name).replace("count(Int64(1))", "count(*)")
}

/// Gives every item of every SELECT list in the query the name that Postgres would, unique within its list.
pub(crate) fn name_outputs(query: &mut ast::Query) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();
        fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
            name_select(select);
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Namer);
}

fn name_select(select: &mut ast::Select) {
    let wildcard = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let (mut taken, mut seen): (HashSet<String>, HashSet<String>) = Default::default();
    for (index, item) in select.projection.iter_mut().enumerate() {
        match item {
            // A plain column keeps its qualifier, by which DataFusion tells `a.id` from `b.id`.
            SelectItem::UnnamedExpr(expr @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_))) => {
                let name = column_name(expr);
                let qualified = matches!(expr, Expr::CompoundIdentifier(_));
                let (new, free) = (seen.insert(expr.to_string()), taken.insert(name.clone()));
                if !wildcard && new && (qualified || free) {
                    continue;
                }
                *item = aliased(expr.clone(), format!("{name}{SUFFIX}{index}"));
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = column_name(expr);
                let alias = if taken.insert(name.clone()) { name } else { format!("{name}{SUFFIX}{index}") };
                *item = aliased(expr.clone(), alias);
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = normalized(alias);
                if !taken.insert(name.clone()) {
                    *alias = quoted(format!("{name}{SUFFIX}{index}"));
                }
            }
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {}
        }
    }
}

fn aliased(expr: Expr, alias: String) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: quoted(alias) }
}

fn quoted(value: String) -> Ident {
    Ident { value, quote_style: Some('"'), span: Span::empty() }
}

/// An identifier as the catalog has it: folded to lower case unless quoted.
pub(crate) fn normalized(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The last part of a name, normalized.
pub(crate) fn last_part(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map_or_else(|| name.to_string().to_lowercase(), normalized)
}

/// A call of a function with these arguments.
pub(crate) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// What Postgres calls the column of this expression.
pub(crate) fn column_name(expr: &Expr) -> String {
    strong_name(expr).or_else(|| weak_name(expr)).unwrap_or_else(|| "?column?".to_string())
}

/// A name that a cast around the expression does not replace.
fn strong_name(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_string());
    match expr {
        Expr::Identifier(ident) => Some(normalized(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normalized),
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(field)) => strong_name(field),
            _ => strong_name(root),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } | Expr::Cast { expr: inner, .. } => strong_name(inner),
        Expr::Function(function) => match (&function.args, last_part(&function.name)) {
            // `current_timestamp` and the like are functions without parentheses.
            (FunctionArguments::None, name) => Some(name),
            // What stands for a column has its name.
            (_, name) if name == closed::FUNCTION => fixed(closed::WINDOW_FINAL),
            (_, name) => Some(name),
        },
        Expr::Extract { .. } => fixed("extract"),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::Position { .. } => fixed("position"),
        Expr::Substring { shorthand: true, .. } => fixed("substr"),
        Expr::Substring { .. } => fixed("substring"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Trim { trim_where, .. } => fixed(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Exists { .. } => fixed("exists"),
        Expr::Array(_) => fixed("array"),
        Expr::Tuple(_) => fixed("row"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => strong_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(normalized(alias)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A name for want of a better one: a cast's type, `case`, `bool`.
fn weak_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => weak_name(inner),
        Expr::Case { else_result, .. } => Some(else_result.as_deref().and_then(strong_name).unwrap_or_else(|| "case".to_string())),
        Expr::Cast { data_type, .. } => crate::types::pg_type(data_type).ok().map(|ty| ty.typname().trim_start_matches('_').to_string()),
        Expr::TypedString(typed) => crate::types::pg_type(&typed.data_type).ok().map(|ty| ty.typname()),
        Expr::Interval(_) => Some("interval".to_string()),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some("bool".to_string()),
        _ => None,
    }
}

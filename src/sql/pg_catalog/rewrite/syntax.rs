//! Small pieces of syntax trees.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr, TableFactor, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

pub(super) use crate::names::call;

/// An identifier as Postgres folds it: as it stands in quotes, in lower case without.
pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The parts of a name, folded; `None` when a part is no identifier.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), folded)).collect()
}

/// An identifier in quotes.
pub(super) fn quoted(name: impl Into<String>) -> Ident {
    Ident::with_quote('"', name)
}

/// The name and the arguments of a plain call; `None` for anything else.
pub(super) fn called(expr: &Expr) -> Option<(String, Vec<&Expr>)> {
    let Expr::Function(function) = expr else { return None };
    let name = parts(&function.name).pop()?;
    match &function.args {
        FunctionArguments::None => Some((name, Vec::new())),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => Some((name, unnamed(&list.args)?)),
    }
}

/// Positional arguments; `None` when one is named or a star.
pub(super) fn unnamed(args: &[FunctionArg]) -> Option<Vec<&Expr>> {
    args.iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// A number.
pub(super) fn number(value: impl ToString) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// A text.
pub(super) fn string(value: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.into()).into())
}

/// The text of a string constant.
pub(super) fn constant(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => constant(inner),
        _ => None,
    }
}

/// A column of a relation.
pub(super) fn column(relation: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(relation), quoted(name)])
}

/// A select item with a name.
pub(super) fn named(expr: Expr, alias: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: quoted(alias) }
}

/// A name that the list has already, with a suffix that no user can type; [`crate::names::output_name`] takes it off again.
pub(super) fn repeated(name: &str, at: usize) -> String {
    format!("{name}\u{1}{at}")
}

/// A query that this crate wrote.
pub(super) fn template(sql: &str) -> Query {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect("a template is SQL");
    match statements.pop() {
        Some(datafusion::sql::sqlparser::ast::Statement::Query(query)) => *query,
        _ => unreachable!("a template is a query"),
    }
}

/// A derived table of one SELECT without FROM, with these items.
pub(super) fn derived(items: Vec<SelectItem>, alias: &str) -> TableFactor {
    let mut query = template("SELECT 1");
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
    }
    derived_query(query, alias)
}

/// A query as a derived table.
pub(super) fn derived_query(query: Query, alias: &str) -> TableFactor {
    let holder = template("SELECT 1 FROM (SELECT 1) AS t");
    let SetExpr::Select(mut select) = *holder.body else { unreachable!("a template is a SELECT") };
    let mut factor = select.from.swap_remove(0).relation;
    if let TableFactor::Derived { subquery, alias: Some(name), .. } = &mut factor {
        **subquery = query;
        name.name = quoted(alias);
    }
    factor
}

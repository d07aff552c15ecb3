//! `SET column = value, ..` of UPDATE and of ON CONFLICT DO UPDATE: the table's columns as they will be.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{self, Assignment, AssignmentTarget, Ident, ObjectName, SelectItem};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::error::{Error, Result, SqlState};

use crate::catalog::{ColumnDef, Relation};
use crate::context::{Context, at};
use crate::dml::assign::assign;
use crate::dml::insert::untyped_columns;
use crate::dml::{column_of, exact};

/// What is selected to compute the columns: those of the table as they are, then the values that are set.
pub(super) struct Changed {
    pub(super) items: Vec<SelectItem>,
    sources: Vec<Source>,
}

/// Where a column's value comes from.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    /// It stays as it is.
    Old,
    /// The DEFAULT.
    Default,
    /// The item of this number.
    Item(usize),
}

impl Context {
    /// Reads a SET list; `qualifier` is what the table's columns are called by.
    pub(super) fn changed(&self, table: &Relation, qualifier: &Ident, list: &[Assignment], sql: &str) -> Result<Changed> {
        let mut items = old_columns(table, qualifier);
        let mut sources = vec![Source::Old; table.columns.len()];
        for (ident, value) in pairs(list)? {
            let column = column_of(self, table, ident, sql)?;
            if sources[column] != Source::Old {
                let message = format!("multiple assignments to same column \"{}\"", table.columns[column].name);
                return Err(self.error(at(Error::new(SqlState::SYNTAX_ERROR, message), ident.span), sql));
            }
            if is_default(value) {
                sources[column] = Source::Default;
                continue;
            }
            self.refuse_aggregates(value, "UPDATE").map_err(|error| self.error(at(error, ident.span), sql))?;
            sources[column] = Source::Item(items.len());
            let expr = typed(value, &table.columns[column])?;
            items.push(SelectItem::ExprWithAlias { expr, alias: exact(&format!("new {column}")) });
        }
        Ok(Changed { items, sources })
    }

    /// The columns as they will be, over a plan that begins with the items.
    pub(super) fn new_columns(&self, table: &Relation, changed: &Changed, read: &LogicalPlan, span: Span, sql: &str) -> Result<Vec<Expr>> {
        let untyped = untyped_columns(read);
        let column = |index: usize| {
            let (qualifier, field) = read.schema().qualified_field(index);
            (Expr::Column(Column::from((qualifier, field))), field)
        };
        let mut exprs = Vec::with_capacity(table.columns.len());
        for (index, def) in table.columns.iter().enumerate() {
            let expr = match changed.sources[index] {
                Source::Old => column(index).0,
                Source::Default => self.default_expr(def).map_err(|error| self.error(error, sql))?,
                Source::Item(item) => {
                    let (expr, field) = column(item);
                    assign(expr, field, def, untyped[item]).map_err(|error| self.error(at(error, span), sql))?
                }
            };
            exprs.push(expr.alias(format!("new {index}")));
        }
        Ok(exprs)
    }
}

/// The table's columns as they are.
pub(super) fn old_columns(table: &Relation, qualifier: &Ident) -> Vec<SelectItem> {
    let column = |(index, column): (usize, &ColumnDef)| SelectItem::ExprWithAlias {
        expr: ast::Expr::CompoundIdentifier(vec![qualifier.clone(), exact(&column.name)]),
        alias: exact(&format!("old {index}")),
    };
    table.columns.iter().enumerate().map(column).collect()
}

/// Whether a value is the word DEFAULT.
pub(super) fn is_default(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}

/// The columns that are set, with what to.
fn pairs(list: &[Assignment]) -> Result<Vec<(&Ident, &ast::Expr)>> {
    fn ident(name: &ObjectName) -> Result<&Ident> {
        let not_one = || Error::new(SqlState::SYNTAX_ERROR, format!("{name} is not the name of a column"));
        name.0.last().and_then(|part| part.as_ident()).ok_or_else(not_one)
    }
    let mut found = Vec::new();
    for assignment in list {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => found.push((ident(name)?, value)),
            (AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                for (name, value) in names.iter().zip(values) {
                    found.push((ident(name)?, value));
                }
            }
            (AssignmentTarget::Tuple(_), ast::Expr::Tuple(_)) => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "number of columns does not match number of values"));
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(
                    Error::unsupported("UPDATE ... SET (columns) = a query is not supported yet").with_hint("Set each column by itself.")
                );
            }
        }
    }
    Ok(found)
}

/// A parameter that is a column's new value has the column's type.
fn typed(value: &ast::Expr, column: &ColumnDef) -> Result<ast::Expr> {
    match crate::parameter::index(value) {
        Some(_) => cast(value.clone(), column),
        None => Ok(value.clone()),
    }
}

/// `CAST(value AS the column's type)`
pub(super) fn cast(value: ast::Expr, column: &ColumnDef) -> Result<ast::Expr> {
    let spelling = column.ty.spelling();
    match crate::dml::default::expression(&format!("NULL::{spelling}"), "the cast")? {
        ast::Expr::Cast { kind, data_type, array, format, .. } => {
            Ok(ast::Expr::Cast { kind, expr: Box::new(value), data_type, array, format })
        }
        _ => Err(Error::internal(format!("type {spelling} makes no cast"))),
    }
}

//! UPDATE and DELETE: a query over the table's rows, which gives those that change.

use std::collections::HashSet;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    self, AssignmentTarget, FromTable, Ident, ObjectName, SelectItem, Spanned, TableFactor, TableWithJoins, UpdateTableFromKind,
};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::catalog::Relation;
use crate::context::{Context, at};
use crate::dml::assign::assign;
use crate::dml::insert::untyped_columns;
use crate::dml::{DeletePlan, Matches, UpdatePlan, Written, column_of, count, exact, select};
use crate::read::{QueryPlan, conform};

impl Context {
    /// Plans an UPDATE; `sql` is the text that positions of errors point into.
    pub fn plan_update(&self, update: &ast::Update, sql: &str, parameter_types: &[Option<PgType>]) -> Result<UpdatePlan> {
        let (name, qualifier) = table_of(&update.table)?;
        let table = self.target(name, "update").map_err(|error| self.error(at(error, name.span()), sql))?;
        let mut items = old_columns(&table, &qualifier);
        let mut sources: Vec<Option<usize>> = vec![None; table.columns.len()];
        let mut defaults = vec![false; table.columns.len()];
        for (ident, value) in assignments(update)? {
            let column = column_of(self, &table, ident, sql)?;
            if sources[column].is_some() || defaults[column] {
                let message = format!("multiple assignments to same column \"{}\"", table.columns[column].name);
                return Err(self.error(at(Error::new(SqlState::SYNTAX_ERROR, message), ident.span), sql));
            }
            if matches!(value, ast::Expr::Identifier(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default")) {
                defaults[column] = true;
                continue;
            }
            sources[column] = Some(items.len());
            items.push(SelectItem::ExprWithAlias { expr: typed(value, &table, column), alias: exact(&format!("new {column}")) });
        }
        let others = match &update.from {
            None => Vec::new(),
            Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) => tables.clone(),
        };
        let matches = matches_of(&table, &others)?;
        let from = std::iter::once(update.table.clone()).chain(others).collect();
        let read = self.plan_query(&select(items, from, update.selection.clone()), sql, parameter_types)?;
        let untyped = untyped_columns(&read.plan);
        let fields: Vec<_> =
            read.plan.schema().iter().map(|(qualifier, field)| (Expr::Column(Column::from((qualifier, field))), field.clone())).collect();
        let mut exprs: Vec<Expr> =
            fields[..table.columns.len()].iter().enumerate().map(|(n, (expr, _))| expr.clone().alias(format!("old {n}"))).collect();
        for (index, column) in table.columns.iter().enumerate() {
            let expr = match sources[index] {
                Some(source) => {
                    let (expr, field) = fields[source].clone();
                    assign(expr, &field, column, untyped[source]).map_err(|error| self.error(at(error, update.table.span()), sql))?
                }
                None if defaults[index] => {
                    let value = self.default_value(&table, index)?;
                    Expr::Literal(value, None)
                }
                None => fields[index].0.clone(),
            };
            exprs.push(expr.alias(format!("new {index}")));
        }
        let plan = LogicalPlanBuilder::from(read.plan).project(exprs).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| self.error(error, sql))?;
        let both = table.schema().fields().iter().chain(table.schema().fields()).cloned().collect::<Vec<_>>();
        let query = QueryPlan { plan, schema: std::sync::Arc::new(arrow::datatypes::Schema::new(both)), ..read };
        let (parameters, relations) = (query.parameters.clone(), query.relations.clone());
        Ok(UpdatePlan { target: table.id, parameters, relations, table, query, matches })
    }

    /// Plans a DELETE; `sql` is the text that positions of errors point into.
    pub fn plan_delete(&self, delete: &ast::Delete, sql: &str, parameter_types: &[Option<PgType>]) -> Result<DeletePlan> {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let Some(first) = tables.first() else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "DELETE needs the name of a table"));
        };
        let (name, qualifier) = table_of(first)?;
        let table = self.target(name, "delete from").map_err(|error| self.error(at(error, name.span()), sql))?;
        let others = delete.using.clone().unwrap_or_default();
        let matches = matches_of(&table, &others)?;
        let from = std::iter::once(first.clone()).chain(others).collect();
        let query = select(old_columns(&table, &qualifier), from, delete.selection.clone());
        let read = self.plan_query(&query, sql, parameter_types)?;
        let query = QueryPlan { schema: table.schema(), ..read };
        let (parameters, relations) = (query.parameters.clone(), query.relations.clone());
        Ok(DeletePlan { target: table.id, parameters, relations, table, query, matches })
    }
}

/// The table's name, and what its columns are called by.
fn table_of(table: &TableWithJoins) -> Result<(&ObjectName, Ident)> {
    match &table.relation {
        TableFactor::Table { name, alias, args: None, .. } if table.joins.is_empty() => {
            let qualifier = match alias {
                Some(alias) => alias.name.clone(),
                None => name.0.last().and_then(|part| part.as_ident()).cloned().unwrap_or_else(|| exact("")),
            };
            Ok((name, qualifier))
        }
        other => Err(Error::new(SqlState::SYNTAX_ERROR, format!("{other} is not the name of a table"))),
    }
}

fn old_columns(table: &Relation, qualifier: &Ident) -> Vec<SelectItem> {
    let column = |(index, column): (usize, &crate::catalog::ColumnDef)| SelectItem::ExprWithAlias {
        expr: ast::Expr::CompoundIdentifier(vec![qualifier.clone(), exact(&column.name)]),
        alias: exact(&format!("old {index}")),
    };
    table.columns.iter().enumerate().map(column).collect()
}

/// The columns that are set, with what to.
fn assignments(update: &ast::Update) -> Result<Vec<(&Ident, &ast::Expr)>> {
    let ident = |name: &'_ ObjectName| -> Result<Ident> {
        name.0
            .last()
            .and_then(|part| part.as_ident())
            .cloned()
            .ok_or_else(|| Error::new(SqlState::SYNTAX_ERROR, format!("{name} is not the name of a column")))
    };
    let mut found = Vec::new();
    for assignment in &update.assignments {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => {
                ident(name)?;
                found.extend(name.0.last().and_then(|part| part.as_ident()).map(|ident| (ident, value)));
            }
            (AssignmentTarget::Tuple(names), ast::Expr::Tuple(values)) if names.len() == values.len() => {
                for (name, value) in names.iter().zip(values) {
                    ident(name)?;
                    found.extend(name.0.last().and_then(|part| part.as_ident()).map(|ident| (ident, value)));
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
fn typed(value: &ast::Expr, table: &Relation, column: usize) -> ast::Expr {
    let spelling = table.columns[column].ty.spelling();
    match crate::parameter::index(value) {
        Some(_) => match crate::context::parse_query(&format!("SELECT NULL::{spelling}")).map(|query| *query.body) {
            Ok(ast::SetExpr::Select(select)) => match select.projection.into_iter().next() {
                Some(SelectItem::UnnamedExpr(ast::Expr::Cast { kind, data_type, array, format, .. })) => {
                    ast::Expr::Cast { kind, expr: Box::new(value.clone()), data_type, array, format }
                }
                _ => value.clone(),
            },
            _ => value.clone(),
        },
        None => value.clone(),
    }
}

fn matches_of(table: &Relation, others: &[TableWithJoins]) -> Result<Matches> {
    match (others.is_empty(), table.key()) {
        (true, _) => Ok(Matches::Once),
        (false, Some(_)) => Ok(Matches::First),
        (false, None) => Err(Error::unsupported(format!(
            "table \"{}\" has no primary key, so its rows cannot be matched with another relation's",
            table.name
        ))
        .with_hint("Use WHERE ... IN (SELECT ...), or declare a PRIMARY KEY.")),
    }
}

/// The rows as they are and as they will be, apart.
pub(super) fn split(table: &Relation, both: &[RecordBatch], matches: Matches) -> Result<Written> {
    let width = table.columns.len();
    let schema = table.schema();
    let mut written = Written::default();
    for batch in distinct(table, both.to_vec(), matches)? {
        let half = |columns: Vec<usize>| -> Result<RecordBatch> { conform(&batch.project(&columns)?, &schema) };
        written.old.push(half((0..width).collect())?);
        written.new.push(half((width..2 * width).collect())?);
    }
    written.rows = count(&written.old);
    Ok(written)
}

/// Each row of the table once, by its key.
pub(super) fn distinct(table: &Relation, batches: Vec<RecordBatch>, matches: Matches) -> Result<Vec<RecordBatch>> {
    let (Matches::First, Some(key)) = (matches, table.key()) else {
        return Ok(batches);
    };
    let mut seen: HashSet<Vec<ScalarValue>> = HashSet::new();
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut rows = Vec::new();
        for row in 0..batch.num_rows() {
            let value = |column: &usize| ScalarValue::try_from_array(batch.column(*column), row);
            let values = key.iter().map(value).collect::<Result<Vec<_>, _>>().map_err(|error| Error::internal(error.to_string()))?;
            if seen.insert(values) {
                rows.push(row as u32);
            }
        }
        kept.push(take_record_batch(&batch, &UInt32Array::from(rows))?);
    }
    Ok(kept)
}

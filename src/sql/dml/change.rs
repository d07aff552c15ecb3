//! UPDATE and DELETE: a query over the table's rows, which gives those that change.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    self, FromTable, Ident, ObjectName, SelectItem, Spanned, TableFactor, TableWithJoins, UpdateTableFromKind,
};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::types::PgType;

use crate::catalog::Relation;
use crate::context::{Context, at};
use crate::dml::scope::{ScopeColumn, ScopedQuery};
use crate::dml::set::old_columns;
use crate::dml::{DeletePlan, Matches, UpdatePlan, exact, select};
use crate::parameter::Types;
use crate::read::{QueryPlan, conform, output_field};

impl Context {
    /// Plans an UPDATE; `sql` is the text that positions of errors point into.
    pub fn plan_update(&self, update: &ast::Update, sql: &str, parameter_types: &[Option<PgType>]) -> Result<UpdatePlan> {
        let (name, qualifier) = table_of(&update.table)?;
        let table = self.target(name, "update").map_err(|error| self.error(at(error, name.span()), sql))?;
        let mut types = Types::new(update, parameter_types);
        let changed = self.changed(&table, &qualifier, &update.assignments, sql)?;
        let others = match &update.from {
            None => Vec::new(),
            Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) => tables.clone(),
        };
        let matches = matches_of(&table, &others)?;
        let beside = update.returning.is_some() && !others.is_empty();
        let from = std::iter::once(update.table.clone()).chain(others).collect();
        let items = with_everything(changed.items.clone(), beside);
        let query = select(items, from, update.selection.clone());
        let read = self.plan_query(&query, sql, types.known())?;
        types.learn(&query, &read.parameters);
        let mut exprs: Vec<Expr> = (0..table.columns.len()).map(|index| column(&read.plan, index).alias(format!("old {index}"))).collect();
        exprs.extend(self.new_columns(&table, &changed, &read.plan, update.table.span(), sql)?);
        let others = others_of(&read.plan, changed.items.len() + table.columns.len(), beside);
        let both = table.schema().fields().iter().chain(table.schema().fields()).cloned().collect();
        let (plan, schema) = with_others(&read.plan, exprs, both, &others).map_err(|error| self.error(error, sql))?;
        let mut query = QueryPlan { plan, schema, ..read };
        let returning = update.returning.as_deref();
        let mut returning = self.plan_returning(returning, &table, &qualifier, columns_of(&others), sql, &mut types)?;
        let parameters = types.all();
        let relations = share(&mut query, &mut returning, &parameters);
        Ok(UpdatePlan { target: table.id, parameters, relations, table, query, matches, returning })
    }

    /// Plans a DELETE; `sql` is the text that positions of errors point into.
    pub fn plan_delete(&self, delete: &ast::Delete, sql: &str, parameter_types: &[Option<PgType>]) -> Result<DeletePlan> {
        let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
        let Some(first) = tables.first() else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "DELETE needs the name of a table"));
        };
        let (name, qualifier) = table_of(first)?;
        let table = self.target(name, "delete from").map_err(|error| self.error(at(error, name.span()), sql))?;
        let mut types = Types::new(delete, parameter_types);
        let others = delete.using.clone().unwrap_or_default();
        let matches = matches_of(&table, &others)?;
        let beside = delete.returning.is_some() && !others.is_empty();
        let from = std::iter::once(first.clone()).chain(others).collect();
        let items = with_everything(old_columns(&table, &qualifier), beside);
        let query = select(items, from, delete.selection.clone());
        let read = self.plan_query(&query, sql, types.known())?;
        types.learn(&query, &read.parameters);
        let exprs = (0..table.columns.len()).map(|index| column(&read.plan, index)).collect();
        let others = others_of(&read.plan, 2 * table.columns.len(), beside);
        let (plan, schema) =
            with_others(&read.plan, exprs, table.schema().fields().to_vec(), &others).map_err(|error| self.error(error, sql))?;
        let mut query = QueryPlan { plan, schema, ..read };
        let returning = delete.returning.as_deref();
        let mut returning = self.plan_returning(returning, &table, &qualifier, columns_of(&others), sql, &mut types)?;
        let parameters = types.all();
        let relations = share(&mut query, &mut returning, &parameters);
        Ok(DeletePlan { target: table.id, parameters, relations, table, query, matches, returning })
    }
}

fn column(plan: &LogicalPlan, index: usize) -> Expr {
    Expr::Column(Column::from(plan.schema().qualified_field(index)))
}

/// The items, and where RETURNING may name other relations, all columns of the table and of those.
fn with_everything(mut items: Vec<SelectItem>, beside: bool) -> Vec<SelectItem> {
    if beside {
        items.push(SelectItem::Wildcard(ast::WildcardAdditionalOptions::default()));
    }
    items
}

/// The columns of the other relations, which begin at `from`: the plan's expression, and what RETURNING knows it by.
fn others_of(plan: &LogicalPlan, from: usize, beside: bool) -> Vec<(Expr, ScopeColumn)> {
    let range = if beside { from..plan.schema().fields().len() } else { 0..0 };
    range
        .map(|index| {
            let (qualifier, field) = plan.schema().qualified_field(index);
            (column(plan, index), (qualifier.cloned(), Arc::new(output_field(field))))
        })
        .collect()
}

fn columns_of(others: &[(Expr, ScopeColumn)]) -> Vec<ScopeColumn> {
    others.iter().map(|(_, column)| column.clone()).collect()
}

/// A plan of these expressions, whose values are stored in these fields, with the columns of other relations behind them.
fn with_others(
    plan: &LogicalPlan,
    mut exprs: Vec<Expr>,
    mut fields: Vec<FieldRef>,
    others: &[(Expr, ScopeColumn)],
) -> Result<(LogicalPlan, SchemaRef), DataFusionError> {
    for (index, (expr, (_, field))) in others.iter().enumerate() {
        exprs.push(expr.clone().alias(format!("beside {index}")));
        fields.push(field.clone());
    }
    let plan = LogicalPlanBuilder::from(plan.clone()).project(exprs)?.build()?;
    Ok((plan, Arc::new(Schema::new(fields))))
}

/// Tells the parts of a statement all of its parameters' types, and says which relations they read.
fn share(query: &mut QueryPlan, returning: &mut Option<ScopedQuery>, parameters: &[PgType]) -> Vec<RelationId> {
    query.parameters = parameters.to_vec();
    let mut relations = query.relations.clone();
    if let Some(returning) = returning {
        returning.set_parameters(parameters);
        relations.extend(returning.relations());
    }
    relations.sort_unstable();
    relations.dedup();
    relations
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

/// Some columns of the rows as rows of the table.
pub(super) fn part(table: &Relation, rows: &RecordBatch, columns: Range<usize>) -> Result<RecordBatch> {
    conform(&rows.project(&columns.collect::<Vec<_>>())?, &table.schema())
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

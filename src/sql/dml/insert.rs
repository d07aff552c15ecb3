//! INSERT: `VALUES` of constants without any query, everything else as a query that gives the table's columns.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, SetExpr, Spanned, TableObject};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::catalog::Relation;
use crate::context::{Context, at};
use crate::dml::assign::assign;
use crate::dml::conflict::Conflict;
use crate::dml::default::default_ast;
use crate::dml::set::{cast, is_default};
use crate::dml::values::Cell;
use crate::dml::{InsertPlan, NewRows, column_of, exact};
use crate::parameter::{self, Types};
use crate::read::QueryPlan;

impl Context {
    /// Plans an INSERT; `sql` is the text that positions of errors point into.
    pub fn plan_insert(&self, insert: &ast::Insert, sql: &str, parameter_types: &[Option<PgType>]) -> Result<InsertPlan> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT needs the name of a table"));
        };
        let table = self.target(name, "insert into").map_err(|error| self.error(at(error, name.span()), sql))?;
        let qualifier = match &insert.table_alias {
            Some(alias) => alias.alias.clone(),
            None => exact(&table.name),
        };
        let mut types = Types::new(insert, parameter_types);
        let columns = self.insert_columns(insert, &table, sql)?;
        let mut rows = self.new_rows(insert, &table, &columns, sql, &mut types)?;
        let mut conflict = self.plan_conflict(insert, &table, &qualifier, sql, &mut types)?;
        let mut returning = self.plan_returning(insert.returning.as_deref(), &table, &qualifier, Vec::new(), sql, &mut types)?;

        let parameters = types.all();
        let mut relations = Vec::new();
        if let NewRows::Query(query) = &mut rows {
            query.parameters = parameters.clone();
            relations.extend(&query.relations);
        }
        if conflict.is_some() {
            relations.push(table.id);
        }
        let update = match &mut conflict {
            Some(Conflict::Update(update)) => Some(update.as_mut()),
            _ => None,
        };
        for part in update.into_iter().chain(&mut returning) {
            part.set_parameters(&parameters);
            relations.extend(part.relations());
        }
        relations.sort_unstable();
        relations.dedup();
        Ok(InsertPlan { target: table.id, parameters, relations, table, rows, conflict, returning })
    }

    /// The rows that are proposed.
    fn new_rows(&self, insert: &ast::Insert, table: &Relation, columns: &[usize], sql: &str, types: &mut Types) -> Result<NewRows> {
        let Some(query) = &insert.source else {
            return Ok(NewRows::Values(vec![table.columns.iter().map(|_| Cell::Default).collect()]));
        };
        if let Some(rows) = plain_values(query) {
            check_width(rows, columns, insert, self, sql)?;
            if let Some(cells) = self.cells(table, columns, rows, types).map_err(|error| self.error(error, sql))? {
                return Ok(NewRows::Values(cells));
            }
        }
        self.insert_query(table, columns, query, insert, sql, types)
    }

    /// The target columns, in the order of the values.
    fn insert_columns(&self, insert: &ast::Insert, table: &Relation, sql: &str) -> Result<Vec<usize>> {
        if insert.columns.is_empty() {
            return Ok((0..table.columns.len()).collect());
        }
        let mut columns = Vec::with_capacity(insert.columns.len());
        for name in &insert.columns {
            let Some(ident) = name.0.last().and_then(|part| part.as_ident()) else {
                return Err(Error::new(SqlState::SYNTAX_ERROR, format!("{name} is not the name of a column")));
            };
            let column = column_of(self, table, ident, sql)?;
            if columns.contains(&column) {
                let message = format!("column \"{}\" specified more than once", table.columns[column].name);
                return Err(self.error(at(Error::new(SqlState::DUPLICATE_COLUMN, message), ident.span), sql));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    /// Everything but constants: a query, and its columns put where they belong.
    fn insert_query(
        &self,
        table: &Relation,
        columns: &[usize],
        query: &ast::Query,
        insert: &ast::Insert,
        sql: &str,
        types: &mut Types,
    ) -> Result<NewRows> {
        let rows = plain_values(query).map(|rows| rows_as_selects(rows, table, columns)).transpose()?;
        let query = rows.as_ref().unwrap_or(query);
        lone_parameters(&query.body, &mut |position, index| {
            if let Some(column) = columns.get(position) {
                types.note(index, table.columns[*column].ty.clone());
            }
        });
        let read = self.plan_query(query, sql, types.known())?;
        types.learn(query, &read.parameters);
        let width = read.plan.schema().fields().len();
        check_counts(width, columns, insert, self, sql)?;
        let untyped = untyped_columns(&read.plan);
        let source: Vec<(Expr, Arc<Field>)> =
            read.plan.schema().iter().map(|(qualifier, field)| (Expr::Column(Column::from((qualifier, field))), field.clone())).collect();
        let mut exprs = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let expr = match columns.iter().position(|target| *target == index).filter(|position| *position < width) {
                Some(position) => {
                    let (expr, field) = source[position].clone();
                    assign(expr, &field, column, untyped[position]).map_err(|error| self.error(at(error, query.span()), sql))?
                }
                None => self.default_expr(column).map_err(|error| self.error(error, sql))?,
            };
            exprs.push(expr.alias(&column.name));
        }
        let plan = LogicalPlanBuilder::from(read.plan).project(exprs).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| self.error(error, sql))?;
        Ok(NewRows::Query(Box::new(QueryPlan { plan, schema: table.schema(), ..read })))
    }
}

/// The rows of a source that is `VALUES (...)` and nothing more.
fn plain_values(query: &ast::Query) -> Option<&[ast::Parens<Vec<ast::Expr>>]> {
    let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    match query.body.as_ref() {
        SetExpr::Values(values) if plain => Some(&values.rows),
        _ => None,
    }
}

/// Calls `note` with the position and the number of each item of the SELECT lists that is a parameter alone: it has the type
/// of the column that it goes to.
fn lone_parameters(body: &SetExpr, note: &mut impl FnMut(usize, usize)) {
    match body {
        SetExpr::Select(select) => {
            for (position, item) in select.projection.iter().enumerate() {
                if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } = item
                    && let Some(index) = parameter::index(expr)
                {
                    note(position, index);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            lone_parameters(left, note);
            lone_parameters(right, note);
        }
        SetExpr::Query(query) => lone_parameters(&query.body, note),
        _ => {}
    }
}

/// `VALUES` with subqueries: one SELECT a row, for DataFusion runs no subqueries in `VALUES`.
fn rows_as_selects(rows: &[ast::Parens<Vec<ast::Expr>>], table: &Relation, columns: &[usize]) -> Result<ast::Query> {
    let item = |(expr, column): (&ast::Expr, &usize)| {
        let column = &table.columns[*column];
        let expr = match is_default(expr) {
            true => cast(default_ast(column)?.unwrap_or_else(|| ast::Expr::value(ast::Value::Null)), column)?,
            false => expr.clone(),
        };
        Ok(ast::SelectItem::UnnamedExpr(expr))
    };
    let one = |row: &ast::Parens<Vec<ast::Expr>>| {
        let items = row.content.iter().zip(columns).map(item).collect::<Result<Vec<_>>>()?;
        Ok(super::select(items, Vec::new(), None))
    };
    let union = |left: ast::Query, right: ast::Query| {
        let body = SetExpr::SetOperation {
            op: ast::SetOperator::Union,
            set_quantifier: ast::SetQuantifier::All,
            left: left.body,
            right: right.body,
        };
        ast::Query { body: Box::new(body), ..super::select(Vec::new(), Vec::new(), None) }
    };
    let selects = rows.iter().map(one).collect::<Result<Vec<_>>>()?;
    Ok(selects.into_iter().reduce(union).unwrap_or_else(|| super::select(Vec::new(), Vec::new(), None)))
}

fn check_width(rows: &[ast::Parens<Vec<ast::Expr>>], columns: &[usize], insert: &ast::Insert, context: &Context, sql: &str) -> Result<()> {
    let width = rows.first().map_or(0, |row| row.content.len());
    if rows.iter().any(|row| row.content.len() != width) {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
    }
    check_counts(width, columns, insert, context, sql)
}

fn check_counts(width: usize, columns: &[usize], insert: &ast::Insert, context: &Context, sql: &str) -> Result<()> {
    let wrong = |message: &str, span| Err(context.error(at(Error::new(SqlState::SYNTAX_ERROR, message), span), sql));
    if width > columns.len() {
        return wrong(
            "INSERT has more expressions than target columns",
            insert.source.as_ref().map_or_else(Span::empty, |source| source.span()),
        );
    }
    if width < columns.len() && !insert.columns.is_empty() {
        return wrong("INSERT has more target columns than expressions", insert.columns[width].span());
    }
    Ok(())
}

/// Which columns of a plan are literals in quotes, whose type is still open.
pub(super) fn untyped_columns(plan: &LogicalPlan) -> Vec<bool> {
    let width = plan.schema().fields().len();
    match plan {
        LogicalPlan::Projection(projection) => {
            let below = untyped_columns(&projection.input);
            let is_open = |expr: &Expr| match expr.clone().unalias() {
                Expr::Literal(ScalarValue::Utf8(_), _) => true,
                Expr::Column(column) => projection.input.schema().index_of_column(&column).is_ok_and(|index| below[index]),
                _ => false,
            };
            projection.expr.iter().map(is_open).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => untyped_columns(&alias.input),
        LogicalPlan::Union(union) => {
            let inputs: Vec<Vec<bool>> = union.inputs.iter().map(|input| untyped_columns(input)).collect();
            (0..width).map(|column| inputs.iter().all(|input| input[column])).collect()
        }
        LogicalPlan::Values(values) => (0..width)
            .map(|column| values.values.iter().all(|row| matches!(row[column], Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, _))))
            .collect(),
        _ => vec![false; width],
    }
}

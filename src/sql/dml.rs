//! INSERT, UPDATE and DELETE: planned once, then run over a commit's snapshots into the rows to add and to take away.
//!
//! What a table's columns demand is checked here (types, lengths, NOT NULL); that keys are unique is the engine's to keep.

mod assign; // what a value becomes when it is stored in a column
mod insert; // INSERT
mod change; // UPDATE and DELETE
mod arguments; // EXECUTE's

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{Field, FieldRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName};
use datafusion::sql::sqlparser::tokenizer::{Span, TokenWithSpan};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::ids::RelationId;
use weir_common::types::PgType;

use crate::catalog::{DATABASE, PUBLIC, Relation, RelationKind, SCHEMAS};
use crate::context::{Context, SnapshotSource, at};
use crate::dml::insert::Cell;
use crate::function::text;
use crate::names::normalized;
use crate::read::QueryPlan;

/// An INSERT that is planned; like the other plans here, it can be run any number of times on its version of the catalog.
#[derive(Clone, Debug)]
pub struct InsertPlan {
    /// The table.
    pub target: RelationId,
    /// The types of `$1`, `$2` ...
    pub parameters: Vec<PgType>,
    /// The stored relations that it reads: a run needs their snapshots, at one commit. None for `VALUES`.
    pub relations: Vec<RelationId>,
    table: Arc<Relation>,
    rows: NewRows,
}

/// Where an INSERT has its rows from.
#[derive(Clone, Debug)]
enum NewRows {
    /// `VALUES` of constants: no query at all.
    Values(Vec<Vec<Cell>>),
    /// A query that gives the table's columns.
    Query(Box<QueryPlan>),
}

/// An UPDATE that is planned.
#[derive(Clone, Debug)]
pub struct UpdatePlan {
    /// The table.
    pub target: RelationId,
    /// The types of `$1`, `$2` ...
    pub parameters: Vec<PgType>,
    /// The stored relations that it reads, the table among them.
    pub relations: Vec<RelationId>,
    table: Arc<Relation>,
    /// Gives the table's columns as they are, and then as they will be.
    query: QueryPlan,
    matches: Matches,
}

/// A DELETE that is planned.
#[derive(Clone, Debug)]
pub struct DeletePlan {
    /// The table.
    pub target: RelationId,
    /// The types of `$1`, `$2` ...
    pub parameters: Vec<PgType>,
    /// The stored relations that it reads, the table among them.
    pub relations: Vec<RelationId>,
    table: Arc<Relation>,
    /// Gives the table's columns.
    query: QueryPlan,
    matches: Matches,
}

/// How often the query can give one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matches {
    /// Once.
    Once,
    /// Once for each row of another relation that it meets; the first one counts.
    First,
}

/// What a change does.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The rows to take away, in the table's schema.
    pub old: Vec<RecordBatch>,
    /// The rows to add, in the table's schema; of an UPDATE, the n-th is what the n-th of `old` becomes.
    pub new: Vec<RecordBatch>,
    /// The rows that the command tag counts.
    pub rows: usize,
}

impl Context {
    /// Runs an INSERT: `parameters` are values of the plan's parameter types, `snapshots` has every relation that the plan names.
    pub async fn run_insert(&self, plan: &InsertPlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Written> {
        let new = match &plan.rows {
            NewRows::Values(rows) => vec![self.values(&plan.table, rows, parameters, &plan.parameters)?],
            NewRows::Query(query) => self.execute(query, parameters, snapshots).await?.collect().await?,
        };
        new.iter().try_for_each(|batch| check_rows(&plan.table, batch))?;
        Ok(Written { rows: count(&new), new, old: Vec::new() })
    }

    /// Runs an UPDATE, likewise.
    pub async fn run_update(&self, plan: &UpdatePlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Written> {
        let both = self.execute(&plan.query, parameters, snapshots).await?.collect().await?;
        let written = change::split(&plan.table, &both, plan.matches)?;
        written.new.iter().try_for_each(|batch| check_rows(&plan.table, batch))?;
        Ok(written)
    }

    /// Runs a DELETE, likewise.
    pub async fn run_delete(&self, plan: &DeletePlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Written> {
        let old = self.execute(&plan.query, parameters, snapshots).await?.collect().await?;
        let old = change::distinct(&plan.table, old, plan.matches)?;
        Ok(Written { rows: count(&old), old, new: Vec::new() })
    }

    /// The values that columns take where a row does not give any: the DEFAULT, evaluated now, or NULL.
    pub fn defaults(&self, table: &Relation) -> Result<Vec<ScalarValue>> {
        (0..table.columns.len()).map(|column| self.default_value(table, column)).collect()
    }

    /// Checks that a DEFAULT is an expression that can be assigned to its column; for CREATE TABLE.
    pub fn check_default(&self, table: &Relation, column: usize) -> Result<()> {
        self.default_value(table, column).map(drop)
    }

    /// The table that a change names.
    fn target(&self, name: &ObjectName, verb: &str) -> Result<Arc<Relation>> {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(normalized).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let relation = match parts.as_slice() {
            [table] | [PUBLIC, table] | [DATABASE, PUBLIC, table] => self.catalog.require(table)?,
            [schema, table] if SCHEMAS.contains(schema) => {
                let message = format!("cannot {verb} \"{schema}.{table}\": it is a system relation");
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            _ => return Err(self.catalog.missing(&parts.join("."))),
        };
        let refused = |hint: &str| {
            let message = format!("cannot {verb} {} \"{}\"", relation.kind.word(), relation.name);
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
        };
        match &relation.kind {
            RelationKind::Table(_) => Ok(relation.clone()),
            RelationKind::Source(_) => refused("The rows of a source come from outside; write to a table."),
            RelationKind::View(_) => refused("Write to the tables that it reads."),
            RelationKind::MaterializedView(_) => refused("It follows the relations that it reads; write to those."),
        }
    }

    /// Plans an expression in which columns mean nothing, in Postgres' types.
    fn constant(&self, expr: &ast::Expr, parameters: &[Option<FieldRef>]) -> Result<Expr, DataFusionError> {
        let schema = datafusion::common::DFSchema::empty();
        let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.to_vec());
        let mut expr = expr.clone();
        crate::interval::spell_out(&mut expr);
        let expr = SqlToRel::new(self).sql_to_expr(expr, &schema, &mut context)?;
        crate::rules::rewrite(expr, &schema)
    }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// The error of a row that has NULL where the table takes none, if there is one. For COPY too.
pub fn check_rows(table: &Relation, batch: &RecordBatch) -> Result<()> {
    for (column, values) in table.columns.iter().zip(batch.columns()) {
        if column.not_null && values.null_count() > 0 {
            let row = (0..values.len()).find(|row| values.is_null(*row)).unwrap_or(0);
            let message = format!("null value in column \"{}\" of relation \"{}\" violates not-null constraint", column.name, table.name);
            return Err(Error::new(SqlState::NOT_NULL_VIOLATION, message)
                .with_detail(format!("Failing row contains ({}).", describe_row(batch, row)?)));
        }
    }
    Ok(())
}

/// A row as Postgres shows it in a DETAIL: `1, null, x`.
pub fn describe_row(batch: &RecordBatch, row: usize) -> Result<String> {
    let row = batch.slice(row, 1);
    let schema = row.schema();
    let value = |(values, field): (&arrow::array::ArrayRef, &Arc<Field>)| -> Result<String> {
        if values.is_null(0) {
            return Ok("null".to_string());
        }
        let text = text::to_text(values, field)?;
        Ok(arrow::array::AsArray::as_string::<i32>(text.as_ref()).value(0).to_string())
    };
    Ok(row.columns().iter().zip(schema.fields()).map(value).collect::<Result<Vec<_>>>()?.join(", "))
}

/// The column that a change names, or Postgres' error with the nearest name.
fn column_of(context: &Context, table: &Relation, name: &Ident, sql: &str) -> Result<usize> {
    let wanted = normalized(name);
    table.column(&wanted).ok_or_else(|| {
        let message = format!("column \"{wanted}\" of relation \"{}\" does not exist", table.name);
        let error = Error::new(SqlState::UNDEFINED_COLUMN, message);
        let error = match nearest(&wanted, table.columns.iter().map(|column| column.name.as_str())) {
            Some(near) => error.with_hint(format!("Perhaps you meant the column \"{near}\".")),
            None => error,
        };
        context.error(at(error, name.span), sql)
    })
}

/// A SELECT of these items, with nothing else.
fn select(projection: Vec<ast::SelectItem>, from: Vec<ast::TableWithJoins>, selection: Option<ast::Expr>) -> ast::Query {
    let select = ast::Select {
        select_token: ast::helpers::attached_token::AttachedToken(TokenWithSpan::new_eof()),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection,
        connect_by: Vec::new(),
        group_by: ast::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    };
    ast::Query {
        with: None,
        body: Box::new(ast::SetExpr::Select(Box::new(select))),
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

/// An identifier that stands for itself, whatever its case.
fn exact(name: &str) -> Ident {
    Ident { value: name.to_string(), quote_style: Some('"'), span: Span::empty() }
}

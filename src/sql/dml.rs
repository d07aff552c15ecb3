//! INSERT, UPDATE and DELETE: planned once, then run over a commit's snapshots into the rows to add and to take away.
//!
//! What a table's columns demand is checked here (types, lengths, NOT NULL); that keys are unique is the engine's to keep.

mod assign; // what a value becomes when it is stored in a column
mod default; // DEFAULT
mod constraint; // NOT NULL and CHECK
mod values; // VALUES of constants
mod insert; // INSERT
mod conflict; // ON CONFLICT
mod set; // SET column = value, ..
mod change; // UPDATE and DELETE
mod arguments; // EXECUTE's
mod scope; // the rows that RETURNING and DO UPDATE are about
mod returning; // RETURNING
mod lookup; // rows by their key

use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName};
use datafusion::sql::sqlparser::tokenizer::{Span, TokenWithSpan};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::ids::RelationId;
use weir_common::types::PgType;

use crate::catalog::{DATABASE, PUBLIC, Relation, RelationKind, SCHEMAS};
use crate::context::{Context, SnapshotSource, at};
use crate::dml::conflict::Conflict;
pub(crate) use crate::dml::default::expression;
use crate::dml::scope::ScopedQuery;
pub(crate) use crate::dml::scope::{SCOPE, ScopePlanner};
use crate::dml::values::Cell;
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
    conflict: Option<Conflict>,
    returning: Option<ScopedQuery>,
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
    /// Gives the table's columns as they are, then as they will be, and then what RETURNING can name besides.
    query: QueryPlan,
    matches: Matches,
    returning: Option<ScopedQuery>,
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
    /// Gives the table's columns, and then what RETURNING can name besides.
    query: QueryPlan,
    matches: Matches,
    returning: Option<ScopedQuery>,
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
    /// What RETURNING gives, a row for each of them; `None` without RETURNING.
    pub returned: Option<RecordBatch>,
}

impl InsertPlan {
    /// The columns that RETURNING gives.
    pub fn returns(&self) -> Option<SchemaRef> {
        self.returning.as_ref().map(|query| query.schema.clone())
    }

    /// Whether it may change rows that are there already, or depends on which are there: then the table has to be locked.
    pub fn looks_at_keys(&self) -> bool {
        self.conflict.is_some()
    }
}

impl UpdatePlan {
    /// The columns that RETURNING gives.
    pub fn returns(&self) -> Option<SchemaRef> {
        self.returning.as_ref().map(|query| query.schema.clone())
    }
}

impl DeletePlan {
    /// The columns that RETURNING gives.
    pub fn returns(&self) -> Option<SchemaRef> {
        self.returning.as_ref().map(|query| query.schema.clone())
    }
}

impl Context {
    /// Runs an INSERT: `parameters` are values of the plan's parameter types, `snapshots` has every relation that the plan names.
    pub async fn run_insert(&self, plan: &InsertPlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Written> {
        let new = match &plan.rows {
            NewRows::Values(rows) => self.values(&plan.table, rows, parameters, &plan.parameters)?,
            NewRows::Query(query) => {
                let batches = self.execute(query, parameters, snapshots.clone()).await?.collect().await?;
                concat_batches(&query.schema, &batches)?
            }
        };
        self.check_rows(&plan.table, &new)?;
        let mut written = match &plan.conflict {
            None => Written { rows: new.num_rows(), new: vec![new], ..Written::default() },
            Some(conflict) => self.resolve(conflict, &plan.table, new, parameters, &snapshots).await?,
        };
        if plan.returning.is_some() {
            let new = concat_batches(&plan.table.schema(), &written.new)?;
            let columns = new.columns().to_vec();
            written.returned = self.returned(plan.returning.as_ref(), columns, new.num_rows(), parameters, &snapshots).await?;
        }
        Ok(written)
    }

    /// Runs an UPDATE, likewise.
    pub async fn run_update(&self, plan: &UpdatePlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Written> {
        let width = plan.table.columns.len();
        let rows = self.changed_rows(&plan.query, &plan.table, plan.matches, parameters, &snapshots).await?;
        let part = |columns: std::ops::Range<usize>| change::part(&plan.table, &rows, columns);
        let (old, new) = (part(0..width)?, part(width..2 * width)?);
        self.check_rows(&plan.table, &new)?;
        let columns = rows.columns()[width..].to_vec();
        let returned = self.returned(plan.returning.as_ref(), columns, rows.num_rows(), parameters, &snapshots).await?;
        Ok(Written { rows: rows.num_rows(), old: vec![old], new: vec![new], returned })
    }

    /// Runs a DELETE, likewise.
    pub async fn run_delete(&self, plan: &DeletePlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Written> {
        let rows = self.changed_rows(&plan.query, &plan.table, plan.matches, parameters, &snapshots).await?;
        let old = change::part(&plan.table, &rows, 0..plan.table.columns.len())?;
        let columns = rows.columns().to_vec();
        let returned = self.returned(plan.returning.as_ref(), columns, rows.num_rows(), parameters, &snapshots).await?;
        Ok(Written { rows: rows.num_rows(), old: vec![old], new: Vec::new(), returned })
    }

    async fn changed_rows(
        &self,
        query: &QueryPlan,
        table: &Relation,
        matches: Matches,
        parameters: &[ScalarValue],
        snapshots: &Arc<dyn SnapshotSource>,
    ) -> Result<RecordBatch> {
        let batches = self.execute(query, parameters, snapshots.clone()).await?.collect().await?;
        let batches = change::distinct(table, batches, matches)?;
        Ok(concat_batches(&query.schema, &batches)?)
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
            RelationKind::LateRows(_) => {
                refused("Late rows go with ADMIT LATE into the view that they came too late for, or away with DISCARD LATE.")
            }
        }
    }

    /// Plans an expression over columns, perhaps none, in Postgres' types.
    fn scalar(&self, expr: &ast::Expr, schema: &DFSchema, parameters: &[Option<FieldRef>]) -> Result<Expr, DataFusionError> {
        let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.to_vec());
        let mut expr = expr.clone();
        crate::interval::spell_out(&mut expr);
        crate::function::zone::spell_out(&mut expr);
        let expr = SqlToRel::new(self).sql_to_expr(expr, schema, &mut context)?;
        crate::rules::rewrite(expr, schema, self.config())
    }

    fn simplifier(&self, schema: &DFSchema) -> ExprSimplifier {
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(self.config().clone())
            .with_query_execution_start_time(self.now())
            .build();
        ExprSimplifier::new(context)
    }
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

//! Rows that a change is about, as a relation that the change's own expressions are planned over: what RETURNING sees,
//! and in ON CONFLICT DO UPDATE the row that is there beside `excluded`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, ObjectName, SelectItem, TableFactor, TableWithJoins};
use weir_common::delta::batch;
use weir_common::error::{Error, Result};
use weir_common::ids::RelationId;
use weir_common::snapshot::{Run, Snapshot};
use weir_common::types::PgType;

use crate::catalog::{ColumnDef, Relation, RelationKind, TableDef};
use crate::context::table::RelationTable;
use crate::context::{Context, SnapshotSource};
use crate::dml::{exact, select};
use crate::names::last_part;
use crate::read::QueryPlan;

/// What the relation is called in FROM; a name that no relation of users has.
pub(crate) const SCOPE: &str = "\u{1}rows";
/// The number of a row, by which the result is put into the rows' order.
const NUMBER: &str = "\u{1}number";
/// The relation's number, in no catalog.
const ID: RelationId = RelationId(u32::MAX);

/// A column of the rows: by which name expressions know its relation, and its field.
pub(super) type ScopeColumn = (Option<TableReference>, FieldRef);

/// The columns of the rows.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    names: Vec<(Option<TableReference>, String)>,
    relation: Arc<Relation>,
}

impl Scope {
    /// Rows of these columns.
    pub(super) fn new(columns: Vec<ScopeColumn>) -> Scope {
        let number: ScopeColumn = (Some(TableReference::bare(NUMBER)), Arc::new(Field::new(NUMBER, DataType::Int64, false)));
        let (mut names, mut defs) = (Vec::new(), Vec::new());
        for (index, (qualifier, field)) in columns.into_iter().chain([number]).enumerate() {
            names.push((qualifier, field.name().clone()));
            let ty = PgType::of_field(&field);
            defs.push(ColumnDef { name: format!("c{index}"), ty, data_type: field.data_type().clone(), not_null: false, default: None });
        }
        let kind = RelationKind::Table(TableDef::default());
        let relation = Relation { id: ID, name: SCOPE.to_string(), kind, columns: defs, sql: String::new(), depends_on: Vec::new() };
        Scope { names, relation: Arc::new(relation) }
    }

    fn plan(&self) -> Result<LogicalPlan, DataFusionError> {
        let source = provider_as_source(Arc::new(RelationTable::new(self.relation.clone())));
        let scan = LogicalPlanBuilder::scan(TableReference::bare(SCOPE), source, None)?;
        let named = self.names.iter().zip(&self.relation.columns).map(|((qualifier, name), column)| {
            Expr::Column(Column::new(Some(TableReference::bare(SCOPE)), &column.name)).alias_qualified(qualifier.clone(), name)
        });
        scan.project(named.collect::<Vec<_>>())?.build()
    }

    /// What `*` stands for.
    fn all(&self) -> Vec<SelectItem> {
        let columns = self.names.iter().take(self.names.len() - 1);
        columns
            .map(|(qualifier, name)| {
                let mut path: Vec<ast::Ident> = qualifier.iter().flat_map(TableReference::to_vec).map(|part| exact(&part)).collect();
                path.push(exact(name));
                SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(path))
            })
            .collect()
    }

    fn snapshot(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<Snapshot> {
        let schema = self.relation.schema();
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let columns = columns.into_iter().chain([numbers]).collect();
        let run = Run { rows: Arc::new(batch(schema.clone(), columns, rows)?), live: None };
        Ok(Snapshot { schema, epoch: 0, runs: vec![run], watermarks: vec![] })
    }
}

/// A query over the rows of a [`Scope`]; it can be run any number of times.
#[derive(Clone, Debug)]
pub(super) struct ScopedQuery {
    scope: Scope,
    /// Gives the columns, and last the number of the row.
    query: QueryPlan,
    /// The columns alone.
    pub(super) schema: SchemaRef,
}

impl ScopedQuery {
    /// Of a plan whose last column is the row's number; `schema` are the other columns.
    pub(super) fn new(scope: Scope, query: QueryPlan, schema: SchemaRef) -> ScopedQuery {
        let fields = schema.fields().iter().cloned().chain([Arc::new(Field::new(NUMBER, DataType::Int64, true))]);
        let with_number = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        ScopedQuery { scope, query: QueryPlan { schema: with_number, ..query }, schema }
    }

    /// The stored relations that it reads besides.
    pub(super) fn relations(&self) -> &[RelationId] {
        &self.query.relations
    }

    /// Says what all parameters of the statement are.
    pub(super) fn set_parameters(&mut self, parameters: &[PgType]) {
        self.query.parameters = parameters.to_vec();
    }
}

impl Context {
    /// Plans expressions over rows; the last column of the plan is the number of the row.
    pub(super) fn plan_scope(
        &self,
        scope: &Scope,
        items: Vec<SelectItem>,
        selection: Option<ast::Expr>,
        sql: &str,
        types: &[Option<PgType>],
    ) -> Result<QueryPlan> {
        let mut projection = Vec::with_capacity(items.len() + 1);
        for item in items {
            match item {
                SelectItem::Wildcard(_) => projection.extend(scope.all()),
                item => projection.push(item),
            }
        }
        let number = ast::Expr::CompoundIdentifier(vec![exact(NUMBER), exact(NUMBER)]);
        projection.push(SelectItem::ExprWithAlias { expr: number, alias: exact(NUMBER) });
        let from = TableWithJoins { relation: table(SCOPE), joins: Vec::new() };
        let plan = scope.plan().map_err(|error| self.error(error, sql))?;
        let query = select(projection, vec![from], selection);
        let mut planned = self.with_scope(plan, || self.plan_query(&query, sql, types))?;
        planned.relations.retain(|relation| *relation != ID);
        Ok(planned)
    }

    /// Runs a query over these rows: its rows in their order, and which of them each one is.
    pub(super) async fn run_scope(
        &self,
        query: &ScopedQuery,
        columns: Vec<ArrayRef>,
        rows: usize,
        parameters: &[ScalarValue],
        snapshots: &Arc<dyn SnapshotSource>,
    ) -> Result<(RecordBatch, Vec<usize>)> {
        let rows = query.scope.snapshot(columns, rows)?;
        let snapshots: Arc<dyn SnapshotSource> = Arc::new(WithRows { rows, others: snapshots.clone() });
        let batches = self.execute(&query.query, parameters, snapshots).await?.collect().await?;
        let found = concat_batches(&query.query.schema, &batches)?;
        let width = query.schema.fields().len();
        let numbers = found.column(width).as_primitive::<Int64Type>();
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        order.sort_by_key(|row| numbers.value(*row as usize));
        let of = order.iter().map(|row| numbers.value(*row as usize) as usize).collect();
        let in_order = if order.is_sorted() { found } else { take_record_batch(&found, &UInt32Array::from(order))? };
        let columns = in_order.columns()[..width].to_vec();
        Ok((batch(query.schema.clone(), columns, in_order.num_rows())?, of))
    }
}

/// The rows beside the statement's snapshots.
#[derive(Debug)]
struct WithRows {
    rows: Snapshot,
    others: Arc<dyn SnapshotSource>,
}

impl SnapshotSource for WithRows {
    fn snapshot(&self, relation: RelationId) -> Result<Snapshot> {
        if relation == ID { Ok(self.rows.clone()) } else { self.others.snapshot(relation) }
    }
}

fn table(name: &str) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![exact(name)]),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Puts the rows' plan in the place of their name, with the names of several relations, as a join has them.
#[derive(Debug)]
pub(crate) struct ScopePlanner;

impl RelationPlanner for ScopePlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> datafusion::common::Result<RelationPlanning> {
        match &relation {
            TableFactor::Table { name, args: None, alias: None, .. } if last_part(name) == SCOPE => {
                let source = context.context_provider().get_table_source(TableReference::bare(SCOPE))?;
                let plan = source.get_logical_plan().ok_or_else(|| crate::context::external(Error::internal("rows without a plan")))?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan.into_owned(), None))))
            }
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

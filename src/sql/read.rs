//! Ad-hoc reads: a query planned without its data, then run at one commit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use futures::stream::BoxStream;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::types::PgType;

use crate::catalog::{ColumnDef, RelationKind};
use crate::context::table::{RelationTable, Snapshots};
use crate::context::{Context, SnapshotSource};
use crate::interrupt::{Abandoned, interruptible};
use crate::names::output_name;
use crate::offload::offload;
use crate::parameter;
use crate::window::closed;

/// Rows from which on a query is spread over all cores.
const PARALLEL_ROWS_MIN: usize = 512 * 1024;

/// A query that is planned: enough for Describe, and for any number of runs on one version of the catalog.
#[derive(Clone, Debug)]
pub struct QueryPlan {
    pub(crate) plan: LogicalPlan,
    /// The output columns under the names that a client sees; names may repeat.
    pub schema: SchemaRef,
    /// The types of `$1`, `$2` ...
    pub parameters: Vec<PgType>,
    /// The stored relations that it reads: a run needs their snapshots, at one commit.
    pub relations: Vec<RelationId>,
    /// The sources that it reads from their start.
    pub sources: Vec<RelationId>,
    /// Whether it may ask which windows are closed.
    pub(crate) asks_final: bool,
}

/// Rows on their way to a client.
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    /// The rows; dropping it ends the query.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
}

impl Rows {
    /// All rows at once, for queries that are known to be small.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.batches.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

impl Context {
    /// Plans a query; `sql` is the text that positions of errors point into, `parameter_types` what the client said of
    /// `$1`, `$2` ... (`None` or missing: to be inferred).
    pub fn plan_query(&self, query: &ast::Query, sql: &str, parameter_types: &[Option<PgType>]) -> Result<QueryPlan> {
        let (plan, parameters) = self.plan_with_parameters(query, parameter_types).map_err(|error| self.error(error, sql))?;
        let schema = output_schema(&plan)?;
        let (relations, sources) = relations(&plan).map_err(|error| self.error(error, sql))?;
        Ok(QueryPlan { plan, schema, parameters, relations, sources, asks_final: closed::ask::names(query) })
    }

    fn plan_with_parameters(&self, query: &ast::Query, given: &[Option<PgType>]) -> Result<(LogicalPlan, Vec<PgType>), DataFusionError> {
        let mut types = parameter::types_from_syntax(query);
        for (index, ty) in given.iter().enumerate() {
            if let Some(ty) = ty {
                types.insert(index, ty.clone());
            }
        }
        let count = parameter::count(query).max(given.len());
        let bind = |types: &HashMap<usize, PgType>| {
            let fields: Vec<Option<FieldRef>> =
                (0..count).map(|index| types.get(&index).map(|ty| Arc::new(ty.field(format!("${}", index + 1))))).collect();
            self.bind(query.clone(), PlannerContext::new().with_prepare_param_data_types(fields))
        };
        let mut plan = bind(&types)?;
        if (0..count).any(|index| !types.contains_key(&index)) {
            // What the planner inferred; text, as in Postgres, where it could not.
            let inferred: HashMap<String, Option<FieldRef>> = plan.get_parameter_fields()?;
            for index in 0..count {
                let field = inferred.get(&format!("${}", index + 1)).cloned().flatten();
                types.entry(index).or_insert_with(|| field.map_or(PgType::Text, |field| parameter::type_of(&field)));
            }
            plan = bind(&types)?;
        }
        let parameters = (0..count).map(|index| types.get(&index).cloned().unwrap_or(PgType::Text)).collect();
        Ok((self.analyze(plan)?, parameters))
    }

    /// Runs a planned query: `parameters` are values of the plan's parameter types, `snapshots` has every relation that the
    /// plan names.
    pub async fn execute(&self, query: &QueryPlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Rows> {
        let (plan, task) = self.physical(query, parameters, snapshots).await?;
        let abandoned = Abandoned::default();
        let plan = interruptible(plan, &abandoned).map_err(|error| self.error(error, ""))?;
        let stream = execute_stream(plan, task).map_err(|error| self.error(error, ""))?;
        let schema = query.schema.clone();
        let to = schema.clone();
        let batches = stream.map(move |batch| match batch {
            Ok(batch) => conform(&batch, &to),
            Err(error) => Err(crate::error::from_datafusion(error, "")),
        });
        Ok(Rows { schema, batches: offload(batches.boxed(), abandoned) })
    }

    pub(crate) async fn physical(
        &self,
        query: &QueryPlan,
        parameters: &[ScalarValue],
        snapshots: Arc<dyn SnapshotSource>,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
        if parameters.len() != query.parameters.len() {
            let message =
                format!("bind message supplies {} parameters, but the statement requires {}", parameters.len(), query.parameters.len());
            return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        let mut state = self.state();
        let mut rows = 0;
        for relation in &query.relations {
            rows += snapshots.snapshot(*relation)?.num_rows();
        }
        if rows >= PARALLEL_ROWS_MIN {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            state.config_mut().options_mut().execution.target_partitions = cores;
        }
        let of_commit = snapshots.clone();
        state.config_mut().set_extension(Arc::new(Snapshots(snapshots)));
        let planned = async {
            let mut plan = query.plan.clone();
            if !parameters.is_empty() {
                plan = plan.replace_params_with_values(&ParamValues::from(parameters.to_vec()))?;
            }
            if query.asks_final {
                plan = closed::decide(plan, &self.catalog, &*of_commit)?;
            }
            let plan = state.optimizer().optimize(plan, &state, |_, _| {})?;
            state.query_planner().create_physical_plan(&plan, &state).await
        };
        let plan = planned.await.map_err(|error| self.error(error, ""))?;
        let task = TaskContext::new(
            None,
            String::new(),
            state.config().clone(),
            Default::default(),
            Default::default(),
            Default::default(),
            Default::default(),
            state.runtime_env().clone(),
        );
        Ok((plan, Arc::new(task)))
    }
}

/// The stored relations and the sources that a plan scans, each once, subqueries included.
pub(crate) fn relations(plan: &LogicalPlan) -> Result<(Vec<RelationId>, Vec<RelationId>), DataFusionError> {
    let (mut stored, mut sources) = (Vec::new(), Vec::new());
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(table) = provider.downcast_ref::<RelationTable>()
        {
            let list = if matches!(table.relation.kind, RelationKind::Source(_)) { &mut sources } else { &mut stored };
            if !list.contains(&table.relation.id) {
                list.push(table.relation.id);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((stored, sources))
}

/// The columns that a client, or a view, gets from an analyzed plan.
pub(crate) fn output_schema(plan: &LogicalPlan) -> Result<SchemaRef> {
    Ok(Arc::new(Schema::new(plan.schema().fields().iter().map(|field| output_field(field)).collect::<Vec<_>>())))
}

/// A column as a client, or a view, gets it.
pub(crate) fn output_field(field: &Field) -> Field {
    let data_type = served_type(field.data_type());
    let name = output_name(field.name());
    let ty = match data_type == *field.data_type() {
        true => PgType::of_field(field),
        false => PgType::of_arrow(&data_type),
    };
    ColumnDef { name: name.to_string(), ty, data_type, not_null: false, default: None }.field()
}

/// The type in which values leave DataFusion: one Arrow type for each Postgres type.
pub(crate) fn served_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Interval(_) | DataType::Duration(_) => PgType::Interval.arrow(),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Dictionary(_, value) => served_type(value),
        DataType::List(element) | DataType::LargeList(element) | DataType::ListView(element) | DataType::FixedSizeList(element, _) => {
            DataType::List(Arc::new(Field::new("item", served_type(element.data_type()), true)))
        }
        other => other.clone(),
    }
}

/// The batch with the columns' served types and the schema's names.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| served(column, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<Vec<_>>>()?, &options)?)
}

fn served(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    Ok(cast_with_options(column, to, &CastOptions { safe: false, ..Default::default() })?)
}

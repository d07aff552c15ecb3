//! Names to table sources and functions: the side of the context that DataFusion's planner asks.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::PlannerContext;
use weir_common::error::{Error, SqlState, nearest};

use crate::catalog::{DATABASE, PUBLIC, Relation, RelationKind, SCHEMAS};
use crate::context::table::RelationTable;
use crate::context::{Context, external, parse_query};
use crate::dml::SCOPE;
use crate::functions_in_from;
use crate::types::SqlTypes;

/// A plain view: its query stands in its place.
struct ViewSource {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

impl Context {
    /// The source of a relation of the catalog.
    pub(crate) fn relation_source(&self, relation: &Arc<Relation>) -> Result<Arc<dyn TableSource>> {
        self.note(relation.id);
        match &relation.kind {
            RelationKind::View(view) => {
                let query = parse_query(&view.query).map_err(external)?;
                let plan = self.inside_view(|| self.bind(query, PlannerContext::new()))?;
                // The view's own column names; by position, for the query may have two of one name.
                let columns: Vec<Expr> = plan
                    .schema()
                    .iter()
                    .zip(&relation.columns)
                    .map(|((qualifier, field), column)| Expr::Column(Column::from((qualifier, field))).alias(&column.name))
                    .collect();
                let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
                Ok(Arc::new(ViewSource { schema: relation.schema(), plan }))
            }
            _ => Ok(provider_as_source(Arc::new(RelationTable::new(relation.clone())))),
        }
    }

    fn system_source(&self, schema: &str, name: &str) -> Option<Arc<dyn TableSource>> {
        self.system.table(schema, name).map(provider_as_source)
    }

    fn missing_in(&self, schema: &str, name: &str) -> Error {
        if self.maintained && SCHEMAS.contains(&schema) {
            return Error::unsupported(format!("a materialized view cannot read system relation \"{schema}.{name}\""))
                .with_hint("System relations do not report their changes; read it with a SELECT or through a plain view.");
        }
        let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{schema}.{name}\" does not exist"));
        let names = self.system.tables(schema);
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{schema}.{near}\".")),
            None => error,
        }
    }
}

impl ContextProvider for Context {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let (schema, table) = match &name {
            TableReference::Bare { table } => (None, table.as_ref()),
            TableReference::Partial { schema, table } => (Some(schema.as_ref()), table.as_ref()),
            TableReference::Full { catalog, schema, table } if catalog.as_ref() == DATABASE => (Some(schema.as_ref()), table.as_ref()),
            TableReference::Full { .. } => {
                let message = format!("cross-database references are not implemented: \"{name}\"");
                return Err(external(Error::unsupported(message)));
            }
        };
        match schema {
            None if table == SCOPE
                && let Some(plan) = self.scope() =>
            {
                Ok(Arc::new(ViewSource { schema: plan.schema().inner().clone(), plan }))
            }
            None => match self.catalog.by_name(table) {
                Some(relation) => self.relation_source(relation),
                None => self.system_source("pg_catalog", table).ok_or_else(|| external(self.catalog.missing(table))),
            },
            Some(PUBLIC) => match self.catalog.by_name(table) {
                Some(relation) => self.relation_source(relation),
                None => Err(external(self.catalog.missing(table).with_message(format!("relation \"{name}\" does not exist")))),
            },
            Some(schema) => self.system_source(schema, table).ok_or_else(|| external(self.missing_in(schema, table))),
        }
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let name = name.strip_prefix("pg_catalog.").unwrap_or(name).to_lowercase();
        let function = self.system.table_function(&name).or_else(|| self.base.table_functions().get(&name).cloned());
        // A series of times or dates is a list that DataFusion makes at once; one of numbers has no end that it could not have.
        let (empty, list) = (DFSchema::empty(), name == functions_in_from::SERIES);
        let of_times = list && args.iter().any(|arg| arg.get_type(&empty).is_ok_and(|ty| !ty.is_integer() && !ty.is_null()));
        let Some(function) = function.filter(|_| !of_times) else {
            let Some(scalar) = self.get_function_meta(&name) else {
                let message = format!("function {name} does not exist in FROM");
                return Err(external(Error::new(SqlState::UNDEFINED_FUNCTION, message)));
            };
            let args = if of_times { functions_in_from::as_times(args)? } else { args };
            let plan = functions_in_from::rows_of(&name, scalar, args)?;
            return Ok(Arc::new(ViewSource { schema: plan.schema().inner().clone(), plan }));
        };
        functions_in_from::check_arguments(&name, &args)?;
        let simplify =
            SimplifyContext::builder().with_config_options(self.config().clone()).with_query_execution_start_time(self.now()).build();
        let simplifier = ExprSimplifier::new(simplify);
        let schema = DFSchema::empty();
        let args = args.into_iter().map(|arg| simplifier.simplify(simplifier.coerce(arg, &schema)?)).collect::<Result<Vec<_>>>()?;
        Ok(provider_as_source(function.create_table_provider_with_args(TableFunctionArgs::new(&args, &self.state()))?))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.base.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.base.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SqlTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
        self.system.function(name).or_else(|| self.base.scalar_functions().get(name).cloned())
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.base.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.base.aggregate_functions().get(name.strip_prefix("pg_catalog.").unwrap_or(name)).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.base.window_functions().get(name.strip_prefix("pg_catalog.").unwrap_or(name)).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.config()
    }

    fn udf_names(&self) -> Vec<String> {
        self.base.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.base.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.base.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.base.window_functions().keys().cloned().collect()
    }
}

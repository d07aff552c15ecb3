//! Expressions for operators: DataFusion's physical expressions behind [`BatchExpr`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use weir_common::error::Result;
use weir_common::expr::{BatchExpr, Column, ExprRef};

use crate::error::from_datafusion;
use crate::function::same::Same;
use crate::micros;
use crate::names::display_name;
use crate::shown::shown;

/// Compiles an analyzed expression over rows of `schema`.
pub(crate) fn compile(expr: &Expr, schema: &DFSchema, config: &Arc<ConfigOptions>) -> Result<ExprRef, DataFusionError> {
    let data_type = expr.get_type(schema)?;
    compile_as(expr, schema, config, data_type)
}

/// Compiles an analyzed expression whose values are wanted as `data_type`.
pub(crate) fn compile_as(
    expr: &Expr,
    schema: &DFSchema,
    config: &Arc<ConfigOptions>,
    data_type: DataType,
) -> Result<ExprRef, DataFusionError> {
    let inner = Same::seen_through(expr.clone().unalias_nested().data)?;
    if let Expr::Column(column) = &inner {
        let index = schema.index_of_column(column)?;
        if *schema.field(index).data_type() == data_type {
            return Ok(Arc::new(Column { index, name: display_name(&column.name), data_type }));
        }
    }
    let mut props = ExecutionProps::new();
    props.config_options = Some(config.clone());
    let physical = create_physical_expr(&micros::in_expr_over(&inner, schema)?, schema, &props, &PhysicalPlanningContext::default())?;
    Ok(Arc::new(Compiled { physical, data_type, text: inner.human_display().to_string(), shown: shown(&inner) }))
}

/// A physical expression and the type that its values are wanted in.
#[derive(Debug)]
struct Compiled {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    text: String,
    shown: String,
}

impl BatchExpr for Compiled {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let failed = |error| from_datafusion(error, "");
        let values = self.physical.evaluate(batch).map_err(failed)?.into_array(batch.num_rows()).map_err(failed)?;
        if *values.data_type() == self.data_type {
            return Ok(values);
        }
        Ok(cast_with_options(&values, &self.data_type, &CastOptions { safe: false, ..Default::default() })?)
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn columns(&self) -> Vec<usize> {
        collect_columns(&self.physical).iter().map(|column| column.index()).collect()
    }

    fn describe(&self) -> String {
        self.text.clone()
    }

    fn shown(&self) -> String {
        self.shown.clone()
    }
}

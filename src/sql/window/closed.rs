//! `window_final`: whether the window that a row of a materialized view is of is closed, at the commit that the query reads. The column is
//! virtual: it is not among the view's columns, and a query that names it asks for it.

pub(crate) mod ask; // in the text of a query

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr as Planned, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use weir_common::error::Error;
use weir_common::ids::RelationId;
use weir_common::plan::WindowEnd;

use crate::catalog::{Catalog, RelationKind};
use crate::context::{SnapshotSource, external};

/// What users call it.
pub(crate) const WINDOW_FINAL: &str = "window_final";
/// The function that it stands for: of what names the window, and of the number of the view.
pub(crate) const FUNCTION: &str = "weir_window_final";

/// The function, before and after it is known which windows are closed.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowFinal {
    signature: Signature,
    /// The latest moment that names a closed window; `None` before that is known.
    upto: Option<i64>,
}

impl Default for WindowFinal {
    fn default() -> Self {
        WindowFinal { signature: Signature::any(2, Volatility::Stable), upto: None }
    }
}

impl ScalarUDFImpl for WindowFinal {
    fn name(&self) -> &str {
        FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(upto) = self.upto else { return exec_err!("window_final was asked for outside of a query") };
        let named = args.args[0].to_array(args.number_rows)?;
        let Some(named) = named.as_primitive_opt::<TimestampMicrosecondType>() else { return exec_err!("a window is named by no moment") };
        let closed: BooleanArray = named.iter().map(|named| Some(named? <= upto)).collect();
        Ok(ColumnarValue::Array(Arc::new(closed)))
    }
}

/// The plan with what is closed at the commit of these snapshots.
pub(crate) fn decide(plan: LogicalPlan, catalog: &Catalog, snapshots: &dyn SnapshotSource) -> Result<LogicalPlan, DataFusionError> {
    let decided = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Planned::ScalarFunction(mut call) if call.func.name() == FUNCTION => {
                    let view = match call.args.get(1) {
                        Some(Planned::Literal(view, _)) => view.cast_to(&DataType::UInt32)?,
                        _ => ScalarValue::Null,
                    };
                    let ScalarValue::UInt32(Some(view)) = view else { return Err(external(Error::internal("window_final of no view"))) };
                    let view = RelationId(view);
                    let upto = closed_upto(view, catalog, snapshots).map_err(external)?;
                    call.func = Arc::new(ScalarUDF::from(WindowFinal { upto: Some(upto), ..WindowFinal::default() }));
                    Ok(Transformed::yes(Planned::ScalarFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    });
    Ok(decided?.data)
}

/// The latest moment that names a closed window of a view; the first of all where there is none.
fn closed_upto(view: RelationId, catalog: &Catalog, snapshots: &dyn SnapshotSource) -> weir_common::error::Result<i64> {
    let life = match catalog.by_id(view).map(|relation| &relation.kind) {
        Some(RelationKind::MaterializedView(view)) => view.life.as_ref(),
        _ => None,
    };
    let Some(life) = life else { return Ok(i64::MIN) };
    let snapshot = snapshots.snapshot(view)?;
    let watermark = snapshot.watermarks.iter().find(|(source, _)| *source == life.closing.source).and_then(|(_, watermark)| *watermark);
    let Some(watermark) = watermark.map(|watermark| life.closing.watermark(watermark)) else { return Ok(i64::MIN) };
    if watermark == i64::MAX {
        return Ok(i64::MAX);
    }
    let end = watermark.saturating_sub(life.lateness);
    Ok(match life.closing.end {
        WindowEnd::After(micros) => end.saturating_sub(micros),
        WindowEnd::Months(window) => window.start(end).saturating_sub(1),
    })
}

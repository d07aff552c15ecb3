//! HOP and CUMULATE: planned as an edge of each window in a list that is unnested.

use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Unnest};
use weir_common::error::Error;
use weir_common::expr::ExprRef;
use weir_common::plan::{Node, Op};
use weir_common::window::Windows;

use crate::context::external;
use crate::expr::compile;
use crate::function::window::WindowEdges;
use crate::lower::{Lowering, facts, project_with, refuse, schema_of};

/// The projection below, which of its columns holds the windows' edges, and the windows; `None` for any other unnest.
pub(super) fn of(unnest: &Unnest) -> Option<(&Projection, usize, Windows)> {
    let [(column, _)] = unnest.list_type_columns.as_slice() else { return None };
    let LogicalPlan::Projection(projection) = unnest.input.as_ref() else { return None };
    let (_, windows) = WindowEdges::of(projection.expr.get(*column)?)?;
    unnest.struct_type_columns.is_empty().then_some((projection, *column, windows))
}

impl Lowering<'_> {
    pub(super) fn windows(&self, unnest: &Unnest) -> Result<Node, DataFusionError> {
        let Some((projection, column, windows)) = of(unnest) else {
            return Err(external(refuse::node(&LogicalPlan::Unnest(unnest.clone()))));
        };
        let input = self.node(&projection.input)?;
        let schema = projection.input.schema();
        // The event time where its windows will be.
        let exprs: Vec<Expr> = projection.expr.iter().map(|expr| WindowEdges::of(expr).map_or(expr, |(time, _)| time).clone()).collect();
        let compiled: Vec<ExprRef> = exprs.iter().map(|expr| compile(expr, schema, self.context.config())).collect::<Result<_, _>>()?;
        let steps = facts::steps(&exprs, schema);
        let output = schema_of(&unnest.schema);
        if output.fields().len() != compiled.len() {
            return Err(external(Error::internal("HOP or CUMULATE changes the number of columns")));
        }
        let input = project_with(input, compiled, output.clone(), &steps);
        let facts = facts::of_windows(&input.facts, column, windows);
        Ok(Node { op: Op::Windows { column, windows, closed: None }, inputs: vec![input], schema: output, facts })
    }
}

//! `weir_session_start(ts) OVER (PARTITION BY .. ORDER BY ts)` and `weir_session_end`: the window of each row's session.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, FieldRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Expr, PartitionEvaluator, Signature, Volatility, WindowFrame, WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
};

/// One of the functions; no user can call them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionEdge {
    end: bool,
    /// Microseconds.
    gap: i64,
    signature: Signature,
}

/// What rows are in one session: each is less than the gap after the one before, among those of one partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sessions {
    pub(crate) partition: Vec<Expr>,
    pub(crate) time: Expr,
    /// Microseconds.
    pub(crate) gap: i64,
}

impl Sessions {
    /// The start of a row's session, and its end.
    pub(crate) fn edges(&self) -> [Expr; 2] {
        [false, true].map(|end| {
            let function = SessionEdge { end, gap: self.gap, signature: Signature::any(1, Volatility::Immutable) };
            let function = WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::new_from_impl(function)));
            let mut call = WindowFunction::new(function, vec![self.time.clone()]);
            call.params.partition_by = self.partition.clone();
            call.params.order_by = vec![self.time.clone().sort(true, false)];
            call.params.window_frame = WindowFrame::new(Some(false));
            Expr::from(call)
        })
    }

    /// The sessions that a column of a plan is an edge of, and whether it is the end.
    pub(crate) fn of(expr: &Expr) -> Option<(Sessions, bool)> {
        let Expr::WindowFunction(call) = expr else { return None };
        let WindowFunctionDefinition::WindowUDF(function) = &call.fun else { return None };
        let edge = function.inner().downcast_ref::<SessionEdge>()?;
        let [time] = call.params.args.as_slice() else { return None };
        Some((Sessions { partition: call.params.partition_by.clone(), time: time.clone(), gap: edge.gap }, edge.end))
    }
}

impl WindowUDFImpl for SessionEdge {
    fn name(&self) -> &str {
        if self.end { "weir_session_end" } else { "weir_session_start" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), args.input_fields()[0].data_type().clone(), true)))
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Edges { end: self.end, gap: self.gap }))
    }
}

/// Finds the sessions of one partition.
#[derive(Debug)]
struct Edges {
    end: bool,
    gap: i64,
}

impl PartitionEvaluator for Edges {
    fn evaluate_all(&mut self, values: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let times = values[0].as_primitive::<TimestampMicrosecondType>();
        let mut edges = Vec::with_capacity(times.len());
        // In order, none of them NULL: those rows are in no window.
        for session in times.values().chunk_by(|earlier, later| later.saturating_sub(*earlier) < self.gap) {
            let edge = if self.end { session[session.len() - 1].saturating_add(self.gap) } else { session[0] };
            edges.resize(edges.len() + session.len(), edge);
        }
        Ok(Arc::new(TimestampMicrosecondArray::from(edges).with_data_type(times.data_type().clone())))
    }
}

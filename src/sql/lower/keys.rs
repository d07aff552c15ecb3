//! Grouping keys that follow from others: both edges of one window are one key, and the other is computed afterwards.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, ScalarUDF};
use weir_common::error::Result;
use weir_common::expr::BatchExpr;
use weir_common::interval::clock_text;

use crate::function::arithmetic::Arithmetic;
use crate::function::window::{Window, WindowEdge};
use crate::lower::facts::micros;

/// For each key that is another, earlier key moved by a fixed time: which one, and by how many microseconds.
pub(super) fn following(keys: &[Expr], input: &LogicalPlan) -> Vec<Option<(usize, i64)>> {
    let edges: Vec<Option<Edge>> = keys.iter().map(|key| edge(key, input)).collect();
    let first = |at: usize| {
        let edge = edges[at].as_ref()?;
        let same =
            |other: &Option<Edge>| other.as_ref().is_some_and(|other| other.start == edge.start && std::ptr::eq(other.plan, edge.plan));
        let kept = edges[..at].iter().position(same)?;
        Some((kept, edge.after.checked_sub(edges[kept].as_ref()?.after)?))
    };
    (0..keys.len()).map(first).collect()
}

/// A moment at a fixed distance from the start of a window.
struct Edge<'a> {
    /// The window's start, over the rows of `plan`.
    start: Expr,
    plan: &'a LogicalPlan,
    after: i64,
}

fn edge<'a>(expr: &Expr, plan: &'a LogicalPlan) -> Option<Edge<'a>> {
    let (expr, plan) = origin(expr, plan)?;
    match &expr {
        // The starts of HOP's windows: nothing below knows them.
        Expr::Column(column) => match plan {
            LogicalPlan::Unnest(unnest) => {
                let (_, starts, _) = super::hop::of(unnest)?;
                (unnest.schema.index_of_column(column).ok()? == starts).then(|| Edge { start: expr.clone(), plan, after: 0 })
            }
            _ => None,
        },
        Expr::ScalarFunction(call) => {
            let function = call.func.inner();
            if let Some(edge) = function.downcast_ref::<WindowEdge>() {
                let [_, Expr::Literal(size, _), Expr::Literal(months, _), Expr::Literal(offset, _)] = call.args.as_slice() else {
                    return None;
                };
                let Window::Micros { size, .. } = Window::of([size, months, offset])? else { return None };
                let start = ScalarUDF::from(WindowEdge::start()).call(call.args.clone());
                return Some(Edge { start, plan, after: if edge.is_end() { size } else { 0 } });
            }
            let [time, Expr::Literal(by, _)] = call.args.as_slice() else { return None };
            (function.downcast_ref::<Arithmetic>()?.operator() == Operator::Plus).then_some(())?;
            let edge = edge(time, plan)?;
            Some(Edge { after: edge.after.checked_add(micros(by)?)?, ..edge })
        }
        _ => None,
    }
}

/// Where an expression is computed, seen through what only passes columns on.
fn origin<'a>(expr: &Expr, plan: &'a LogicalPlan) -> Option<(Expr, &'a LogicalPlan)> {
    let column = match expr {
        Expr::Alias(alias) => return origin(&alias.expr, plan),
        Expr::Column(column) => column,
        other => return Some((other.clone(), plan)),
    };
    match plan {
        LogicalPlan::Projection(projection) => {
            let index = projection.schema.index_of_column(column).ok()?;
            origin(projection.expr.get(index)?, &projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let index = alias.schema.index_of_column(column).ok()?;
            origin(&Expr::Column(alias.input.schema().columns().swap_remove(index)), &alias.input)
        }
        LogicalPlan::Filter(filter) => origin(expr, &filter.input),
        other => Some((expr.clone(), other)),
    }
}

/// A time column moved by a fixed time.
#[derive(Debug)]
pub(super) struct Moved {
    column: usize,
    by: i64,
    data_type: DataType,
    text: String,
}

impl Moved {
    /// Of a timestamp column named `name`, in microseconds.
    pub(super) fn new(column: usize, name: &str, by: i64, data_type: DataType) -> Self {
        let text = format!("{name} + {}", clock_text(by));
        Moved { column, by, data_type, text }
    }
}

impl BatchExpr for Moved {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let times = batch.column(self.column).as_primitive::<TimestampMicrosecondType>();
        let moved = times.unary::<_, TimestampMicrosecondType>(|time| time.saturating_add(self.by));
        Ok(Arc::new(moved.with_data_type(self.data_type.clone())))
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn columns(&self) -> Vec<usize> {
        vec![self.column]
    }

    fn describe(&self) -> String {
        self.text.clone()
    }
}

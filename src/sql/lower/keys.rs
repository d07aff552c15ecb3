//! Grouping keys that follow from others: both edges of one window are one key, and the other is computed afterwards.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, ScalarUDF};
use weir_common::error::Result;
use weir_common::expr::BatchExpr;
use weir_common::interval::clock_text;
use weir_common::plan::TimeStep;
use weir_common::window::{CumulateWindow, Windows};

use crate::function::arithmetic::Arithmetic;
use crate::function::window::{Window, WindowEdge};
use crate::lower::facts::micros;

/// How a key follows from another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Follows {
    /// The other key; it follows from none.
    pub(super) kept: usize,
    pub(super) by: Derivation,
}

/// What makes a time of another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Derivation {
    /// So many microseconds are added.
    Shift(i64),
    /// The first microseconds are added, which makes it the end of one of these windows; the last are added to that one's start.
    Start(i64, CumulateWindow, i64),
}

impl Derivation {
    fn apply(self, time: i64) -> i64 {
        match self {
            Derivation::Shift(by) => time.saturating_add(by),
            Derivation::Start(before, window, after) => window.start(time.saturating_add(before)).saturating_add(after),
        }
    }

    /// The same for watermarks.
    pub(super) fn steps(self) -> Vec<TimeStep> {
        match self {
            Derivation::Shift(by) => vec![TimeStep::Shift(by)],
            Derivation::Start(before, CumulateWindow { step, size, offset }, after) => {
                let mut steps = vec![TimeStep::Shift(before.saturating_sub(step)), TimeStep::Floor { size, offset }];
                steps.extend((after != 0).then_some(TimeStep::Shift(after)));
                steps
            }
        }
    }

    fn text(self, name: &str) -> String {
        match self {
            Derivation::Shift(by) => format!("{name} + {}", clock_text(by)),
            Derivation::Start(0, _, 0) => format!("start of the window to {name}"),
            Derivation::Start(before, _, after) => {
                format!("start of the window to {name} + {}, + {}", clock_text(before), clock_text(after))
            }
        }
    }
}

/// For each key that follows from another one: how.
pub(super) fn following(keys: &[Expr], input: &LogicalPlan) -> Vec<Option<Follows>> {
    let edges: Vec<Option<Edge>> = keys.iter().map(|key| edge(key, input)).collect();
    let follows = |at: usize| {
        let edge = edges[at].as_ref()?;
        // The edge that tells the window tells the others too, wherever it stands; else the first one does.
        let tells = |other: &Edge| other.start_of.is_none() && other.is_with(edge);
        let same = |other: &Edge| other.start_of == edge.start_of && other.is_with(edge);
        let place = |is_it: &dyn Fn(&Edge) -> bool| edges.iter().position(|other| other.as_ref().is_some_and(is_it));
        let kept = place(&tells).or_else(|| place(&same)).filter(|kept| *kept != at)?;
        let other = edges[kept].as_ref()?;
        let by = match edge.start_of {
            Some(window) if other.start_of.is_none() => Derivation::Start(other.after.checked_neg()?, window, edge.after),
            _ => Derivation::Shift(edge.after.checked_sub(other.after)?),
        };
        Some(Follows { kept, by })
    };
    (0..keys.len()).map(follows).collect()
}

/// A moment at a fixed distance from an edge of a window.
struct Edge<'a> {
    /// The edge that tells the window, over the rows of `plan`.
    edge: Expr,
    plan: &'a LogicalPlan,
    /// Of windows that their ends tell: whether it is counted from the start of that window.
    start_of: Option<CumulateWindow>,
    after: i64,
}

impl Edge<'_> {
    /// Whether it is an edge of the same window.
    fn is_with(&self, other: &Edge) -> bool {
        self.edge == other.edge && std::ptr::eq(self.plan, other.plan)
    }
}

fn edge<'a>(expr: &Expr, plan: &'a LogicalPlan) -> Option<Edge<'a>> {
    let (expr, plan) = origin(expr, plan)?;
    match &expr {
        // The edges of overlapping windows: nothing below knows them.
        Expr::Column(_) => told_by(&expr, plan).map(|_| Edge { edge: expr.clone(), plan, start_of: None, after: 0 }),
        Expr::ScalarFunction(call) => {
            let function = call.func.inner();
            if let Some(edge_of) = function.downcast_ref::<WindowEdge>() {
                let [time, Expr::Literal(size, _), Expr::Literal(months, _), Expr::Literal(offset, _)] = call.args.as_slice() else {
                    return None;
                };
                let Window::Micros { size, offset } = Window::of([size, months, offset])? else { return None };
                if let Some(end) = edge(time, plan)
                    && let Some(Windows::Cumulate(window)) = told_by(&end.edge, end.plan)
                    && (window.size, window.offset) == (size, offset)
                    && !edge_of.is_end()
                    && end.start_of.is_none()
                    && end.after == -window.step
                {
                    return Some(Edge { start_of: Some(window), after: 0, ..end });
                }
                let start = ScalarUDF::from(WindowEdge::start()).call(call.args.clone());
                return Some(Edge { edge: start, plan, start_of: None, after: if edge_of.is_end() { size } else { 0 } });
            }
            let [time, Expr::Literal(by, _)] = call.args.as_slice() else { return None };
            (function.downcast_ref::<Arithmetic>()?.operator() == Operator::Plus).then_some(())?;
            let edge = edge(time, plan)?;
            Some(Edge { after: edge.after.checked_add(micros(by)?)?, ..edge })
        }
        _ => None,
    }
}

/// The windows that this column of a plan tells apart.
fn told_by(expr: &Expr, plan: &LogicalPlan) -> Option<Windows> {
    match (expr, plan) {
        (Expr::Column(column), LogicalPlan::Unnest(unnest)) => {
            let (_, edges, windows) = super::windows::of(unnest)?;
            (unnest.schema.index_of_column(column).ok()? == edges).then_some(windows)
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

/// A time that follows from that of another column.
#[derive(Debug)]
pub(super) struct Following {
    column: usize,
    by: Derivation,
    data_type: DataType,
    text: String,
}

impl Following {
    /// Of a timestamp column named `name`.
    pub(super) fn new(column: usize, name: &str, by: Derivation, data_type: DataType) -> Self {
        Following { column, by, data_type, text: by.text(name) }
    }
}

impl BatchExpr for Following {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let times = batch.column(self.column).as_primitive::<TimestampMicrosecondType>();
        let following = times.unary::<_, TimestampMicrosecondType>(|time| self.by.apply(time));
        Ok(Arc::new(following.with_data_type(self.data_type.clone())))
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

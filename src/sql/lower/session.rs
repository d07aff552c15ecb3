//! SESSION: planned as two window functions that give the window of each row's session.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Window};
use weir_common::error::Error;
use weir_common::expr::{Column, ExprRef};
use weir_common::lateness::{SessionLife, WindowLife};
use weir_common::plan::{Closing, EventTime, Node, Op, WindowEnd};

use crate::context::external;
use crate::expr::compile;
use crate::function::window::Sessions;
use crate::lower::{Lowering, columns_of, facts, project, refuse, schema_of};
use crate::window::{WINDOW_END, WINDOW_START};

/// The sessions whose edges a step adds to each row, and which edges; `None` for other window functions.
pub(super) fn of(window: &Window) -> Option<(Sessions, Vec<bool>)> {
    let mut edges = window.window_expr.iter().map(Sessions::of);
    let (sessions, first) = edges.next()??;
    let rest = edges.map(|edge| edge.filter(|(other, _)| *other == sessions).map(|(_, end)| end));
    let ends = std::iter::once(Some(first)).chain(rest).collect::<Option<_>>()?;
    Some((sessions, ends))
}

impl Lowering<'_> {
    pub(super) fn session(&self, window: &Window) -> Result<Node, DataFusionError> {
        let Some((sessions, ends)) = of(window) else {
            return Err(external(refuse::node(&LogicalPlan::Window(window.clone()))));
        };
        let input = self.node(&window.input)?;
        let column = |expr| {
            let compiled = compile(expr, window.input.schema(), self.context.config())?;
            compiled.as_column().ok_or_else(|| external(Error::internal("sessions of something that is no column")))
        };
        let partition = sessions.partition.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let time = column(&sessions.time)?;
        let width = input.schema.fields().len();
        let edge = |name: &str| Arc::new(Field::new(name, input.schema.field(time).data_type().clone(), true));
        let fields = input.schema.fields().iter().cloned().chain([edge(WINDOW_START), edge(WINDOW_END)]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let facts = facts::of_session(&input.facts, width, time);
        let op = Op::Session { partition, column: time, gap: sessions.gap, life: None };
        let node = Node { op, inputs: vec![input], schema, facts };
        // The edges that are asked for, in their order.
        let mut exprs = columns_of(&node.schema);
        exprs.truncate(width);
        exprs.extend(ends.into_iter().map(|end| -> ExprRef {
            let index = width + usize::from(end);
            let field = node.schema.field(index);
            Arc::new(Column { index, name: field.name().clone(), data_type: field.data_type().clone() })
        }));
        Ok(project(node, exprs, schema_of(&window.schema)))
    }
}

/// The sessions that a step gives rows of, through what keeps their columns.
fn sessions(node: &Node) -> Option<&Node> {
    match (&node.op, node.inputs.as_slice()) {
        (Op::Session { .. }, _) => Some(node),
        (Op::Project { .. } | Op::Filter { .. } | Op::RequireEventTime { .. }, [input]) => sessions(input),
        _ => None,
    }
}

/// Which column of the sessions below a column is.
fn origin(node: &Node, column: usize) -> Option<usize> {
    match (&node.op, node.inputs.as_slice()) {
        (Op::Session { .. }, _) => Some(column),
        (Op::Project { exprs }, [input]) => origin(input, exprs.get(column)?.as_column()?),
        (Op::Filter { .. } | Op::RequireEventTime { .. }, [input]) => origin(input, column),
        _ => None,
    }
}

/// Whether groups by these keys are whole sessions that are told by their starts alone.
pub(super) fn are_told_by_start(node: &Node, keys: &[ExprRef]) -> bool {
    let Some(Node { op: Op::Session { partition, .. }, inputs, .. }) = sessions(node) else { return false };
    let width = inputs.first().map_or(0, |input| input.schema.fields().len());
    let keys: Vec<usize> = keys.iter().filter_map(|key| origin(node, key.as_column()?)).collect();
    keys.contains(&width) && !keys.contains(&(width + 1)) && partition.iter().all(|column| keys.contains(column))
}

/// The same rows, with the end of their session in one more column.
pub(super) fn with_end(mut node: Node) -> Node {
    if let Op::Session { .. } = node.op {
        return node;
    }
    node.inputs = node.inputs.into_iter().map(with_end).collect();
    let Some(input) = node.inputs.first() else { return node };
    let end = input.schema.fields().len() - 1;
    let field = input.schema.field(end).clone();
    if let Op::Project { exprs } = &mut node.op {
        exprs.push(Arc::new(Column { index: end, name: field.name().clone(), data_type: field.data_type().clone() }));
    }
    let column = node.schema.fields().len();
    let times = input.facts.event_times.iter().filter(|time| time.column == end);
    let times: Vec<EventTime> = times.map(|time| EventTime { column, ..time.clone() }).collect();
    node.facts.event_times.extend(times);
    let fields = node.schema.fields().iter().cloned().chain([Arc::new(field)]);
    node.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    node
}

/// Whether windows that close so are those of a step of sessions below.
pub(super) fn of_groups(node: &Node, closing: &Closing) -> bool {
    let Some(Node { op: Op::Session { column, .. }, inputs, .. }) = sessions(node) else { return false };
    inputs.iter().any(|input| input.facts.event_times.iter().any(|time| is_of(time, *column, closing)))
}

/// Whether there are sessions from which rows may be taken back.
pub(super) fn may_shrink(node: &Node) -> bool {
    let shrinks = matches!(node.op, Op::Session { .. }) && node.inputs.iter().any(|input| !input.facts.append_only);
    shrinks || node.inputs.iter().any(may_shrink)
}

/// Whether a time that is put into sessions is the one by which they close.
fn is_of(time: &EventTime, column: usize, closing: &Closing) -> bool {
    time.column == column && time.source == closing.source && time.steps == closing.steps
}

/// Gives the sessions that windows with this life are of, if they are those of a step below, theirs: they close by themselves.
/// `positions` says whether late rows tell where in a source they come from.
pub(super) fn close(node: &mut Node, life: &WindowLife, positions: bool) -> Result<bool, Error> {
    let Node { op, inputs, .. } = node;
    let Some(input) = inputs.first_mut() else { return Ok(false) };
    match op {
        Op::Project { .. } | Op::Filter { .. } | Op::RequireEventTime { .. } => close(input, life, positions),
        Op::Session { column, life: of_sessions, .. } => {
            let closing = &life.closing;
            if !input.facts.event_times.iter().any(|time| is_of(time, *column, closing)) {
                return Ok(false);
            }
            if of_sessions.is_some() {
                return Err(Error::internal("sessions are closed twice"));
            }
            let names = input.imports().iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
            let closing = Closing { column: input.schema.fields().len() + 1, end: WindowEnd::After(0), ..closing.clone() };
            *of_sessions = Some(SessionLife { input: names, windows: WindowLife { closing, ..life.clone() }, positions });
            Ok(true)
        }
        _ => Ok(false),
    }
}

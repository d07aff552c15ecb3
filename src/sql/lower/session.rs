//! SESSION: planned as two window functions that give the window of each row's session.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Window};
use weir_common::error::Error;
use weir_common::expr::{Column, ExprRef};
use weir_common::plan::{Node, Op};

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
        let op = Op::Session { partition, column: time, gap: sessions.gap };
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

//! A row without an event time is in no window: it becomes a dead letter.

use std::sync::Arc;

use arrow::compute::is_not_null;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::Delta;
use weir_common::error::Result;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::rows::RowText;

pub(crate) struct RequireEventTime {
    column: usize,
    view: Arc<str>,
}

impl RequireEventTime {
    pub(crate) fn new(column: usize, view: Arc<str>) -> Self {
        RequireEventTime { column, view }
    }
}

impl Operator for RequireEventTime {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let times = delta.rows.column(self.column);
        if times.logical_null_count() == 0 {
            cx.out.push(delta);
            return Ok(());
        }
        let present = is_not_null(times)?;
        let text = RowText::new(&delta.rows);
        let error = format!("column \"{}\" is null, so the row is in no window", delta.rows.schema_ref().field(self.column).name());
        for row in 0..delta.num_rows() {
            // The letter of a row that is taken back was written when it came.
            if !present.value(row) && delta.weights.get(row) > 0 {
                cx.dead.push(DeadLetter::of_bytes(&self.view, Reason::NullEventTime, error.as_str(), text.row(row).as_bytes()));
            }
        }
        let kept = delta.filter(&present)?;
        if !kept.is_empty() {
            cx.out.push(kept);
        }
        Ok(())
    }
}

//! Windows that overlap: a row for each window that holds its event time.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;
use weir_common::expr::BatchExpr;
use weir_common::lateness::Closed;
use weir_common::window::Windows;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::rows::times;

/// Rows of one delta that goes out, besides the windows of one more row.
pub(crate) const DELTA_ROWS: usize = 64 * 1024;

/// Puts an edge of each window in the place of the event time, one row for each.
///
/// # Invariants
/// - A row that is taken back comes out as often as it did when it came, but for windows that closed in between.
pub(crate) struct ToWindows {
    column: usize,
    windows: Windows,
    closed: Option<Closed>,
}

impl ToWindows {
    pub(crate) fn new(column: usize, windows: Windows, closed: Option<Closed>) -> Self {
        ToWindows { column, windows, closed }
    }

    /// Whether the window that this edge tells takes the rows that come now.
    fn takes(&self, edge: i64, watermark: i64, admitted: Option<i64>) -> bool {
        let Some(closed) = &self.closed else { return true };
        let mut takes = true;
        closed.each(edge, |span| {
            takes = match admitted {
                Some(end) => span.end == end,
                None => !closed.is_closed(span.end, watermark),
            };
        });
        takes
    }
}

impl Operator for ToWindows {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let times = times(&delta.rows, self.column)?;
        let watermark = self.closed.as_ref().map_or(i64::MIN, |closed| closed.watermark(cx.times.before(closed.source)));
        let (mut rows, mut edges) = (Vec::new(), Vec::new());
        for (row, time) in times.values().iter().enumerate() {
            self.windows.edges(*time, |edge| {
                if self.takes(edge, watermark, cx.admitted) {
                    rows.push(row as u32);
                    edges.push(edge);
                }
            });
            if rows.len() >= DELTA_ROWS {
                cx.out.push(copies(&delta, self.column, std::mem::take(&mut rows), std::mem::take(&mut edges))?);
            }
        }
        if !rows.is_empty() {
            cx.out.push(copies(&delta, self.column, rows, edges)?);
        }
        Ok(())
    }
}

/// These rows of a delta, with other values in one column.
pub(crate) fn copies(delta: &Delta, column: usize, rows: Vec<u32>, edges: Vec<i64>) -> Result<Delta> {
    let copied = delta.take(&UInt32Array::from(rows))?;
    let mut columns = copied.rows.columns().to_vec();
    columns[column] = of_type(edges, columns[column].data_type());
    let rows = batch(copied.rows.schema(), columns, copied.num_rows())?;
    Ok(copied.with_rows(rows))
}

/// A column of moments.
pub(crate) fn of_type(times: Vec<i64>, data_type: &DataType) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times).with_data_type(data_type.clone()))
}

/// The start of the slice that an event time lies in: what is summed up by slice goes into each window once, however
/// many rows there were.
#[derive(Debug)]
pub(crate) struct SliceStart {
    column: usize,
    data_type: DataType,
    name: String,
    windows: Windows,
}

impl SliceStart {
    pub(crate) fn new(column: usize, name: &str, data_type: DataType, windows: Windows) -> Self {
        SliceStart { column, data_type, name: name.to_string(), windows }
    }
}

impl BatchExpr for SliceStart {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let times = times(batch, self.column)?;
        Ok(of_type(self.windows.slices(times.values()), &self.data_type))
    }

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn columns(&self) -> Vec<usize> {
        vec![self.column]
    }

    fn describe(&self) -> String {
        format!("slice of {}", self.name)
    }
}

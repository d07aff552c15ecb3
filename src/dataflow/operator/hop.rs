//! Hopping windows: a row for each window that holds its event time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};
use weir_common::expr::BatchExpr;
use weir_common::window::{HopWindow, window_starts};

use crate::fragment::Context;
use crate::operator::Operator;

/// Rows of one delta that goes out.
const DELTA_ROWS: usize = 64 * 1024;

/// Puts the start of each window in the place of the event time, one row for each.
///
/// # Invariants
/// - A row that is taken back comes out as often as it did when it came: the windows depend on its event time alone.
pub(crate) struct Hop {
    column: usize,
    window: HopWindow,
}

impl Hop {
    pub(crate) fn new(column: usize, window: HopWindow) -> Self {
        Hop { column, window }
    }
}

impl Operator for Hop {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let times = times(&delta.rows, self.column)?;
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        for (row, time) in times.values().iter().enumerate() {
            for start in self.window.starts(*time) {
                rows.push(row as u32);
                starts.push(start);
                if rows.len() == DELTA_ROWS {
                    cx.out.push(copies(&delta, self.column, std::mem::take(&mut rows), std::mem::take(&mut starts))?);
                }
            }
        }
        if !rows.is_empty() {
            cx.out.push(copies(&delta, self.column, rows, starts)?);
        }
        Ok(())
    }
}

/// These rows of a delta, with other values in one column.
fn copies(delta: &Delta, column: usize, rows: Vec<u32>, starts: Vec<i64>) -> Result<Delta> {
    let copied = delta.take(&UInt32Array::from(rows))?;
    let mut columns = copied.rows.columns().to_vec();
    columns[column] = of_type(starts, columns[column].data_type());
    let rows = batch(copied.rows.schema(), columns, copied.num_rows())?;
    Ok(copied.with_rows(rows))
}

fn times(rows: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray> {
    let times = rows.column(column).as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| Error::internal(format!("column {column} holds no event time")))?;
    if times.null_count() > 0 {
        return Err(Error::internal("a row without an event time reached its windows"));
    }
    Ok(times)
}

fn of_type(times: Vec<i64>, data_type: &DataType) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times).with_data_type(data_type.clone()))
}

/// The start of the slice that an event time lies in: what is summed up by slice goes into each window once, however
/// many rows there were.
#[derive(Debug)]
pub(crate) struct SliceStart {
    column: usize,
    data_type: DataType,
    name: String,
    window: HopWindow,
}

impl SliceStart {
    pub(crate) fn new(column: usize, name: &str, data_type: DataType, window: HopWindow) -> Self {
        SliceStart { column, data_type, name: name.to_string(), window }
    }
}

impl BatchExpr for SliceStart {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let times = times(batch, self.column)?;
        Ok(of_type(window_starts(times.values(), self.window.slice(), self.window.offset), &self.data_type))
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

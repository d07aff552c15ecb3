//! Late rows: a row goes on if one of its windows is not closed, and is told of once for each that is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::min;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};
use weir_common::lateness::{LATE_WEIGHT, LATE_WINDOW_END, LateRows, Span, late_schema};
use weir_common::origins::Origins;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::rows::times;

/// Takes out late rows.
///
/// # Invariants
/// - Whether a row is late depends on its moment and the watermark at the end of the epoch before: on nothing else that is in this
///   epoch, and not on the worker.
pub(crate) struct TakeLate {
    rows: LateRows,
    /// Of the rows that go on.
    input: SchemaRef,
    entries: Entries,
}

impl TakeLate {
    pub(crate) fn new(rows: LateRows, input: SchemaRef) -> Self {
        let entries = Entries::new(rows.input.clone(), rows.column, rows.is_event_time, rows.positions, &input);
        TakeLate { rows, input, entries }
    }
}

/// What tells of late rows.
pub(crate) struct Entries {
    /// The names of what is read below.
    input: String,
    /// The column of the moment that is put into windows.
    column: usize,
    /// Whether that is the event time itself.
    is_event_time: bool,
    /// Whether they tell where in a source the row comes from.
    positions: bool,
    schema: SchemaRef,
}

impl Entries {
    /// Of rows with this schema.
    pub(crate) fn new(input: String, column: usize, is_event_time: bool, positions: bool, rows: &SchemaRef) -> Self {
        Entries { schema: late_schema(rows, column, positions), input, column, is_event_time, positions }
    }

    /// How many columns they have.
    pub(crate) fn width(&self) -> usize {
        self.schema.fields().len()
    }

    /// The entries of these rows of a delta, each with a window that was closed.
    pub(crate) fn of(&self, delta: &Delta, late: &[(u32, Span)], watermark: i64) -> Result<Delta> {
        let rows = delta.take(&UInt32Array::from_iter_values(late.iter().map(|(row, _)| *row)))?;
        let moments = times(&rows.rows, self.column)?.values().to_vec();
        let len = late.len();
        let time = |values: Vec<Option<i64>>| -> ArrayRef {
            let data_type: &DataType = self.schema.field(rows.rows.num_columns() + 1).data_type();
            Arc::new(TimestampMicrosecondArray::from(values).with_data_type(data_type.clone()))
        };
        let mut columns = rows.rows.columns().to_vec();
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&self.input, len))));
        columns.push(time(moments.iter().map(|moment| self.is_event_time.then_some(*moment)).collect()));
        columns.push(time(late.iter().map(|(_, span)| span.start).collect()));
        columns.push(time(late.iter().map(|(_, span)| Some(span.end)).collect()));
        // At the end of a source there is no time that would tell.
        columns.push(time(vec![(watermark != i64::MAX).then_some(watermark); len]));
        columns.push(Arc::new(Int64Array::from_iter_values((0..len).map(|row| rows.weights.get(row)))));
        if self.positions {
            let (partitions, offsets) = rows.origins.as_ref().map_or_else(|| Origins::unknown(len).columns(), |origins| origins.columns());
            columns.push(Arc::new(partitions));
            columns.push(Arc::new(offsets));
        }
        Ok(Delta::insert(batch(self.schema.clone(), columns, len)?))
    }
}

impl Operator for TakeLate {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let closed = &self.rows.closed;
        let watermark = closed.watermark(cx.times.before(closed.source));
        let moments = times(&delta.rows, self.rows.column)?;
        // If the earliest moment is not late, none is.
        if watermark == i64::MIN || min(moments).is_none_or(|first| !closed.touches(first, watermark)) {
            cx.out.push(delta.without_origins());
            return Ok(());
        }
        let mut late = Vec::new();
        let mut kept = Vec::with_capacity(delta.num_rows());
        for (row, moment) in moments.values().iter().enumerate() {
            let mut open = false;
            closed.each(*moment, |span| match closed.is_closed(span.end, watermark) {
                true => late.push((row as u32, span)),
                false => open = true,
            });
            kept.push(open);
        }
        if !late.is_empty() {
            cx.late.push(self.entries.of(&delta, &late, watermark)?);
        }
        let kept = delta.without_origins().filter(&BooleanArray::from(kept))?;
        if !kept.is_empty() {
            cx.out.push(kept);
        }
        Ok(())
    }

    fn takes_late(&self) -> bool {
        true
    }

    fn admitted(&mut self, late: &RecordBatch) -> Result<Vec<(i64, Delta)>> {
        let width = self.input.fields().len();
        if late.num_columns() != self.entries.width() {
            return Err(Error::internal("late rows are not those of this plan"));
        }
        let (ends, weights) = (times(late, width + LATE_WINDOW_END)?, late.column(width + LATE_WEIGHT).as_primitive::<Int64Type>());
        let mut by_end: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, end) in ends.values().iter().enumerate() {
            by_end.entry(*end).or_default().push(row as u32);
        }
        let delta = |rows: Vec<u32>| -> Result<Delta> {
            let weights = rows.iter().map(|row| weights.value(*row as usize)).collect();
            let indices = UInt32Array::from(rows);
            let columns = late.columns()[..width].iter().map(|column| Ok(arrow::compute::take(column, &indices, None)?));
            Ok(Delta::weighted(batch(self.input.clone(), columns.collect::<Result<_>>()?, indices.len())?, weights))
        };
        by_end.into_iter().map(|(end, rows)| Ok((end, delta(rows)?))).collect()
    }
}

//! Rows that are dated too far ahead of the wall clock to be believed.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::origins::Origin;
use weir_dataflow::rows::RowText;

/// The greatest event time of a batch, microseconds.
pub(crate) fn latest(rows: &RecordBatch, column: usize) -> Option<i64> {
    latest_of(rows.column(column))
}

/// The greatest of these event times, microseconds.
pub(crate) fn latest_of(times: &ArrayRef) -> Option<i64> {
    max(times.as_primitive_opt::<TimestampMicrosecondType>()?)
}

/// Takes the rows of `source` out whose event time is after `limit`: the rows that stay, and of each that does not its place and a
/// dead letter.
pub(crate) fn take_out(source: &str, delta: &Delta, column: usize, limit: i64) -> Result<(Delta, Vec<(usize, DeadLetter)>)> {
    let rows = &delta.rows;
    let times = rows.column(column).as_primitive::<TimestampMicrosecondType>();
    let text = RowText::new(rows);
    let mut letters = vec![];
    let mut stays = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let future = times.is_valid(row) && times.value(row) > limit;
        stays.push(!future);
        if future {
            let name = rows.schema_ref().field(column).name().clone();
            let error = format!("column \"{name}\" is further ahead of the wall clock than max_future allows");
            let Origin { partition, offset } = delta.origins.as_ref().map(|origins| origins.get(row)).unwrap_or_default();
            let letter = DeadLetter::of_bytes(source, Reason::FutureEventTime, error, text.row(row).as_bytes());
            letters.push((row, DeadLetter { partition: partition.map(|name| name.to_string()), offset, ..letter }));
        }
    }
    Ok((delta.filter(&BooleanArray::from(stays))?, letters))
}

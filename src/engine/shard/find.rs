//! Finding the rows of a shard that are taken back, many at once.
//!
//! Each row costs some reads of memory that nothing has read for long: of the index, and of the row. In one loop over rows they wait for
//! each other; here each step is a loop of its own, short enough that the processor has many rows of it on the way at a time.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{interleave, take};
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use weir_common::error::Result;

use crate::shard::Slot;
use crate::shard::index::Index;

/// Rows that are looked for at a time: what was read of the index for them is still in the cache when they are removed from it.
pub(super) const FIND_ROWS: usize = 1024;
/// Fewer rows are looked for one by one.
const FIND_ROWS_MIN: usize = 16;

/// For each of these rows of `rows`, the number of a row that is the same and in the index. `None`: there is none, or one has to look on.
pub(super) fn find(
    index: &Index,
    slots: &[Option<Slot>],
    rows: &RecordBatch,
    hashes: &[u64],
    wanted: &[(u32, i64)],
) -> Result<Vec<Option<u32>>> {
    if wanted.len() < FIND_ROWS_MIN {
        return Ok(vec![None; wanted.len()]);
    }
    let mut found: Vec<Option<u32>> = wanted.iter().map(|(row, _)| index.first(hashes[*row as usize])).collect();
    // Runs that are there, without gaps.
    let mut dense = vec![0; slots.len()];
    let mut runs = vec![];
    for (slot, dense) in slots.iter().zip(&mut dense) {
        *dense = runs.len();
        runs.extend(slot);
    }
    let (mut places, mut asked) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
    for ((row, _), number) in wanted.iter().zip(&found) {
        if let Some(number) = number {
            let (slot, at) = index.place(*number);
            places.push((dense[slot as usize], at as usize));
            asked.push(*row);
        }
    }
    if places.is_empty() {
        return Ok(found);
    }
    let asked = UInt32Array::from(asked);
    let mut same = BooleanBuffer::new_set(asked.len());
    for (number, column) in rows.columns().iter().enumerate() {
        let of_runs: Vec<&dyn Array> = runs.iter().map(|run| run.rows.column(number).as_ref()).collect();
        same = &same & &equal(&interleave(&of_runs, &places)?, &take(column, &asked, None)?)?;
    }
    let mut same = same.iter();
    for number in found.iter_mut().filter(|number| number.is_some()) {
        if same.next() != Some(true) {
            *number = None;
        }
    }
    Ok(found)
}

/// Where two columns have the same values.
fn equal(a: &ArrayRef, b: &ArrayRef) -> Result<BooleanBuffer> {
    if a.data_type().is_nested() {
        let same = |row| values_equal(a.as_ref(), row, b.as_ref(), row);
        return Ok(BooleanBuffer::collect_bool(a.len(), same));
    }
    let same: BooleanArray = not_distinct(a, b)?;
    Ok(same.values().clone())
}

/// Whether two rows are the same value for value: NULL equals NULL, floats by their bits.
pub(super) fn rows_equal(a: &RecordBatch, i: usize, b: &RecordBatch, j: usize) -> bool {
    a.columns().iter().zip(b.columns()).all(|(a, b)| values_equal(a.as_ref(), i, b.as_ref(), j))
}

fn values_equal(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> bool {
    match (a.is_null(i), b.is_null(j)) {
        (true, true) => return true,
        (false, false) => {}
        _ => return false,
    }
    match a.data_type() {
        DataType::Int64 => a.as_primitive::<Int64Type>().value(i) == b.as_primitive::<Int64Type>().value(j),
        DataType::Int32 => a.as_primitive::<Int32Type>().value(i) == b.as_primitive::<Int32Type>().value(j),
        DataType::Float64 => a.as_primitive::<Float64Type>().value(i).to_bits() == b.as_primitive::<Float64Type>().value(j).to_bits(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            a.as_primitive::<TimestampMicrosecondType>().value(i) == b.as_primitive::<TimestampMicrosecondType>().value(j)
        }
        DataType::Utf8 => a.as_string::<i32>().value(i) == b.as_string::<i32>().value(j),
        _ => a.slice(i, 1).to_data() == b.slice(j, 1).to_data(),
    }
}

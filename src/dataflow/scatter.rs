//! Splits a delta by the worker that owns each row.

use arrow::array::UInt32Array;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::hash::{self, NULL_HASH};

/// The parts of a delta and the worker that owns each, by the hash of `columns`; without columns all rows have one owner.
/// Rows in = rows out, in their order; a delta that goes to one worker is passed on untouched.
pub fn scatter(delta: Delta, columns: &[usize], workers: usize) -> Result<Vec<(usize, Delta)>> {
    if workers == 1 || delta.is_empty() {
        return Ok(vec![(0, delta)]);
    }
    if columns.is_empty() {
        return Ok(vec![(hash::owner(NULL_HASH, workers), delta)]);
    }
    let hashes = hash::rows(&delta.rows, columns)?;
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); workers];
    for (row, hash) in hashes.into_iter().enumerate() {
        rows[hash::owner(hash, workers)].push(row as u32);
    }
    if let Some(target) = rows.iter().position(|rows| rows.len() == delta.num_rows()) {
        return Ok(vec![(target, delta)]);
    }
    let mut parts = Vec::with_capacity(workers);
    for (target, rows) in rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        parts.push((target, delta.take(&UInt32Array::from(rows))?));
    }
    Ok(parts)
}

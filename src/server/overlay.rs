//! A snapshot with a transaction's own writes on top: what the transaction itself reads of a table that it has changed.

use std::collections::HashMap;

use arrow::array::UInt32Array;
use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use std::sync::Arc;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::hash;
use weir_common::snapshot::{Run, Snapshot};

/// The snapshot after these writes.
pub fn apply(base: &Snapshot, writes: &[Delta]) -> Result<Snapshot> {
    let mut snapshot = base.clone();
    for write in writes {
        let (mut added, mut removed) = (vec![], vec![]);
        for row in 0..write.num_rows() {
            match write.weights.get(row) {
                weight if weight > 0 => added.extend(std::iter::repeat_n(row as u32, weight as usize)),
                weight => removed.extend(std::iter::repeat_n(row as u32, weight.unsigned_abs() as usize)),
            }
        }
        // Inserts first: what a write takes away may be its own.
        if !added.is_empty() {
            let rows = arrow::compute::take_record_batch(&write.rows, &UInt32Array::from(added))?;
            snapshot.runs.push(Run { rows: Arc::new(rows), live: None });
        }
        if !removed.is_empty() {
            let rows = arrow::compute::take_record_batch(&write.rows, &UInt32Array::from(removed))?;
            remove(&mut snapshot, &rows)?;
        }
    }
    Ok(snapshot)
}

/// The rows of `rows` that another transaction has changed between two snapshots: they were not there, as they are, before.
pub fn any_changed(before: &Snapshot, now: &Snapshot, rows: &[RecordBatch]) -> Result<bool> {
    let same = |a: &Run, b: &Run| {
        Arc::ptr_eq(&a.rows, &b.rows)
            && a.live.as_ref().map(|live| live.inner().as_ptr()) == b.live.as_ref().map(|live| live.inner().as_ptr())
    };
    let only = |of: &Snapshot, other: &Snapshot| {
        let runs = of.runs.iter().filter(|run| !other.runs.iter().any(|theirs| same(run, theirs))).cloned().collect();
        Snapshot { schema: of.schema.clone(), epoch: of.epoch, runs, watermarks: of.watermarks.clone() }
    };
    let (old, new) = (only(before, now), only(now, before));
    if old.runs.is_empty() && new.runs.is_empty() {
        return Ok(false);
    }
    let keyed = |batches: Vec<RecordBatch>| -> Result<std::collections::HashSet<OwnedRow>> {
        let mut found = std::collections::HashSet::new();
        for batch in batches {
            found.extend(encode(&batch)?);
        }
        Ok(found)
    };
    let (old, new) = (keyed(old.batches()?)?, keyed(new.batches()?)?);
    for batch in rows {
        // A row of a run that both snapshots share is in neither set: it did not change.
        if encode(batch)?.iter().any(|row| new.contains(row) && !old.contains(row)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn encode(rows: &RecordBatch) -> Result<Vec<OwnedRow>> {
    let fields = rows.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(rows.columns())?;
    Ok(encoded.iter().map(|row| row.owned()).collect())
}

/// Takes one row away for each of `rows`.
fn remove(snapshot: &mut Snapshot, rows: &RecordBatch) -> Result<()> {
    let columns: Vec<usize> = (0..rows.num_columns()).filter(|column| !rows.column(*column).data_type().is_nested()).collect();
    let mut wanted: HashMap<u64, Vec<OwnedRow>> = HashMap::new();
    for (hash, row) in hash::rows(rows, &columns)?.into_iter().zip(encode(rows)?) {
        wanted.entry(hash).or_default().push(row);
    }
    for run in &mut snapshot.runs {
        let hashes = hash::rows(&run.rows, &columns)?;
        let mut dead = vec![];
        for (row, hash) in hashes.iter().enumerate() {
            let live = run.live.as_ref().is_none_or(|live| live.value(row));
            if live && let Some(candidates) = wanted.get_mut(hash) {
                let encoded = encode(&run.rows.slice(row, 1))?;
                if let Some(found) = candidates.iter().position(|candidate| *candidate == encoded[0]) {
                    candidates.swap_remove(found);
                    dead.push(row);
                }
            }
        }
        if !dead.is_empty() {
            let mut bits: Vec<bool> = (0..run.rows.num_rows()).map(|row| run.live.as_ref().is_none_or(|live| live.value(row))).collect();
            dead.iter().for_each(|row| bits[*row] = false);
            run.live = Some(BooleanBuffer::from(bits));
        }
    }
    Ok(())
}

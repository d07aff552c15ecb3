//! The late rows of a view on one worker: an entry for each row and closed window.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::row::{OwnedRow, RowConverter, SortField};
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::expr::ExprRef;
use weir_common::lateness::{LATE_WATERMARK, LATE_WEIGHT, late_width};

use crate::hub::Stream;

/// An entry that is there, and how often.
struct Standing {
    rows: RecordBatch,
    row: usize,
    times: i64,
}

/// The entries that a condition holds for: not those for which it is NULL, or fails.
pub fn meant(entries: &RecordBatch, condition: &ExprRef) -> Result<RecordBatch> {
    let mut mask = Vec::with_capacity(entries.num_rows());
    hold(entries, condition, &mut mask);
    Ok(filter_record_batch(entries, &BooleanArray::from(mask))?)
}

fn hold(entries: &RecordBatch, condition: &ExprRef, mask: &mut Vec<bool>) {
    let held = condition.evaluate(entries);
    match held.as_ref().map(|held| held.as_boolean_opt()) {
        Ok(Some(held)) => mask.extend((0..held.len()).map(|row| held.is_valid(row) && held.value(row))),
        // The rows that it fails on are found by halves.
        _ if entries.num_rows() > 1 => {
            let half = entries.num_rows() / 2;
            hold(&entries.slice(0, half), condition, mask);
            hold(&entries.slice(half, entries.num_rows() - half), condition, mask);
        }
        _ => mask.extend(std::iter::repeat_n(false, entries.num_rows())),
    }
}

/// Entries of rows that are taken back, in the form in which they are kept: one that is the opposite of an entry that stands takes
/// that entry back, all others stand themselves. Of several that stand it is one that does not come straight from a source, if there
/// is one: what a source gave is not taken back.
pub fn cancelled(stream: &Stream, entries: Delta) -> Result<Delta> {
    let input = late_width(&entries.rows.schema());
    let weights = |rows: &RecordBatch| rows.column(input + LATE_WEIGHT).as_primitive::<Int64Type>().clone();
    let of_entries = weights(&entries.rows);
    if of_entries.values().iter().all(|weight| *weight > 0) {
        return Ok(entries);
    }
    let schema = entries.rows.schema();
    let width = schema.fields().len();
    // All but the watermark, which differs, the weight, which is the opposite, and where in a source it comes from, which a row that is
    // taken back does not tell.
    let named: Vec<usize> = (0..input + LATE_WEIGHT).filter(|column| *column != input + LATE_WATERMARK).collect();
    let fields = |columns: &[usize]| columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone())).collect();
    let by_name = RowConverter::new(fields(&named))?;
    let whole = RowConverter::new(fields(&(0..width).collect::<Vec<_>>()))?;
    let name = |rows: &RecordBatch| -> Result<Vec<OwnedRow>> {
        let columns: Vec<_> = named.iter().map(|column| rows.column(*column).clone()).collect();
        Ok(by_name.convert_columns(&columns)?.iter().map(|row| row.owned()).collect())
    };
    // In an order that is the same after a restart.
    let mut standing: HashMap<OwnedRow, BTreeMap<(bool, OwnedRow), Standing>> = HashMap::new();
    let mut add = |delta: &Delta| -> Result<()> {
        let entries = whole.convert_columns(delta.rows.columns())?;
        let positions = &delta.rows.columns()[input + LATE_WEIGHT + 1..];
        for (row, name) in name(&delta.rows)?.into_iter().enumerate() {
            let of_source = positions.iter().any(|column| column.is_valid(row));
            let known = standing.entry(name).or_default().entry((of_source, entries.row(row).owned()));
            known.or_insert_with(|| Standing { rows: delta.rows.clone(), row, times: 0 }).times += delta.weights.get(row);
        }
        Ok(())
    };
    let shard = stream.shard.as_ref().ok_or_else(|| Error::internal("late rows are not kept"))?;
    for run in shard.runs() {
        add(&Delta::insert(run.batch()?))?;
    }
    stream.pending.values().flatten().try_for_each(&mut add)?;
    let (mut kept, mut back) = (Vec::new(), Vec::new());
    for (row, name) in name(&entries.rows)?.into_iter().enumerate() {
        let opposite = standing.get_mut(&name).and_then(|same| {
            same.values_mut().find(|entry| entry.times > 0 && weights(&entry.rows).value(entry.row) == -of_entries.value(row))
        });
        match opposite {
            Some(entry) => {
                entry.times -= 1;
                back.push(entry.rows.slice(entry.row, 1));
            }
            None => kept.push(row as u32),
        }
    }
    let kept = entries.take(&UInt32Array::from(kept))?;
    let back = back.into_iter().map(Delta::retract);
    Delta::concat(&schema, &std::iter::once(kept).chain(back).collect::<Vec<_>>())
}

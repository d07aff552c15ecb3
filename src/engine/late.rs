//! The late rows of a view on one worker: an entry for each row and closed window.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, Schema};
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

/// Of the entries that are meant, those of which no equal one is taken back, and how many others there are; `all` are those that there are.
pub fn certain(all: &RecordBatch, meant: RecordBatch) -> Result<(RecordBatch, u64)> {
    let names = Names::new(&all.schema())?;
    let weights = names.weights(all);
    let taken_back = names.of(all)?.into_iter().enumerate().filter(|(row, _)| weights.value(*row) < 0);
    let taken_back: HashSet<OwnedRow> = taken_back.map(|(_, name)| name).collect();
    let certain: BooleanArray = names.of(&meant)?.iter().map(|name| Some(!taken_back.contains(name))).collect();
    let certain = filter_record_batch(&meant, &certain)?;
    let others = meant.num_rows() - certain.num_rows();
    Ok((certain, others as u64))
}

/// What of entries is the same for a row that comes and for one that takes it back: all but the watermark, which differs, the weight, which is
/// the opposite, and where in a source the row comes from, which one that is taken back does not tell.
struct Names {
    converter: RowConverter,
    columns: Vec<usize>,
    weight: usize,
}

impl Names {
    /// Of entries with this schema.
    fn new(schema: &Schema) -> Result<Names> {
        let weight = late_width(schema) + LATE_WEIGHT;
        let columns: Vec<usize> = (0..weight).filter(|column| *column != late_width(schema) + LATE_WATERMARK).collect();
        let fields = columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone())).collect();
        Ok(Names { converter: RowConverter::new(fields)?, columns, weight })
    }

    fn of(&self, entries: &RecordBatch) -> Result<Vec<OwnedRow>> {
        let columns: Vec<_> = self.columns.iter().map(|column| entries.column(*column).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?.iter().map(|row| row.owned()).collect())
    }

    fn weights(&self, entries: &RecordBatch) -> Int64Array {
        entries.column(self.weight).as_primitive::<Int64Type>().clone()
    }
}

/// Entries in the form in which they are kept, and how many are not. One that is the opposite of an entry that stands, or came before it
/// here, takes that entry back; all others stand themselves, unless it is `full`. Of several that stand it is one that does not come
/// straight from a source, if there is one: what a source gave is not taken back.
pub fn kept(stream: &Stream, entries: Delta, full: bool) -> Result<(Delta, u64)> {
    let schema = entries.rows.schema();
    let names = Names::new(&schema)?;
    let of_entries = names.weights(&entries.rows);
    if of_entries.values().iter().all(|weight| *weight > 0) {
        let dropped = entries.num_rows() as u64;
        return Ok(if full { (Delta::insert(RecordBatch::new_empty(schema)), dropped) } else { (entries, 0) });
    }
    let whole = RowConverter::new(schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect())?;
    // In an order that is the same after a restart.
    let mut standing: HashMap<OwnedRow, BTreeMap<(bool, OwnedRow), Standing>> = HashMap::new();
    let mut add = |delta: &Delta| -> Result<()> {
        let entries = whole.convert_columns(delta.rows.columns())?;
        let positions = &delta.rows.columns()[names.weight + 1..];
        for (row, name) in names.of(&delta.rows)?.into_iter().enumerate() {
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
    let (mut new, mut back) = (BTreeSet::new(), vec![]);
    let mut by_name: HashMap<OwnedRow, Vec<u32>> = HashMap::new();
    for (row, name) in names.of(&entries.rows)?.into_iter().enumerate() {
        let opposite = -of_entries.value(row);
        let stands = |entry: &&mut Standing| entry.times > 0 && names.weights(&entry.rows).value(entry.row) == opposite;
        if let Some(entry) = standing.get_mut(&name).and_then(|same| same.values_mut().find(stands)) {
            entry.times -= 1;
            back.push(entry.rows.slice(entry.row, 1));
            continue;
        }
        let same = by_name.entry(name).or_default();
        match same.iter().rposition(|other| of_entries.value(*other as usize) == opposite) {
            Some(other) => _ = new.remove(&same.remove(other)),
            None => {
                same.push(row as u32);
                new.insert(row as u32);
            }
        }
    }
    let dropped = if full { std::mem::take(&mut new).len() as u64 } else { 0 };
    let new = entries.take(&new.into_iter().collect::<Vec<u32>>().into())?;
    let back = back.into_iter().map(Delta::retract);
    Ok((Delta::concat(&schema, &std::iter::once(new).chain(back).collect::<Vec<_>>())?, dropped))
}

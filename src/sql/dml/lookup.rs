//! Rows of a snapshot by their key.

use std::collections::HashSet;

use arrow::array::{Array, BooleanArray, Scalar};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::{and, concat_batches, filter_record_batch, or};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use weir_common::error::Result;
use weir_common::snapshot::{Run, Snapshot};

/// Up to so many keys, comparing whole columns with each is cheaper than hashing all keys of the snapshot.
const COMPARED_KEYS_MAX: usize = 8;

/// The rows whose key columns have the values of a row of `wanted`, which has the snapshot's columns.
pub(super) fn rows_with_keys(snapshot: &Snapshot, key: &[usize], wanted: &RecordBatch) -> Result<RecordBatch> {
    let mut found = Vec::new();
    if wanted.num_rows() > 0 {
        let set = if wanted.num_rows() > COMPARED_KEYS_MAX { Some(KeySet::new(key, wanted)?) } else { None };
        for run in &snapshot.runs {
            let matching = match &set {
                Some(set) => set.matching(key, &run.rows)?,
                None => compared(key, &run.rows, wanted)?,
            };
            let rows = filter_record_batch(&run.rows, &live(matching, run))?;
            if rows.num_rows() > 0 {
                found.push(rows);
            }
        }
    }
    Ok(concat_batches(&snapshot.schema, &found)?)
}

fn live(matching: BooleanArray, run: &Run) -> BooleanArray {
    let (values, nulls) = matching.into_parts();
    let values = nulls.map_or_else(|| values.clone(), |nulls| &values & nulls.inner());
    BooleanArray::new(run.live.as_ref().map_or_else(|| values.clone(), |live| &values & live), None)
}

/// Which rows equal one of a few in their key columns.
fn compared(key: &[usize], rows: &RecordBatch, wanted: &RecordBatch) -> Result<BooleanArray> {
    let mut all = BooleanArray::new(BooleanBuffer::new_unset(rows.num_rows()), None);
    for row in 0..wanted.num_rows() {
        let mut one = BooleanArray::new(BooleanBuffer::new_set(rows.num_rows()), None);
        for column in key {
            let value = Scalar::new(wanted.column(*column).slice(row, 1));
            one = and(&one, &cmp::eq(rows.column(*column), &value)?)?;
        }
        all = or(&all, &one)?;
    }
    Ok(all)
}

/// Many keys.
struct KeySet {
    converter: RowConverter,
    keys: HashSet<Box<[u8]>>,
}

impl KeySet {
    fn new(key: &[usize], wanted: &RecordBatch) -> Result<KeySet> {
        let fields = key.iter().map(|column| SortField::new(wanted.column(*column).data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let rows = converter.convert_columns(wanted.project(key)?.columns())?;
        let keys = rows.iter().map(|row| Box::from(row.data())).collect();
        Ok(KeySet { converter, keys })
    }

    fn matching(&self, key: &[usize], rows: &RecordBatch) -> Result<BooleanArray> {
        let encoded = self.converter.convert_columns(rows.project(key)?.columns())?;
        Ok(encoded.iter().map(|row| Some(self.keys.contains(row.data()))).collect())
    }
}

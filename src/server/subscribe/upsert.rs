//! ENVELOPE UPSERT: one row for each key that a commit changes, with what has become of it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::row::{RowConverter, SortField};
use weir_common::delta::Delta;
use weir_common::error::Result;

/// The changes of a key, added up.
#[derive(Clone, Copy)]
struct OfKey {
    /// A row that has the key.
    row: u32,
    added: i64,
    removed: i64,
    /// A row that was added.
    last: Option<u32>,
}

/// The states, and the columns: the first `key` of the delta's as they are, the others NULL where there is no one row of that key.
pub(super) fn by_key(delta: &Delta, key: usize) -> Result<(ArrayRef, Vec<ArrayRef>)> {
    let columns = delta.rows.columns();
    let fields = columns[..key].iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let keys = RowConverter::new(fields)?.convert_columns(&columns[..key])?;
    let mut found: HashMap<_, usize> = HashMap::with_capacity(delta.num_rows());
    let mut changes: Vec<OfKey> = vec![];
    for row in 0..delta.num_rows() {
        let at = *found.entry(keys.row(row)).or_insert_with(|| {
            changes.push(OfKey { row: row as u32, added: 0, removed: 0, last: None });
            changes.len() - 1
        });
        let change = &mut changes[at];
        match delta.weights.get(row) {
            weight if weight > 0 => {
                change.added += weight;
                change.last = Some(row as u32);
            }
            weight => change.removed -= weight,
        }
    }
    let state = |change: &OfKey| match (change.removed, change.added) {
        (1, 0) => "delete",
        (0 | 1, 1) => "upsert",
        _ => "key_violation",
    };
    let states: ArrayRef = Arc::new(StringArray::from_iter_values(changes.iter().map(state)));
    let key_rows = UInt32Array::from_iter_values(changes.iter().map(|change| change.row));
    let value_rows: UInt32Array = changes.iter().map(|change| change.last.filter(|_| state(change) == "upsert")).collect();
    let mut taken = vec![];
    for (at, column) in columns.iter().enumerate() {
        taken.push(take(column, if at < key { &key_rows } else { &value_rows }, None)?);
    }
    Ok((states, taken))
}

//! What checkpoints of a simulated dataflow have kept: rows by key, as a store on disk would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use weir_common::error::Result;

use crate::rows::{converter, encode};
use crate::state::{StateChanges, StateSpec, StoredRows};

/// Rows of each part of each state, by the bytes of their keys.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<(u16, u16), BTreeMap<Vec<u8>, RecordBatch>>);

impl Kept {
    pub(super) fn apply(&mut self, specs: &[StateSpec], changes: StateChanges) {
        let is_it = |spec: &&StateSpec| (spec.state, spec.part) == (changes.state, changes.part);
        let spec = specs.iter().find(is_it).expect("the plan tells of every state");
        let rows = self.0.entry((spec.state, spec.part)).or_default();
        for gone in &changes.gone {
            let before = rows.len();
            let keys = keys(spec, gone.columns(), gone.num_rows());
            keys.iter().for_each(|key| drop(rows.remove(key)));
            assert_eq!(before - rows.len(), keys.len(), "what is gone was there");
        }
        for put in &changes.put {
            assert_eq!(put.schema(), spec.schema, "rows are what the plan says");
            for (row, key) in keys(spec, put.columns(), put.num_rows()).into_iter().enumerate() {
                rows.insert(key, put.slice(row, 1));
            }
        }
    }

    pub(super) fn rows(&self, spec: &StateSpec) -> RecordBatch {
        let rows: Vec<&RecordBatch> = self.0.get(&(spec.state, spec.part)).into_iter().flat_map(|rows| rows.values()).collect();
        concat_batches(&spec.schema, rows).expect("all rows have one schema")
    }
}

/// A part of what checkpoints have kept.
pub(super) struct KeptPart {
    pub(super) kept: Arc<Mutex<Kept>>,
    pub(super) spec: StateSpec,
}

impl StoredRows for KeptPart {
    fn find(&self, asked: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let kept = self.kept.lock().expect("nobody panics with it");
        let rows = kept.0.get(&(self.spec.state, self.spec.part));
        let found = keys(&self.spec, asked.columns(), asked.num_rows()).into_iter().filter_map(|key| rows?.get(&key).cloned());
        Ok(found.collect())
    }
}

fn keys(spec: &StateSpec, columns: &[ArrayRef], rows: usize) -> Vec<Vec<u8>> {
    if spec.keys == 0 {
        return vec![vec![]; rows];
    }
    let converter = converter(columns[..spec.keys].iter().map(|column| column.data_type())).expect("keys can be bytes");
    let keys = encode(&converter, &columns[..spec.keys]).expect("keys can be bytes");
    (0..keys.len()).map(|row| keys.value(row).to_vec()).collect()
}

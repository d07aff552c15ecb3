//! Rows of state that operators look up where the last checkpoint has them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use weir_common::error::Result;
use weir_common::hash;
use weir_common::ids::RelationId;
use weir_common::row_codec::{EncodedRows, RowCodec};
use weir_common::state_store::{Space, StateStore};
use weir_dataflow::state::{StateSpec, StoredRows};

use crate::checkpoint::layout;

/// A part of a view's state in the store.
pub(crate) struct StoredPart {
    store: Arc<dyn StateStore>,
    view: RelationId,
    spec: StateSpec,
    keys: RowCodec,
    values: RowCodec,
}

impl StoredPart {
    /// The part that `spec` describes; an error where its columns have types that are not stored.
    pub(crate) fn new(store: Arc<dyn StateStore>, view: RelationId, spec: &StateSpec) -> Result<Self> {
        let types: Vec<DataType> = spec.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let (keys, values) = (RowCodec::new(&types[..spec.keys])?, RowCodec::new(&types[spec.keys..])?);
        Ok(StoredPart { store, view, spec: spec.clone(), keys, values })
    }
}

impl StoredRows for StoredPart {
    fn find(&self, keys: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let mut encoded = EncodedRows::default();
        self.keys.encode(keys.columns(), keys.num_rows(), &mut encoded)?;
        let groups = hash::rows(keys, &self.spec.placement)?.into_iter().map(|hash| hash::virtual_group(hash) as u16);
        let mut entries: Vec<(u16, &[u8])> = groups.enumerate().map(|(row, group)| (group, encoded.get(row))).collect();
        // In the order in which the store has them.
        entries.sort_unstable();
        let (mut found_keys, mut found_values) = (self.keys.decoder(entries.len()), self.values.decoder(entries.len()));
        let mut found = 0;
        let prefix = layout::state_prefix(self.view, self.spec.state, self.spec.part);
        for (group, of_row) in entries {
            let key = [&prefix[..], &group.to_be_bytes(), of_row].concat();
            if let Some(value) = self.store.get(Space::State, &key)? {
                found_keys.push(of_row)?;
                found_values.push(&value)?;
                found += 1;
            }
        }
        if found == 0 {
            return Ok(Vec::new());
        }
        let columns = [found_keys.finish()?, found_values.finish()?].concat();
        Ok(vec![RecordBatch::try_new(self.spec.schema.clone(), columns)?])
    }
}

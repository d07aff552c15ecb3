//! Primary keys of tables, checked where writes are put in order: before a write enters an epoch.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;
use hashbrown::HashSet;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};

/// The keys that a table has, all sequenced writes included, committed or not.
pub struct KeyIndex {
    constraint: String,
    columns: Vec<usize>,
    schema: SchemaRef,
    converter: RowConverter,
    keys: HashSet<Box<[u8]>>,
}

/// What a write does to the keys, checked but not applied.
pub struct KeyChange {
    removed: Vec<Box<[u8]>>,
    added: Vec<Box<[u8]>>,
}

impl KeyIndex {
    /// An empty index over the key columns of a table.
    pub fn new(table: &str, schema: SchemaRef, columns: Vec<usize>) -> Result<Self> {
        let fields = columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        Ok(KeyIndex { constraint: format!("{table}_pkey"), columns, schema, converter, keys: HashSet::new() })
    }

    /// Checks a write of deletes and inserts against the keys; an inserted key must be new once the deleted ones are gone.
    pub fn check(&self, delta: &Delta) -> Result<KeyChange> {
        let columns: Vec<_> = self.columns.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        let mut removed: Vec<Box<[u8]>> = vec![];
        let mut gone: HashSet<&[u8]> = HashSet::new();
        for row in 0..delta.num_rows() {
            if delta.weights.get(row) < 0 {
                removed.push(Box::from(rows.row(row).data()));
            }
        }
        gone.extend(removed.iter().map(AsRef::as_ref));
        let mut added: Vec<Box<[u8]>> = vec![];
        let mut new: HashSet<Box<[u8]>> = HashSet::new();
        for row in 0..delta.num_rows() {
            if delta.weights.get(row) > 0 {
                let key: Box<[u8]> = Box::from(rows.row(row).data());
                let exists = self.keys.contains(&key) && !gone.contains(key.as_ref());
                if exists || delta.weights.get(row) > 1 || !new.insert(key.clone()) {
                    return Err(self.duplicate(&delta.rows, row));
                }
                added.push(key);
            }
        }
        drop(gone);
        Ok(KeyChange { removed, added })
    }

    /// Applies what [`KeyIndex::check`] allowed; nothing may have changed in between.
    pub fn apply(&mut self, change: KeyChange) {
        for key in &change.removed {
            self.keys.remove(key);
        }
        self.keys.extend(change.added);
    }

    fn duplicate(&self, rows: &RecordBatch, row: usize) -> Error {
        let names: Vec<&str> = self.columns.iter().map(|column| self.schema.field(*column).name().as_str()).collect();
        let values: Vec<String> =
            self.columns.iter().map(|column| array_value_to_string(rows.column(*column), row).unwrap_or_else(|_| "?".into())).collect();
        Error::new(SqlState::UNIQUE_VIOLATION, format!("duplicate key value violates unique constraint \"{}\"", self.constraint))
            .with_detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
    }
}

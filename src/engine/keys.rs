//! Primary keys of tables, checked where writes are put in order: before a write enters an epoch.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use arrow::util::display::array_value_to_string;
use hashbrown::HashSet;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};

/// The keys that a table has, all sequenced writes included, committed or not.
pub struct KeyIndex {
    form: KeyForm,
    keys: HashSet<Box<[u8]>>,
}

/// The keys that a transaction takes from and adds to a table before it commits: each statement is checked by itself,
/// whatever their number.
pub struct PendingKeys {
    form: KeyForm,
    /// Keys of committed rows that are deleted.
    removed: HashSet<Box<[u8]>>,
    /// Keys of rows that are inserted and not deleted again.
    added: HashSet<Box<[u8]>>,
}

/// A table's key columns as bytes, and what is said when one is there twice.
struct KeyForm {
    constraint: String,
    columns: Vec<usize>,
    schema: SchemaRef,
    converter: RowConverter,
}

/// What a write does to the keys, checked but not applied.
pub struct KeyChange {
    removed: Vec<Box<[u8]>>,
    added: Vec<Box<[u8]>>,
}

impl KeyIndex {
    /// An empty index over the key columns of a table; `constraint` is the key's name.
    pub fn new(constraint: &str, schema: SchemaRef, columns: Vec<usize>) -> Result<Self> {
        Ok(KeyIndex { form: KeyForm::new(constraint, schema, columns)?, keys: HashSet::new() })
    }

    /// Takes in rows that were there before; their keys are known to differ.
    pub fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self.form.keys(rows)?;
        self.keys.extend(keys.iter().map(|key| Box::from(key.data())));
        Ok(())
    }

    /// Checks a write of deletes and inserts against the keys; an inserted key must be new once the deleted ones are gone.
    pub fn check(&self, delta: &Delta) -> Result<KeyChange> {
        let rows = self.form.keys(&delta.rows)?;
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
                    return Err(self.form.duplicate(&delta.rows, row));
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
}

impl PendingKeys {
    /// For a transaction that has not written to the table yet.
    pub fn new(constraint: &str, schema: SchemaRef, columns: Vec<usize>) -> Result<Self> {
        Ok(PendingKeys { form: KeyForm::new(constraint, schema, columns)?, removed: HashSet::new(), added: HashSet::new() })
    }

    /// Takes in a statement's deletes and inserts. Gives the numbers of the inserted rows whose keys are unknown here, so
    /// that only the engine can say whether they are there already. After an error the transaction's keys are unknown:
    /// they must be built anew from the writes that stay.
    pub fn add(&mut self, delta: &Delta) -> Result<Vec<u32>> {
        let rows = self.form.keys(&delta.rows)?;
        for row in (0..delta.num_rows()).filter(|row| delta.weights.get(*row) < 0) {
            let key = rows.row(row).data();
            if !self.added.remove(key) {
                self.removed.insert(Box::from(key));
            }
        }
        let mut unknown = vec![];
        for row in (0..delta.num_rows()).filter(|row| delta.weights.get(*row) > 0) {
            let key: Box<[u8]> = Box::from(rows.row(row).data());
            if !self.removed.contains(&key) {
                unknown.push(row as u32);
            }
            if delta.weights.get(row) > 1 || !self.added.insert(key) {
                return Err(self.form.duplicate(&delta.rows, row));
            }
        }
        Ok(unknown)
    }
}

impl KeyForm {
    fn new(constraint: &str, schema: SchemaRef, columns: Vec<usize>) -> Result<Self> {
        let fields = columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone())).collect();
        Ok(KeyForm { constraint: constraint.to_string(), converter: RowConverter::new(fields)?, columns, schema })
    }

    fn keys(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns: Vec<_> = self.columns.iter().map(|column| rows.column(*column).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    fn duplicate(&self, rows: &RecordBatch, row: usize) -> Error {
        let names: Vec<&str> = self.columns.iter().map(|column| self.schema.field(*column).name().as_str()).collect();
        let values: Vec<String> =
            self.columns.iter().map(|column| array_value_to_string(rows.column(*column), row).unwrap_or_else(|_| "?".into())).collect();
        Error::new(SqlState::UNIQUE_VIOLATION, format!("duplicate key value violates unique constraint \"{}\"", self.constraint))
            .with_detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
    }
}

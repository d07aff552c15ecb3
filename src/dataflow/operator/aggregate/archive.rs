//! What is kept of groups whose window is closed: their sums, so that rows that came too late can be admitted, and results removed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, not, take_arrays, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::RowConverter;
use weir_common::delta::batch;
use weir_common::error::Result;

use crate::rows::{converter, encode, moments, times};
use crate::state::StoredRows;

/// Groups as rows, by what names their window.
///
/// # Invariants
/// - A group is here once, and not among those of the aggregate.
/// - `gone` has the keys of all rows that the last checkpoint has and that are not here any more, or changed.
/// - Where rows are left in the store, those here are the ones that it may not have yet.
pub(super) struct Archive {
    /// How many leading columns are the key.
    keys: usize,
    key_schema: SchemaRef,
    /// The column of the key that names windows.
    named: usize,
    converter: RowConverter,
    windows: BTreeMap<i64, Window>,
    gone: Vec<Vec<ArrayRef>>,
    sizes: Sizes,
    left: Option<Left>,
}

/// The groups of one window.
#[derive(Default)]
struct Window {
    /// Those that the last checkpoint has, or the one that is being written.
    stored: Vec<RecordBatch>,
    fresh: Vec<RecordBatch>,
}

/// Bytes of all that is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    stored: usize,
    fresh: usize,
    gone: usize,
}

/// Rows that are left in the store.
struct Left {
    rows: Arc<dyn StoredRows>,
    /// Keys that went since the last checkpoint began: the store still has them.
    taken: HashSet<Box<[u8]>>,
    /// The same before that: it may still be writing it down.
    taken_before: HashSet<Box<[u8]>>,
}

impl Archive {
    /// `schema`: of the rows; the column `named` of their key names their window.
    pub(super) fn new(schema: &SchemaRef, keys: usize, named: usize) -> Result<Self> {
        let converter = converter(schema.fields()[..keys].iter().map(|field| field.data_type()))?;
        let key_schema = Arc::new(schema.project(&(0..keys).collect::<Vec<_>>())?);
        let (windows, gone, sizes) = (BTreeMap::new(), Vec::new(), Sizes::default());
        Ok(Archive { keys, key_schema, named, converter, windows, gone, sizes, left: None })
    }

    /// What a checkpoint has is found here from now on. One that begins says that the one before is in the store.
    pub(super) fn look_up(&mut self, rows: Arc<dyn StoredRows>) {
        self.left = Some(Left { rows, taken: HashSet::new(), taken_before: HashSet::new() });
    }

    /// Keeps groups of a window.
    pub(super) fn put(&mut self, named: i64, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.sizes.fresh += bytes(rows.columns());
            self.windows.entry(named).or_default().fresh.push(rows);
        }
    }

    /// Takes out the groups of a window that have these keys; keys of other windows may be among them.
    pub(super) fn take(&mut self, named: i64, keys: &[ArrayRef]) -> Result<Vec<RecordBatch>> {
        let encoded = encode(&self.converter, keys)?;
        let mut wanted: HashSet<&[u8]> = (0..encoded.len()).map(|row| encoded.value(row)).collect();
        let (mut had, mut fresh) = (Vec::new(), Vec::new());
        if let Some(mut window) = self.windows.remove(&named) {
            let sizes = &mut self.sizes;
            for (batches, size, taken) in
                [(&mut window.stored, &mut sizes.stored, &mut had), (&mut window.fresh, &mut sizes.fresh, &mut fresh)]
            {
                take_of(batches, &self.converter, self.keys, &mut wanted, size, taken)?;
            }
            if !window.stored.is_empty() || !window.fresh.is_empty() {
                self.windows.insert(named, window);
            }
        }
        if let Some(left) = &self.left {
            let names = moments(keys, self.named)?;
            let is_left = |key: &[u8]| !left.taken.contains(key) && !left.taken_before.contains(key);
            let is_asked = |row: &usize| names.value(*row) == named && wanted.remove(encoded.value(*row)) && is_left(encoded.value(*row));
            let asked: Vec<u32> = (0..encoded.len()).filter(is_asked).map(|row| row as u32).collect();
            if !asked.is_empty() {
                let rows = asked.len();
                let columns = take_arrays(keys, &UInt32Array::from(asked), None)?;
                had.extend(left.rows.find(&batch(self.key_schema.clone(), columns, rows)?)?);
            }
        }
        for rows in &had {
            self.went(rows)?;
        }
        had.extend(fresh);
        Ok(had)
    }

    /// Rows that a checkpoint has are not here any more.
    fn went(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = rows.columns()[..self.keys].to_vec();
        if let Some(left) = &mut self.left {
            let encoded = encode(&self.converter, &keys)?;
            left.taken.extend((0..encoded.len()).map(|row| Box::from(encoded.value(row))));
        }
        self.sizes.gone += bytes(&keys);
        self.gone.push(keys);
        Ok(())
    }

    /// What names the first window of those here.
    pub(super) fn first(&self) -> Option<i64> {
        self.windows.keys().next().copied()
    }

    /// Takes out the windows that are removed, all of their groups at once. None that a store has alone can be.
    pub(super) fn remove(&mut self, is_removed: impl Fn(i64) -> bool) -> Vec<RecordBatch> {
        let mut removed = Vec::new();
        while let Some(first) = self.windows.first_entry()
            && is_removed(*first.key())
        {
            let Window { stored, fresh } = first.remove();
            for (rows, size) in [(&stored, &mut self.sizes.stored), (&fresh, &mut self.sizes.fresh)] {
                *size -= rows.iter().map(|rows| bytes(rows.columns())).sum::<usize>();
            }
            for rows in &stored {
                let keys = rows.columns()[..self.keys].to_vec();
                self.sizes.gone += bytes(&keys);
                self.gone.push(keys);
            }
            removed.extend(stored.into_iter().chain(fresh));
        }
        removed
    }

    /// Rows that a restart has brought back.
    pub(super) fn load(&mut self, rows: &RecordBatch) -> Result<()> {
        let names = times(rows, self.named)?.values();
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|row| names[*row as usize]);
        for same in order.chunk_by(|a, b| names[*a as usize] == names[*b as usize]) {
            let rows = take_record_batch(rows, &UInt32Array::from(same.to_vec()))?;
            self.sizes.stored += bytes(rows.columns());
            self.windows.entry(names[same[0] as usize]).or_default().stored.push(rows);
        }
        Ok(())
    }

    /// The keys of rows that went since the last call, and the rows that came: for a checkpoint that begins.
    pub(super) fn changes(&mut self) -> (Vec<Vec<ArrayRef>>, Vec<RecordBatch>) {
        let mut put = Vec::new();
        for window in self.windows.values_mut() {
            put.extend(window.fresh.iter().cloned());
            match &self.left {
                // The checkpoint before is in the store.
                Some(_) => window.stored = std::mem::take(&mut window.fresh),
                None => window.stored.append(&mut window.fresh),
            }
        }
        self.sizes = match &mut self.left {
            Some(left) => {
                left.taken_before = std::mem::take(&mut left.taken);
                self.windows.retain(|_, window| !window.stored.is_empty());
                Sizes { stored: self.sizes.fresh, fresh: 0, gone: 0 }
            }
            None => Sizes { stored: self.sizes.stored + self.sizes.fresh, fresh: 0, gone: 0 },
        };
        (std::mem::take(&mut self.gone), put)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let Sizes { stored, fresh, gone } = self.sizes;
        stored + fresh + gone
    }

    /// Bytes that the next checkpoint writes, about.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.sizes.fresh
    }
}

/// Takes the rows with wanted keys out of some, whose size is told, and these keys out of those that are wanted.
fn take_of(
    batches: &mut Vec<RecordBatch>,
    converter: &RowConverter,
    keys: usize,
    wanted: &mut HashSet<&[u8]>,
    size: &mut usize,
    taken: &mut Vec<RecordBatch>,
) -> Result<()> {
    for batch in std::mem::take(batches) {
        let have = encode(converter, &batch.columns()[..keys])?;
        let hit: BooleanArray = (0..have.len()).map(|row| Some(wanted.remove(have.value(row)))).collect();
        if hit.true_count() == 0 {
            batches.push(batch);
            continue;
        }
        taken.push(filter_record_batch(&batch, &hit)?);
        let rest = filter_record_batch(&batch, &not(&hit)?)?;
        if rest.num_rows() > 0 {
            *size += bytes(rest.columns());
            batches.push(rest);
        }
        *size -= bytes(batch.columns());
    }
    Ok(())
}

/// Bytes that columns take.
fn bytes(columns: &[ArrayRef]) -> usize {
    columns.iter().map(|column| column.get_array_memory_size()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::array::{AsArray, Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};

    use super::*;

    const NONE: [i64; 0] = [];

    /// What is in the store: sums by window and key; and what it was asked for.
    #[derive(Default)]
    struct Store {
        rows: Mutex<BTreeMap<(i64, i64), i64>>,
        asked: Mutex<usize>,
    }

    fn schema() -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let fields = [("window", time), ("key", DataType::Int64), ("sum", DataType::Int64)];
        Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
    }

    fn rows(groups: &[(i64, i64, i64)]) -> RecordBatch {
        let windows = TimestampMicrosecondArray::from_iter_values(groups.iter().map(|group| group.0));
        let [keys, sums] =
            [1, 2].map(|column| Int64Array::from_iter_values(groups.iter().map(|group| if column == 1 { group.1 } else { group.2 })));
        RecordBatch::try_new(schema(), vec![Arc::new(windows), Arc::new(keys), Arc::new(sums)]).unwrap()
    }

    fn groups(columns: &[ArrayRef]) -> Vec<(i64, i64)> {
        let windows = moments(columns, 0).unwrap().values();
        windows.iter().copied().zip(columns[1].as_primitive::<Int64Type>().values().iter().copied()).collect()
    }

    impl StoredRows for Store {
        fn find(&self, keys: &RecordBatch) -> Result<Vec<RecordBatch>> {
            *self.asked.lock().unwrap() += keys.num_rows();
            let stored = self.rows.lock().unwrap();
            let found = groups(keys.columns()).into_iter().filter_map(|of| Some((of.0, of.1, *stored.get(&of)?)));
            Ok(vec![rows(&found.collect::<Vec<_>>())])
        }
    }

    impl Store {
        /// A checkpoint has come to its end.
        fn apply(&self, (gone, put): (Vec<Vec<ArrayRef>>, Vec<RecordBatch>)) {
            let mut stored = self.rows.lock().unwrap();
            for of in gone.iter().flat_map(|keys| groups(keys)) {
                assert!(stored.remove(&of).is_some(), "what is gone was there");
            }
            for batch in put {
                let sums = batch.column(2).as_primitive::<Int64Type>().values();
                stored.extend(groups(batch.columns()).into_iter().zip(sums.iter().copied()));
            }
        }
    }

    fn taken(archive: &mut Archive, window: i64, asked: &[(i64, i64)]) -> Vec<i64> {
        let asked: Vec<_> = asked.iter().map(|(window, key)| (*window, *key, 0)).collect();
        let taken = archive.take(window, &rows(&asked).columns()[..2]).unwrap();
        let mut sums: Vec<i64> = taken.iter().flat_map(|rows| rows.column(2).as_primitive::<Int64Type>().values().to_vec()).collect();
        sums.sort_unstable();
        sums
    }

    #[test]
    fn what_a_checkpoint_has_is_left_in_the_store_and_found_there_once() {
        let store = Arc::new(Store::default());
        let mut archive = Archive::new(&schema(), 2, 0).unwrap();
        archive.look_up(store.clone());
        archive.put(10, rows(&[(10, 1, 101), (10, 2, 102), (10, 3, 103)]));
        archive.put(20, rows(&[(20, 1, 201)]));
        // A checkpoint begins; while it is written, all of it is here.
        let first = archive.changes();
        assert!(archive.memory_bytes() > 0 && archive.dirty_bytes() == 0);
        assert_eq!(taken(&mut archive, 10, &[(10, 1), (20, 1), (10, 9)]), [101]);
        assert_eq!(taken(&mut archive, 10, &[(10, 1)]), NONE, "it was taken, whatever the store has");
        assert_eq!(*store.asked.lock().unwrap(), 1, "only the key that is not here is looked up");
        store.apply(first);
        assert_eq!(taken(&mut archive, 10, &[(10, 1)]), NONE);
        archive.put(10, rows(&[(10, 1, 111)]));
        // The next one: the first is in the store, and only what came since is here.
        let second = archive.changes();
        assert_eq!(archive.first(), Some(10));
        assert_eq!(taken(&mut archive, 20, &[(20, 1), (10, 2)]), [201]);
        assert_eq!(taken(&mut archive, 10, &[(10, 1), (10, 2)]), [102, 111]);
        store.apply(second);
        assert_eq!(taken(&mut archive, 20, &[(20, 1)]), NONE);
        store.apply(archive.changes());
        store.apply(archive.changes());
        assert_eq!((archive.memory_bytes(), archive.first()), (0, None));
        assert_eq!(taken(&mut archive, 10, &[(10, 1), (10, 2), (10, 3)]), [103]);
        assert_eq!(taken(&mut archive, 20, &[(20, 1)]), NONE);
        store.apply(archive.changes());
        assert!(store.rows.lock().unwrap().is_empty());
    }
}

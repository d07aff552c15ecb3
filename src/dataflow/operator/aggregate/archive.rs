//! What is kept of groups whose window is closed: their sums, so that rows that came too late can be admitted, and results removed.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::RowConverter;
use weir_common::error::Result;

use crate::rows::{converter, encode, times};

/// Groups as rows, by what names their window.
///
/// # Invariants
/// - A group is here once, and not among those of the aggregate.
/// - `gone` has the keys of all rows that the last checkpoint has and that are not here any more, or changed.
pub(super) struct Archive {
    /// How many leading columns are the key.
    keys: usize,
    converter: RowConverter,
    windows: BTreeMap<i64, Window>,
    gone: Vec<Vec<ArrayRef>>,
}

/// The groups of one window.
#[derive(Default)]
struct Window {
    /// Those that the last checkpoint has.
    stored: Vec<RecordBatch>,
    fresh: Vec<RecordBatch>,
}

impl Archive {
    /// `schema`: of the rows.
    pub(super) fn new(schema: &SchemaRef, keys: usize) -> Result<Self> {
        let converter = converter(schema.fields()[..keys].iter().map(|field| field.data_type()))?;
        Ok(Archive { keys, converter, windows: BTreeMap::new(), gone: Vec::new() })
    }

    /// Keeps groups of a window.
    pub(super) fn put(&mut self, named: i64, rows: RecordBatch) {
        if rows.num_rows() > 0 {
            self.windows.entry(named).or_default().fresh.push(rows);
        }
    }

    /// Takes out the groups of a window that have these keys.
    pub(super) fn take(&mut self, named: i64, keys: &[ArrayRef]) -> Result<Vec<RecordBatch>> {
        let Archive { windows, converter, gone, .. } = self;
        let Some(window) = windows.get_mut(&named) else { return Ok(Vec::new()) };
        let wanted = encode(converter, keys)?;
        let wanted: HashSet<&[u8]> = (0..wanted.len()).map(|row| wanted.value(row)).collect();
        let mut taken = Vec::new();
        for (batches, stored) in [(&mut window.stored, true), (&mut window.fresh, false)] {
            for batch in std::mem::take(batches) {
                let have = encode(converter, &batch.columns()[..self.keys])?;
                let hit: Vec<bool> = (0..have.len()).map(|row| wanted.contains(have.value(row))).collect();
                if !hit.contains(&true) {
                    batches.push(batch);
                    continue;
                }
                let rest: Vec<bool> = hit.iter().map(|hit| !hit).collect();
                let (hit, rest) = (filter_record_batch(&batch, &BooleanArray::from(hit))?, filter_record_batch(&batch, &rest.into())?);
                if stored {
                    gone.push(hit.columns()[..self.keys].to_vec());
                }
                taken.push(hit);
                if rest.num_rows() > 0 {
                    batches.push(rest);
                }
            }
        }
        Ok(taken)
    }

    /// What names the first window.
    pub(super) fn first(&self) -> Option<i64> {
        self.windows.keys().next().copied()
    }

    /// Takes out the windows that are removed, all of their groups at once.
    pub(super) fn remove(&mut self, is_removed: impl Fn(i64) -> bool) -> Vec<RecordBatch> {
        let mut removed = Vec::new();
        while let Some(first) = self.windows.first_entry()
            && is_removed(*first.key())
        {
            let Window { stored, fresh } = first.remove();
            self.gone.extend(stored.iter().map(|batch| batch.columns()[..self.keys].to_vec()));
            removed.extend(stored.into_iter().chain(fresh));
        }
        removed
    }

    /// Rows that a restart has brought back; the column `named` has what names their windows.
    pub(super) fn load(&mut self, named: usize, rows: &RecordBatch) -> Result<()> {
        let names = times(rows, named)?.values();
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by_key(|row| names[*row as usize]);
        for same in order.chunk_by(|a, b| names[*a as usize] == names[*b as usize]) {
            let rows = take_record_batch(rows, &UInt32Array::from(same.to_vec()))?;
            self.windows.entry(names[same[0] as usize]).or_default().stored.push(rows);
        }
        Ok(())
    }

    /// The keys of rows that went since the last call, and the rows that came.
    pub(super) fn changes(&mut self) -> (Vec<Vec<ArrayRef>>, Vec<RecordBatch>) {
        let mut put = Vec::new();
        for window in self.windows.values_mut() {
            put.extend(window.fresh.iter().cloned());
            window.stored.append(&mut window.fresh);
        }
        (std::mem::take(&mut self.gone), put)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let batches = self.windows.values().flat_map(|window| window.stored.iter().chain(&window.fresh));
        batches.map(|batch| bytes(batch.columns())).sum::<usize>() + self.gone.iter().map(|columns| bytes(columns)).sum::<usize>()
    }

    /// Bytes that the next checkpoint writes, about.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.windows.values().flat_map(|window| &window.fresh).map(|batch| bytes(batch.columns())).sum()
    }
}

/// Bytes that columns take.
fn bytes(columns: &[ArrayRef]) -> usize {
    columns.iter().map(|column| column.get_array_memory_size()).sum()
}

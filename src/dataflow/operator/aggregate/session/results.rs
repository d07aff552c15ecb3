//! The results of closed sessions, until they are so old that they are taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, sort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use weir_common::delta::batch;
use weir_common::error::Result;

use crate::operator::aggregate::copied::Copied;
use crate::operator::aggregate::gone::Gone;
use crate::rows::times;
use crate::state::{StateChanges, StateSpec};

/// The part of the state that has them.
pub(super) const RESULTS: u16 = 1;

/// Rows by the ends of their sessions, of which no two of a partition are equal where rows are only added.
pub(super) struct Results {
    /// How many leading columns tell rows apart; the last of them is the end.
    keys: usize,
    schema: SchemaRef,
    key: SchemaRef,
    /// By the first end of the piece.
    pieces: BTreeMap<i64, Vec<Piece>>,
    /// Of the pieces.
    bytes: usize,
    /// Of those that the last checkpoint does not have.
    dirty_bytes: usize,
    /// Keys of rows that the last checkpoint has and that were taken back.
    gone: Gone,
    copied: Copied,
}

/// Rows in the order of their ends.
struct Piece {
    rows: RecordBatch,
    /// Of the rows.
    bytes: usize,
    /// Whether the last checkpoint has them.
    is_stored: bool,
}

impl Results {
    pub(super) fn new(schema: &SchemaRef, keys: usize) -> Result<Self> {
        let key = Arc::new(schema.project(&(0..keys).collect::<Vec<_>>())?);
        let (pieces, gone, copied) = (BTreeMap::new(), Gone::default(), Copied::default());
        Ok(Results { keys, schema: schema.clone(), key, pieces, bytes: 0, dirty_bytes: 0, gone, copied })
    }

    /// Its state.
    pub(super) fn state_spec(state: u16, schema: &SchemaRef, keys: usize, placement: &[usize]) -> StateSpec {
        StateSpec { state, part: RESULTS, schema: schema.clone(), keys, placement: placement.to_vec(), left_in_store: false }
    }

    fn ends<'a>(&self, rows: &'a RecordBatch) -> Result<&'a [i64]> {
        Ok(times(rows, self.keys - 1)?.values())
    }

    /// Keeps the rows of sessions that are closed now.
    pub(super) fn keep(&mut self, rows: &RecordBatch) -> Result<()> {
        self.add(rows, false)
    }

    fn add(&mut self, rows: &RecordBatch, is_stored: bool) -> Result<()> {
        let order = sort_to_indices(rows.column(self.keys - 1), Some(SortOptions::default()), None)?;
        self.insert(take_record_batch(rows, &order)?, is_stored)
    }

    fn insert(&mut self, rows: RecordBatch, is_stored: bool) -> Result<()> {
        if let Some(first) = self.ends(&rows)?.first().copied() {
            let bytes = rows.columns().iter().map(|column| column.get_array_memory_size()).sum();
            self.bytes += bytes;
            self.dirty_bytes += if is_stored { 0 } else { bytes };
            self.pieces.entry(first).or_default().push(Piece { rows, bytes, is_stored });
        }
        Ok(())
    }

    /// The first end.
    pub(super) fn first(&self) -> Option<i64> {
        self.pieces.keys().next().copied()
    }

    /// Takes out the rows that are too old; `is_removed` holds of all ends before one of which it does.
    pub(super) fn remove(&mut self, is_removed: impl Fn(i64) -> bool) -> Result<Vec<RecordBatch>> {
        let mut removed = vec![];
        while let Some(first) = self.pieces.first_entry()
            && is_removed(*first.key())
        {
            for Piece { rows, bytes, is_stored } in first.remove() {
                self.bytes -= bytes;
                self.dirty_bytes -= if is_stored { 0 } else { bytes };
                let count = self.ends(&rows)?.partition_point(|end| is_removed(*end));
                let old = rows.slice(0, count);
                if is_stored {
                    // What is left of a piece is not kept whole for the keys of what is gone.
                    let keys = take_record_batch(&old.project(&(0..self.keys).collect::<Vec<_>>())?, &up_to(count))?;
                    self.gone.push(keys.columns().to_vec());
                }
                removed.push(old);
                self.insert(rows.slice(count, rows.num_rows() - count), is_stored)?;
            }
        }
        Ok(removed)
    }

    pub(super) fn freeze(&mut self) {
        // They do not change: what came is only shared.
        let mut came = 0;
        for piece in self.pieces.values_mut().flatten().filter(|piece| !piece.is_stored) {
            came += piece.bytes;
            self.copied.put.push(piece.rows.clone());
            piece.is_stored = true;
        }
        debug_assert_eq!(came, self.dirty_bytes);
        self.dirty_bytes = 0;
        self.gone.freeze();
    }

    pub(super) fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.gone.copy(&self.key, budget, &mut self.copied.gone)
    }

    pub(super) fn take_copied(&mut self, state: u16) -> Option<StateChanges> {
        self.copied.take(state, RESULTS)
    }

    pub(super) fn load(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.add(&batch(self.schema.clone(), columns.to_vec(), rows)?, true)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.gone.bytes()
    }

    /// Bytes that the next checkpoint writes, about.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes + self.gone.bytes()
    }
}

fn up_to(count: usize) -> UInt32Array {
    UInt32Array::from_iter_values(0..count as u32)
}

#[cfg(test)]
mod tests;

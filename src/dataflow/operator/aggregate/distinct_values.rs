//! `count(DISTINCT x)` and the like: how often each group has each value; the aggregate sees those that are there, once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter, take};
use arrow::datatypes::DataType;
use weir_common::delta::Weights;
use weir_common::error::{Error, Result};
use weir_common::plan::AggregateCall;

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::keys::Keys;

/// The values of all groups and the aggregate over those that are there.
///
/// # Invariants
/// - `values` has an entry for each pair of group and value whose count is not zero; below zero only within an epoch.
/// - `inner` holds each value whose count is above zero, once.
pub(super) struct DistinctValues {
    inner: Box<dyn Accumulator>,
    /// Keyed by the group's slot and the value.
    values: Keys,
    counts: Cells<i64>,
    /// The values of the current batch.
    entries: Vec<u32>,
}

impl DistinctValues {
    pub(super) fn new(call: &AggregateCall, inner: Box<dyn Accumulator>) -> Result<Self> {
        let values = Keys::new(&[DataType::UInt32, call.input.clone()])?;
        Ok(DistinctValues { inner, values, counts: Cells::new(), entries: Vec::new() })
    }
}

impl Accumulator for DistinctValues {
    fn grow(&mut self, slots: usize) {
        self.inner.grow(slots);
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("DISTINCT without an argument"))?;
        let groups: ArrayRef = Arc::new(UInt32Array::from(rows.slots.to_vec()));
        // Of the rows that count, or of all.
        let (groups, argument, row_of): (ArrayRef, ArrayRef, Option<Vec<usize>>) = match included {
            None => (groups, argument.clone(), None),
            Some(included) => {
                let mask = BooleanArray::new(included.clone(), None);
                (filter(&groups, &mask)?, filter(argument, &mask)?, Some(included.set_indices().collect()))
            }
        };
        let mut entries = std::mem::take(&mut self.entries);
        self.values.find(&[groups, argument.clone()], argument.len(), &mut entries)?;
        self.counts.grow(self.values.slots(), 0);
        // Values that came or went, the group of each, and what that is for the aggregate.
        let (mut changed, mut slots, mut weights, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let row = row_of.as_ref().map_or(index, |rows| rows[index]);
            let count = &mut self.counts[*entry as usize];
            let before = *count;
            *count += rows.weights.get(row);
            if (before > 0) != (*count > 0) {
                changed.push(index as u32);
                slots.push(rows.slots[row]);
                weights.push(if before > 0 { -1i64 } else { 1 });
            }
            if *count == 0 {
                gone.push(*entry);
            }
        }
        if !changed.is_empty() {
            let changed = take(&argument, &UInt32Array::from(changed), None)?;
            let weights = if weights.iter().all(|weight| *weight == 1) { Weights::Ones } else { Weights::Each(weights.into()) };
            self.inner.update(&Rows { slots: &slots, weights: &weights }, Some(&changed), None)?;
        }
        // Not before now: a value may have come back within the batch.
        gone.sort_unstable();
        gone.dedup();
        for entry in gone.into_iter().filter(|entry| self.counts[*entry as usize] == 0) {
            self.values.release(entry);
        }
        self.entries = entries;
        Ok(())
    }

    fn merge(&mut self, _slots: &[u32], _states: &[ArrayRef]) -> Result<()> {
        Err(Error::internal("sets of values are not sent through an exchange"))
    }

    fn state_types(&self) -> Vec<DataType> {
        Vec::new()
    }

    fn state(&self, _slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Err(Error::internal("sets of values are not sent through an exchange"))
    }

    fn output(&self, slots: &[u32], failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        self.inner.output(slots, failures)
    }

    /// Its rows are gone, and with them its values.
    fn clear(&mut self, slot: u32) {
        self.inner.clear(slot);
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.values.reset();
        self.counts.empty();
    }

    fn memory_bytes(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<u32>();
        self.inner.memory_bytes() + self.values.memory_bytes() + self.counts.memory_bytes() + entries
    }
}

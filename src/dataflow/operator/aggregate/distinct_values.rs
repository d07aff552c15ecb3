//! `count(DISTINCT x)` and the like: how often each group has each value; the aggregate sees those that are there, once.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter, take};
use arrow::datatypes::{DataType, UInt32Type};
use weir_common::delta::Weights;
use weir_common::error::{Error, Result};
use weir_common::plan::AggregateCall;

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::entries::{Count, Counts, Entries};
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::marks::Marks;

/// The values of all groups and the aggregate over those that are there.
///
/// # Invariants
/// - `values` has an entry for each pair of group and value whose count is not zero; below zero only within an epoch.
/// - `inner` holds each value whose count is above zero, once.
pub(super) struct DistinctValues {
    inner: Box<dyn Accumulator>,
    /// Keyed by the group's slot and the value.
    values: Keys,
    counts: Cells<Count>,
    checkpoints: bool,
    marks: Marks,
    /// Entries that changed since the last checkpoint; some may be there twice, or be gone.
    changed: Vec<u32>,
    /// Those that had changed at the last freeze, and are still to be copied; some may be there twice, or be copied already, and a
    /// place may be another entry's by now.
    frozen: Vec<u32>,
    /// Frozen entries that have changed since: the slots of their groups and their values, and the counts that they had.
    kept: Vec<(Vec<ArrayRef>, Vec<i64>)>,
    /// Entries that the last checkpoint has, and that are gone: the slots of their groups, and their values.
    gone: Vec<Vec<ArrayRef>>,
    value_type: DataType,
    /// The values of the current batch.
    entries: Vec<u32>,
}

impl DistinctValues {
    /// `inner` need not know of checkpoints: what it holds follows from the values.
    pub(super) fn new(call: &AggregateCall, inner: Box<dyn Accumulator>, checkpoints: bool) -> Result<Self> {
        let value_type = call.input.clone();
        let values = Keys::new(&[DataType::UInt32, value_type.clone()])?;
        let (counts, marks, changed, frozen, kept) = (Cells::new(), Marks::new(), vec![], vec![], vec![]);
        let (gone, entries) = (vec![], vec![]);
        Ok(DistinctValues { inner, values, counts, checkpoints, marks, changed, frozen, kept, gone, value_type, entries })
    }

    /// Entries are not there any more.
    fn forget(&mut self, entries: &[u32]) -> Result<()> {
        let stored: Vec<u32> = entries.iter().copied().filter(|entry| self.counts[*entry as usize].is_stored()).collect();
        if !stored.is_empty() {
            self.gone.push(self.values.columns(&stored)?);
        }
        for entry in entries {
            self.counts[*entry as usize] = Count::default();
            self.values.release(*entry);
        }
        Ok(())
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
        self.counts.grow(self.values.slots(), Count::default());
        // Values that came or went, the group of each, and what that is for the aggregate.
        let (mut changed, mut slots, mut weights, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut kept, mut kept_counts) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let row = row_of.as_ref().map_or(index, |rows| rows[index]);
            let count = &mut self.counts[*entry as usize];
            let before = count.get();
            if self.checkpoints && count.change(self.marks) {
                self.changed.push(*entry);
                if count.copy(self.marks) {
                    kept.push(*entry);
                    kept_counts.push(before);
                }
            }
            count.add(rows.weights.get(row));
            if (before > 0) != (count.get() > 0) {
                changed.push(index as u32);
                slots.push(rows.slots[row]);
                weights.push(if before > 0 { -1i64 } else { 1 });
            }
            if count.get() == 0 {
                gone.push(*entry);
            }
        }
        if !kept.is_empty() {
            // Their places may be given out again below.
            self.kept.push((self.values.columns(&kept)?, kept_counts));
        }
        if !changed.is_empty() {
            let changed = take(&argument, &UInt32Array::from(changed), None)?;
            let weights = if weights.iter().all(|weight| *weight == 1) { Weights::Ones } else { Weights::Each(weights.into()) };
            self.inner.update(&Rows { slots: &slots, weights: &weights }, Some(&changed), None)?;
        }
        // Not before now: a value may have come back within the batch.
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|entry| self.counts[*entry as usize].get() == 0);
        self.forget(&gone)?;
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

    fn cells(&self, _slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn load(&mut self, _slots: &[u32], _cells: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        Some(self)
    }

    fn output(&self, slots: &[u32], failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        self.inner.output(slots, failures)
    }

    /// Its rows are gone, and with them its values.
    fn clear(&mut self, slot: u32) {
        self.inner.clear(slot);
    }

    /// Windows close: all values of their groups are found in one pass over what there is.
    fn clear_all(&mut self, slots: &[u32]) -> Result<()> {
        slots.iter().for_each(|slot| self.inner.clear(*slot));
        let present: Vec<u32> = (0..self.values.slots() as u32).filter(|entry| self.counts[*entry as usize].get() != 0).collect();
        if present.is_empty() {
            return Ok(());
        }
        let groups = self.values.columns(&present)?.swap_remove(0);
        let closing: HashSet<u32> = slots.iter().copied().collect();
        let of_closing = |group: &u32| closing.contains(group);
        let groups = groups.as_primitive::<UInt32Type>().values();
        let gone: Vec<u32> = present.iter().zip(groups).filter(|(_, group)| of_closing(group)).map(|(entry, _)| *entry).collect();
        let counts = &mut self.counts;
        let kept: Vec<u32> = gone.iter().copied().filter(|entry| counts[*entry as usize].copy(self.marks)).collect();
        if !kept.is_empty() {
            let kept_counts = kept.iter().map(|entry| counts[*entry as usize].get()).collect();
            self.kept.push((self.values.columns(&kept)?, kept_counts));
        }
        self.forget(&gone)
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.values.reset();
        self.counts.empty();
        self.changed.clear();
        self.frozen.clear();
        self.kept.clear();
        self.gone.clear();
    }

    fn memory_bytes(&self) -> usize {
        let gone: usize = self.gone.iter().flatten().map(|column| column.get_array_memory_size()).sum();
        let entries = (self.entries.capacity() + self.changed.capacity() + self.frozen.capacity()) * size_of::<u32>() + gone;
        self.inner.memory_bytes() + self.values.memory_bytes() + self.counts.memory_bytes() + entries
    }
}

impl Entries for DistinctValues {
    fn value_type(&self) -> DataType {
        self.value_type.clone()
    }

    fn take_gone(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        if self.gone.is_empty() {
            return Ok(None);
        }
        let gone = std::mem::take(&mut self.gone);
        slots_and_values(gone.iter()).map(Some)
    }

    fn freeze(&mut self) {
        debug_assert!(self.frozen.is_empty() && self.kept.is_empty(), "one checkpoint is copied at a time");
        self.marks.freeze();
        self.frozen = std::mem::take(&mut self.changed);
    }

    fn take_kept(&mut self) -> Result<Option<Counts>> {
        if self.kept.is_empty() {
            return Ok(None);
        }
        let kept = std::mem::take(&mut self.kept);
        let (slots, values) = slots_and_values(kept.iter().map(|(columns, _)| columns))?;
        Ok(Some((slots, values, kept.into_iter().flat_map(|(_, counts)| counts).collect())))
    }

    fn copy(&mut self, budget: &mut usize) -> Result<Option<Counts>> {
        if self.frozen.is_empty() {
            return Ok(None);
        }
        let mut copied = self.frozen.split_off(self.frozen.len().saturating_sub(*budget));
        *budget -= copied.len();
        copied.retain(|entry| self.counts[*entry as usize].copy(self.marks));
        let columns = self.values.columns(&copied)?;
        let slots = columns[0].as_primitive::<UInt32Type>().values().to_vec();
        Ok(Some((slots, columns[1].clone(), copied.iter().map(|entry| self.counts[*entry as usize].get()).collect())))
    }

    fn load(&mut self, slots: &[u32], values: &ArrayRef, counts: &[i64]) -> Result<()> {
        let groups: ArrayRef = Arc::new(UInt32Array::from(slots.to_vec()));
        let mut entries = std::mem::take(&mut self.entries);
        self.values.find(&[groups, values.clone()], slots.len(), &mut entries)?;
        self.counts.grow(self.values.slots(), Count::default());
        for (entry, count) in entries.iter().zip(counts) {
            self.counts[*entry as usize] = Count::stored(*count);
        }
        self.entries = entries;
        self.inner.update(&Rows { slots, weights: &Weights::Ones }, Some(values), None)
    }
}

/// Pieces of these two columns as one.
fn slots_and_values<'a>(pieces: impl Iterator<Item = &'a Vec<ArrayRef>> + Clone) -> Result<(Vec<u32>, ArrayRef)> {
    let column = |index: usize| concat(&pieces.clone().map(|columns| columns[index].as_ref()).collect::<Vec<_>>());
    Ok((column(0)?.as_primitive::<UInt32Type>().values().to_vec(), column(1)?))
}

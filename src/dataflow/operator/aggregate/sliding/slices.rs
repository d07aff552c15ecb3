//! The sums of slices: what is kept of the rows until all windows that hold them were given.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use weir_common::error::{Error, Result};

use crate::operator::aggregate::checkpoint::Stored;
use crate::operator::aggregate::tracked::Tracked;
use crate::operator::aggregate::{AggregateSpec, Groups};
use crate::rows::moments;
use crate::state::StateChanges;

/// Groups by slice and the other keys, each with its sums.
///
/// # Invariants
/// - Each group is in `starts` once, under the start of its slice.
/// - Groups only gain rows, and go with their slice.
pub(super) struct Slices {
    /// Which of the keys is the start of the slice.
    column: usize,
    /// How many columns are the key.
    keys: usize,
    groups: Groups,
    tracked: Tracked,
    stored: Stored,
    starts: BTreeMap<i64, Vec<u32>>,
    /// Groups that the current epoch has changed.
    touched: Vec<u32>,
}

impl Slices {
    /// `schema` has the keys; `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(spec: &AggregateSpec, column: usize, schema: &Schema, checkpoints: bool) -> Result<Self> {
        let (groups, tracked, stored) = (spec.groups(schema, checkpoints)?, Tracked::new(checkpoints), Stored::new(spec, schema)?);
        Ok(Slices { column, keys: spec.keys, groups, tracked, stored, starts: BTreeMap::new(), touched: vec![] })
    }

    /// Adds sums behind their keys; `slots` are then those of the rows.
    pub(super) fn add(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        let Slices { column, keys, groups, tracked, stored, starts, touched } = self;
        groups.keys.find(&columns[..*keys], rows, slots)?;
        groups.grow();
        tracked.grow(groups.rows.len());
        for (slot, start) in slots.iter().zip(moments(columns, *column)?.values()) {
            if tracked.touch(*slot) {
                touched.push(*slot);
                if groups.rows[*slot as usize] == 0 {
                    starts.entry(*start).or_default().push(*slot);
                }
            }
        }
        stored.keep(groups, tracked)?;
        groups.add_sums(slots, &columns[*keys..])
    }

    /// The epoch is over.
    pub(super) fn settle(&mut self) {
        self.touched.drain(..).for_each(|slot| self.tracked.settle(slot));
    }

    /// The start of the first slice.
    pub(super) fn first(&self) -> Option<i64> {
        self.starts.keys().next().copied()
    }

    /// Where slices start, in order.
    pub(super) fn starts(&self) -> impl Iterator<Item = i64> {
        self.starts.keys().copied()
    }

    /// The groups of each slice that starts from `from` on and before `to`, in order.
    pub(super) fn between(&self, from: i64, to: i64) -> impl DoubleEndedIterator<Item = &[u32]> + Clone {
        let range = if from < to { Some(self.starts.range(from..to)) } else { None };
        range.into_iter().flatten().map(|(_, slots)| slots.as_slice())
    }

    /// The start of each group's slice.
    pub(super) fn starts_of(&self, slots: &[u32]) -> Result<Vec<i64>> {
        Ok(moments(&self.groups.keys.columns(slots)?, self.column)?.values().to_vec())
    }

    /// The keys of groups, but for the slice.
    pub(super) fn keys(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = self.groups.keys.columns(slots)?;
        columns.remove(self.column);
        Ok(columns)
    }

    /// The sums of groups.
    pub(super) fn sums(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.groups.sums(slots)
    }

    /// Slots that were given out.
    pub(super) fn slots(&self) -> usize {
        self.groups.keys.slots()
    }

    /// Groups that are there.
    pub(super) fn groups(&self) -> usize {
        self.groups.keys.groups()
    }

    /// The slices before `stays` go, or all.
    pub(super) fn remove(&mut self, stays: Option<i64>) -> Result<()> {
        while let Some(first) = self.starts.first_entry()
            && stays.is_none_or(|stays| *first.key() < stays)
        {
            let slots = first.remove();
            // A checkpoint may still be about to copy them.
            slots.iter().for_each(|slot| _ = self.tracked.touch(*slot));
            self.stored.keep(&self.groups, &mut self.tracked)?;
            self.groups.clear_sums(&slots)?;
            self.tracked.release(&slots, &self.groups.keys)?;
            slots.iter().for_each(|slot| self.groups.keys.release(*slot));
        }
        Ok(())
    }

    pub(super) fn freeze(&mut self) {
        self.stored.freeze(&mut self.groups, &mut self.tracked);
    }

    pub(super) fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.stored.copy(&mut self.groups, &mut self.tracked, budget)
    }

    pub(super) fn kept_rows(&self) -> usize {
        self.stored.kept_rows()
    }

    pub(super) fn take_copied(&mut self) -> Vec<StateChanges> {
        self.stored.take_copied()
    }

    pub(super) fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let slots = self.stored.load(&mut self.groups, &mut self.tracked, part, columns, rows)?;
        let slots = slots.ok_or_else(|| Error::internal("slices have no values that are kept one by one"))?;
        for (slot, start) in slots.into_iter().zip(moments(columns, self.column)?.values()) {
            self.starts.entry(*start).or_default().push(slot);
        }
        Ok(())
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.tracked.dirty_bytes(self.memory_bytes())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let lists = self.starts.values().map(|slots| slots.capacity() * size_of::<u32>() + size_of::<(i64, Vec<u32>)>() * 3 / 2);
        let touched = self.touched.capacity() * size_of::<u32>();
        self.groups.memory_bytes() + self.tracked.memory_bytes() + self.stored.memory_bytes() + lists.sum::<usize>() + touched
    }
}

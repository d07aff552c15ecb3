//! What is summed up at each moment of a partition: from that, sessions can be put together again when rows are taken back.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, Schema};
use weir_common::delta::Delta;
use weir_common::error::Result;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::checkpoint::Stored;
use crate::operator::aggregate::ordered::words;
use crate::operator::aggregate::session::live::Live;
use crate::operator::aggregate::tracked::Tracked;
use crate::operator::aggregate::{AggregateSpec, Groups, Stage};
use crate::state::StateChanges;

/// The state of the calls at every moment at which there are rows.
///
/// # Invariants
/// - The groups are the moments, by the columns of the partition and the time.
/// - Between epochs each slot that is not free has rows, and is in `times`. One that the current epoch touched is in `touched`.
pub(super) struct Moments {
    spec: AggregateSpec,
    groups: Groups,
    tracked: Tracked,
    stored: Stored,
    /// By partition, as the live sessions number them: the slot of each moment.
    times: Cells<BTreeMap<i64, u32>>,
    /// By partition and time.
    touched: BTreeMap<(u32, i64), u32>,
}

impl Moments {
    /// `key` are the fields of the key; `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(spec: AggregateSpec, key: &Schema, checkpoints: bool) -> Result<Self> {
        let groups = spec.groups(key, checkpoints)?;
        let (tracked, stored) = (Tracked::new(checkpoints), Stored::new(&spec, key)?);
        Ok(Moments { spec, groups, tracked, stored, times: Cells::new(), touched: BTreeMap::new() })
    }

    /// Takes rows, or the sums of rows, of these partitions.
    pub(super) fn push(&mut self, partitions: &[u32], delta: &Delta) -> Result<()> {
        let keys = self.spec.keys;
        let columns = delta.rows.columns();
        let mut slots = std::mem::take(&mut self.groups.slots);
        self.groups.keys.find(&columns[..keys], delta.num_rows(), &mut slots)?;
        self.groups.grow();
        self.tracked.grow(self.groups.rows.len());
        let times = words(&columns[keys - 1])?;
        for (row, slot) in slots.iter().enumerate() {
            if self.tracked.touch(*slot) {
                self.touched.insert((partitions[row], times[row]), *slot);
            }
        }
        self.stored.keep(&self.groups, &mut self.tracked)?;
        let groups = &mut self.groups;
        if self.spec.stage == Stage::Final {
            let counts = columns[keys].as_primitive::<Int64Type>().values();
            slots.iter().zip(counts).for_each(|(slot, count)| groups.rows[*slot as usize] += count);
            let mut states = &columns[keys + 1..];
            for accumulator in groups.accumulators() {
                let (state, rest) = states.split_at(accumulator.state_types().len());
                accumulator.merge(&slots, state)?;
                states = rest;
            }
            groups.slots = slots;
            return Ok(());
        }
        groups.slots = slots;
        groups.update(&self.spec.calls, delta)
    }

    /// The epoch is complete: takes the sessions apart that it has touched, and puts them together again.
    pub(super) fn close(&mut self, live: &mut Live) -> Result<()> {
        self.stored.collect(&mut self.groups)?;
        let touched: Vec<((u32, i64), u32)> = std::mem::take(&mut self.touched).into_iter().collect();
        let (mut empty, mut again) = (vec![], vec![]);
        for run in touched.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let partition = run[0].0.0;
            self.times.grow(partition as usize + 1, BTreeMap::new());
            let times = &mut self.times[partition as usize];
            for ((_, time), slot) in run {
                match self.groups.rows[*slot as usize] {
                    0 => {
                        times.remove(time);
                        empty.push(*slot);
                    }
                    rows => {
                        debug_assert!(rows > 0, "a moment has {rows} rows");
                        times.insert(*time, *slot);
                        self.tracked.settle(*slot);
                    }
                }
            }
            let moments: Vec<i64> = run.iter().map(|((_, time), _)| *time).collect();
            for reach in live.reach(partition, &moments) {
                live.remove(partition, &reach.sessions)?;
                again.extend(times.range(reach.first..=reach.last).map(|(_, slot)| *slot));
            }
        }
        self.groups.accumulators().try_for_each(|accumulator| accumulator.clear_all(&empty))?;
        self.tracked.release(&empty, &self.groups.keys)?;
        empty.into_iter().for_each(|slot| self.groups.keys.release(slot));
        self.give(&again, live)?;
        for run in touched.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            live.release_partition(run[0].0.0);
        }
        Ok(())
    }

    /// Hands moments to the live sessions.
    fn give(&mut self, slots: &[u32], live: &mut Live) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let mut columns = self.groups.keys.columns(slots)?;
        columns.push(self.groups.counts(slots));
        for accumulator in self.groups.accumulators() {
            columns.extend(accumulator.state(slots)?);
        }
        live.add(&columns, slots.len())
    }

    /// Puts all sessions together, after a restart.
    pub(super) fn give_all(&mut self, live: &mut Live) -> Result<()> {
        let slots: Vec<u32> = (0..self.times.len()).flat_map(|partition| self.times[partition].values().copied()).collect();
        self.give(&slots, live)
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

    /// Takes back rows of a part; `partitions` are those of the rows.
    pub(super) fn load(&mut self, part: u16, partitions: &[u32], columns: &[ArrayRef], rows: usize) -> Result<()> {
        let Some(slots) = self.stored.load(&mut self.groups, &mut self.tracked, part, columns, rows)? else { return Ok(()) };
        let times = words(&columns[self.spec.keys - 1])?;
        for (row, (partition, slot)) in partitions.iter().zip(slots).enumerate() {
            self.times.grow(*partition as usize + 1, BTreeMap::new());
            self.times[*partition as usize].insert(times[row], slot);
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let index = self.groups.keys.groups() * size_of::<(i64, u32)>() * 3 / 2;
        self.groups.memory_bytes() + self.tracked.memory_bytes() + self.stored.memory_bytes() + self.times.memory_bytes() + index
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.tracked.dirty_bytes(self.memory_bytes())
    }
}

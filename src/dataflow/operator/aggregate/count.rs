//! `count(*)` and `count(x)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int64Type};
use weir_common::error::Result;

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;

#[derive(Default)]
pub(super) struct CountCells {
    counts: Cells<i64>,
}

impl CountCells {
    fn take(&self, slots: &[u32]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| self.counts[*slot as usize])))
    }
}

impl Accumulator for CountCells {
    fn grow(&mut self, slots: usize) {
        self.counts.grow(slots, 0);
    }

    fn update(&mut self, rows: &Rows, _argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let counts = &mut self.counts;
        rows.each(included, |_, slot, weight| counts[slot] += weight);
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        for (slot, count) in slots.iter().zip(states[0].as_primitive::<Int64Type>().values()) {
            self.counts[*slot as usize] += count;
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(slots)])
    }

    fn output(&self, slots: &[u32], _failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        Ok(self.take(slots))
    }

    fn clear(&mut self, slot: u32) {
        self.counts[slot as usize] = 0;
    }

    fn reset(&mut self) {
        self.counts.empty();
    }

    fn memory_bytes(&self) -> usize {
        self.counts.memory_bytes()
    }
}

//! `bool_and` and `bool_or`: how many values are true, and how many false.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int64Type};
use weir_common::error::{Error, Result};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;

pub(super) struct BoolCells {
    /// Whether one false decides, not one true.
    all: bool,
    counts: Cells<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    yes: i64,
    no: i64,
}

impl BoolCells {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall) -> Option<Self> {
        let all = call.function == AggregateFunction::BoolAnd;
        (call.input == DataType::Boolean && call.output == DataType::Boolean).then(|| BoolCells { all, counts: Cells::new() })
    }
}

impl Accumulator for BoolCells {
    fn grow(&mut self, slots: usize) {
        self.counts.grow(slots, Counts::default());
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("bool_and or bool_or without an argument"))?;
        let (values, counts) = (argument.as_boolean().values(), &mut self.counts);
        rows.each(included, |row, slot, weight| match values.value(row) {
            true => counts[slot].yes += weight,
            false => counts[slot].no += weight,
        });
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        let (yes, no) = (states[0].as_primitive::<Int64Type>().values(), states[1].as_primitive::<Int64Type>().values());
        for (row, slot) in slots.iter().enumerate() {
            let counts = &mut self.counts[*slot as usize];
            counts.yes += yes[row];
            counts.no += no[row];
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64, DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let column = |count: fn(&Counts) -> i64| Int64Array::from_iter_values(slots.iter().map(|slot| count(&self.counts[*slot as usize])));
        Ok(vec![Arc::new(column(|counts| counts.yes)), Arc::new(column(|counts| counts.no))])
    }

    fn output(&self, slots: &[u32], _failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let result = |slot: &u32| match self.counts[*slot as usize] {
            Counts { yes, no } if yes <= 0 && no <= 0 => None,
            Counts { no, .. } if self.all => Some(no <= 0),
            Counts { yes, .. } => Some(yes > 0),
        };
        Ok(Arc::new(slots.iter().map(result).collect::<BooleanArray>()))
    }

    fn clear(&mut self, slot: u32) {
        self.counts[slot as usize] = Counts::default();
    }

    fn reset(&mut self) {
        self.counts.empty();
    }

    fn memory_bytes(&self) -> usize {
        self.counts.memory_bytes()
    }
}

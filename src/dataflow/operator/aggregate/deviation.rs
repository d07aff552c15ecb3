//! `variance`, `stddev` and the like: exact sums of values and of their squares, rounded when they are read.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, Decimal128Array, Float64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::*;
use weir_common::error::{Error, Result};
use weir_common::moments::{FloatMoments, IntegerMoments, Measure};
use weir_common::numeric::PRECISION;
use weir_common::plan::AggregateCall;

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;

/// Of integers and decimals.
pub(super) struct IntegerDeviation {
    measure: Measure,
    input: DataType,
    /// Decimals of the values, and of the result.
    from: i8,
    to: i8,
    cells: Cells<IntegerMoments>,
    outside: usize,
}

/// Of floats.
pub(super) struct FloatDeviation {
    measure: Measure,
    input: DataType,
    cells: Cells<FloatMoments>,
    outside: usize,
}

impl IntegerDeviation {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall, measure: Measure) -> Option<Self> {
        let from = match &call.input {
            DataType::Int16 | DataType::Int32 | DataType::Int64 => 0,
            DataType::Decimal128(_, scale) => *scale,
            _ => return None,
        };
        match call.output {
            DataType::Decimal128(PRECISION, to) if to >= from => {
                Some(IntegerDeviation { measure, input: call.input.clone(), from, to, cells: Cells::new(), outside: 0 })
            }
            _ => None,
        }
    }

    fn add_all<T>(&mut self, rows: &Rows, argument: &ArrayRef, included: Option<&BooleanBuffer>)
    where
        T: ArrowPrimitiveType<Native: Into<i128>>,
    {
        let values = argument.as_primitive::<T>().values();
        rows.each(included, |row, slot, weight| self.change(slot, |cell| cell.add(values[row].into(), weight)));
    }

    fn change(&mut self, slot: usize, change: impl FnOnce(&mut IntegerMoments)) {
        let cell = &mut self.cells[slot];
        self.outside -= cell.outside_bytes();
        change(cell);
        self.outside += cell.outside_bytes();
    }
}

impl Accumulator for IntegerDeviation {
    fn grow(&mut self, slots: usize) {
        self.cells.grow(slots, IntegerMoments::default());
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("a variance without an argument"))?;
        match self.input {
            DataType::Int16 => self.add_all::<Int16Type>(rows, argument, included),
            DataType::Int32 => self.add_all::<Int32Type>(rows, argument, included),
            DataType::Int64 => self.add_all::<Int64Type>(rows, argument, included),
            _ => self.add_all::<Decimal128Type>(rows, argument, included),
        }
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        let states = states[0].as_binary::<i32>();
        for (row, slot) in slots.iter().enumerate() {
            let state = IntegerMoments::decode(states.value(row))?;
            self.change(*slot as usize, |cell| cell.merge(&state));
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(BinaryArray::from_iter_values(slots.iter().map(|slot| self.cells[*slot as usize].encode())))])
    }

    fn output(&self, slots: &[u32], failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let mut result = |index: usize, slot: u32| {
            let result = self.cells[slot as usize].measure(self.measure, self.from, self.to);
            result.unwrap_or_else(|error| {
                failures.push(Failure { index, error });
                None
            })
        };
        let values: Decimal128Array = slots.iter().enumerate().map(|(index, slot)| result(index, *slot)).collect();
        Ok(Arc::new(values.with_precision_and_scale(PRECISION, self.to)?))
    }

    fn clear(&mut self, slot: u32) {
        self.change(slot as usize, |cell| *cell = IntegerMoments::default());
    }

    fn reset(&mut self) {
        self.cells.empty();
        self.outside = 0;
    }

    fn memory_bytes(&self) -> usize {
        self.cells.memory_bytes() + self.outside
    }
}

impl FloatDeviation {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall, measure: Measure) -> Option<Self> {
        (call.output == DataType::Float64).then(|| FloatDeviation { measure, input: call.input.clone(), cells: Cells::new(), outside: 0 })
    }

    fn change(&mut self, slot: usize, change: impl FnOnce(&mut FloatMoments)) {
        let cell = &mut self.cells[slot];
        self.outside -= cell.outside_bytes();
        change(cell);
        self.outside += cell.outside_bytes();
    }
}

impl Accumulator for FloatDeviation {
    fn grow(&mut self, slots: usize) {
        self.cells.grow(slots, FloatMoments::default());
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("a variance without an argument"))?;
        if self.input == DataType::Float32 {
            let values = argument.as_primitive::<Float32Type>().values();
            rows.each(included, |row, slot, weight| self.change(slot, |cell| cell.add(values[row] as f64, weight)));
        } else {
            let values = argument.as_primitive::<Float64Type>().values();
            rows.each(included, |row, slot, weight| self.change(slot, |cell| cell.add(values[row], weight)));
        }
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        let states = states[0].as_binary::<i32>();
        for (row, slot) in slots.iter().enumerate() {
            let state = FloatMoments::decode(states.value(row))?;
            self.change(*slot as usize, |cell| cell.merge(&state));
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Binary]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(BinaryArray::from_iter_values(slots.iter().map(|slot| self.cells[*slot as usize].encode())))])
    }

    fn output(&self, slots: &[u32], _failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let results = slots.iter().map(|slot| self.cells[*slot as usize].measure(self.measure));
        Ok(Arc::new(results.collect::<Float64Array>()))
    }

    fn clear(&mut self, slot: u32) {
        self.change(slot as usize, |cell| *cell = FloatMoments::default());
    }

    fn reset(&mut self) {
        self.cells.empty();
        self.outside = 0;
    }

    fn memory_bytes(&self) -> usize {
        self.cells.memory_bytes() + self.outside
    }
}

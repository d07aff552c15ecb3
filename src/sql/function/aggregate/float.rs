//! Sums and averages of floats, compensated (Neumaier), so that many small values beside a large one are not lost.

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::function::aggregate::{Kind, Shape};

/// A sum, what rounding took from it, and how many values are in it.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    sum: f64,
    rest: f64,
    count: i64,
}

impl Cell {
    #[inline]
    fn add(&mut self, value: f64, count: i64) {
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        // Infinities and NaN have no rest; they stay in the sum.
        if lost.is_finite() {
            self.rest += lost;
        }
        self.sum = sum;
        self.count += count;
    }

    fn merge(&mut self, other: Cell) {
        self.add(other.sum, other.count);
        self.rest += other.rest;
    }

    fn result(&self, shape: &Shape) -> Option<f64> {
        let sum = self.sum + self.rest;
        match shape.kind {
            _ if self.count == 0 => None,
            Kind::Sum => Some(sum),
            Kind::Avg => Some(sum / self.count as f64),
        }
    }
}

fn each(values: &ArrayRef, mut f: impl FnMut(usize, f64)) -> Result<()> {
    match values.data_type() {
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            (0..values.len()).filter(|row| values.is_valid(*row)).for_each(|row| f(row, values.value(row) as f64));
        }
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            (0..values.len()).filter(|row| values.is_valid(*row)).for_each(|row| f(row, values.value(row)));
        }
        other => return internal_err!("a float aggregate got {other}"),
    }
    Ok(())
}

fn state_of(cells: &[Cell]) -> Vec<ArrayRef> {
    vec![
        Arc::new(Float64Array::from_iter_values(cells.iter().map(|cell| cell.sum))),
        Arc::new(Float64Array::from_iter_values(cells.iter().map(|cell| cell.rest))),
        Arc::new(Int64Array::from_iter_values(cells.iter().map(|cell| cell.count))),
    ]
}

/// Calls `f` with each row's cell of a state.
fn each_state(states: &[ArrayRef], mut f: impl FnMut(usize, Cell)) {
    let (sums, rests) = (states[0].as_primitive::<Float64Type>(), states[1].as_primitive::<Float64Type>());
    let counts = states[2].as_primitive::<Int64Type>();
    (0..sums.len()).for_each(|row| f(row, Cell { sum: sums.value(row), rest: rests.value(row), count: counts.value(row) }));
}

/// One group.
#[derive(Debug)]
pub(super) struct FloatAccumulator {
    shape: Shape,
    cell: Cell,
}

impl FloatAccumulator {
    pub(super) fn new(shape: Shape) -> Self {
        FloatAccumulator { shape, cell: Cell::default() }
    }
}

impl Accumulator for FloatAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| self.cell.add(value, 1))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| self.cell.add(-value, -1))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let result = self.cell.result(&self.shape);
        Ok(match self.shape.output {
            DataType::Float32 => ScalarValue::Float32(result.map(|value| value as f32)),
            _ => ScalarValue::Float64(result),
        })
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let cell = self.cell;
        Ok(vec![ScalarValue::Float64(Some(cell.sum)), ScalarValue::Float64(Some(cell.rest)), ScalarValue::Int64(Some(cell.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_state(states, |_, cell| self.cell.merge(cell));
        Ok(())
    }
}

/// Many groups.
pub(super) struct FloatGroups {
    shape: Shape,
    cells: Vec<Cell>,
}

impl FloatGroups {
    pub(super) fn new(shape: Shape) -> Self {
        FloatGroups { shape, cells: Vec::new() }
    }
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.cells.resize(total, Cell::default());
        let cells = &mut self.cells;
        each(&values[0], |row, value| {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                cells[groups[row]].add(value, 1);
            }
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let cells = emit_to.take_needed(&mut self.cells);
        let results = cells.iter().map(|cell| cell.result(&self.shape));
        Ok(match self.shape.output {
            DataType::Float32 => Arc::new(results.map(|value| value.map(|value| value as f32)).collect::<Float32Array>()),
            _ => Arc::new(results.collect::<Float64Array>()),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(state_of(&emit_to.take_needed(&mut self.cells)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.cells.resize(total, Cell::default());
        each_state(values, |row, cell| self.cells[groups[row]].merge(cell));
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut cells = vec![Cell::default(); values[0].len()];
        each(&values[0], |row, value| {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
                cells[row].add(value, 1);
            }
        })?;
        Ok(state_of(&cells))
    }

    fn size(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }
}

//! Sums and averages of integers and decimals: added up in 128 bits, so that no order of the rows changes the result.

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use weir_common::error::{Error, SqlState};
use weir_common::numeric::{PRECISION, average};

use crate::context::external;
use crate::function::aggregate::{Kind, Shape};

fn overflow(what: &str) -> DataFusionError {
    external(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{what} out of range")))
}

/// A sum and how many values are in it.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    sum: i128,
    count: i64,
}

impl Cell {
    #[inline]
    fn merge(&mut self, sum: i128, count: i64) -> Result<()> {
        self.sum = self.sum.checked_add(sum).ok_or_else(|| overflow("numeric"))?;
        self.count += count;
        Ok(())
    }

    /// The result, unscaled; `None` over no values.
    fn result(&self, shape: &Shape) -> Result<Option<i128>> {
        if self.count == 0 {
            return Ok(None);
        }
        match (shape.kind, &shape.output) {
            (Kind::Sum, DataType::Decimal128(..)) if self.sum.unsigned_abs() >= 10u128.pow(PRECISION as u32) => Err(overflow("numeric")),
            (Kind::Sum, _) => Ok(Some(self.sum)),
            (Kind::Avg, DataType::Decimal128(_, scale)) => {
                average(self.sum, input_scale(&shape.input), self.count, *scale).map(Some).ok_or_else(|| overflow("numeric"))
            }
            (Kind::Avg, other) => internal_err!("the average of exact numbers is a decimal, not {other}"),
        }
    }
}

pub(super) fn input_scale(input: &DataType) -> i8 {
    match input {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// Calls `f` for each row's value that is not NULL.
pub(super) fn each(values: &ArrayRef, mut f: impl FnMut(usize, i128) -> Result<()>) -> Result<()> {
    fn typed<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, f: &mut impl FnMut(usize, i128) -> Result<()>) -> Result<()>
    where
        T::Native: Into<i128>,
    {
        match values.nulls() {
            None => values.values().iter().enumerate().try_for_each(|(row, value)| f(row, (*value).into())),
            Some(nulls) => nulls.valid_indices().try_for_each(|row| f(row, values.value(row).into())),
        }
    }
    match values.data_type() {
        DataType::Int16 => typed(values.as_primitive::<Int16Type>(), &mut f),
        DataType::Int32 => typed(values.as_primitive::<Int32Type>(), &mut f),
        DataType::Int64 => typed(values.as_primitive::<Int64Type>(), &mut f),
        DataType::Decimal128(..) => typed(values.as_primitive::<Decimal128Type>(), &mut f),
        other => internal_err!("an exact aggregate got {other}"),
    }
}

/// One group, as window functions and ungrouped queries have it.
#[derive(Debug)]
pub(super) struct ExactAccumulator {
    shape: Shape,
    cell: Cell,
}

impl ExactAccumulator {
    pub(super) fn new(shape: Shape) -> Self {
        ExactAccumulator { shape, cell: Cell::default() }
    }
}

impl Accumulator for ExactAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| self.cell.merge(value, 1))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], |_, value| self.cell.merge(-value, -1))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.cell.result(&self.shape)?;
        Ok(match &self.shape.output {
            DataType::Int64 => ScalarValue::Int64(value.map(i64::try_from).transpose().map_err(|_| overflow("bigint"))?),
            DataType::Decimal128(precision, scale) => ScalarValue::Decimal128(value, *precision, *scale),
            other => return internal_err!("an exact aggregate cannot give {other}"),
        })
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.cell.sum), PRECISION, 0), ScalarValue::Int64(Some(self.cell.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = (states[0].as_primitive::<Decimal128Type>(), states[1].as_primitive::<Int64Type>());
        (0..sums.len()).try_for_each(|row| self.cell.merge(sums.value(row), counts.value(row)))
    }
}

/// Many groups.
pub(super) struct ExactGroups {
    shape: Shape,
    cells: Vec<Cell>,
}

impl ExactGroups {
    pub(super) fn new(shape: Shape) -> Self {
        ExactGroups { shape, cells: Vec::new() }
    }
}

fn state_of(cells: &[Cell]) -> Result<Vec<ArrayRef>> {
    let sums = Decimal128Array::from_iter_values(cells.iter().map(|cell| cell.sum)).with_precision_and_scale(PRECISION, 0)?;
    let counts = Int64Array::from_iter_values(cells.iter().map(|cell| cell.count));
    Ok(vec![Arc::new(sums), Arc::new(counts)])
}

impl GroupsAccumulator for ExactGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.cells.resize(total, Cell::default());
        let cells = &mut self.cells;
        match filter {
            None => each(&values[0], |row, value| cells[groups[row]].merge(value, 1)),
            Some(filter) => each(&values[0], |row, value| match filter.is_valid(row) && filter.value(row) {
                true => cells[groups[row]].merge(value, 1),
                false => Ok(()),
            }),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let cells = emit_to.take_needed(&mut self.cells);
        let results = cells.iter().map(|cell| cell.result(&self.shape)).collect::<Result<Vec<_>>>()?;
        Ok(match &self.shape.output {
            DataType::Int64 => {
                let narrow = |value: Option<i128>| value.map(i64::try_from).transpose().map_err(|_| overflow("bigint"));
                Arc::new(results.into_iter().map(narrow).collect::<Result<Int64Array>>()?)
            }
            DataType::Decimal128(precision, scale) => {
                Arc::new(results.into_iter().collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?)
            }
            other => return internal_err!("an exact aggregate cannot give {other}"),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        state_of(&emit_to.take_needed(&mut self.cells))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.cells.resize(total, Cell::default());
        let (sums, counts) = (values[0].as_primitive::<Decimal128Type>(), values[1].as_primitive::<Int64Type>());
        (0..sums.len()).try_for_each(|row| self.cells[groups[row]].merge(sums.value(row), counts.value(row)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut cells = vec![Cell::default(); values[0].len()];
        each(&values[0], |row, value| match filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
            true => cells[row].merge(value, 1),
            false => Ok(()),
        })?;
        state_of(&cells)
    }

    fn size(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }
}

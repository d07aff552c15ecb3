//! `min` and `max`: DataFusion's, but NaN is greater than any other float, as in Postgres.

use std::collections::BTreeMap;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, cast::AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, StatisticsArgs,
};

/// `min` or `max`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extreme {
    least: bool,
    inner: Arc<AggregateUDF>,
}

impl Extreme {
    pub(crate) fn all() -> [Extreme; 2] {
        [Extreme { least: true, inner: min_udaf() }, Extreme { least: false, inner: max_udaf() }]
    }
}

fn of_float(args: &AccumulatorArgs) -> bool {
    matches!(args.return_field.data_type(), DataType::Float32 | DataType::Float64)
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match of_float(&args) {
            true => Ok(Box::new(FloatExtreme { best: Best::new(self.least, args.return_field.data_type()), cell: None })),
            false => self.inner.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match of_float(&args) {
            true => Ok(Box::new(SlidingExtreme { best: Best::new(self.least, args.return_field.data_type()), counts: BTreeMap::new() })),
            false => self.inner.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        of_float(&args) || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match of_float(&args) {
            true => Ok(Box::new(FloatGroups { best: Best::new(self.least, args.return_field.data_type()), cells: Vec::new() })),
            false => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(args)
    }
}

/// Which of two floats is shown.
#[derive(Debug)]
struct Best {
    least: bool,
    data_type: DataType,
}

impl Best {
    fn new(least: bool, data_type: &DataType) -> Self {
        Best { least, data_type: data_type.clone() }
    }

    fn take(&self, cell: &mut Option<f64>, value: f64) {
        let less = |a: f64, b: f64| if a.is_nan() || b.is_nan() { b.is_nan() && !a.is_nan() } else { a < b };
        let better = cell.is_none_or(|best| if self.least { less(value, best) } else { less(best, value) });
        if better {
            *cell = Some(value);
        }
    }

    fn scalar(&self, value: Option<f64>) -> ScalarValue {
        match self.data_type {
            DataType::Float32 => ScalarValue::Float32(value.map(|value| value as f32)),
            _ => ScalarValue::Float64(value),
        }
    }

    fn array(&self, cells: Vec<Option<f64>>) -> Result<ArrayRef> {
        Ok(cast(&Float64Array::from(cells), &self.data_type)?)
    }
}

/// Calls `f` for each row that has a value and meets the condition.
fn each(values: &ArrayRef, filter: Option<&BooleanArray>, mut f: impl FnMut(usize, f64)) -> Result<()> {
    let values = cast(values, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let counts = |row: &usize| values.is_valid(*row) && filter.is_none_or(|filter| filter.is_valid(*row) && filter.value(*row));
    (0..values.len()).filter(counts).for_each(|row| f(row, values.value(row)));
    Ok(())
}

/// One group.
#[derive(Debug)]
struct FloatExtreme {
    best: Best,
    cell: Option<f64>,
}

impl Accumulator for FloatExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], None, |_, value| self.best.take(&mut self.cell, value))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.best.scalar(self.cell))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// A frame of a window function, from which values go as well: every value with its count, in order.
#[derive(Debug)]
struct SlidingExtreme {
    best: Best,
    counts: BTreeMap<Ordered, usize>,
}

/// Bits in the order of the floats, NaN last.
type Ordered = u64;

fn ordered(value: f64) -> Ordered {
    let bits = weir_common::hash::float_bits(value);
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn value_of(ordered: Ordered) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
}

impl Accumulator for SlidingExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], None, |_, value| *self.counts.entry(ordered(value)).or_default() += 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(&values[0], None, |_, value| match self.counts.get_mut(&ordered(value)) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&ordered(value))),
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let first = if self.best.least { self.counts.keys().next() } else { self.counts.keys().next_back() };
        Ok(self.best.scalar(first.copied().map(value_of)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.len() * size_of::<(Ordered, usize)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// Many groups.
struct FloatGroups {
    best: Best,
    cells: Vec<Option<f64>>,
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.cells.resize(total, None);
        let FloatGroups { best, cells } = self;
        each(&values[0], filter, |row, value| best.take(&mut cells[groups[row]], value))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let cells = emit_to.take_needed(&mut self.cells);
        self.best.array(cells)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut cells = vec![None; values[0].len()];
        each(&values[0], filter, |row, value| cells[row] = Some(value))?;
        Ok(vec![self.best.array(cells)?])
    }

    fn size(&self) -> usize {
        self.cells.capacity() * size_of::<Option<f64>>()
    }
}

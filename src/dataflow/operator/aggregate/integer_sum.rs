//! `sum` and `avg` of integers and decimals: exact, in any order, also where a sum leaves its range and comes back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Array, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::*;
use hashbrown::HashMap;
use weir_common::error::{Error, Result, SqlState};
use weir_common::numeric::{PRECISION, average};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;

/// The sum of a slot is `sums[slot] + carries[slot] * 2^128`; a carry that is zero is not there.
pub(super) struct IntegerSum {
    result: Finish,
    input: DataType,
    sums: Cells<i128>,
    carries: HashMap<u32, i64>,
    counts: Cells<i64>,
}

/// What becomes of a sum.
enum Finish {
    /// Itself, as a bigint.
    Int64,
    /// Itself, as a decimal of the sum's own scale.
    Decimal { scale: i8 },
    /// The average, of a sum with `from` decimals.
    Average { from: i8, to: i8 },
}

impl IntegerSum {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall) -> Option<Self> {
        let scale = match &call.input {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => 0,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => 0,
            DataType::Decimal128(_, scale) => *scale,
            _ => return None,
        };
        let result = match (call.function, &call.output) {
            (AggregateFunction::Sum, DataType::Int64) if scale == 0 => Finish::Int64,
            (AggregateFunction::Sum, DataType::Decimal128(PRECISION, to)) if *to == scale => Finish::Decimal { scale },
            (AggregateFunction::Avg, DataType::Decimal128(PRECISION, to)) if *to >= scale => Finish::Average { from: scale, to: *to },
            _ => return None,
        };
        let input = call.input.clone();
        Some(IntegerSum { result, input, sums: Cells::new(), carries: HashMap::new(), counts: Cells::new() })
    }

    fn add_all<T>(&mut self, rows: &Rows, argument: &ArrayRef, included: Option<&BooleanBuffer>)
    where
        T: ArrowPrimitiveType<Native: Into<i128>>,
    {
        let values = argument.as_primitive::<T>().values();
        rows.each(included, |row, slot, weight| {
            self.counts[slot] += weight;
            self.add(slot, values[row].into(), weight);
        });
    }

    #[inline(always)]
    fn add(&mut self, slot: usize, value: i128, weight: i64) {
        if weight == 1 {
            return self.add_term(slot, value, 0);
        }
        match value.checked_mul(weight as i128) {
            Some(term) => self.add_term(slot, term, 0),
            None => {
                let (low, high) = i256::from_i128(value).wrapping_mul(i256::from_i128(weight as i128)).to_parts();
                let low = low as i128;
                self.add_term(slot, low, high as i64 + (low < 0) as i64);
            }
        }
    }

    /// Adds `term + carry * 2^128`.
    #[inline(always)]
    fn add_term(&mut self, slot: usize, term: i128, carry: i64) {
        let (sum, overflow) = self.sums[slot].overflowing_add(term);
        self.sums[slot] = sum;
        if overflow || carry != 0 {
            self.carry(slot as u32, carry + overflow as i64 * term.signum() as i64);
        }
    }

    #[cold]
    fn carry(&mut self, slot: u32, carry: i64) {
        let entry = self.carries.entry(slot).or_insert(0);
        *entry += carry;
        if *entry == 0 {
            self.carries.remove(&slot);
        }
    }

    /// The result over at least one value, or why there is none.
    fn result(&self, slot: u32) -> Result<i128> {
        let sum = self.sums[slot as usize];
        let fits = self.carries.is_empty() || !self.carries.contains_key(&slot);
        let digits = || (sum.unsigned_abs() < 10u128.pow(PRECISION as u32)).then_some(sum);
        let (result, message) = match self.result {
            Finish::Int64 => (i64::try_from(sum).ok().map(i128::from), "bigint out of range"),
            Finish::Decimal { .. } => (digits(), "numeric field overflow"),
            Finish::Average { from, to } => (average(sum, from, self.counts[slot as usize], to), "numeric field overflow"),
        };
        result.filter(|_| fits).ok_or_else(|| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message))
    }
}

impl Accumulator for IntegerSum {
    fn grow(&mut self, slots: usize) {
        self.sums.grow(slots, 0);
        self.counts.grow(slots, 0);
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("a sum without an argument"))?;
        match self.input {
            DataType::Int8 => self.add_all::<Int8Type>(rows, argument, included),
            DataType::Int16 => self.add_all::<Int16Type>(rows, argument, included),
            DataType::Int32 => self.add_all::<Int32Type>(rows, argument, included),
            DataType::Int64 => self.add_all::<Int64Type>(rows, argument, included),
            DataType::UInt8 => self.add_all::<UInt8Type>(rows, argument, included),
            DataType::UInt16 => self.add_all::<UInt16Type>(rows, argument, included),
            DataType::UInt32 => self.add_all::<UInt32Type>(rows, argument, included),
            _ => self.add_all::<Decimal128Type>(rows, argument, included),
        }
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>().values();
        let sums = states[1].as_primitive::<Decimal128Type>().values();
        let carries = states[2].as_primitive::<Int64Type>();
        for (row, slot) in slots.iter().enumerate() {
            self.counts[*slot as usize] += counts[row];
            self.add_term(*slot as usize, sums[row], if carries.is_null(row) { 0 } else { carries.value(row) });
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64, DataType::Decimal128(PRECISION, 0), DataType::Int64]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let counts = Int64Array::from_iter_values(slots.iter().map(|slot| self.counts[*slot as usize]));
        // All 128 bits are used, whatever the precision says.
        let sums = Decimal128Array::from_iter_values(slots.iter().map(|slot| self.sums[*slot as usize]));
        let carries = match self.carries.is_empty() {
            true => Int64Array::new_null(slots.len()),
            false => slots.iter().map(|slot| self.carries.get(slot).copied()).collect(),
        };
        Ok(vec![Arc::new(counts), Arc::new(sums.with_precision_and_scale(PRECISION, 0)?), Arc::new(carries)])
    }

    fn output(&self, slots: &[u32], failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let mut results = |index: usize, slot: u32| {
            if self.counts[slot as usize] <= 0 {
                return None;
            }
            self.result(slot).map_err(|error| failures.push(Failure { index, error })).ok()
        };
        let values = slots.iter().enumerate().map(|(index, slot)| results(index, *slot));
        Ok(match self.result {
            Finish::Int64 => Arc::new(values.map(|value| value.map(|value| value as i64)).collect::<Int64Array>()),
            Finish::Decimal { scale } | Finish::Average { to: scale, .. } => {
                Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(PRECISION, scale)?)
            }
        })
    }

    fn clear(&mut self, slot: u32) {
        self.sums[slot as usize] = 0;
        self.counts[slot as usize] = 0;
        self.carries.remove(&slot);
    }

    fn reset(&mut self) {
        self.sums.empty();
        self.counts.empty();
        self.carries.clear();
    }

    fn memory_bytes(&self) -> usize {
        self.sums.memory_bytes() + self.counts.memory_bytes() + self.carries.capacity() * 24
    }
}

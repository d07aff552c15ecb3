//! `sum` and `avg` of floats without drift: exact under retraction and in any order, rounded once when read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Float32Array, Float64Array, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use hashbrown::HashMap;
use weir_common::error::{Error, Result};
use weir_common::expansion::{Expansion, terms, two_sum};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::cells::Cells;

/// Values from here on are summed apart and scaled down, so that no sum overflows before it is read.
const HUGE: f64 = f64::from_bits((1023 + 900) << 52);
/// 2^-128, and back.
const SCALE: f64 = f64::from_bits((1023 - 128) << 52);
const UNSCALE: f64 = f64::from_bits((1023 + 128) << 52);

/// The sum of a slot is `high[slot] + low[slot]` and what `rare` holds for it. Two floats are 106 bits: enough for
/// values of one order of magnitude; what does not fit them is rare, and exact too.
pub(super) struct FloatSum {
    average: bool,
    single: bool,
    output: DataType,
    high: Cells<f64>,
    low: Cells<f64>,
    counts: Cells<i64>,
    rare: HashMap<u32, Rare>,
}

/// What two floats cannot hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rare {
    nans: i64,
    infinities: i64,
    negative_infinities: i64,
    /// Bits below `low`.
    tail: Expansion,
    /// Sum of the values from `HUGE` on, times `SCALE`.
    huge: Expansion,
}

impl FloatSum {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall) -> Option<Self> {
        let (average, single) = (call.function == AggregateFunction::Avg, call.input == DataType::Float32);
        let fits = match call.output {
            DataType::Float64 => true,
            DataType::Float32 => single && !average,
            _ => false,
        };
        let (high, low, counts, rare) = (Cells::new(), Cells::new(), Cells::new(), HashMap::new());
        fits.then(|| FloatSum { average, single, output: call.output.clone(), high, low, counts, rare })
    }

    #[inline(always)]
    fn add(&mut self, slot: usize, value: f64, weight: i64) {
        // Also false for NaN.
        if value.abs() < HUGE {
            terms(value, weight, |term| self.add_term(slot, term));
        } else {
            self.add_rare(slot as u32, value, weight);
        }
    }

    #[inline(always)]
    fn add_term(&mut self, slot: usize, term: f64) {
        let (high, lost) = two_sum(self.high[slot], term);
        let (low, rest) = two_sum(self.low[slot], lost);
        (self.high[slot], self.low[slot]) = two_sum(high, low);
        if rest != 0.0 {
            self.add_tail(slot as u32, rest);
        }
    }

    #[cold]
    fn add_tail(&mut self, slot: u32, rest: f64) {
        self.rare(slot, |rare| rare.tail.add(rest));
    }

    #[cold]
    fn add_rare(&mut self, slot: u32, value: f64, weight: i64) {
        self.rare(slot, |rare| match value {
            _ if value.is_nan() => rare.nans += weight,
            f64::INFINITY => rare.infinities += weight,
            f64::NEG_INFINITY => rare.negative_infinities += weight,
            _ => terms(value * SCALE, weight, |term| rare.huge.add(term)),
        });
    }

    fn rare(&mut self, slot: u32, change: impl FnOnce(&mut Rare)) {
        let rare = self.rare.entry(slot).or_default();
        change(rare);
        if *rare == Rare::default() {
            self.rare.remove(&slot);
        }
    }

    /// The sum, rounded to a float.
    fn sum(&self, slot: u32) -> f64 {
        let (high, low) = (self.high[slot as usize], self.low[slot as usize]);
        match self.rare.get(&slot) {
            None => high,
            Some(rare) if rare.nans > 0 || (rare.infinities > 0 && rare.negative_infinities > 0) => f64::NAN,
            Some(rare) if rare.infinities > 0 => f64::INFINITY,
            Some(rare) if rare.negative_infinities > 0 => f64::NEG_INFINITY,
            Some(Rare { tail, huge, .. }) => {
                let mut sum = huge.clone();
                // Beside huge values, bits that scaling loses are far beyond what a float shows.
                let scale = if huge.is_zero() { 1.0 } else { SCALE };
                tail.components().iter().chain([&low, &high]).for_each(|component| sum.add(component * scale));
                if huge.is_zero() { sum.round() } else { sum.round() * UNSCALE }
            }
        }
    }
}

impl Accumulator for FloatSum {
    fn grow(&mut self, slots: usize) {
        self.high.grow(slots, 0.0);
        self.low.grow(slots, 0.0);
        self.counts.grow(slots, 0);
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("a sum without an argument"))?;
        if self.single {
            let values = argument.as_primitive::<Float32Type>().values();
            rows.each(included, |row, slot, weight| {
                self.counts[slot] += weight;
                self.add(slot, values[row] as f64, weight);
            });
        } else {
            let values = argument.as_primitive::<Float64Type>().values();
            rows.each(included, |row, slot, weight| {
                self.counts[slot] += weight;
                self.add(slot, values[row], weight);
            });
        }
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>().values();
        let highs = states[1].as_primitive::<Float64Type>().values();
        let lows = states[2].as_primitive::<Float64Type>().values();
        let rares = states[3].as_binary::<i32>();
        for (row, slot) in slots.iter().enumerate() {
            self.counts[*slot as usize] += counts[row];
            self.add(*slot as usize, highs[row], 1);
            self.add(*slot as usize, lows[row], 1);
        }
        for row in (0..slots.len()).filter(|row| rares.null_count() < slots.len() && rares.is_valid(*row)) {
            let other = Rare::decode(rares.value(row))?;
            for component in other.tail.components() {
                self.add(slots[row] as usize, *component, 1);
            }
            self.rare(slots[row], |rare| {
                rare.nans += other.nans;
                rare.infinities += other.infinities;
                rare.negative_infinities += other.negative_infinities;
                other.huge.components().iter().for_each(|component| rare.huge.add(*component));
            });
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64, DataType::Float64, DataType::Float64, DataType::Binary]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let counts = Int64Array::from_iter_values(slots.iter().map(|slot| self.counts[*slot as usize]));
        let highs = Float64Array::from_iter_values(slots.iter().map(|slot| self.high[*slot as usize]));
        let lows = Float64Array::from_iter_values(slots.iter().map(|slot| self.low[*slot as usize]));
        let mut rares = BinaryBuilder::with_capacity(slots.len(), 0);
        slots.iter().for_each(|slot| match self.rare.get(slot) {
            Some(rare) => rares.append_value(rare.encode()),
            None => rares.append_null(),
        });
        Ok(vec![Arc::new(counts), Arc::new(highs), Arc::new(lows), Arc::new(rares.finish())])
    }

    fn output(&self, slots: &[u32], _failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let values = slots.iter().map(|slot| {
            let count = self.counts[*slot as usize];
            (count > 0).then(|| if self.average { self.sum(*slot) / count as f64 } else { self.sum(*slot) })
        });
        Ok(match self.output {
            DataType::Float32 => Arc::new(values.map(|value| value.map(|value| value as f32)).collect::<Float32Array>()),
            _ => Arc::new(values.collect::<Float64Array>()),
        })
    }

    fn clear(&mut self, slot: u32) {
        self.high[slot as usize] = 0.0;
        self.low[slot as usize] = 0.0;
        self.counts[slot as usize] = 0;
        self.rare.remove(&slot);
    }

    fn reset(&mut self) {
        self.high.empty();
        self.low.empty();
        self.counts.empty();
        self.rare.clear();
    }

    fn memory_bytes(&self) -> usize {
        let cells = self.high.memory_bytes() + self.low.memory_bytes() + self.counts.memory_bytes();
        cells + self.rare.capacity() * (size_of::<(u32, Rare)>() + 1)
    }
}

impl Rare {
    /// Three counters, the length of the tail, then the components of tail and huge values: eight bytes each.
    fn encode(&self) -> Vec<u8> {
        let counters = [self.nans, self.infinities, self.negative_infinities, self.tail.components().len() as i64];
        let components = self.tail.components().iter().chain(self.huge.components());
        counters.iter().flat_map(|counter| counter.to_le_bytes()).chain(components.flat_map(|component| component.to_le_bytes())).collect()
    }

    fn decode(bytes: &[u8]) -> Result<Rare> {
        let words: Vec<i64> = bytes.chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().expect("chunks of eight"))).collect();
        let [nans, infinities, negative_infinities, tail_len, ref components @ ..] = words[..] else {
            return Err(Error::internal("a partial sum of floats is cut short"));
        };
        let mut rare = Rare { nans, infinities, negative_infinities, ..Rare::default() };
        for (index, bits) in components.iter().enumerate() {
            let component = f64::from_bits(*bits as u64);
            if index < tail_len as usize { rare.tail.add(component) } else { rare.huge.add(component) }
        }
        Ok(rare)
    }
}

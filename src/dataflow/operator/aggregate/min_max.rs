//! `min` and `max`: over rows that are only added one value a group; else every value with its count, in order.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Decimal128Type};
use weir_common::delta::Weights;
use weir_common::error::{Error, Result};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::extremes::{Best, Counted};
use crate::operator::aggregate::ordered::{Carrier, binary, carrier, from_binary, from_words, words};

pub(super) struct MinMax {
    least: bool,
    data_type: DataType,
    values: Values,
}

/// The values of all groups, by slot.
enum Values {
    Words(Best<i64>),
    Wides(Best<i128>),
    Bytes(Best<Box<[u8]>>),
    CountedWords(Counted<i64>),
    CountedWides(Counted<i128>),
    CountedBytes(Counted<Box<[u8]>>),
}

impl MinMax {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall, append_only: bool) -> Option<Self> {
        let values = match (carrier(&call.input)?, append_only) {
            (Carrier::Word, true) => Values::Words(Best::default()),
            (Carrier::Wide, true) => Values::Wides(Best::default()),
            (Carrier::Bytes, true) => Values::Bytes(Best::default()),
            (Carrier::Word, false) => Values::CountedWords(Counted::default()),
            (Carrier::Wide, false) => Values::CountedWides(Counted::default()),
            (Carrier::Bytes, false) => Values::CountedBytes(Counted::default()),
        };
        let least = call.function == AggregateFunction::Min;
        (call.output == call.input).then(|| MinMax { least, data_type: call.input.clone(), values })
    }
}

impl Accumulator for MinMax {
    fn grow(&mut self, slots: usize) {
        match &mut self.values {
            Values::Words(best) => best.grow(slots),
            Values::Wides(best) => best.grow(slots),
            Values::Bytes(best) => best.grow(slots),
            Values::CountedWords(counted) => counted.grow(slots),
            Values::CountedWides(counted) => counted.grow(slots),
            Values::CountedBytes(counted) => counted.grow(slots),
        }
    }

    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()> {
        let argument = argument.ok_or_else(|| Error::internal("a minimum or maximum without an argument"))?;
        let least = self.least;
        if matches!(self.values, Values::Words(_) | Values::Wides(_) | Values::Bytes(_)) {
            only_added(rows.weights)?;
        }
        match &mut self.values {
            Values::Words(best) => {
                let values = words(argument)?;
                rows.each(included, |row, slot, _| best.add(slot, &values[row], least, |value| *value));
            }
            Values::Wides(best) => {
                let values = argument.as_primitive::<Decimal128Type>().values();
                rows.each(included, |row, slot, _| best.add(slot, &values[row], least, |value| *value));
            }
            Values::Bytes(best) => {
                let values = binary(argument)?;
                rows.each(included, |row, slot, _| best.add(slot, values.value(row), least, |bytes: &[u8]| Box::from(bytes)));
            }
            Values::CountedWords(counted) => {
                let values = words(argument)?;
                rows.each(included, |row, slot, weight| counted.add(slot, &values[row], weight, |value| *value));
            }
            Values::CountedWides(counted) => {
                let values = argument.as_primitive::<Decimal128Type>().values();
                rows.each(included, |row, slot, weight| counted.add(slot, &values[row], weight, |value| *value));
            }
            Values::CountedBytes(counted) => {
                let values = binary(argument)?;
                rows.each(included, |row, slot, weight| counted.add(slot, values.value(row), weight, |bytes: &[u8]| Box::from(bytes)));
            }
        }
        Ok(())
    }

    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()> {
        let rows = Rows { slots, weights: &Weights::Ones };
        let present = states[0].logical_nulls().map(|nulls| nulls.into_inner());
        self.update(&rows, Some(&states[0]), present.as_ref())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.data_type.clone()]
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.output(slots, &mut Vec::new())?])
    }

    fn output(&self, slots: &[u32], _failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let (slots, least) = (slots.iter(), self.least);
        let wides = |values: Decimal128Array| -> Result<ArrayRef> { Ok(Arc::new(values.with_data_type(self.data_type.clone()))) };
        match &self.values {
            Values::Words(best) => from_words(slots.map(|slot| best.get(*slot).copied()), &self.data_type),
            Values::Wides(best) => wides(slots.map(|slot| best.get(*slot).copied()).collect()),
            Values::Bytes(best) => from_binary(slots.map(|slot| best.get(*slot).map(AsRef::as_ref)), &self.data_type),
            Values::CountedWords(counted) => from_words(slots.map(|slot| counted.best(*slot, least).copied()), &self.data_type),
            Values::CountedWides(counted) => wides(slots.map(|slot| counted.best(*slot, least).copied()).collect()),
            Values::CountedBytes(counted) => from_binary(slots.map(|slot| counted.best(*slot, least).map(AsRef::as_ref)), &self.data_type),
        }
    }

    fn clear(&mut self, slot: u32) {
        let slot = slot as usize;
        match &mut self.values {
            Values::Words(best) => best.set(slot, None),
            Values::Wides(best) => best.set(slot, None),
            Values::Bytes(best) => best.set(slot, None),
            Values::CountedWords(counted) => counted.clear(slot),
            Values::CountedWides(counted) => counted.clear(slot),
            Values::CountedBytes(counted) => counted.clear(slot),
        }
    }

    fn reset(&mut self) {
        match &mut self.values {
            Values::Words(best) => best.empty(),
            Values::Wides(best) => best.empty(),
            Values::Bytes(best) => best.empty(),
            Values::CountedWords(counted) => counted.empty(),
            Values::CountedWides(counted) => counted.empty(),
            Values::CountedBytes(counted) => counted.empty(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.values {
            Values::Words(best) => best.memory_bytes(),
            Values::Wides(best) => best.memory_bytes(),
            Values::Bytes(best) => best.memory_bytes(),
            Values::CountedWords(counted) => counted.memory_bytes(),
            Values::CountedWides(counted) => counted.memory_bytes(),
            Values::CountedBytes(counted) => counted.memory_bytes(),
        }
    }
}

/// One value a group is enough only where nothing is taken back.
fn only_added(weights: &Weights) -> Result<()> {
    match weights {
        Weights::Each(weights) if weights.iter().any(|weight| *weight < 0) => {
            Err(Error::internal("a row was taken back from an input that the plan calls append-only"))
        }
        _ => Ok(()),
    }
}

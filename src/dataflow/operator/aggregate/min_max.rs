//! `min` and `max`: over rows that are only added one value a group; else every value with its count, in order.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Decimal128Type};
use weir_common::delta::Weights;
use weir_common::error::{Error, Result};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::entries::{Counts, Entries};
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
    pub(super) fn new(call: &AggregateCall, append_only: bool, checkpoints: bool) -> Option<Self> {
        let values = match (carrier(&call.input)?, append_only) {
            (Carrier::Word, true) => Values::Words(Best::default()),
            (Carrier::Wide, true) => Values::Wides(Best::default()),
            (Carrier::Bytes, true) => Values::Bytes(Best::default()),
            (Carrier::Word, false) => Values::CountedWords(Counted::new(checkpoints)),
            (Carrier::Wide, false) => Values::CountedWides(Counted::new(checkpoints)),
            (Carrier::Bytes, false) => Values::CountedBytes(Counted::new(checkpoints)),
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

    fn cell_types(&self) -> Vec<DataType> {
        if self.is_counted() { Vec::new() } else { self.state_types() }
    }

    fn cells(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        if self.is_counted() { Ok(Vec::new()) } else { self.state(slots) }
    }

    fn load(&mut self, slots: &[u32], cells: &[ArrayRef]) -> Result<()> {
        if self.is_counted() { Ok(()) } else { self.merge(slots, cells) }
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        if self.is_counted() { Some(self) } else { None }
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

impl MinMax {
    /// Whether every value is kept.
    fn is_counted(&self) -> bool {
        matches!(self.values, Values::CountedWords(_) | Values::CountedWides(_) | Values::CountedBytes(_))
    }

    fn words(&self, values: Vec<i64>) -> Result<ArrayRef> {
        from_words(values.into_iter().map(Some), &self.data_type)
    }

    fn wides(&self, values: Vec<i128>) -> ArrayRef {
        Arc::new(Decimal128Array::from_iter_values(values).with_data_type(self.data_type.clone()))
    }

    fn bytes(&self, values: Vec<Box<[u8]>>) -> Result<ArrayRef> {
        from_binary(values.iter().map(|value| Some(value.as_ref())), &self.data_type)
    }
}

impl Entries for MinMax {
    fn value_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn take_gone(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>> {
        let (slots, values) = match &mut self.values {
            Values::CountedWords(counted) => {
                let (slots, values) = counted.take_gone();
                (slots, self.words(values)?)
            }
            Values::CountedWides(counted) => {
                let (slots, values) = counted.take_gone();
                (slots, self.wides(values))
            }
            Values::CountedBytes(counted) => {
                let (slots, values) = counted.take_gone();
                (slots, self.bytes(values)?)
            }
            Values::Words(_) | Values::Wides(_) | Values::Bytes(_) => return Ok(None),
        };
        Ok((!slots.is_empty()).then_some((slots, values)))
    }

    fn freeze(&mut self) {
        match &mut self.values {
            Values::CountedWords(counted) => counted.freeze(),
            Values::CountedWides(counted) => counted.freeze(),
            Values::CountedBytes(counted) => counted.freeze(),
            Values::Words(_) | Values::Wides(_) | Values::Bytes(_) => {}
        }
    }

    fn take_kept(&mut self) -> Result<Option<Counts>> {
        let (slots, values, counts) = match &mut self.values {
            Values::CountedWords(counted) => {
                let (slots, values, counts) = counted.take_kept();
                (slots, self.words(values)?, counts)
            }
            Values::CountedWides(counted) => {
                let (slots, values, counts) = counted.take_kept();
                (slots, self.wides(values), counts)
            }
            Values::CountedBytes(counted) => {
                let (slots, values, counts) = counted.take_kept();
                (slots, self.bytes(values)?, counts)
            }
            Values::Words(_) | Values::Wides(_) | Values::Bytes(_) => return Ok(None),
        };
        Ok((!slots.is_empty()).then_some((slots, values, counts)))
    }

    fn copy(&mut self, budget: &mut usize) -> Result<Option<Counts>> {
        Ok(match &mut self.values {
            Values::CountedWords(counted) => match counted.copy(budget) {
                Some((slots, values, counts)) => Some((slots, self.words(values)?, counts)),
                None => None,
            },
            Values::CountedWides(counted) => counted.copy(budget).map(|(slots, values, counts)| (slots, self.wides(values), counts)),
            Values::CountedBytes(counted) => match counted.copy(budget) {
                Some((slots, values, counts)) => Some((slots, self.bytes(values)?, counts)),
                None => None,
            },
            Values::Words(_) | Values::Wides(_) | Values::Bytes(_) => None,
        })
    }

    fn load(&mut self, slots: &[u32], values: &ArrayRef, counts: &[i64]) -> Result<()> {
        let slots = slots.iter().zip(counts).enumerate();
        match &mut self.values {
            Values::CountedWords(counted) => {
                let values = words(values)?;
                slots.for_each(|(row, (slot, count))| counted.load(*slot, values[row], *count));
            }
            Values::CountedWides(counted) => {
                let values = values.as_primitive::<Decimal128Type>().values();
                slots.for_each(|(row, (slot, count))| counted.load(*slot, values[row], *count));
            }
            Values::CountedBytes(counted) => {
                let values = binary(values)?;
                slots.for_each(|(row, (slot, count))| counted.load(*slot, values.value(row).into(), *count));
            }
            Values::Words(_) | Values::Wides(_) | Values::Bytes(_) => {}
        }
        Ok(())
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

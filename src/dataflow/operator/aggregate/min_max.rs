//! `min` and `max`: over rows that are only added one value a group; else every value with its count, in order.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Decimal128Type};
use weir_common::delta::Weights;
use weir_common::error::{Error, Result};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::accumulator::{Accumulator, Failure, Rows};
use crate::operator::aggregate::keys::empty;
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

/// One value a group: the least or greatest so far.
struct Best<T>(Vec<Option<T>>);

/// All values of each group with their counts: never zero, and below zero only within an epoch.
struct Counted<T>(Vec<BTreeMap<T, i64>>);

impl MinMax {
    /// `None` where there is no such aggregate.
    pub(super) fn new(call: &AggregateCall, append_only: bool) -> Option<Self> {
        let values = match (carrier(&call.input)?, append_only) {
            (Carrier::Word, true) => Values::Words(Best(Vec::new())),
            (Carrier::Wide, true) => Values::Wides(Best(Vec::new())),
            (Carrier::Bytes, true) => Values::Bytes(Best(Vec::new())),
            (Carrier::Word, false) => Values::CountedWords(Counted(Vec::new())),
            (Carrier::Wide, false) => Values::CountedWides(Counted(Vec::new())),
            (Carrier::Bytes, false) => Values::CountedBytes(Counted(Vec::new())),
        };
        let least = call.function == AggregateFunction::Min;
        (call.output == call.input).then(|| MinMax { least, data_type: call.input.clone(), values })
    }
}

impl<T: Ord> Best<T> {
    #[inline(always)]
    fn add<Q: Ord + ?Sized>(&mut self, slot: usize, value: &Q, least: bool, own: impl FnOnce(&Q) -> T)
    where
        T: Borrow<Q>,
    {
        let better = match &self.0[slot] {
            None => true,
            Some(best) if least => value < best.borrow(),
            Some(best) => value > best.borrow(),
        };
        if better {
            self.0[slot] = Some(own(value));
        }
    }
}

impl<T: Ord> Counted<T> {
    #[inline(always)]
    fn add<Q: Ord + ?Sized>(&mut self, slot: usize, value: &Q, weight: i64, own: impl FnOnce(&Q) -> T)
    where
        T: Borrow<Q>,
    {
        let counts = &mut self.0[slot];
        match counts.get_mut(value) {
            Some(count) if *count + weight == 0 => {
                counts.remove(value);
            }
            Some(count) => *count += weight,
            None => {
                counts.insert(own(value), weight);
            }
        }
    }

    /// The first or last value that is there.
    fn best(&self, slot: u32, least: bool) -> Option<&T> {
        let mut present = self.0[slot as usize].iter().filter(|(_, count)| **count > 0).map(|(value, _)| value);
        if least { present.next() } else { present.next_back() }
    }

    fn memory_bytes(&self, outside: impl Fn(&T) -> usize) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let entries = |counts: &BTreeMap<T, i64>| counts.len() * size_of::<(T, i64)>() * 3 / 2;
        let heap: usize = self.0.iter().map(|counts| entries(counts) + counts.keys().map(&outside).sum::<usize>()).sum();
        self.0.capacity() * size_of::<BTreeMap<T, i64>>() + heap
    }
}

impl Accumulator for MinMax {
    fn grow(&mut self, slots: usize) {
        match &mut self.values {
            Values::Words(best) => best.0.resize(slots, None),
            Values::Wides(best) => best.0.resize(slots, None),
            Values::Bytes(best) => best.0.resize(slots, None),
            Values::CountedWords(counted) => counted.0.resize(slots, BTreeMap::new()),
            Values::CountedWides(counted) => counted.0.resize(slots, BTreeMap::new()),
            Values::CountedBytes(counted) => counted.0.resize(slots, BTreeMap::new()),
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
            Values::Words(best) => from_words(slots.map(|slot| best.0[*slot as usize]), &self.data_type),
            Values::Wides(best) => wides(slots.map(|slot| best.0[*slot as usize]).collect()),
            Values::Bytes(best) => from_binary(slots.map(|slot| best.0[*slot as usize].as_deref()), &self.data_type),
            Values::CountedWords(counted) => from_words(slots.map(|slot| counted.best(*slot, least).copied()), &self.data_type),
            Values::CountedWides(counted) => wides(slots.map(|slot| counted.best(*slot, least).copied()).collect()),
            Values::CountedBytes(counted) => from_binary(slots.map(|slot| counted.best(*slot, least).map(AsRef::as_ref)), &self.data_type),
        }
    }

    fn clear(&mut self, slot: u32) {
        let slot = slot as usize;
        match &mut self.values {
            Values::Words(best) => best.0[slot] = None,
            Values::Wides(best) => best.0[slot] = None,
            Values::Bytes(best) => best.0[slot] = None,
            Values::CountedWords(counted) => counted.0[slot] = BTreeMap::new(),
            Values::CountedWides(counted) => counted.0[slot] = BTreeMap::new(),
            Values::CountedBytes(counted) => counted.0[slot] = BTreeMap::new(),
        }
    }

    fn reset(&mut self) {
        match &mut self.values {
            Values::Words(best) => empty(&mut best.0),
            Values::Wides(best) => empty(&mut best.0),
            Values::Bytes(best) => empty(&mut best.0),
            Values::CountedWords(counted) => empty(&mut counted.0),
            Values::CountedWides(counted) => empty(&mut counted.0),
            Values::CountedBytes(counted) => empty(&mut counted.0),
        }
    }

    fn memory_bytes(&self) -> usize {
        match &self.values {
            Values::Words(best) => best.0.capacity() * size_of::<Option<i64>>(),
            Values::Wides(best) => best.0.capacity() * size_of::<Option<i128>>(),
            Values::Bytes(best) => {
                best.0.capacity() * size_of::<Option<Box<[u8]>>>() + best.0.iter().flatten().map(|value| value.len()).sum::<usize>()
            }
            Values::CountedWords(counted) => counted.memory_bytes(|_| 0),
            Values::CountedWides(counted) => counted.memory_bytes(|_| 0),
            Values::CountedBytes(counted) => counted.memory_bytes(|value| value.len()),
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

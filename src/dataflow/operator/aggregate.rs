//! GROUP BY: what an aggregate computes, and the operators that do it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::lateness::WindowLife;
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::Operator;
use crate::operator::aggregate::accumulator::{Accumulator, Rows, accumulator, included};
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::partial::PartialAggregate;
use crate::operator::aggregate::whole::Aggregate;

pub(crate) mod distinct; // each row once
pub(crate) mod session; // GROUP BY of sessions
pub(crate) mod sliding; // windows put together of slices

mod accumulator; // the state of one aggregate over all groups
mod archive; // groups of closed windows
mod booleans; // bool_and and bool_or
mod cells; // one cell for each slot
mod checkpoint; // groups as rows, for a checkpoint
mod clock; // the watermark of windows from epoch to epoch
mod closing; // windows are shown, closed and removed
mod complete; // groups that come complete
mod copied; // what a checkpoint has copied so far
mod count; // count
mod deviation; // variance and stddev
mod distinct_values; // aggregates of which each value counts once
mod encoded_keys; // all other keys
pub(crate) mod entries; // values that are kept one by one
mod extremes; // the values that min and max keep
mod float_sum; // sum and avg of floats
mod gone; // keys that went since the last checkpoint
mod integer_sum; // sum and avg of integers and decimals
mod keys; // from key columns to slots and back
mod marks; // what changed since the last checkpoint, and what before it
mod min_max; // min and max
mod ordered; // values as words in the same order
mod packed_keys; // keys of fixed width in one word
mod partial; // the sums of an epoch, before an exchange
pub(crate) mod trace; // which counted entries changed
mod tracked; // which groups changed
mod whole; // the groups and their results
mod windows; // the windows of the groups

/// What an aggregate computes, and which part of it.
#[derive(Clone, Debug)]
pub(crate) struct AggregateSpec {
    /// How many leading columns of the input are the key.
    pub(crate) keys: usize,
    pub(crate) calls: Vec<AggregateCall>,
    pub(crate) stage: Stage,
    /// Whether rows of the input, before any partial sums, are never taken back.
    pub(crate) append_only: bool,
    /// The number of its state, unless it is a partial one, which has none between epochs.
    pub(crate) state: u16,
    /// When the windows among its keys are shown, closed and removed.
    pub(crate) life: Option<WindowLife>,
}

/// What stays of a group whose window is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Nothing: its row is the view's alone.
    Nothing,
    /// Its key and its sums.
    Sums,
    /// All of it: it has values that are kept one by one.
    Groups,
}

/// Which part of an aggregate an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From rows to results.
    Whole,
    /// From rows to the sums of one epoch on one worker.
    Partial,
    /// From such sums to results.
    Final,
    /// From the sums of complete groups to results, in windows that close with them; and as `Final` for closed windows.
    Complete,
}

impl AggregateSpec {
    /// Whether it can be maintained over this input.
    pub(crate) fn check(&self, input: &Schema, output: &Schema) -> Result<()> {
        let column =
            |column: usize| input.fields().get(column).ok_or_else(|| Error::internal(format!("there is no column {column} to aggregate")));
        for call in &self.calls {
            accumulator(call, self.append_only, false)?;
            if let Some(argument) = call.argument.map(column).transpose()?.filter(|argument| *argument.data_type() != call.input) {
                return Err(Error::internal(format!("{} is planned over {} but reads {}", call.name, call.input, argument.data_type())));
            }
            if call.filter.map(column).transpose()?.is_some_and(|filter| *filter.data_type() != DataType::Boolean) {
                return Err(Error::internal(format!("the filter of {} is not a condition", call.name)));
            }
        }
        let types = (0..self.keys).map(|key| Ok(column(key)?.data_type())).chain(self.calls.iter().map(|call| Ok(&call.output)));
        if types.collect::<Result<Vec<_>>>()? != output.fields().iter().map(|field| field.data_type()).collect::<Vec<_>>() {
            return Err(Error::internal("an aggregate's columns are not what the plan says"));
        }
        if let Some(life) = &self.life {
            let column = life.closing.column;
            if column >= self.keys || !matches!(output.field(column).data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
                return Err(Error::internal(format!("column {column} does not name a window")));
            }
        }
        Keys::new(&key_types(input, self.keys)).map(|_| ())
    }

    /// What stays of groups whose window is closed: what admits late rows, or takes the group's row back one day.
    pub(crate) fn keeps(&self) -> Keeps {
        match self.life.as_ref().filter(|life| life.keeps_closed || life.retention.is_some()) {
            None => Keeps::Nothing,
            Some(_) if self.calls.iter().any(|call| self.keeps_values(call)) => Keeps::Groups,
            Some(_) => Keeps::Sums,
        }
    }

    /// Whether a group keeps every value of this call: the one that it shows may be taken back, or come once more.
    pub(crate) fn keeps_values(&self, call: &AggregateCall) -> bool {
        call.distinct || (!self.append_only && matches!(call.function, AggregateFunction::Min | AggregateFunction::Max))
    }

    /// The columns that the partial stage sends: the key, the number of rows, then the state of each call that has one of its own.
    pub(crate) fn partial_schema(&self, input: &Schema) -> Result<SchemaRef> {
        let mut fields: Vec<Field> = (0..self.keys).map(|key| input.field(key).clone()).collect();
        fields.push(Field::new("rows", DataType::Int64, true));
        for call in self.calls.iter().filter(|call| !counts_rows(call)) {
            let states = accumulator(call, self.append_only, false)?.state_types();
            fields.extend(states.into_iter().enumerate().map(|(part, state)| Field::new(format!("{}.{part}", call.name), state, true)));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// No groups yet, with keys of the schema's first columns.
    fn groups(&self, schema: &Schema, checkpoints: bool) -> Result<Groups> {
        let cell = |call: &AggregateCall| match counts_rows(call) {
            true => Ok(CallState::Rows),
            false => Ok(CallState::Own(accumulator(call, self.append_only, checkpoints)?)),
        };
        let calls = self.calls.iter().map(cell).collect::<Result<_>>()?;
        Ok(Groups { keys: Keys::new(&key_types(schema, self.keys))?, rows: Cells::new(), calls, slots: Vec::new() })
    }

    /// Builds the operator; `owns_global` says whether this worker has the one group of an aggregate without a key,
    /// `checkpoints` whether anybody will ask what changed.
    pub(crate) fn build(&self, schema: SchemaRef, view: Arc<str>, owns_global: bool, checkpoints: bool) -> Box<dyn Operator> {
        let groups = self.groups(&schema, checkpoints).expect("checked when the plan was lowered");
        match self.stage {
            Stage::Partial => Box::new(PartialAggregate::new(self.clone(), groups, schema)),
            Stage::Whole | Stage::Final | Stage::Complete => {
                Box::new(Aggregate::new(self.clone(), groups, schema, view, owns_global, checkpoints))
            }
        }
    }
}

/// Whether a call is `count(*)` over all rows: every group counts them anyway.
fn counts_rows(call: &AggregateCall) -> bool {
    call.function == AggregateFunction::Count && call.argument.is_none() && call.filter.is_none() && !call.distinct
}

/// Keys, how many rows each group has, and the state of each call.
struct Groups {
    keys: Keys,
    rows: Cells<i64>,
    calls: Vec<CallState>,
    /// The slots of the current batch.
    slots: Vec<u32>,
}

/// Where the state of a call is.
enum CallState {
    /// It is the number of rows.
    Rows,
    /// In an accumulator.
    Own(Box<dyn Accumulator>),
}

impl Groups {
    /// Makes room for all slots.
    fn grow(&mut self) {
        self.grow_to(self.keys.slots());
    }

    /// Makes room for this many slots.
    fn grow_to(&mut self, slots: usize) {
        if slots > self.rows.len() {
            self.rows.grow(slots, 0);
            self.accumulators().for_each(|accumulator| accumulator.grow(slots));
        }
    }

    /// The accumulators of the calls that have one.
    fn accumulators(&mut self) -> impl Iterator<Item = &mut Box<dyn Accumulator>> {
        self.calls.iter_mut().filter_map(|call| match call {
            CallState::Rows => None,
            CallState::Own(accumulator) => Some(accumulator),
        })
    }

    /// Adds the rows of a batch, whose slots are in `self.slots`.
    fn update(&mut self, calls: &[AggregateCall], delta: &Delta) -> Result<()> {
        let Groups { rows: counts, calls: states, slots, .. } = self;
        let rows = Rows { slots, weights: &delta.weights };
        rows.each(None, |_, slot, weight| counts[slot] += weight);
        for (call, state) in calls.iter().zip(states) {
            if let CallState::Own(accumulator) = state {
                let argument = call.argument.map(|column| delta.rows.column(column));
                accumulator.update(&rows, argument, included(call, &delta.rows).as_ref())?;
            }
        }
        Ok(())
    }

    /// Adds sums to slots: the numbers of rows, then the state of each call that has one of its own.
    fn add_sums(&mut self, slots: &[u32], sums: &[ArrayRef]) -> Result<()> {
        let counts = sums[0].as_primitive::<Int64Type>().values();
        slots.iter().zip(counts).for_each(|(slot, count)| self.rows[*slot as usize] += count);
        let mut states = &sums[1..];
        for accumulator in self.accumulators() {
            let (state, rest) = states.split_at(accumulator.state_types().len());
            accumulator.merge(slots, state)?;
            states = rest;
        }
        Ok(())
    }

    /// The sums of slots, as [`Groups::add_sums`] takes them.
    fn sums(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![self.counts(slots)];
        for call in &self.calls {
            if let CallState::Own(accumulator) = call {
                columns.extend(accumulator.state(slots)?);
            }
        }
        Ok(columns)
    }

    /// The sums of these slots are nothing any more.
    fn clear_sums(&mut self, slots: &[u32]) -> Result<()> {
        slots.iter().for_each(|slot| self.rows[*slot as usize] = 0);
        self.accumulators().try_for_each(|accumulator| accumulator.clear_all(slots))
    }

    /// No slot has sums, nor is there room for any.
    fn reset_sums(&mut self) {
        self.rows.empty();
        self.accumulators().for_each(|accumulator| accumulator.reset());
    }

    /// The number of rows of these slots.
    fn counts(&self, slots: &[u32]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| self.rows[*slot as usize])))
    }

    fn memory_bytes(&self) -> usize {
        let own = |call: &CallState| if let CallState::Own(accumulator) = call { accumulator.memory_bytes() } else { 0 };
        let cells: usize = self.calls.iter().map(own).sum();
        self.keys.memory_bytes() + self.rows.memory_bytes() + self.slots.capacity() * size_of::<u32>() + cells
    }
}

fn key_types(schema: &Schema, keys: usize) -> Vec<DataType> {
    schema.fields().iter().take(keys).map(|field| field.data_type().clone()).collect()
}

//! Accumulators: the state of one aggregate over all groups, by slot.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use weir_common::delta::Weights;
use weir_common::error::{Error, Result};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::operator::aggregate::booleans::BoolCells;
use crate::operator::aggregate::count::CountCells;
use crate::operator::aggregate::deviation::{FloatDeviation, IntegerDeviation};
use crate::operator::aggregate::distinct_values::DistinctValues;
use crate::operator::aggregate::entries::Entries;
use crate::operator::aggregate::float_sum::FloatSum;
use crate::operator::aggregate::integer_sum::IntegerSum;
use crate::operator::aggregate::min_max::MinMax;

/// The state of one aggregate in every group.
///
/// # Contract
/// - Slots below the last `grow` may be used; a new, cleared or reset slot is a group without values.
/// - Between epochs' ends a group may hold less than nothing: a retraction may come before what it takes back.
/// - What was added and taken back leaves no trace: the state depends on the multiset of values alone.
pub(super) trait Accumulator: Send {
    /// Makes room for this many slots.
    fn grow(&mut self, slots: usize);
    /// Adds the rows whose bit is set in `included`, or all.
    fn update(&mut self, rows: &Rows, argument: Option<&ArrayRef>, included: Option<&BooleanBuffer>) -> Result<()>;
    /// Adds what other accumulators hold: `states[..][row]` goes to `slots[row]`.
    fn merge(&mut self, slots: &[u32], states: &[ArrayRef]) -> Result<()>;
    /// The types of the columns of `state`.
    fn state_types(&self) -> Vec<DataType>;
    /// What these slots hold, for `merge`.
    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>>;
    /// The types of the columns of `cells`.
    fn cell_types(&self) -> Vec<DataType> {
        self.state_types()
    }
    /// What a checkpoint keeps of these slots, besides entries: for `load`.
    fn cells(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.state(slots)
    }
    /// Takes back what a checkpoint has kept: these slots are new.
    fn load(&mut self, slots: &[u32], cells: &[ArrayRef]) -> Result<()> {
        self.merge(slots, cells)
    }
    /// The values that it keeps one by one, if it does.
    fn entries(&mut self) -> Option<&mut dyn Entries> {
        None
    }
    /// The results of these slots; one that has none is NULL and noted in `failures`.
    fn output(&self, slots: &[u32], failures: &mut Vec<Failure>) -> Result<ArrayRef>;
    /// The group is gone.
    fn clear(&mut self, slot: u32);
    /// Groups are gone, with the values that they may still have.
    fn clear_all(&mut self, slots: &[u32]) -> Result<()> {
        slots.iter().for_each(|slot| self.clear(*slot));
        Ok(())
    }
    /// All groups are gone, and so are their slots.
    fn reset(&mut self);
    /// Bytes of state.
    fn memory_bytes(&self) -> usize;
}

/// A result that does not fit its type.
pub(super) struct Failure {
    /// Index into the slots that were asked for.
    pub(super) index: usize,
    pub(super) error: Error,
}

/// The rows of a batch, as accumulators see them.
pub(super) struct Rows<'a> {
    pub(super) slots: &'a [u32],
    pub(super) weights: &'a Weights,
}

impl Rows<'_> {
    /// Calls `apply(row, slot, weight)` for the rows whose bit is set, or for all: one tight loop for each case.
    #[inline(always)]
    pub(super) fn each(&self, included: Option<&BooleanBuffer>, mut apply: impl FnMut(usize, usize, i64)) {
        match (self.weights, included) {
            (Weights::Ones, None) => self.slots.iter().enumerate().for_each(|(row, slot)| apply(row, *slot as usize, 1)),
            (Weights::Ones, Some(included)) => included.set_indices().for_each(|row| apply(row, self.slots[row] as usize, 1)),
            (Weights::Each(weights), None) => {
                self.slots.iter().zip(weights.iter()).enumerate().for_each(|(row, (slot, weight))| apply(row, *slot as usize, *weight))
            }
            (Weights::Each(weights), Some(included)) => {
                included.set_indices().for_each(|row| apply(row, self.slots[row] as usize, weights[row]))
            }
        }
    }
}

/// The accumulator of a call, or why there is none. `append_only`: nothing is ever taken back; `checkpoints`: somebody will ask
/// what changed.
pub(super) fn accumulator(call: &AggregateCall, append_only: bool, checkpoints: bool) -> Result<Box<dyn Accumulator>> {
    if call.distinct {
        // A value of which there is one left or none is taken back from what it was added to, whatever becomes of rows. What it was
        // added to follows from the values.
        let plain = of_values(call, false, false)?;
        return Ok(Box::new(DistinctValues::new(call, plain, checkpoints)?));
    }
    of_values(call, append_only, checkpoints)
}

/// The accumulator over all values.
fn of_values(call: &AggregateCall, append_only: bool, checkpoints: bool) -> Result<Box<dyn Accumulator>> {
    use AggregateFunction::*;
    let made: Option<Box<dyn Accumulator>> = match call.function {
        Count => Some(Box::new(CountCells::default())),
        Sum | Avg => match &call.input {
            DataType::Float32 | DataType::Float64 => FloatSum::new(call).map(|sum| Box::new(sum) as Box<dyn Accumulator>),
            _ => IntegerSum::new(call).map(|sum| Box::new(sum) as Box<dyn Accumulator>),
        },
        Min | Max => MinMax::new(call, append_only, checkpoints).map(|extremum| Box::new(extremum) as Box<dyn Accumulator>),
        BoolAnd | BoolOr => BoolCells::new(call).map(|cells| Box::new(cells) as Box<dyn Accumulator>),
        Deviation(measure) => match &call.input {
            DataType::Float32 | DataType::Float64 => {
                FloatDeviation::new(call, measure).map(|cells| Box::new(cells) as Box<dyn Accumulator>)
            }
            _ => IntegerDeviation::new(call, measure).map(|cells| Box::new(cells) as Box<dyn Accumulator>),
        },
    };
    made.ok_or_else(|| {
        Error::unsupported(format!("{} over {} with a result of {} cannot be maintained yet", call.name, call.input, call.output))
            .with_hint("Cast the argument to a type that the aggregate takes, such as bigint, numeric or double precision.")
    })
}

/// The rows that a call takes: those where its argument is not NULL and its filter is true; `None` for all.
pub(super) fn included(call: &AggregateCall, batch: &RecordBatch) -> Option<BooleanBuffer> {
    let nulls = call.argument.and_then(|column| batch.column(column).logical_nulls()).filter(|nulls| nulls.null_count() > 0);
    let filter = call.filter.map(|column| {
        let filter = batch.column(column).as_boolean();
        filter.nulls().map_or_else(|| filter.values().clone(), |nulls| filter.values() & nulls.inner())
    });
    match (nulls, filter) {
        (None, filter) => filter,
        (Some(nulls), None) => Some(nulls.into_inner()),
        (Some(nulls), Some(filter)) => Some(nulls.inner() & &filter),
    }
}

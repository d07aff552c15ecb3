//! SELECT DISTINCT: how often each row is there; it is put out when it comes, and taken back when its last copy goes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::Stage;
use crate::operator::aggregate::accumulator::Rows;
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::copied::Copied;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::tracked::Tracked;
use crate::state::{StateChanges, StateSpec};

/// Rows that go out as one delta.
const CHUNK_ROWS: usize = 16 * 1024;

/// Counts rows; at the end of an epoch it puts out those that came and takes back those that went.
///
/// # Invariants
/// - Between epochs each slot that is not free is a row that is there, and out.
/// - A row that the current epoch touched is in `absent` or in `present`.
pub(crate) struct Distinct {
    stage: Stage,
    keys: Keys,
    counts: Cells<i64>,
    schema: SchemaRef,
    tracked: Tracked,
    copied: Copied,
    /// The number of its state.
    state: u16,
    /// Rows that were not there when the epoch began.
    absent: Vec<u32>,
    /// Rows that were.
    present: Vec<u32>,
    /// The slots of the current batch.
    slots: Vec<u32>,
}

impl Distinct {
    /// `stage` says whether rows come, or rows with how often they came; `checkpoints` whether anybody will ask what changed.
    pub(crate) fn new(stage: Stage, schema: SchemaRef, state: u16, checkpoints: bool) -> Self {
        let keys = Keys::new(&types(&schema)).expect("checked when the plan was lowered");
        let (counts, tracked, copied) = (Cells::new(), Tracked::new(checkpoints), Copied::default());
        let (absent, present, slots) = (Vec::new(), Vec::new(), Vec::new());
        Distinct { stage, keys, counts, schema, tracked, copied, state, absent, present, slots }
    }

    /// The columns of its state: a row and how often it is there.
    fn state_schema(schema: &SchemaRef) -> SchemaRef {
        let count = Arc::new(Field::new("count", DataType::Int64, true));
        Arc::new(Schema::new(schema.fields().iter().cloned().chain([count]).collect::<Vec<_>>()))
    }

    /// Its state; rows are placed by the hash of these columns.
    pub(crate) fn state_spec(schema: &SchemaRef, state: u16, placement: &[usize]) -> StateSpec {
        StateSpec {
            state,
            part: 0,
            keys: schema.fields().len(),
            schema: Self::state_schema(schema),
            placement: placement.to_vec(),
            left_in_store: false,
        }
    }

    /// Whether rows of this schema can be counted.
    pub(crate) fn check(schema: &SchemaRef) -> Result<()> {
        Keys::new(&types(schema)).map(|_| ())
    }

    fn touch(&mut self, slots: &[u32]) -> Result<()> {
        for slot in slots {
            if self.tracked.touch(*slot) {
                if self.counts[*slot as usize] > 0 { self.present.push(*slot) } else { self.absent.push(*slot) }
            }
        }
        if !self.tracked.kept().is_empty() {
            let rows = self.state_rows(self.tracked.kept())?;
            self.copied.keep(rows);
            self.tracked.copied_kept();
        }
        Ok(())
    }

    /// These rows as a checkpoint has them.
    fn state_rows(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.keys.columns(slots)?;
        columns.push(Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| self.counts[*slot as usize]))));
        batch(Self::state_schema(&self.schema), columns, slots.len())
    }

    fn emit(&self, slots: &[u32], delta: impl Fn(RecordBatch) -> Delta, cx: &mut Context) -> Result<()> {
        for slots in slots.chunks(CHUNK_ROWS) {
            cx.out.push(delta(batch(self.schema.clone(), self.keys.columns(slots)?, slots.len())?));
        }
        Ok(())
    }
}

impl Operator for Distinct {
    fn push(&mut self, _port: usize, delta: Delta, _cx: &mut Context) -> Result<()> {
        let width = self.schema.fields().len();
        let mut slots = std::mem::take(&mut self.slots);
        self.keys.find(&delta.rows.columns()[..width], delta.num_rows(), &mut slots)?;
        self.counts.grow(self.keys.slots(), 0);
        self.tracked.grow(self.keys.slots());
        self.touch(&slots)?;
        let counts = &mut self.counts;
        if self.stage == Stage::Final {
            let copies = delta.rows.column(width).as_primitive::<Int64Type>().values();
            slots.iter().zip(copies).for_each(|(slot, copies)| counts[*slot as usize] += copies);
        } else {
            let rows = Rows { slots: &slots, weights: &delta.weights };
            rows.each(None, |_, slot, weight| counts[slot] += weight);
        }
        self.slots = slots;
        Ok(())
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        let (absent, present) = (std::mem::take(&mut self.absent), std::mem::take(&mut self.present));
        let is_there = |slot: &&u32| self.counts[**slot as usize] > 0;
        let gone: Vec<u32> = present.iter().filter(|slot| !is_there(slot)).copied().collect();
        let come: Vec<u32> = absent.iter().filter(is_there).copied().collect();
        self.emit(&gone, Delta::retract, cx)?;
        self.emit(&come, Delta::insert, cx)?;
        let mut empty = vec![];
        for slot in absent.into_iter().chain(present) {
            let count = self.counts[slot as usize];
            debug_assert!(count >= 0, "a row is there {count} times");
            if count == 0 { empty.push(slot) } else { self.tracked.settle(slot) }
        }
        self.tracked.release(&empty, &self.keys)?;
        empty.into_iter().for_each(|slot| self.keys.release(slot));
        Ok(())
    }

    fn state(&self) -> Option<u16> {
        Some(self.state)
    }

    fn freeze(&mut self) {
        self.tracked.freeze();
        self.copied.kept = 0;
    }

    fn copy(&mut self, budget: &mut usize) -> Result<()> {
        while *budget > 0 {
            let slots = self.tracked.next_frozen(budget);
            if slots.is_empty() {
                break;
            }
            let rows = self.state_rows(&slots)?;
            self.copied.put.push(rows);
        }
        self.tracked.copy_gone(&self.schema, budget, &mut self.copied.gone)
    }

    fn kept_rows(&self) -> usize {
        self.copied.kept
    }

    fn take_copied(&mut self) -> Vec<StateChanges> {
        self.copied.take(self.state, 0).into_iter().collect()
    }

    fn load(&mut self, _part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let width = self.schema.fields().len();
        let mut slots = vec![];
        self.keys.find(&columns[..width], rows, &mut slots)?;
        self.counts.grow(self.keys.slots(), 0);
        self.tracked.grow(self.keys.slots());
        self.tracked.load(&slots);
        let counts = columns[width].as_primitive::<Int64Type>().values();
        slots.iter().zip(counts).for_each(|(slot, count)| self.counts[*slot as usize] = *count);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let lists = self.absent.capacity() + self.present.capacity() + self.slots.capacity();
        self.keys.memory_bytes() + self.counts.memory_bytes() + self.tracked.memory_bytes() + lists * size_of::<u32>()
    }

    fn dirty_bytes(&self) -> usize {
        self.tracked.dirty_bytes(self.memory_bytes())
    }

    fn groups(&self) -> usize {
        self.keys.groups()
    }
}

fn types(schema: &SchemaRef) -> Vec<DataType> {
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

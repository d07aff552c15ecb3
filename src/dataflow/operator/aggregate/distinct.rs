//! SELECT DISTINCT: how often each row is there; it is put out when it comes, and taken back when its last copy goes.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::Stage;
use crate::operator::aggregate::accumulator::Rows;
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::keys::Keys;

/// Rows that go out as one delta.
const CHUNK_ROWS: usize = 16 * 1024;

/// Counts rows; at the end of an epoch it puts out those that came and takes back those that went.
///
/// # Invariants
/// - Between epochs each slot that is not free is a row that is there, and out.
/// - `touched[slot]` iff the current epoch touched the row; then it is in `absent` or in `present`.
pub(crate) struct Distinct {
    stage: Stage,
    keys: Keys,
    counts: Cells<i64>,
    schema: SchemaRef,
    touched: Cells<bool>,
    /// Rows that were not there when the epoch began.
    absent: Vec<u32>,
    /// Rows that were.
    present: Vec<u32>,
    /// The slots of the current batch.
    slots: Vec<u32>,
}

impl Distinct {
    /// `stage` says whether rows come, or rows with how often they came.
    pub(crate) fn new(stage: Stage, schema: SchemaRef) -> Self {
        let keys = Keys::new(&types(&schema)).expect("checked when the plan was lowered");
        let (counts, touched) = (Cells::new(), Cells::new());
        Distinct { stage, keys, counts, schema, touched, absent: Vec::new(), present: Vec::new(), slots: Vec::new() }
    }

    /// Whether rows of this schema can be counted.
    pub(crate) fn check(schema: &SchemaRef) -> Result<()> {
        Keys::new(&types(schema)).map(|_| ())
    }

    fn touch(&mut self, slots: &[u32]) {
        for slot in slots {
            let touched = &mut self.touched[*slot as usize];
            if !std::mem::replace(touched, true) {
                if self.counts[*slot as usize] > 0 { self.present.push(*slot) } else { self.absent.push(*slot) }
            }
        }
    }

    fn emit(&self, slots: &[u32], delta: impl Fn(arrow::record_batch::RecordBatch) -> Delta, cx: &mut Context) -> Result<()> {
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
        self.touched.grow(self.keys.slots(), false);
        self.touch(&slots);
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
        for slot in absent.into_iter().chain(present) {
            self.touched[slot as usize] = false;
            let count = self.counts[slot as usize];
            debug_assert!(count >= 0, "a row is there {count} times");
            if count == 0 {
                self.keys.release(slot);
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let lists = self.absent.capacity() + self.present.capacity() + self.slots.capacity();
        self.keys.memory_bytes() + self.counts.memory_bytes() + self.touched.memory_bytes() + lists * size_of::<u32>()
    }

    fn groups(&self) -> usize {
        self.keys.groups()
    }
}

fn types(schema: &SchemaRef) -> Vec<DataType> {
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

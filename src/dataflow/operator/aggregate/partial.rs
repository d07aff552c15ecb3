//! The sums of one epoch on one worker: few rows go through the exchange instead of many.

use arrow::datatypes::SchemaRef;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::{AggregateSpec, Groups};

/// Groups that are kept before their sums are sent: beyond it the tables would leave the caches for little gain.
const GROUPS_MAX: usize = 64 * 1024;

pub(super) struct PartialAggregate {
    spec: AggregateSpec,
    groups: Groups,
    schema: SchemaRef,
    /// Whether anything came since the sums were sent.
    pending: bool,
}

impl PartialAggregate {
    pub(super) fn new(spec: AggregateSpec, groups: Groups, schema: SchemaRef) -> Self {
        PartialAggregate { spec, groups, schema, pending: false }
    }

    fn send(&mut self, cx: &mut Context) -> Result<()> {
        if !std::mem::take(&mut self.pending) {
            return Ok(());
        }
        let groups = &mut self.groups;
        let slots: Vec<u32> = (0..groups.keys.slots() as u32).collect();
        let mut columns = groups.keys.columns(&slots)?;
        columns.extend(groups.sums(&slots)?);
        groups.reset_sums();
        groups.keys.reset();
        cx.out.push(Delta::insert(batch(self.schema.clone(), columns, slots.len())?));
        Ok(())
    }
}

impl Operator for PartialAggregate {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let groups = &mut self.groups;
        let mut slots = std::mem::take(&mut groups.slots);
        groups.keys.find(&delta.rows.columns()[..self.spec.keys], delta.num_rows(), &mut slots)?;
        groups.grow();
        groups.slots = slots;
        groups.update(&self.spec.calls, &delta)?;
        self.pending = true;
        // Admitted rows go to other windows than those that come after them.
        if self.groups.keys.slots() > GROUPS_MAX || cx.admitted.is_some() { self.send(cx) } else { Ok(()) }
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.send(cx)
    }

    fn memory_bytes(&self) -> usize {
        self.groups.memory_bytes()
    }
}

//! The groups of a GROUP BY and their results.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, filter};
use arrow::datatypes::{Int64Type, SchemaRef};
use hashbrown::HashMap;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::accumulator::Failure;
use crate::operator::aggregate::checkpoint::Stored;
use crate::operator::aggregate::tracked::Tracked;
use crate::operator::aggregate::{AggregateSpec, CallState, Groups, Stage};
use crate::rows::RowText;
use crate::state::StateChanges;

/// Groups whose changes go out as one delta.
const CHUNK_GROUPS: usize = 16 * 1024;

/// Keeps the groups; at the end of an epoch it takes back the old rows of those that changed and gives the new ones.
///
/// # Invariants
/// - Between epochs each slot that is not free has rows, or it is the one group of an aggregate without a key.
/// - A group that the current epoch touched is in `fresh`, or in one of `before`.
pub(super) struct Aggregate {
    spec: AggregateSpec,
    groups: Groups,
    schema: SchemaRef,
    view: Arc<str>,
    global: Global,
    tracked: Tracked,
    stored: Stored,
    /// Groups that had no row out when the epoch began.
    fresh: Vec<u32>,
    /// Groups that had one.
    before: Vec<Before>,
}

/// The one group of an aggregate without a key: it has a row also over no input, on one worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Global {
    /// There is a key, or another worker has the group.
    No,
    /// It is to come with the first epoch.
    Due,
    /// Its row is out.
    Out,
}

/// The rows of some groups as they were when the epoch began.
struct Before {
    slots: Vec<u32>,
    results: Results,
}

/// One column for each call; the groups (by index) without a result, and why.
struct Results {
    columns: Vec<ArrayRef>,
    failures: HashMap<usize, Error>,
}

impl Aggregate {
    pub(super) fn new(
        spec: AggregateSpec,
        groups: Groups,
        schema: SchemaRef,
        view: Arc<str>,
        owns_global: bool,
        checkpoints: bool,
    ) -> Self {
        let global = if spec.keys == 0 && owns_global { Global::Due } else { Global::No };
        let stored = Stored::new(&spec, &schema).expect("checked when the plan was lowered");
        let tracked = Tracked::new(checkpoints);
        Aggregate { spec, groups, schema, view, global, tracked, stored, fresh: Vec::new(), before: Vec::new() }
    }

    /// Keeps the results of the groups that this epoch touches for the first time.
    fn remember(&mut self, slots: &[u32]) -> Result<()> {
        let mut known = Vec::new();
        for slot in slots {
            if self.tracked.touch(*slot) {
                if self.groups.rows[*slot as usize] > 0 || self.global == Global::Out { known.push(*slot) } else { self.fresh.push(*slot) }
            }
        }
        if !known.is_empty() {
            let results = self.results(&known)?;
            self.before.push(Before { slots: known, results });
        }
        Ok(())
    }

    fn results(&self, slots: &[u32]) -> Result<Results> {
        let mut columns = Vec::with_capacity(self.groups.calls.len());
        let mut failures = HashMap::new();
        for call in &self.groups.calls {
            let CallState::Own(accumulator) = call else {
                columns.push(self.groups.counts(slots));
                continue;
            };
            let mut failed = Vec::new();
            columns.push(accumulator.output(slots, &mut failed)?);
            for Failure { index, error } in failed {
                failures.entry(index).or_insert(error);
            }
        }
        Ok(Results { columns, failures })
    }

    /// Whether the group has a row, if its results do not fail.
    fn present(&self, slot: u32) -> bool {
        self.groups.rows[slot as usize] > 0 || self.global != Global::No
    }

    /// Emits the rows of groups that had none.
    fn emit_fresh(&self, slots: &[u32], cx: &mut Context) -> Result<()> {
        let slots: Vec<u32> = slots.iter().copied().filter(|slot| self.present(*slot)).collect();
        let results = self.results(&slots)?;
        self.report(&slots, &results, |_| false, cx)?;
        if results.failures.is_empty() {
            return self.emit(&[], &slots, results.columns, cx);
        }
        let kept = BooleanArray::from_iter((0..slots.len()).map(|index| Some(!results.failures.contains_key(&index))));
        let columns = results.columns.iter().map(|column| Ok(filter(column, &kept)?)).collect::<Result<Vec<_>>>()?;
        self.emit(&[], &select(&slots, &kept), columns, cx)
    }

    /// Emits what changed in groups that had a row.
    fn emit_known(&self, before: Before, cx: &mut Context) -> Result<()> {
        let Before { slots, results: old } = before;
        let new = self.results(&slots)?;
        let mut differ = BooleanBuffer::new_unset(slots.len());
        for (old, new) in old.columns.iter().zip(&new.columns) {
            differ = &differ | distinct(old, new)?.values();
        }
        let mut minus = Vec::with_capacity(slots.len());
        let mut plus = Vec::with_capacity(slots.len());
        for (index, slot) in slots.iter().enumerate() {
            let was = !old.failures.contains_key(&index);
            let is = self.present(*slot) && !new.failures.contains_key(&index);
            let changed = was != is || differ.value(index);
            minus.push(was && changed);
            plus.push(is && changed);
        }
        self.report(&slots, &new, |index| old.failures.contains_key(&index), cx)?;
        let (minus, plus) = (BooleanArray::from(minus), BooleanArray::from(plus));
        let mut columns = Vec::with_capacity(old.columns.len());
        for (old, new) in old.columns.iter().zip(&new.columns) {
            columns.push(concat(&[&filter(old, &minus)?, &filter(new, &plus)?])?);
        }
        self.emit(&select(&slots, &minus), &select(&slots, &plus), columns, cx)
    }

    /// Emits one delta: `columns` has the results of `minus`, then those of `plus`.
    fn emit(&self, minus: &[u32], plus: &[u32], columns: Vec<ArrayRef>, cx: &mut Context) -> Result<()> {
        let rows = minus.len() + plus.len();
        if rows == 0 {
            return Ok(());
        }
        let mut all = self.groups.keys.columns(&[minus, plus].concat())?;
        all.extend(columns);
        let weights = std::iter::repeat_n(-1, minus.len()).chain(std::iter::repeat_n(1, plus.len())).collect();
        cx.out.push(Delta::weighted(batch(self.schema.clone(), all, rows)?, weights));
        Ok(())
    }

    /// A dead letter for each group that has no result, and had one before or was not there.
    fn report(&self, slots: &[u32], results: &Results, known: impl Fn(usize) -> bool, cx: &mut Context) -> Result<()> {
        let mut failed: Vec<usize> =
            results.failures.keys().copied().filter(|index| self.present(slots[*index]) && !known(*index)).collect();
        if failed.is_empty() {
            return Ok(());
        }
        failed.sort_unstable();
        let keys = self.groups.keys.columns(&failed.iter().map(|index| slots[*index]).collect::<Vec<_>>())?;
        let text = RowText::of_columns(&self.schema, &keys);
        for (row, index) in failed.into_iter().enumerate() {
            let error = results.failures[&index].message();
            cx.dead.push(DeadLetter::of_bytes(&self.view, Reason::Expression, error, text.row(row).as_bytes()));
        }
        Ok(())
    }

    /// The epoch is over: groups without rows give their slots back.
    fn settle(&mut self, slots: &[u32]) -> Result<()> {
        let mut empty = vec![];
        for slot in slots {
            let rows = self.groups.rows[*slot as usize];
            debug_assert!(rows >= 0, "{}: a group has {rows} rows", self.view);
            if rows == 0 && self.spec.keys > 0 { empty.push(*slot) } else { self.tracked.settle(*slot) }
        }
        self.tracked.release(&empty, &self.groups.keys)?;
        for slot in empty {
            self.groups.keys.release(slot);
            self.groups.accumulators().for_each(|accumulator| accumulator.clear(slot));
        }
        Ok(())
    }
}

impl Operator for Aggregate {
    fn push(&mut self, _port: usize, delta: Delta, _cx: &mut Context) -> Result<()> {
        let keys = self.spec.keys;
        let mut slots = std::mem::take(&mut self.groups.slots);
        self.groups.keys.find(&delta.rows.columns()[..keys], delta.num_rows(), &mut slots)?;
        self.groups.grow();
        self.tracked.grow(self.groups.rows.len());
        self.remember(&slots)?;
        let groups = &mut self.groups;
        if self.spec.stage == Stage::Final {
            let counts = delta.rows.column(keys).as_primitive::<Int64Type>().values();
            slots.iter().zip(counts).for_each(|(slot, count)| groups.rows[*slot as usize] += count);
            let mut states = &delta.rows.columns()[keys + 1..];
            for accumulator in groups.accumulators() {
                let (state, rest) = states.split_at(accumulator.state_types().len());
                accumulator.merge(&slots, state)?;
                states = rest;
            }
            groups.slots = slots;
            return Ok(());
        }
        groups.slots = slots;
        groups.update(&self.spec.calls, &delta)
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.stored.collect_gone(&mut self.groups)?;
        if self.global == Global::Due && self.fresh.is_empty() {
            self.groups.grow();
            self.tracked.grow(1);
            self.fresh.push(0);
        }
        let fresh = std::mem::take(&mut self.fresh);
        for slots in fresh.chunks(CHUNK_GROUPS) {
            self.emit_fresh(slots, cx)?;
        }
        if self.global == Global::Due {
            self.global = Global::Out;
        }
        self.settle(&fresh)?;
        for before in gather(std::mem::take(&mut self.before))? {
            let slots = before.slots.clone();
            self.emit_known(before, cx)?;
            self.settle(&slots)?;
        }
        Ok(())
    }

    fn changes(&mut self) -> Result<Vec<StateChanges>> {
        self.stored.changes(&mut self.groups, &mut self.tracked)
    }

    fn state(&self) -> Option<u16> {
        Some(self.spec.state)
    }

    fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.stored.load(&mut self.groups, &mut self.tracked, part, columns, rows)?;
        if self.global == Global::Due && rows > 0 {
            self.global = Global::Out;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.groups.memory_bytes() + self.tracked.memory_bytes() + self.stored.memory_bytes()
    }

    fn dirty_bytes(&self) -> usize {
        self.tracked.dirty_bytes(self.memory_bytes())
    }

    fn groups(&self) -> usize {
        match self.global {
            Global::No if self.spec.keys == 0 => 0,
            _ => self.groups.keys.groups(),
        }
    }
}

/// The slots whose bit is set.
fn select(slots: &[u32], mask: &BooleanArray) -> Vec<u32> {
    mask.values().set_indices().map(|index| slots[index]).collect()
}

/// Joins small pieces, so that an epoch of many small pushes ends in few deltas.
fn gather(pieces: Vec<Before>) -> Result<Vec<Before>> {
    let mut gathered = Vec::new();
    let mut open: Vec<Before> = Vec::new();
    let mut len = 0;
    for piece in pieces {
        len += piece.slots.len();
        open.push(piece);
        if len >= CHUNK_GROUPS {
            gathered.push(join(std::mem::take(&mut open))?);
            len = 0;
        }
    }
    if !open.is_empty() {
        gathered.push(join(open)?);
    }
    Ok(gathered)
}

fn join(mut pieces: Vec<Before>) -> Result<Before> {
    if pieces.len() == 1 {
        return Ok(pieces.swap_remove(0));
    }
    let calls = pieces[0].results.columns.len();
    let column = |call: usize| concat(&pieces.iter().map(|piece| piece.results.columns[call].as_ref()).collect::<Vec<_>>());
    let columns = (0..calls).map(|call| Ok(column(call)?)).collect::<Result<Vec<_>>>()?;
    let (mut slots, mut failures) = (Vec::new(), HashMap::new());
    for piece in pieces {
        failures.extend(piece.results.failures.into_iter().map(|(index, error)| (slots.len() + index, error)));
        slots.extend(piece.slots);
    }
    Ok(Before { slots, results: Results { columns, failures } })
}

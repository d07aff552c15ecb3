//! The groups of a GROUP BY and their results.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat, filter};
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::accumulator::Failure;
use crate::operator::aggregate::checkpoint::Stored;
use crate::operator::aggregate::tracked::Tracked;
use crate::operator::aggregate::windows::Windows;
use crate::operator::aggregate::{AggregateSpec, CallState, Groups, Stage};
use crate::rows::RowText;
use crate::state::{StateChanges, StoredRows};
use crate::times::TimeOf;

/// Groups whose changes go out as one delta.
const CHUNK_GROUPS: usize = 16 * 1024;

/// Keeps the groups; at the end of an epoch it takes back the old rows of those that changed and gives the new ones.
///
/// # Invariants
/// - Between epochs each slot that is not free has rows, or it is the one group of an aggregate without a key.
/// - A group that the current epoch touched is in `fresh`, or in one of `before`.
pub(super) struct Aggregate {
    pub(super) spec: AggregateSpec,
    pub(super) groups: Groups,
    pub(super) schema: SchemaRef,
    view: Arc<str>,
    global: Global,
    pub(super) tracked: Tracked,
    pub(super) stored: Stored,
    /// Where groups are shown and closed as the watermark passes.
    pub(super) windows: Option<Windows>,
    /// Groups that had no row out when the epoch began.
    pub(super) fresh: Vec<u32>,
    /// Groups that had one.
    before: Vec<Before>,
    /// Empty between two calls: by row, the sums of groups that come complete.
    pub(super) complete: Groups,
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
pub(super) struct Results {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) failures: HashMap<usize, Error>,
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
        let windows = spec.life.clone().map(Windows::new);
        let complete = AggregateSpec { keys: 0, ..spec.clone() }.groups(&schema, false).expect("checked when the plan was lowered");
        let (fresh, before) = (Vec::new(), Vec::new());
        Aggregate { spec, groups, schema, view, global, tracked, stored, windows, fresh, before, complete }
    }

    /// Keeps the results of the groups that this epoch touches for the first time.
    fn remember(&mut self, slots: &[u32], keys: &[ArrayRef]) -> Result<()> {
        let mut known = Vec::new();
        if let Some(windows) = &mut self.windows {
            let named = windows.named(keys)?;
            for (slot, named) in slots.iter().zip(named) {
                if self.tracked.touch(*slot) {
                    let is_new = self.groups.rows[*slot as usize] == 0;
                    if is_new {
                        windows.add(*named, *slot);
                    }
                    if is_new || !windows.is_shown(*named) { self.fresh.push(*slot) } else { known.push(*slot) }
                }
            }
        } else {
            for slot in slots {
                if self.tracked.touch(*slot) {
                    let out = self.groups.rows[*slot as usize] > 0 || self.global == Global::Out;
                    if out { known.push(*slot) } else { self.fresh.push(*slot) }
                }
            }
        }
        self.stored.keep(&self.groups, &mut self.tracked)?;
        if !known.is_empty() {
            let results = self.results(&known)?;
            self.before.push(Before { slots: known, results });
        }
        Ok(())
    }

    pub(super) fn results(&self, slots: &[u32]) -> Result<Results> {
        results_of(&self.groups, slots)
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
    pub(super) fn emit(&self, minus: &[u32], plus: &[u32], columns: Vec<ArrayRef>, cx: &mut Context) -> Result<()> {
        let rows = minus.len() + plus.len();
        if rows == 0 {
            return Ok(());
        }
        let mut all = self.groups.keys.columns(&[minus, plus].concat())?;
        all.extend(columns);
        let rows = batch(self.schema.clone(), all, rows)?;
        cx.out.push(match minus.is_empty() && self.spec.life.is_some() {
            // What is only ever added may be read as such.
            true => Delta::insert(rows),
            false => Delta::weighted(rows, std::iter::repeat_n(-1, minus.len()).chain(std::iter::repeat_n(1, plus.len())).collect()),
        });
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
        self.tell_failures(&keys, failed.iter().map(|index| &results.failures[index]).enumerate(), cx);
        Ok(())
    }

    /// A dead letter for each of these rows of some key columns.
    pub(super) fn tell_failures<'a>(&self, keys: &[ArrayRef], failures: impl Iterator<Item = (usize, &'a Error)>, cx: &mut Context) {
        let text = RowText::of_columns(&self.schema, keys);
        for (row, error) in failures {
            cx.dead.push(DeadLetter::of_bytes(&self.view, Reason::Expression, error.message(), text.row(row).as_bytes()));
        }
    }

    /// The epoch is over: groups without rows give their slots back.
    fn settle(&mut self, slots: &[u32]) -> Result<()> {
        let mut empty = vec![];
        for slot in slots {
            let rows = self.groups.rows[*slot as usize];
            debug_assert!(rows >= 0, "{}: a group has {rows} rows", self.view);
            if rows == 0 && self.spec.keys > 0 { empty.push(*slot) } else { self.tracked.settle(*slot) }
        }
        self.let_go(&empty)
    }

    /// These groups give their slots back, with all that they hold.
    pub(super) fn let_go(&mut self, slots: &[u32]) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        self.groups.clear_sums(slots)?;
        // What the values of closed groups leave behind, while the slots are still theirs.
        self.stored.collect(&mut self.groups)?;
        self.tracked.release(slots, &self.groups.keys)?;
        slots.iter().for_each(|slot| self.groups.keys.release(*slot));
        Ok(())
    }
}

impl Operator for Aggregate {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let keys = self.spec.keys;
        let delta = self.without_removed(delta, cx)?;
        if self.is_complete(&delta)? {
            return self.give_complete(&delta, cx);
        }
        let mut slots = std::mem::take(&mut self.groups.slots);
        self.groups.keys.find(&delta.rows.columns()[..keys], delta.num_rows(), &mut slots)?;
        self.groups.grow();
        self.tracked.grow(self.groups.rows.len());
        self.bring_back(&delta.rows.columns()[..keys], &slots)?;
        self.remember(&slots, &delta.rows.columns()[..keys])?;
        let groups = &mut self.groups;
        if matches!(self.spec.stage, Stage::Final | Stage::Complete) {
            groups.add_sums(&slots, &delta.rows.columns()[keys..])?;
            groups.slots = slots;
            return Ok(());
        }
        groups.slots = slots;
        groups.update(&self.spec.calls, &delta)
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.stored.collect(&mut self.groups)?;
        if self.global == Global::Due && self.fresh.is_empty() {
            self.groups.grow();
            self.tracked.grow(1);
            self.fresh.push(0);
        }
        let watermark = self.touch_due(cx)?;
        let fresh = std::mem::take(&mut self.fresh);
        for slots in fresh.chunks(CHUNK_GROUPS) {
            self.emit_fresh(&self.shown(slots, watermark)?, cx)?;
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
        self.close_windows(watermark, cx)
    }

    fn resume(&mut self) {
        if let Some(windows) = &mut self.windows {
            windows.resume();
        }
    }

    fn freeze(&mut self) {
        self.stored.freeze(&mut self.groups, &mut self.tracked);
    }

    fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.stored.copy(&mut self.groups, &mut self.tracked, budget)
    }

    fn kept_rows(&self) -> usize {
        self.stored.kept_rows()
    }

    fn take_copied(&mut self) -> Vec<StateChanges> {
        self.stored.take_copied()
    }

    fn state(&self) -> Option<u16> {
        Some(self.spec.state)
    }

    fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let Some(slots) = self.stored.load(&mut self.groups, &mut self.tracked, part, columns, rows)? else { return Ok(()) };
        if let Some(windows) = &mut self.windows {
            for (slot, named) in slots.iter().zip(windows.named(columns)?.to_vec()) {
                windows.add(named, *slot);
            }
        }
        if self.global == Global::Due && rows > 0 {
            self.global = Global::Out;
        }
        Ok(())
    }

    fn look_up(&mut self, part: u16, rows: Arc<dyn StoredRows>) -> Result<()> {
        self.stored.look_up(part, rows)
    }

    fn due(&self) -> Option<(TimeOf, i64)> {
        let windows = self.windows.as_ref()?;
        let archived = self.stored.first_archived().and_then(|named| windows.life().removed_at(named));
        let closing = &windows.life().closing;
        Some((TimeOf::Source(closing.source), closing.earliest(windows.next_due().into_iter().chain(archived).min()?)))
    }

    fn memory_bytes(&self) -> usize {
        let windows = self.windows.as_ref().map_or(0, Windows::memory_bytes);
        self.groups.memory_bytes() + self.complete.memory_bytes() + self.tracked.memory_bytes() + self.stored.memory_bytes() + windows
    }

    fn dirty_bytes(&self) -> usize {
        self.tracked.dirty_bytes(self.memory_bytes()) + self.stored.dirty_bytes()
    }

    fn groups(&self) -> usize {
        match self.global {
            Global::No if self.spec.keys == 0 => 0,
            _ => self.groups.keys.groups(),
        }
    }
}

/// The results of these slots.
pub(super) fn results_of(groups: &Groups, slots: &[u32]) -> Result<Results> {
    let mut columns = Vec::with_capacity(groups.calls.len());
    let mut failures = HashMap::new();
    for call in &groups.calls {
        let CallState::Own(accumulator) = call else {
            columns.push(groups.counts(slots));
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

/// The slots whose bit is set.
pub(super) fn select(slots: &[u32], mask: &BooleanArray) -> Vec<u32> {
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

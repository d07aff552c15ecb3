//! Sessions and what is summed up in each.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{concat, filter, take};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};

use crate::consolidate::consolidate;
use crate::fragment::Context;
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::checkpoint::Stored;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::ordered::{from_words, words};
use crate::operator::aggregate::session::reach::{Reach, Sessions, reach};
use crate::operator::aggregate::tracked::Tracked;
use crate::operator::aggregate::{AggregateSpec, CallState, Groups, key_types};
use crate::rows::RowText;
use crate::state::StateChanges;

/// Sessions that have no result, and why.
type Failures = Vec<(u32, Error)>;

/// The sessions that there are, each with the state of the calls over its rows.
///
/// # Invariants
/// - The groups are the sessions, by the columns of the partition and the first moment. Their first call is the last moment.
/// - `touched` has the sessions that this epoch has changed and that are there. The rows that it has changed, as they were when
///   it began, are in `before`.
pub(super) struct Live {
    /// With the session's first moment as the last key, and its last moment as the first call.
    spec: AggregateSpec,
    gap: i64,
    /// The columns of the partition, the window, then the results.
    schema: SchemaRef,
    view: Arc<str>,
    groups: Groups,
    tracked: Tracked,
    stored: Stored,
    partitions: Keys,
    /// By partition: the slot of each session.
    sessions: Cells<Sessions<u32>>,
    touched: BTreeSet<u32>,
    before: Vec<Vec<ArrayRef>>,
    /// Sessions without a result when the epoch began, by partition and first moment.
    failed: HashSet<(u32, i64)>,
}

impl Live {
    /// `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(spec: AggregateSpec, gap: i64, schema: SchemaRef, view: Arc<str>, checkpoints: bool) -> Result<Self> {
        let key = Schema::new(schema.fields()[..spec.keys].to_vec());
        let groups = spec.groups(&key, false)?;
        let partitions = Keys::new(&key_types(&key, spec.keys - 1))?;
        let (tracked, stored) = (Tracked::new(checkpoints), Stored::new(&spec, &key)?);
        let (sessions, touched, before, failed) = (Cells::new(), BTreeSet::new(), vec![], HashSet::new());
        Ok(Live { spec, gap, schema, view, groups, tracked, stored, partitions, sessions, touched, before, failed })
    }

    /// Replaces `slots` by the partition of each row; new ones are made.
    pub(super) fn find_partitions(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        self.partitions.find(&columns[..self.spec.keys - 1], rows, slots)?;
        self.sessions.grow(self.partitions.slots(), BTreeMap::new());
        Ok(())
    }

    /// What moments of a partition reach; they ascend.
    pub(super) fn reach(&self, partition: u32, moments: &[i64]) -> Vec<Reach<u32>> {
        reach(&self.sessions[partition as usize], moments, self.gap)
    }

    /// Adds rows: the columns of the partition, a moment, the number of rows, then the state of each call that has one of its own.
    pub(super) fn add(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let keys = self.spec.keys;
        let mut partitions = vec![];
        self.find_partitions(columns, rows, &mut partitions)?;
        let moments = words(&columns[keys - 1])?;
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_unstable_by_key(|row| (partitions[*row as usize], moments[*row as usize]));
        let mut joined: Vec<(u32, usize, Reach<u32>)> = vec![];
        let mut from = 0;
        for run in order.chunk_by(|a, b| partitions[*a as usize] == partitions[*b as usize]) {
            let partition = partitions[run[0] as usize];
            let times: Vec<i64> = run.iter().map(|row| moments[*row as usize]).collect();
            joined.extend(self.reach(partition, &times).into_iter().map(|reach| (partition, from, reach)));
            from += run.len();
        }
        let reached: Vec<u32> = joined.iter().flat_map(|(_, _, reach)| reach.sessions.iter().map(|(.., slot)| *slot)).collect();
        self.remember(&reached)?;
        // A session begins anew where the first of its rows came before all that it has reached.
        let is_new = |reach: &Reach<u32>| reach.sessions.first().is_none_or(|(first, ..)| *first > reach.first);
        let heads: Vec<u32> =
            joined.iter().filter(|(.., reach)| is_new(reach)).map(|(_, from, reach)| order[from + reach.moments.start]).collect();
        let mut made = self.make(columns, heads)?.into_iter();
        let mut slots = vec![0; rows];
        let (mut gone, mut into) = (vec![], vec![]);
        for (partition, from, reach) in joined {
            let slot = match is_new(&reach) {
                true => made.next().expect("one was made for each that is new"),
                false => reach.sessions[0].2,
            };
            let sessions = &mut self.sessions[partition as usize];
            for (first, _, old) in reach.sessions {
                sessions.remove(&first);
                if old != slot {
                    gone.push(old);
                    into.push(slot);
                }
            }
            sessions.insert(reach.first, (reach.last, slot));
            reach.moments.for_each(|moment| slots[order[from + moment] as usize] = slot);
        }
        self.merge(&slots, columns)?;
        self.join(&gone, &into)
    }

    /// Takes sessions away.
    pub(super) fn remove(&mut self, partition: u32, sessions: &[(i64, i64, u32)]) -> Result<()> {
        let slots: Vec<u32> = sessions.iter().map(|(.., slot)| *slot).collect();
        self.remember(&slots)?;
        for (first, ..) in sessions {
            self.sessions[partition as usize].remove(first);
        }
        self.release(&slots)
    }

    /// Lets a partition without sessions go.
    pub(super) fn release_partition(&mut self, partition: u32) {
        if self.sessions[partition as usize].is_empty() {
            self.partitions.release(partition);
        }
    }

    /// Slots of sessions that begin with these rows.
    fn make(&mut self, columns: &[ArrayRef], heads: Vec<u32>) -> Result<Vec<u32>> {
        if heads.is_empty() {
            return Ok(vec![]);
        }
        let heads = UInt32Array::from(heads);
        let keys = columns[..self.spec.keys].iter().map(|column| Ok(take(column, &heads, None)?)).collect::<Result<Vec<_>>>()?;
        let mut slots = vec![];
        self.groups.keys.find(&keys, heads.len(), &mut slots)?;
        self.groups.grow();
        self.tracked.grow(self.groups.rows.len());
        self.touched.extend(&slots);
        Ok(slots)
    }

    /// Adds each row to its session.
    fn merge(&mut self, slots: &[u32], columns: &[ArrayRef]) -> Result<()> {
        let keys = self.spec.keys;
        let counts = columns[keys].as_primitive::<Int64Type>().values();
        slots.iter().zip(counts).for_each(|(slot, count)| self.groups.rows[*slot as usize] += count);
        // The moment is the state of the first call.
        let mut states = std::iter::once(&columns[keys - 1]).chain(&columns[keys + 1..]).cloned();
        for accumulator in self.groups.accumulators() {
            let state: Vec<ArrayRef> = states.by_ref().take(accumulator.state_types().len()).collect();
            accumulator.merge(slots, &state)?;
        }
        Ok(())
    }

    /// Adds all of some sessions to others, and lets them go.
    fn join(&mut self, gone: &[u32], into: &[u32]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        for (gone, into) in gone.iter().zip(into) {
            let rows = self.groups.rows[*gone as usize];
            self.groups.rows[*into as usize] += rows;
        }
        for accumulator in self.groups.accumulators() {
            let states = accumulator.state(gone)?;
            accumulator.merge(into, &states)?;
        }
        self.release(gone)
    }

    fn release(&mut self, slots: &[u32]) -> Result<()> {
        self.groups.accumulators().try_for_each(|accumulator| accumulator.clear_all(slots))?;
        self.tracked.release(slots, &self.groups.keys)?;
        for slot in slots {
            self.touched.remove(slot);
            self.groups.rows[*slot as usize] = 0;
            self.groups.keys.release(*slot);
        }
        Ok(())
    }

    /// Keeps the rows of sessions that this epoch touches for the first time.
    fn remember(&mut self, slots: &[u32]) -> Result<()> {
        let slots: Vec<u32> = slots.iter().copied().filter(|slot| self.touched.insert(*slot)).collect();
        if !slots.is_empty() {
            slots.iter().for_each(|slot| _ = self.tracked.touch(*slot));
            self.stored.keep(&self.groups, &mut self.tracked)?;
            let (columns, failures) = self.rows(&slots)?;
            self.before.push(columns);
            if !failures.is_empty() {
                let failed: Vec<u32> = failures.into_iter().map(|(slot, _)| slot).collect();
                let places = self.places(&failed)?;
                self.failed.extend(places);
            }
        }
        Ok(())
    }

    /// The partitions and first moments of sessions.
    fn places(&mut self, slots: &[u32]) -> Result<Vec<(u32, i64)>> {
        let columns = self.groups.keys.columns(slots)?;
        let mut partitions = vec![];
        self.find_partitions(&columns, slots.len(), &mut partitions)?;
        let firsts = words(&columns[self.spec.keys - 1])?;
        Ok(partitions.into_iter().zip(firsts.iter().copied()).collect())
    }

    /// The rows of sessions, and the sessions that have none, with the reason.
    fn rows(&self, slots: &[u32]) -> Result<(Vec<ArrayRef>, Failures)> {
        let mut columns = self.groups.keys.columns(slots)?;
        let mut failures = BTreeMap::new();
        for (call, state) in self.groups.calls.iter().enumerate() {
            let mut failed = vec![];
            let column = match state {
                CallState::Rows => self.groups.counts(slots),
                CallState::Own(accumulator) => accumulator.output(slots, &mut failed)?,
            };
            // The first call is the last moment; the session ends when the gap after it is over.
            columns.push(match call {
                0 => from_words(words(&column)?.iter().map(|last| Some(last.saturating_add(self.gap))), column.data_type())?,
                _ => column,
            });
            for failure in failed {
                failures.entry(failure.index).or_insert(failure.error);
            }
        }
        if !failures.is_empty() {
            let kept = BooleanArray::from_iter((0..slots.len()).map(|index| Some(!failures.contains_key(&index))));
            columns = columns.iter().map(|column| Ok(filter(column, &kept)?)).collect::<Result<_>>()?;
        }
        Ok((columns, failures.into_iter().map(|(index, error)| (slots[index], error)).collect()))
    }

    /// The epoch is complete: takes back the rows that it has changed, and gives them as they are.
    pub(super) fn close(&mut self, cx: &mut Context) -> Result<()> {
        if self.touched.is_empty() && self.before.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = std::mem::take(&mut self.touched).into_iter().collect();
        let mut pieces = std::mem::take(&mut self.before);
        let known = std::mem::take(&mut self.failed);
        let len = |piece: &Vec<ArrayRef>| piece.first().map_or(0, |column| column.len());
        let minus: usize = pieces.iter().map(len).sum();
        let (after, failures) = self.rows(&slots)?;
        let plus = len(&after);
        pieces.push(after);
        if minus + plus > 0 {
            let column = |column: usize| concat(&pieces.iter().map(|piece| piece[column].as_ref()).collect::<Vec<_>>());
            let columns = (0..self.schema.fields().len()).map(|index| Ok(column(index)?)).collect::<Result<Vec<_>>>()?;
            let weights = std::iter::repeat_n(-1, minus).chain(std::iter::repeat_n(1, plus)).collect();
            // A session whose row is the same again has not changed.
            let delta = consolidate(&Delta::weighted(batch(self.schema.clone(), columns, minus + plus)?, weights))?;
            if !delta.is_empty() {
                cx.out.push(delta);
            }
        }
        if !failures.is_empty() {
            self.report(failures, &known, cx)?;
        }
        slots.iter().for_each(|slot| self.tracked.settle(*slot));
        Ok(())
    }

    /// A dead letter for each session that has no result, and had one before or was not there.
    fn report(&mut self, failures: Failures, known: &HashSet<(u32, i64)>, cx: &mut Context) -> Result<()> {
        let (slots, errors): (Vec<u32>, Vec<_>) = failures.into_iter().unzip();
        let places = self.places(&slots)?;
        let text = RowText::of_columns(&self.schema, &self.groups.keys.columns(&slots)?);
        for (row, (place, error)) in places.iter().zip(errors).enumerate() {
            if !known.contains(place) {
                cx.dead.push(DeadLetter::of_bytes(&self.view, Reason::Expression, error.message(), text.row(row).as_bytes()));
            }
        }
        Ok(())
    }

    /// Forgets what was touched: these sessions are out already.
    pub(super) fn settle(&mut self) {
        self.touched.clear();
        self.before.clear();
        self.failed.clear();
    }

    pub(super) fn freeze(&mut self) {
        self.stored.freeze(&mut self.groups, &mut self.tracked);
    }

    pub(super) fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.stored.copy(&mut self.groups, &mut self.tracked, budget)
    }

    pub(super) fn kept_rows(&self) -> usize {
        self.stored.kept_rows()
    }

    pub(super) fn take_copied(&mut self) -> Vec<StateChanges> {
        self.stored.take_copied()
    }

    pub(super) fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let Some(slots) = self.stored.load(&mut self.groups, &mut self.tracked, part, columns, rows)? else { return Ok(()) };
        let keys = self.spec.keys;
        let mut partitions = vec![];
        self.find_partitions(columns, rows, &mut partitions)?;
        let (firsts, lasts) = (words(&columns[keys - 1])?, words(&columns[keys + 1])?);
        for (row, (partition, slot)) in partitions.into_iter().zip(slots).enumerate() {
            self.sessions[partition as usize].insert(firsts[row], (lasts[row], slot));
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let index = self.groups.keys.groups() * size_of::<(i64, (i64, u32))>() * 3 / 2;
        let partitions = self.partitions.memory_bytes() + self.sessions.memory_bytes();
        self.groups.memory_bytes() + self.tracked.memory_bytes() + self.stored.memory_bytes() + partitions + index
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.tracked.dirty_bytes(self.memory_bytes())
    }

    pub(super) fn sessions(&self) -> usize {
        self.groups.keys.groups()
    }
}

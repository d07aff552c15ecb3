//! Sessions and what is summed up in each.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat, filter, take};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};
use weir_common::ids::RelationId;
use weir_common::lateness::WindowLife;

use crate::consolidate::consolidate;
use crate::fragment::Context;
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::checkpoint::Stored;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::ordered::{from_words, words};
use crate::operator::aggregate::session::closing::Closing;
use crate::operator::aggregate::session::reach::{Reach, Sessions, reach};
use crate::operator::aggregate::session::results::{RESULTS, Results};
use crate::operator::aggregate::tracked::Tracked;
use crate::operator::aggregate::{AggregateSpec, CallState, Groups, key_types};
use crate::rows::RowText;
use crate::state::StateChanges;
use crate::times::EpochTimes;

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
    /// Where sessions close.
    closing: Option<Closing>,
}

impl Live {
    /// `life`: when sessions close, if they do; `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(
        spec: AggregateSpec,
        gap: i64,
        life: Option<WindowLife>,
        schema: SchemaRef,
        view: Arc<str>,
        checkpoints: bool,
    ) -> Result<Self> {
        let key = Schema::new(schema.fields()[..spec.keys].to_vec());
        let groups = spec.groups(&key, false)?;
        let partitions = Keys::new(&key_types(&key, spec.keys - 1))?;
        let (tracked, stored) = (Tracked::new(checkpoints), Stored::new(&spec, &key)?);
        let (sessions, touched, before, failed) = (Cells::new(), BTreeSet::new(), vec![], HashSet::new());
        let closing = life.map(|life| Closing::new(life, &spec, &schema)).transpose()?;
        Ok(Live { spec, gap, schema, view, groups, tracked, stored, partitions, sessions, touched, before, failed, closing })
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
            if let Some(closing) = &mut self.closing {
                closing.expect(slot, reach.last);
            }
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
            if let Some(closing) = &mut self.closing {
                closing.forget(*slot);
            }
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
            let (columns, failures) = self.rows(&self.out(slots)?)?;
            self.before.push(columns);
            if !failures.is_empty() {
                let failed: Vec<u32> = failures.into_iter().map(|(slot, _)| slot).collect();
                let places = self.places(&failed)?;
                self.failed.extend(places);
            }
        }
        Ok(())
    }

    /// An epoch begins, or goes on.
    pub(super) fn begin(&mut self, times: &EpochTimes) {
        if let Some(closing) = &mut self.closing {
            closing.clock.begin(times);
        }
    }

    /// The last moments of sessions.
    fn lasts(&self, slots: &[u32]) -> Result<ScalarBuffer<i64>> {
        match self.groups.calls.first() {
            Some(CallState::Own(last)) => words(&last.output(slots, &mut vec![])?),
            _ => Err(Error::internal("sessions without a last moment")),
        }
    }

    /// Of these sessions, those whose row was out when the epoch began.
    fn out(&self, slots: Vec<u32>) -> Result<Vec<u32>> {
        match &self.closing {
            Some(closing) if closing.holds_back() => self.of_lasts(slots, |last| closing.clock.is_shown(last.saturating_add(self.gap))),
            _ => Ok(slots),
        }
    }

    /// Of these sessions, those whose last moment is such.
    fn of_lasts(&self, slots: Vec<u32>, is_such: impl Fn(i64) -> bool) -> Result<Vec<u32>> {
        let lasts = self.lasts(&slots)?;
        Ok(slots.into_iter().zip(lasts.iter()).filter(|(_, last)| is_such(**last)).map(|(slot, _)| slot).collect())
    }

    /// The sessions whose rows are to be out now, of those that the epoch has touched and those that the watermark shows; and those that
    /// it closes.
    fn due(&mut self, touched: Vec<u32>, cx: &Context) -> Result<(Vec<u32>, Vec<u32>)> {
        let Some(mut closing) = self.closing.take() else { return Ok((touched, vec![])) };
        let due = self.due_of(&mut closing, touched, cx);
        self.closing = Some(closing);
        due
    }

    fn due_of(&self, closing: &mut Closing, touched: Vec<u32>, cx: &Context) -> Result<(Vec<u32>, Vec<u32>)> {
        closing.clock.begin(cx.times);
        let (watermark, gap) = (closing.clock.watermark(cx.times), self.gap);
        let over = closing.close(|life, last| life.closed_at(last.saturating_add(gap)) <= watermark, |slots| self.lasts(slots))?;
        let mut slots = touched;
        if closing.holds_back() {
            let shown =
                closing.show(&over, |life, last| life.shown_at(last.saturating_add(gap)) <= watermark, |slots| self.lasts(slots))?;
            let known: HashSet<u32> = slots.iter().copied().collect();
            let fresh = self.of_lasts(shown, |last| !closing.clock.is_shown(last.saturating_add(gap)))?;
            slots = self.of_lasts(slots, |last| closing.clock.life.shown_at(last.saturating_add(gap)) <= watermark)?;
            slots.extend(fresh.into_iter().filter(|slot| !known.contains(slot)));
        }
        closing.clock.advance(watermark);
        Ok((slots, over))
    }

    /// Lets sessions go that are closed, and takes results back that are old.
    fn end(&mut self, over: Vec<u32>, cx: &mut Context) -> Result<()> {
        if !over.is_empty() {
            if self.results().is_some() {
                let (columns, _) = self.rows(&over)?;
                let rows = columns.first().map_or(0, |column| column.len());
                let rows = batch(self.schema.clone(), columns, rows)?;
                self.results().map_or(Ok(()), |results| results.keep(&rows))?;
            }
            let places = self.places(&over)?;
            over.iter().for_each(|slot| _ = self.tracked.touch(*slot));
            self.stored.keep(&self.groups, &mut self.tracked)?;
            self.release(&over)?;
            for (partition, first) in places {
                self.sessions[partition as usize].remove(&first);
                self.release_partition(partition);
            }
        }
        let Some(Closing { clock, results: Some(results), .. }) = &mut self.closing else { return Ok(()) };
        for rows in results.remove(|end| clock.is_removed(end))? {
            cx.out.push(Delta::retract(rows));
        }
        Ok(())
    }

    fn results(&mut self) -> Option<&mut Results> {
        self.closing.as_mut().and_then(|closing| closing.results.as_mut())
    }

    /// It is as an earlier run left it.
    pub(super) fn resume(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.clock.resume();
        }
    }

    /// What will happen next although no row comes.
    pub(super) fn next_due(&self) -> Option<(RelationId, i64)> {
        self.closing.as_ref().and_then(|closing| closing.next_due(self.gap))
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
        let touched: Vec<u32> = std::mem::take(&mut self.touched).into_iter().collect();
        let (slots, over) = self.due(touched.clone(), cx)?;
        let mut pieces = std::mem::take(&mut self.before);
        let known = std::mem::take(&mut self.failed);
        if !slots.is_empty() || !pieces.is_empty() {
            let len = |piece: &Vec<ArrayRef>| piece.first().map_or(0, |column| column.len());
            let minus: usize = pieces.iter().map(len).sum();
            let (after, failures) = self.rows(&slots)?;
            let plus = len(&after);
            pieces.push(after);
            if minus + plus > 0 {
                let column = |column: usize| concat(&pieces.iter().map(|piece| piece[column].as_ref()).collect::<Vec<_>>());
                let columns = (0..self.schema.fields().len()).map(|index| Ok(column(index)?)).collect::<Result<Vec<_>>>()?;
                let rows = batch(self.schema.clone(), columns, minus + plus)?;
                let delta = match minus {
                    // What is only ever added may be read as such.
                    0 => Delta::insert(rows),
                    // A session whose row is the same again has not changed.
                    _ => {
                        let weights = std::iter::repeat_n(-1, minus).chain(std::iter::repeat_n(1, plus)).collect();
                        consolidate(&Delta::weighted(rows, weights))?
                    }
                };
                if !delta.is_empty() {
                    cx.out.push(delta);
                }
            }
            if !failures.is_empty() {
                self.report(failures, &known, cx)?;
            }
        }
        touched.iter().for_each(|slot| self.tracked.settle(*slot));
        self.end(over, cx)
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
        if let Some(results) = self.results() {
            results.freeze();
        }
    }

    pub(super) fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.stored.copy(&mut self.groups, &mut self.tracked, budget)?;
        self.results().map_or(Ok(()), |results| results.copy(budget))
    }

    pub(super) fn kept_rows(&self) -> usize {
        self.stored.kept_rows()
    }

    pub(super) fn take_copied(&mut self) -> Vec<StateChanges> {
        let mut copied = self.stored.take_copied();
        let state = self.spec.state;
        copied.extend(self.results().and_then(|results| results.take_copied(state)));
        copied
    }

    pub(super) fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if let Some(results) = self.results().filter(|_| part == RESULTS) {
            return results.load(columns, rows);
        }
        let Some(slots) = self.stored.load(&mut self.groups, &mut self.tracked, part, columns, rows)? else { return Ok(()) };
        let keys = self.spec.keys;
        let mut partitions = vec![];
        self.find_partitions(columns, rows, &mut partitions)?;
        let (firsts, lasts) = (words(&columns[keys - 1])?, words(&columns[keys + 1])?);
        for (row, (partition, slot)) in partitions.into_iter().zip(slots).enumerate() {
            self.sessions[partition as usize].insert(firsts[row], (lasts[row], slot));
            if let Some(closing) = &mut self.closing {
                closing.expect(slot, lasts[row]);
            }
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let index = self.groups.keys.groups() * size_of::<(i64, (i64, u32))>() * 3 / 2;
        let partitions = self.partitions.memory_bytes() + self.sessions.memory_bytes();
        let closing = self.closing.as_ref().map_or(0, Closing::memory_bytes);
        self.groups.memory_bytes() + self.tracked.memory_bytes() + self.stored.memory_bytes() + partitions + index + closing
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        let results = self.closing.as_ref().map_or((0, 0), Closing::results_bytes);
        self.tracked.dirty_bytes(self.memory_bytes() - results.0) + results.1
    }

    pub(super) fn sessions(&self) -> usize {
        self.groups.keys.groups()
    }
}

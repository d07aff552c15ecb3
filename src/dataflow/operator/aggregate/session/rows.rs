//! SESSION without a GROUP BY that fits it: each row, with the window of its session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::RowConverter;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;
use weir_common::lateness::SessionLife;
use weir_common::origins::Origin;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::entries::Count;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::ordered::{from_words, words};
use crate::operator::aggregate::session::reach::{Sessions, reach};
use crate::operator::aggregate::session::rows::closed::{CLOSED, Closed};
use crate::operator::aggregate::session::rows::closing::Closing;
use crate::operator::aggregate::session::rows::late::{Late, any_stays};
use crate::operator::aggregate::trace::Trace;
use crate::rows::{converter, decode, encode};
use crate::state::{StateChanges, StateSpec};
use crate::times::TimeOf;

mod admit; // late rows are admitted to closed sessions
mod closed; // the rows of closed sessions
mod closing; // sessions are closed
mod late; // which rows are late

/// Rows of one delta that goes out.
const DELTA_ROWS: usize = 64 * 1024;

/// What rows are put into which sessions.
#[derive(Clone, Debug)]
pub(crate) struct SessionRowsSpec {
    /// The columns of the partition.
    pub(crate) partition: Vec<usize>,
    /// The column of the event time.
    pub(crate) time: usize,
    /// As in [`super::SessionSpec::gap`].
    pub(crate) gap: i64,
    /// The number of its state.
    pub(crate) state: u16,
    /// When sessions close, if they do.
    pub(crate) life: Option<SessionLife>,
}

impl SessionRowsSpec {
    /// Whether rows of this schema can be kept.
    pub(crate) fn check(&self, input: &Schema) -> Result<()> {
        converter(input.fields().iter().map(|field| field.data_type()))?;
        Keys::new(&self.key_types(input)).map(|_| ())
    }

    fn key_types(&self, input: &Schema) -> Vec<DataType> {
        self.partition.iter().map(|column| input.field(*column).data_type().clone()).collect()
    }

    /// The parts of its state, over rows with this schema: each row and how often it is there, and those of closed sessions.
    pub(crate) fn state_specs(&self, input: &Schema, placement: &[usize]) -> Vec<StateSpec> {
        let (schema, keys) = (state_schema(input.fields().iter().cloned()), input.fields().len());
        let open = StateSpec { state: self.state, part: 0, schema, keys, placement: placement.to_vec(), left_in_store: false };
        let keeps_closed = self.life.as_ref().is_some_and(|life| life.windows.keeps_closed);
        std::iter::once(open).chain(keeps_closed.then(|| Closed::state_spec(self.state, input, placement))).collect()
    }

    /// Builds the operator; its output has the columns of the input, then the window. `checkpoints`: whether anybody will ask what
    /// changed.
    pub(crate) fn build(&self, schema: SchemaRef, checkpoints: bool) -> Box<dyn Operator> {
        let checked = "checked when the plan was lowered";
        let width = schema.fields().len() - 2;
        let input = Schema::new(schema.fields()[..width].to_vec());
        let converter = converter(input.fields().iter().map(|field| field.data_type())).expect(checked);
        let keys = Keys::new(&self.key_types(&input)).expect(checked);
        let kept = state_schema(input.fields().iter().cloned());
        let (partitions, pending, slots) = (Cells::new(), BTreeMap::new(), vec![]);
        let (spec, key) = (self.clone(), Arc::new(input));
        let closing = self.life.as_ref().map(|life| Closing::new(life, self.time, &key).expect(checked));
        Box::new(SessionRows {
            spec,
            schema,
            kept,
            key,
            converter,
            keys,
            partitions,
            pending,
            slots,
            trace: Trace::new(checkpoints),
            rows: 0,
            bytes: 0,
            closing,
        })
    }
}

fn state_schema(fields: impl Iterator<Item = Arc<Field>>) -> SchemaRef {
    let count = Arc::new(Field::new("count", DataType::Int64, true));
    Arc::new(Schema::new(fields.chain([count]).collect::<Vec<_>>()))
}

/// A row as bytes.
type Row = Box<[u8]>;

/// Keeps the rows of each partition by their times; at the end of an epoch it gives what has changed, in rows or in their windows.
struct SessionRows {
    spec: SessionRowsSpec,
    schema: SchemaRef,
    /// Of its state.
    kept: SchemaRef,
    /// Of its key.
    key: SchemaRef,
    converter: RowConverter,
    keys: Keys,
    partitions: Cells<Partition>,
    /// What the current epoch adds to how often rows are there, by partition and time.
    pending: BTreeMap<(u32, i64), BTreeMap<Row, i64>>,
    /// The partitions of the current batch.
    slots: Vec<u32>,
    /// Of rows, by partition and time.
    trace: Trace<(u32, i64, Row)>,
    rows: usize,
    /// Of the rows.
    bytes: usize,
    /// Where sessions close.
    closing: Option<Closing>,
}

#[derive(Clone, Default)]
struct Partition {
    rows: BTreeMap<i64, BTreeMap<Row, Count>>,
    sessions: Sessions<()>,
}

/// Rows on their way out, with the windows of their sessions and weights.
#[derive(Default)]
struct Out {
    rows: Vec<Row>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    weights: Vec<i64>,
}

impl Out {
    fn push(&mut self, row: &Row, (first, last): (i64, i64), weight: i64) {
        self.rows.push(row.clone());
        self.starts.push(first);
        self.ends.push(last);
        self.weights.push(weight);
    }
}

/// The session that holds a moment: its first and last one.
fn session(sessions: &Sessions<()>, moment: i64) -> Option<(i64, i64)> {
    sessions.range(..=moment).next_back().map(|(first, (last, ()))| (*first, *last)).filter(|(_, last)| moment <= *last)
}

/// Moments that follow each other by less than the gap: the first and the last ones.
fn together(moments: BTreeSet<i64>, gap: i64) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = vec![];
    for moment in moments {
        match all.last_mut() {
            Some((_, last)) if moment.saturating_sub(*last) < gap => *last = moment,
            _ => all.push((moment, moment)),
        }
    }
    all
}

impl SessionRows {
    fn columns(&self, rows: &[Row]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        decode(&self.converter, rows.iter().map(|row| parser.parse(row)))
    }

    /// Rows and their counts as a checkpoint has them.
    fn state_rows(&self, rows: Vec<(Row, i64)>) -> Result<RecordBatch> {
        let (rows, counts): (Vec<Row>, Vec<i64>) = rows.into_iter().unzip();
        let mut columns = self.columns(&rows)?;
        columns.push(Arc::new(Int64Array::from(counts)));
        batch(self.kept.clone(), columns, rows.len())
    }

    /// Applies what the epoch did to some times of a partition, and finds what goes out.
    fn settle(&mut self, partition: u32, mut changes: Vec<(i64, BTreeMap<Row, i64>)>, cx: &mut Context) -> Result<()> {
        let mut late = Late::default();
        let watermark = self.closing.as_ref().map(|closing| closing.clock.late(cx.times));
        if watermark.is_some() {
            late.take_unknown(&self.partitions[partition as usize].rows, &mut changes);
        }
        let moments: Vec<i64> = changes.iter().map(|(time, _)| *time).collect();
        let reaches = reach(&self.partitions[partition as usize].sessions, &moments, self.spec.gap);
        let mut changes = changes.into_iter().peekable();
        let mut out = Out::default();
        let (mut kept, mut gone) = (vec![], vec![]);
        for reach in reaches {
            let Partition { rows, sessions } = &mut self.partitions[partition as usize];
            let old: Sessions<()> = reach.sessions.iter().map(|(first, last, ())| (*first, (*last, ()))).collect();
            old.keys().for_each(|first| _ = sessions.remove(first));
            if let Some(closing) = &mut self.closing {
                old.iter().for_each(|(first, (last, ()))| _ = closing.ends.remove(&(*last, partition, *first)));
            }
            // What comes and goes, before it is there or gone.
            let mut new: BTreeMap<i64, BTreeMap<Row, i64>> = BTreeMap::new();
            while let Some((time, changed)) = changes.next_if(|(time, _)| *time <= reach.last) {
                new.insert(time, changed);
            }
            let was: BTreeSet<i64> = rows.range(reach.first..=reach.last).map(|(time, _)| *time).collect();
            let mut is = was.clone();
            for (time, changed) in &new {
                let there = rows.get(time);
                let count = |row: &Row| there.and_then(|there| there.get(row)).map_or(0, |count| count.get());
                let others = there.is_some_and(|there| there.keys().any(|row| !changed.contains_key(row)));
                match others || changed.iter().any(|(row, weight)| count(row) + weight != 0) {
                    true => is.insert(*time),
                    false => is.remove(time),
                };
            }
            let mut together = together(is, self.spec.gap);
            if let (Some(Closing { clock, ends, .. }), Some(watermark)) = (&mut self.closing, watermark) {
                let gap = self.spec.gap;
                together.retain(|(first, last)| {
                    let is_late = clock.life.closed_at(last.saturating_add(gap)) <= watermark && !any_stays(rows, &new, *first, *last);
                    if is_late {
                        late.take_new(&mut new, *first, *last);
                    }
                    !is_late
                });
                ends.extend(together.iter().map(|(first, last)| (*last, partition, *first)));
            }
            sessions.extend(together.into_iter().map(|(first, last)| (first, (last, ()))));
            // Rows whose window has changed go, and come with the new one.
            for time in &was {
                let (before, now) = (session(&old, *time), session(sessions, *time));
                if before != now {
                    for (row, count) in &rows[time] {
                        before.into_iter().for_each(|window| out.push(row, window, -count.get()));
                        now.into_iter().for_each(|window| out.push(row, window, count.get()));
                    }
                }
            }
            for (time, changed) in new {
                let now = session(sessions, time);
                for (row, weight) in changed {
                    // Where nothing is left at this time, all of it was taken out of the window that it had.
                    now.into_iter().for_each(|window| out.push(&row, window, weight));
                    let there = rows.entry(time).or_default();
                    let old = there.get(&row).copied();
                    let count = old.map_or(0, Count::get) + weight;
                    debug_assert!(count >= 0, "a row is there {count} times");
                    match (old, count) {
                        (None, 0) => {}
                        (None, _) => {
                            let mut count = Count::new(count);
                            self.rows += 1;
                            self.bytes += row.len();
                            self.trace.changes(&mut count, || (partition, time, row.clone()));
                            there.insert(row, count);
                        }
                        (Some(mut old), 0) => {
                            there.remove(&row);
                            self.rows -= 1;
                            self.bytes -= row.len();
                            let (was, is_stored) = self.trace.goes(&mut old);
                            kept.extend(was.map(|was| (row.clone(), was)));
                            gone.extend(is_stored.then_some(row));
                        }
                        (Some(mut old), _) => {
                            let was = self.trace.changes(&mut old, || (partition, time, row.clone()));
                            kept.extend(was.map(|was| (row.clone(), was)));
                            old.add(weight);
                            there.insert(row, old);
                        }
                    }
                    if there.is_empty() {
                        rows.remove(&time);
                    }
                }
            }
            if out.rows.len() >= DELTA_ROWS {
                self.emit(std::mem::take(&mut out), cx)?;
            }
        }
        self.emit(out, cx)?;
        self.tell(late, watermark, cx)?;
        self.let_go(kept, gone)?;
        self.release(partition);
        Ok(())
    }

    /// Lets a partition go of which nothing is there.
    fn release(&mut self, partition: u32) {
        let is_coming = || self.pending.range((partition, i64::MIN)..=(partition, i64::MAX)).next().is_some();
        let is_closed = || self.closing.as_ref().is_some_and(|closing| closing.knows(partition));
        if self.partitions[partition as usize].rows.is_empty() && !is_closed() && !is_coming() {
            self.keys.release(partition);
        }
    }

    /// What checkpoints have to know of rows that are gone: as they were frozen, and that they are.
    fn let_go(&mut self, kept: Vec<(Row, i64)>, gone: Vec<Row>) -> Result<()> {
        if !kept.is_empty() {
            let rows = self.state_rows(kept)?;
            self.trace.keep(rows);
        }
        if !gone.is_empty() {
            let columns = self.columns(&gone)?;
            self.trace.forget(columns);
        }
        Ok(())
    }

    /// Bytes of open rows that changed since the last checkpoint, about.
    fn changed_bytes(&self) -> usize {
        self.trace.bytes(self.bytes.checked_div(self.rows).unwrap_or(0))
    }

    fn emit(&self, out: Out, cx: &mut Context) -> Result<()> {
        let kept: Vec<usize> = (0..out.rows.len()).filter(|row| out.weights[*row] != 0).collect();
        if kept.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row> = kept.iter().map(|row| out.rows[*row].clone()).collect();
        let mut columns = self.columns(&rows)?;
        let time = self.schema.field(self.spec.time).data_type();
        columns.push(from_words(kept.iter().map(|row| Some(out.starts[*row])), time)?);
        columns.push(from_words(kept.iter().map(|row| Some(out.ends[*row].saturating_add(self.spec.gap))), time)?);
        let weights = kept.iter().map(|row| out.weights[*row]).collect();
        cx.out.push(Delta::weighted(batch(self.schema.clone(), columns, rows.len())?, weights));
        Ok(())
    }

    /// The partition of each row.
    fn find(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let keys: Vec<ArrayRef> = self.spec.partition.iter().map(|column| columns[*column].clone()).collect();
        self.keys.find(&keys, rows, &mut self.slots)?;
        self.partitions.grow(self.keys.slots(), Partition::default());
        Ok(())
    }
}

impl Operator for SessionRows {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        self.find(delta.rows.columns(), delta.num_rows())?;
        let rows = encode(&self.converter, delta.rows.columns())?;
        let times = words(delta.rows.column(self.spec.time))?;
        for (row, slot) in self.slots.iter().enumerate() {
            let pending = self.pending.entry((*slot, times[row])).or_default();
            *pending.entry(rows.value(row).into()).or_insert(0) += delta.weights.get(row);
        }
        if let Some((closing, origins)) = self.closing.as_mut().zip(delta.origins.as_ref()) {
            let watermark = closing.clock.late(cx.times);
            // Those of sessions that are not late have no row that would be so by itself.
            let is_over = |time: i64| closing.clock.life.closed_at(time.saturating_add(self.spec.gap)) <= watermark;
            let over: Vec<usize> = (0..delta.num_rows()).filter(|row| is_over(times[*row])).collect();
            for row in over.into_iter().filter(|row| origins.get(*row) != Origin::default()) {
                closing.comes_from(rows.value(row), origins.get(row));
            }
        }
        Ok(())
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        if let Some(closing) = &mut self.closing {
            closing.clock.begin(cx.times);
        }
        self.put_together(cx)?;
        let mut pending = std::mem::take(&mut self.pending).into_iter().peekable();
        while let Some(((partition, time), rows)) = pending.next() {
            let mut changes = vec![(time, rows)];
            while let Some(((_, time), rows)) = pending.next_if(|((other, _), _)| *other == partition) {
                changes.push((time, rows));
            }
            self.settle(partition, changes, cx)?;
        }
        self.closing.iter_mut().for_each(Closing::forget_origins);
        self.close_some(cx)
    }

    fn resume(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.clock.resume();
        }
    }

    fn takes_late(&self) -> bool {
        self.closing.is_some()
    }

    fn admitted(&mut self, late: &RecordBatch) -> Result<Vec<(i64, Delta)>> {
        // Which sessions they are in turns out when all of them are there.
        self.admit(late)?;
        Ok(vec![])
    }

    fn due(&self) -> Option<(TimeOf, i64)> {
        let (source, at) = self.closing.as_ref().and_then(|closing| closing.next_due(self.spec.gap))?;
        Some((TimeOf::Source(source), at))
    }

    fn state(&self) -> Option<u16> {
        Some(self.spec.state)
    }

    fn freeze(&mut self) {
        self.trace.freeze();
        if let Some(closed) = self.closed() {
            closed.freeze();
        }
    }

    fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.trace.copy_gone(&self.key, budget)?;
        let partitions = &mut self.partitions;
        let mut copy = |(partition, time, row): &(u32, i64, Row), marks| {
            let count = partitions[*partition as usize].rows.get_mut(time)?.get_mut(row)?;
            count.copy(marks).then(|| count.get())
        };
        let pieces: Vec<_> = std::iter::from_fn(|| self.trace.next_piece(budget, &mut copy)).collect();
        for piece in pieces {
            let rows = self.state_rows(piece.into_iter().map(|((.., row), count)| (row, count)).collect())?;
            self.trace.put(rows);
        }
        self.closed().map_or(Ok(()), |closed| closed.copy(budget))
    }

    fn kept_rows(&self) -> usize {
        self.trace.kept_rows()
    }

    fn take_copied(&mut self) -> Vec<StateChanges> {
        let state = self.spec.state;
        let closed = self.closed().and_then(|closed| closed.take_copied(state));
        self.trace.take_copied(state, 0).into_iter().chain(closed).collect()
    }

    fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if part == CLOSED {
            return self.load_closed(columns, rows);
        }
        let (counts, columns) = columns.split_last().expect("the count is the last column");
        self.find(columns, rows)?;
        let bytes = encode(&self.converter, columns)?;
        let times = words(&columns[self.spec.time])?;
        for (row, (slot, count)) in self.slots.iter().zip(counts.as_primitive::<Int64Type>().values()).enumerate() {
            let Partition { rows, sessions } = &mut self.partitions[*slot as usize];
            rows.entry(times[row]).or_default().insert(bytes.value(row).into(), Count::stored(*count));
            let mut joined = reach(sessions, &[times[row]], self.spec.gap);
            if let Some(reach) = joined.pop() {
                reach.sessions.iter().for_each(|(first, ..)| _ = sessions.remove(first));
                sessions.insert(reach.first, (reach.last, ()));
                if let Some(Closing { ends, .. }) = &mut self.closing {
                    reach.sessions.iter().for_each(|(first, last, ())| _ = ends.remove(&(*last, *slot, *first)));
                    ends.insert((reach.last, *slot, reach.first));
                }
            }
            self.bytes += bytes.value(row).len();
        }
        self.rows += rows;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let rows = self.rows * (size_of::<(Row, Count)>() + size_of::<(i64, BTreeMap<Row, Count>)>()) * 3 / 2 + self.bytes;
        let closing = self.closing.as_ref().map_or(0, Closing::memory_bytes);
        self.keys.memory_bytes() + self.partitions.memory_bytes() + rows + closing + self.changed_bytes()
    }

    fn dirty_bytes(&self) -> usize {
        self.changed_bytes() + self.closing.as_ref().map_or(0, Closing::dirty_bytes)
    }

    fn groups(&self) -> usize {
        self.rows
    }
}

//! Sessions are closed as the watermark passes, and late rows are told of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_common::lateness::{SessionLife, Span};

use crate::fragment::Context;
use crate::operator::aggregate::clock::Clock;
use crate::operator::aggregate::session::rows::closed::{Closed, Name};
use crate::operator::aggregate::session::rows::late::Late;
use crate::operator::aggregate::session::rows::{Partition, Row, SessionRows};
use crate::operator::late::Entries;
use crate::rows::times;

/// What is known of sessions that close.
pub(super) struct Closing {
    pub(super) clock: Clock,
    pub(super) entries: Entries,
    /// Each open session by its last moment, with its partition and first moment.
    pub(super) ends: BTreeSet<(i64, u32, i64)>,
    /// Those that are closed, where late rows can be admitted.
    pub(super) closed: Option<Closed>,
    /// What is to be admitted: by partition and time.
    pub(super) admitted: BTreeMap<u32, BTreeMap<(i64, Row), i64>>,
}

/// Rows of sessions that close: what they are of, and how often they are there.
#[derive(Default)]
pub(super) struct Batch {
    sessions: Vec<(Name, usize)>,
    rows: Vec<Row>,
    counts: Vec<i64>,
}

impl Batch {
    /// A session with these rows.
    pub(super) fn add(&mut self, name: Name, rows: impl IntoIterator<Item = (Row, i64)>) {
        let before = self.rows.len();
        for (row, count) in rows {
            self.rows.push(row);
            self.counts.push(count);
        }
        self.sessions.push((name, self.rows.len() - before));
    }
}

impl Closing {
    /// `time` is the column of the event time in rows with the schema `input`.
    pub(super) fn new(life: &SessionLife, time: usize, input: &SchemaRef) -> Result<Self> {
        let closed = life.windows.keeps_closed.then(|| Closed::new(input)).transpose()?;
        let entries = Entries::new(life.input.clone(), time, true, input);
        Ok(Closing { clock: Clock::new(life.windows.clone()), entries, ends: BTreeSet::new(), closed, admitted: BTreeMap::new() })
    }

    /// Whether anything of a partition is closed, or to be admitted.
    pub(super) fn knows(&self, partition: u32) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.has(partition)) || self.admitted.contains_key(&partition)
    }

    /// What will happen next although no row comes: the source, and a watermark before which it does not.
    pub(super) fn next_due(&self, gap: i64) -> Option<(RelationId, i64)> {
        let life = &self.clock.life;
        let closed = self.ends.first().map(|(last, ..)| life.closed_at(last.saturating_add(gap)));
        let removed = self.closed.as_ref().and_then(Closed::first_last).and_then(|last| life.removed_at(last.saturating_add(gap)));
        Some((life.closing.source, life.closing.earliest(closed.into_iter().chain(removed).min()?)))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let ends = self.ends.len() * size_of::<(i64, u32, i64)>() * 3 / 2;
        ends + self.closed.as_ref().map_or(0, Closed::memory_bytes)
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.closed.as_ref().map_or(0, Closed::dirty_bytes)
    }
}

impl SessionRows {
    pub(super) fn closed(&mut self) -> Option<&mut Closed> {
        self.closing.as_mut().and_then(|closing| closing.closed.as_mut())
    }

    /// Tells of late rows.
    pub(super) fn tell(&self, late: Late, watermark: Option<i64>, cx: &mut Context) -> Result<()> {
        let (Some(closing), Some(watermark), false) = (&self.closing, watermark, late.rows.is_empty()) else { return Ok(()) };
        let (rows, weights): (Vec<Row>, Vec<i64>) = late.rows.into_iter().map(|(_, row, weight)| (row, weight)).unzip();
        let rows = batch(self.key.clone(), self.columns(&rows)?, rows.len())?;
        let moments = times(&rows, self.spec.time)?.values().iter().enumerate();
        // What a row that goes once came with is not known any more: the window that each would have by itself.
        let span = |moment: i64| Span { start: Some(moment), end: moment.saturating_add(self.spec.gap) };
        // Equal rows have an entry each.
        let each = moments.flat_map(|(row, moment)| std::iter::repeat_n((row as u32, span(*moment)), weights[row].unsigned_abs() as usize));
        let spans: Vec<(u32, Span)> = each.collect();
        let ones = weights.iter().map(|weight| weight.signum()).collect();
        cx.late.push(closing.entries.of(&Delta::weighted(rows, ones), &spans, watermark)?);
        Ok(())
    }

    /// The watermark at the end of the epoch closes sessions: their rows are let go, and kept elsewhere where late ones can be admitted.
    pub(super) fn close_some(&mut self, cx: &Context) -> Result<()> {
        let gap = self.spec.gap;
        let Some(Closing { clock, ends, closed, .. }) = &mut self.closing else { return Ok(()) };
        let watermark = clock.watermark(cx.times);
        let (mut kept, mut gone, mut left) = (vec![], vec![], vec![]);
        let mut over = Batch::default();
        while let Some((last, partition, first)) = ends.first().copied()
            && clock.life.closed_at(last.saturating_add(gap)) <= watermark
        {
            ends.pop_first();
            let Partition { rows, sessions } = &mut self.partitions[partition as usize];
            sessions.remove(&first);
            let mut of_session = vec![];
            // Those that were before it are closed already.
            while let Some(moment) = rows.first_entry().filter(|moment| *moment.key() <= last) {
                for (row, mut count) in moment.remove() {
                    self.rows -= 1;
                    self.bytes -= row.len();
                    if count.copy(self.marks) {
                        kept.push((row.clone(), count.get()));
                    }
                    if closed.is_some() {
                        of_session.push((row.clone(), count.get()));
                    }
                    if count.is_stored() {
                        gone.push(row);
                    }
                }
            }
            over.add((partition, first, last), of_session);
            left.push(partition);
        }
        clock.advance(watermark);
        self.let_go(kept, gone)?;
        self.keep(over)?;
        if let Some(Closing { clock, closed: Some(closed), .. }) = &mut self.closing {
            left.extend(closed.remove(|last| clock.is_removed(last.saturating_add(gap)))?);
        }
        left.sort_unstable();
        left.dedup();
        left.into_iter().for_each(|partition| self.release(partition));
        Ok(())
    }

    /// Keeps the rows of closed sessions, where late ones can be admitted.
    pub(super) fn keep(&mut self, over: Batch) -> Result<()> {
        let Some(schema) = self.closed().map(|closed| closed.schema().clone()).filter(|_| !over.rows.is_empty()) else { return Ok(()) };
        let Batch { sessions, rows, counts } = over;
        let mut columns = self.columns(&rows)?;
        let edge = |edge: fn(&Name) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(sessions.iter().flat_map(|(name, len)| std::iter::repeat_n(edge(name), *len))))
        };
        columns.extend([edge(|name| name.1), edge(|name| name.2), Arc::new(Int64Array::from(counts))]);
        let all = batch(schema, columns, rows.len())?;
        let Some(closed) = self.closed() else { return Ok(()) };
        let mut from = 0;
        for (name, len) in sessions {
            let bytes = rows[from..from + len].iter().map(|row| row.len()).sum();
            closed.put(name, all.slice(from, len), bytes)?;
            from += len;
        }
        Ok(())
    }
}

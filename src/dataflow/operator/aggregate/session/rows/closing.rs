//! Sessions are closed as the watermark passes, and late rows are told of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_common::lateness::{SessionLife, Span};
use weir_common::origins::{Origin, Origins};

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
    /// Where rows of this epoch come from that may turn out to be late.
    origins: HashMap<Row, Vec<Origin>>,
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
        let entries = Entries::new(life.input.clone(), time, true, life.positions, input);
        let (clock, ends, admitted) = (Clock::new(life.windows.clone()), BTreeSet::new(), BTreeMap::new());
        Ok(Closing { clock, entries, ends, closed, admitted, origins: HashMap::new() })
    }

    /// Remembers where a row comes from, for the time that its epoch takes.
    pub(super) fn comes_from(&mut self, row: &[u8], origin: Origin) {
        self.origins.entry(row.into()).or_default().push(origin);
    }

    /// The epoch is over.
    pub(super) fn forget_origins(&mut self) {
        self.origins.clear();
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
    pub(super) fn tell(&mut self, late: Late, watermark: Option<i64>, cx: &mut Context) -> Result<()> {
        let (Some(closing), Some(watermark), false) = (&mut self.closing, watermark, late.rows.is_empty()) else { return Ok(()) };
        let (mut rows, mut weights, mut origins) = (vec![], vec![], vec![]);
        for (_, row, weight) in late.rows {
            let mut known = closing.origins.remove(&row).filter(|_| weight > 0).unwrap_or_default();
            // In an order that does not depend on which worker sent them first.
            known.sort_unstable();
            let mut known = known.into_iter();
            // Equal rows have an entry each.
            for _ in 0..weight.unsigned_abs() {
                rows.push(row.clone());
                weights.push(weight.signum());
                origins.push(known.next().unwrap_or_default());
            }
        }
        let rows = batch(self.key.clone(), self.columns(&rows)?, rows.len())?;
        let moments = times(&rows, self.spec.time)?.values().iter().enumerate();
        // What a row that goes once came with is not known any more: the window that each would have by itself.
        let span = |moment: i64| Span { start: Some(moment), end: moment.saturating_add(self.spec.gap) };
        let spans: Vec<(u32, Span)> = moments.map(|(row, moment)| (row as u32, span(*moment))).collect();
        let rows = Delta { origins: Some(Arc::new(origins.into_iter().collect::<Origins>())), ..Delta::weighted(rows, weights) };
        if let Some(closing) = &self.closing {
            cx.late.push(closing.entries.of(&rows, &spans, watermark)?);
        }
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
                    let (was, is_stored) = self.trace.goes(&mut count);
                    kept.extend(was.map(|was| (row.clone(), was)));
                    if closed.is_some() {
                        of_session.push((row.clone(), count.get()));
                    }
                    gone.extend(is_stored.then_some(row));
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

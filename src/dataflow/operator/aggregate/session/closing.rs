//! When sessions are shown and closed.

use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_common::lateness::{Emit, WindowLife};

use crate::operator::aggregate::AggregateSpec;
use crate::operator::aggregate::clock::Clock;
use crate::operator::aggregate::session::agenda::Agenda;
use crate::operator::aggregate::session::results::Results;

/// What is known of sessions besides their sums, where they close.
pub(super) struct Closing {
    pub(super) clock: Clock,
    to_close: Agenda,
    /// Where sessions are shown before they are closed, and not at once.
    to_show: Option<Agenda>,
    /// Where results are removed one day.
    pub(super) results: Option<Results>,
}

impl Closing {
    /// `spec` has the keys of the sessions, `schema` is that of their rows.
    pub(super) fn new(life: WindowLife, spec: &AggregateSpec, schema: &SchemaRef) -> Result<Self> {
        let to_show = (life.emit == Emit::WindowClose && life.lateness > 0).then(Agenda::default);
        // The columns of the partition, start and end.
        let results = life.retention.map(|_| Results::new(schema, spec.keys + 1)).transpose()?;
        Ok(Closing { clock: Clock::new(life), to_close: Agenda::default(), to_show, results })
    }

    /// Whether there is anything that is not shown at once.
    pub(super) fn holds_back(&self) -> bool {
        self.clock.life.emit != Emit::Update
    }

    /// A session is there, or has grown.
    pub(super) fn expect(&mut self, slot: u32, last: i64) {
        self.to_close.add(slot, last);
        if let Some(agenda) = &mut self.to_show {
            agenda.add(slot, last);
        }
    }

    /// A session is there no longer.
    pub(super) fn forget(&mut self, slot: u32) {
        self.to_close.forget(slot);
        if let Some(agenda) = &mut self.to_show {
            agenda.forget(slot);
        }
    }

    /// Takes out the sessions that are closed.
    pub(super) fn close(
        &mut self,
        is_due: impl Fn(&WindowLife, i64) -> bool,
        lasts: impl Fn(&[u32]) -> Result<ScalarBuffer<i64>>,
    ) -> Result<Vec<u32>> {
        let life = &self.clock.life;
        self.to_close.take_due(|last| is_due(life, last), lasts)
    }

    /// The sessions that are to be shown, some of which may be out already; `over` are those that are closed.
    pub(super) fn show(
        &mut self,
        over: &[u32],
        is_due: impl Fn(&WindowLife, i64) -> bool,
        lasts: impl Fn(&[u32]) -> Result<ScalarBuffer<i64>>,
    ) -> Result<Vec<u32>> {
        let life = &self.clock.life;
        match &mut self.to_show {
            Some(agenda) => agenda.take_due(|last| is_due(life, last), lasts),
            None => Ok(over.to_vec()),
        }
    }

    /// What will happen next although no row comes: the source, and a watermark before which it does not.
    pub(super) fn next_due(&self, gap: i64) -> Option<(RelationId, i64)> {
        let life = &self.clock.life;
        let closed = self.to_close.first().map(|last| life.closed_at(last.saturating_add(gap)));
        let shown = self.to_show.as_ref().and_then(Agenda::first).map(|last| life.shown_at(last.saturating_add(gap)));
        let removed = self.results.as_ref().and_then(Results::first).and_then(|end| life.removed_at(end));
        Some((life.closing.source, life.closing.earliest(closed.into_iter().chain(shown).chain(removed).min()?)))
    }

    /// Bytes of the results that are kept, and those of them that the next checkpoint writes.
    pub(super) fn results_bytes(&self) -> (usize, usize) {
        self.results.as_ref().map_or((0, 0), |results| (results.memory_bytes(), results.dirty_bytes()))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.to_close.memory_bytes() + self.to_show.as_ref().map_or(0, Agenda::memory_bytes) + self.results_bytes().0
    }
}

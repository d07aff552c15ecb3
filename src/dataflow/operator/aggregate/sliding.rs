//! Overlapping windows that are shown when they are over: rows are summed up by slice, and a window is put together when it is due.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;
use weir_common::lateness::{Emit, WindowLife};
use weir_common::plan::WindowEnd;
use weir_common::window::Windows;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::sliding::running::Running;
use crate::operator::aggregate::sliding::slices::Slices;
use crate::operator::aggregate::{AggregateSpec, Stage};
use crate::operator::windows::{DELTA_ROWS, copies};
use crate::rows::times;
use crate::state::{StateChanges, StateSpec};
use crate::times::{EpochTimes, TimeOf};

pub(crate) mod address; // the one window that admitted rows go to

mod running; // the slices of the window that is due next
mod slices; // the sums of slices

#[cfg(test)]
mod tests;

/// Which windows are put together of slices.
#[derive(Clone, Debug)]
pub(crate) struct SlidingSpec {
    /// The sums of slices, by the keys of the windows' groups: the start of a slice is in the place of what names a window.
    pub(crate) slices: AggregateSpec,
    /// The windows.
    pub(crate) windows: Windows,
    /// When they are shown and closed.
    pub(crate) life: WindowLife,
}

impl SlidingSpec {
    /// What puts the windows of an aggregate together, with the state of this number, over windows that are named in `column`; `None`
    /// where that does not do: where windows are shown before they are over, where rows may go, and where windows do not overlap.
    pub(crate) fn of(aggregate: &AggregateSpec, column: usize, windows: Windows, state: u16) -> Option<SlidingSpec> {
        let life = aggregate.life.clone().filter(|life| life.emit != Emit::Update && life.closing.column == column)?;
        let named_by_edge = match windows {
            Windows::Hop(window) => life.closing.end == WindowEnd::After(window.size),
            Windows::Cumulate(_) => life.closing.end == WindowEnd::After(0),
        };
        let slices = AggregateSpec { stage: Stage::Final, state, life: None, ..aggregate.clone() };
        (aggregate.append_only && named_by_edge && windows.overlap() > 1).then_some(SlidingSpec { slices, windows, life })
    }

    /// Whether a window is closed when it is given, so that nothing is added to it any more.
    pub(crate) fn gives_complete(&self) -> bool {
        self.life.emit == Emit::Final || self.life.lateness == 0
    }

    /// The key column that names windows.
    pub(crate) fn column(&self) -> usize {
        self.life.closing.column
    }

    /// The columns that it reads: the sums of slices, and the one window that they go to; NULL for all that hold the slice.
    pub(crate) fn input_schema(&self, sums: &Schema) -> SchemaRef {
        let window = Field::new("window", sums.field(self.column()).data_type().clone(), true);
        let fields = sums.fields().iter().map(|field| field.as_ref().clone()).chain([window]);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Its state; rows are placed by the hash of the columns `placement` of the key.
    pub(crate) fn state_specs(&self, key: &Schema, placement: &[usize]) -> Result<Vec<StateSpec>> {
        self.slices.state_specs(key, placement)
    }

    /// Builds the operator; its output has the columns `schema`: sums by window. `checkpoints`: whether anybody will ask what changed.
    pub(crate) fn build(&self, schema: SchemaRef, checkpoints: bool) -> Box<dyn Operator> {
        let checked = "checked when the plan was lowered";
        let slices = Slices::new(&self.slices, self.column(), &schema, checkpoints).expect(checked);
        let running = Running::new(&self.slices, self.column(), &schema).expect(checked);
        Box::new(Sliding { spec: self.clone(), schema, upto: i64::MIN, resumed: false, slices, running, slots: vec![] })
    }
}

/// Keeps the sums of slices; at the end of an epoch it gives the sums of each window that the watermark has come to.
///
/// # Invariants
/// - Between epochs every slice that is kept is in a window that is not due yet. What the windows that were give away is not here.
/// - A message for a window that was due already, and is not closed, goes on as it came.
struct Sliding {
    spec: SlidingSpec,
    /// Of the output.
    schema: SchemaRef,
    /// The watermark of the event time when the epoch began.
    upto: i64,
    /// Whether that is still to be taken from the first epoch after a restart.
    resumed: bool,
    slices: Slices,
    running: Running,
    /// Of the current batch.
    slots: Vec<u32>,
}

impl Sliding {
    /// An epoch begins, or goes on: rows are late by the watermark as it was before. It may have stepped forward since the last epoch: after
    /// a snapshot, and when another reader goes on.
    fn begin(&mut self, cx: &mut Context) -> Result<()> {
        if *cx.times == EpochTimes::NONE {
            return Ok(());
        }
        let closing = &self.spec.life.closing;
        let before = closing.watermark(cx.times.before(closing.source));
        if std::mem::take(&mut self.resumed) {
            self.upto = before;
        } else if before > self.upto {
            self.give_until(before, cx)?;
        }
        Ok(())
    }

    /// Gives all windows that are due at this watermark.
    fn give_until(&mut self, watermark: i64, cx: &mut Context) -> Result<()> {
        self.slices.settle();
        self.running.settle(&self.slices)?;
        let mut last = None;
        while let Some(edge) = self.next(last)
            && self.spec.life.shown_at(edge) <= watermark
        {
            self.give(edge, cx)?;
            last = Some(edge);
        }
        self.upto = watermark;
        Ok(())
    }

    /// The window after `last` that is to be given next.
    fn next(&self, last: Option<i64>) -> Option<i64> {
        let (first, upto) = (self.slices.first()?, self.upto);
        let mut next: Option<i64> = None;
        self.spec.windows.edges(first, |edge| {
            if self.spec.life.shown_at(edge) > upto && last.is_none_or(|last| edge > last) && next.is_none_or(|next| edge < next) {
                next = Some(edge);
            }
        });
        next
    }

    /// Gives the sums of a window, and lets the slices go that no later one has.
    fn give(&mut self, edge: i64, cx: &mut Context) -> Result<()> {
        let (_, end) = self.spec.windows.span(edge);
        self.running.extend(end, &self.slices)?;
        self.running.sums(edge, |columns, rows| {
            cx.out.push(Delta::insert(batch(self.schema.clone(), columns, rows)?));
            Ok(())
        })?;
        let stays = self.slices.starts().find(|start| self.spec.windows.last_edge(*start) > edge);
        self.running.remove(stays, &self.slices)?;
        self.slices.remove(stays)
    }
}

impl Operator for Sliding {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        self.begin(cx)?;
        let (SlidingSpec { windows, life, .. }, upto) = (&self.spec, self.upto);
        let (sums, addresses) = delta.rows.columns().split_at(self.schema.fields().len());
        let delta = delta.with_rows(batch(self.schema.clone(), sums.to_vec(), delta.num_rows())?);
        let one = addresses[0].as_primitive::<TimestampMicrosecondType>();
        let starts = times(&delta.rows, self.spec.column())?.values().clone();
        let (mut waiting, mut rows, mut edges) = (Vec::with_capacity(starts.len()), Vec::new(), Vec::new());
        // Whether one of the windows of a slice is not due yet, and which of those that were take rows still.
        let (mut slice, mut waits, mut shown) = (None, false, Vec::new());
        for (row, start) in starts.iter().enumerate() {
            if one.is_valid(row) {
                rows.push(row as u32);
                edges.push(one.value(row));
                continue;
            }
            if slice != Some(*start) {
                (slice, waits) = (Some(*start), false);
                shown.clear();
                windows.edges(*start, |edge| match life.shown_at(edge) > upto {
                    true => waits = true,
                    false if life.closed_at(edge) > upto => shown.push(edge),
                    false => {}
                });
            }
            if waits {
                waiting.push(row as u32);
            }
            rows.extend(std::iter::repeat_n(row as u32, shown.len()));
            edges.extend(&shown);
            if rows.len() >= DELTA_ROWS {
                cx.out.push(copies(&delta, self.spec.column(), std::mem::take(&mut rows), std::mem::take(&mut edges))?);
            }
        }
        if !rows.is_empty() {
            cx.out.push(copies(&delta, self.spec.column(), rows, edges)?);
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let waiting = if waiting.len() == starts.len() { delta } else { delta.take(&UInt32Array::from(waiting))? };
        self.slices.add(waiting.rows.columns(), waiting.num_rows(), &mut self.slots)?;
        self.running.add(&self.slots, &waiting.rows, &self.slices)
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.begin(cx)?;
        let closing = &self.spec.life.closing;
        let watermark = closing.watermark(cx.times.after(closing.source)).max(self.upto);
        self.give_until(watermark, cx)
    }

    fn resume(&mut self) {
        self.resumed = true;
    }

    fn state(&self) -> Option<u16> {
        Some(self.spec.slices.state)
    }

    fn freeze(&mut self) {
        self.slices.freeze();
    }

    fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.slices.copy(budget)
    }

    fn kept_rows(&self) -> usize {
        self.slices.kept_rows()
    }

    fn take_copied(&mut self) -> Vec<StateChanges> {
        self.slices.take_copied()
    }

    fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.slices.load(part, columns, rows)
    }

    fn due(&self) -> Option<(TimeOf, i64)> {
        let (edge, life) = (self.next(None)?, &self.spec.life);
        Some((TimeOf::Source(life.closing.source), life.closing.earliest(life.shown_at(edge))))
    }

    fn memory_bytes(&self) -> usize {
        self.slices.memory_bytes() + self.running.memory_bytes() + self.slots.capacity() * size_of::<u32>()
    }

    fn dirty_bytes(&self) -> usize {
        self.slices.dirty_bytes()
    }

    fn groups(&self) -> usize {
        self.slices.groups()
    }
}

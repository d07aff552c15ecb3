//! GROUP BY of sessions: one row for each session of a partition, which begins, ends, grows, joins others and splits with its rows.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::plan::{AggregateCall, AggregateFunction};

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::AggregateSpec;
use crate::operator::aggregate::session::gate::{Gate, GateSpec};
use crate::operator::aggregate::session::live::Live;
use crate::operator::aggregate::session::moments::Moments;
use crate::operator::aggregate::session::results::Results;
use crate::state::{StateChanges, StateSpec};
use crate::times::TimeOf;

pub(crate) mod gate; // which rows come too late
pub(crate) mod rows; // rows with their sessions

mod agenda; // when sessions are due
mod closing; // sessions are shown and closed
mod live; // sessions and their sums
mod moments; // the sums of each moment
mod reach; // which sessions moments join
mod results; // results of closed sessions

/// What is computed for each session.
#[derive(Clone, Debug)]
pub(crate) struct SessionSpec {
    /// What is summed up: by the columns of the partition, then the time.
    pub(crate) moments: AggregateSpec,
    /// Two rows of a partition are in one session if they are less than this apart, or others between them are; microseconds.
    pub(crate) gap: i64,
    /// What becomes of rows before they are summed up, where sessions close: then rows are only ever added.
    pub(crate) gate: Option<GateSpec>,
}

impl SessionSpec {
    /// Whether it can be maintained; `input` is what is summed up.
    pub(crate) fn check(&self, input: &Schema) -> Result<()> {
        if self.gate.is_some() && !self.moments.append_only {
            return Err(Error::internal("sessions of rows that are taken back are closed with their rows"));
        }
        if self.moments.calls.iter().any(|call| call.distinct) {
            return Err(Error::internal("values of a session that count once cannot be summed up by moment"));
        }
        self.live(input)?.state_schemas(input).map(|_| ())
    }

    /// The sums of sessions: by the columns of the partition and the first moment, with the last moment before the other calls.
    fn live(&self, input: &Schema) -> Result<AggregateSpec> {
        let time = self.moments.keys - 1;
        let of = input.fields().get(time).ok_or_else(|| Error::internal("sessions of rows without a time"))?.data_type().clone();
        let (function, argument, name) = (AggregateFunction::Max, Some(time), "last".to_string());
        let last = AggregateCall { function, argument, distinct: false, filter: None, input: of.clone(), output: of, name };
        let calls = std::iter::once(last).chain(self.moments.calls.iter().cloned()).collect();
        // What a moment holds is only ever added to a session: if it changes, the session is put together again.
        Ok(AggregateSpec { calls, append_only: true, ..self.moments.clone() })
    }

    /// The parts of its state, over rows with this schema: the sessions themselves, or what they can be put together from again, and
    /// the results of closed ones, which have the schema `output`.
    pub(crate) fn state_specs(&self, input: &Schema, output: &SchemaRef, placement: &[usize]) -> Result<Vec<StateSpec>> {
        let kept = if self.moments.append_only { self.live(input)? } else { self.moments.clone() };
        let mut specs = kept.state_specs(&self.key(input), placement)?;
        if self.gate.as_ref().is_some_and(|gate| gate.life.windows.retention.is_some()) {
            specs.push(Results::state_spec(self.moments.state, output, self.moments.keys + 1, placement));
        }
        Ok(specs)
    }

    /// The key of its state, of these columns.
    fn key(&self, columns: &Schema) -> Schema {
        let time = self.moments.keys - 1;
        let name = if self.moments.append_only { "window_start" } else { "time" };
        let mut fields: Vec<Field> = columns.fields()[..time].iter().map(|field| field.as_ref().clone()).collect();
        fields.push(columns.field(time).clone().with_name(name));
        Schema::new(fields)
    }

    /// Builds the operator; its output has the columns of the partition, the window, then the results. `checkpoints`: whether
    /// anybody will ask what changed.
    pub(crate) fn build(&self, schema: SchemaRef, view: Arc<str>, checkpoints: bool) -> Box<dyn Operator> {
        let checked = "checked when the plan was lowered";
        let key = self.key(&schema);
        let spec = self.live(&key).expect(checked);
        let append_only = self.moments.append_only;
        let life = self.gate.as_ref().map(|gate| gate.life.windows.clone());
        let gate = self.gate.clone().map(|gate| Gate::new(gate, &self.moments, self.gap, view.clone()).expect(checked));
        let live = Live::new(spec, self.gap, life, schema, view, checkpoints && append_only).expect(checked);
        let moments = (!append_only).then(|| Moments::new(self.moments.clone(), &key, checkpoints).expect(checked));
        Box::new(Session { state: self.moments.state, gate, live, moments, is_loaded: true, partitions: vec![] })
    }
}

/// Keeps the sessions; at the end of an epoch it takes back the rows of those that changed and gives the new ones.
struct Session {
    state: u16,
    /// Where sessions close.
    gate: Option<Gate>,
    live: Live,
    /// Where rows can be taken back.
    moments: Option<Moments>,
    /// Whether the sessions are put together; after a restart they are not at first.
    is_loaded: bool,
    /// Of the current batch.
    partitions: Vec<u32>,
}

impl Session {
    fn loaded(&mut self) -> Result<()> {
        if let Some(moments) = &mut self.moments
            && !std::mem::replace(&mut self.is_loaded, true)
        {
            moments.give_all(&mut self.live)?;
            self.live.settle();
        }
        Ok(())
    }
}

impl Operator for Session {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        self.loaded()?;
        if let Some(gate) = &mut self.gate {
            self.live.begin(cx.times);
            return gate.push(delta, &mut self.live, cx);
        }
        let Some(moments) = &mut self.moments else {
            return self.live.add(delta.rows.columns(), delta.num_rows());
        };
        self.live.find_partitions(delta.rows.columns(), delta.num_rows(), &mut self.partitions)?;
        moments.push(&self.partitions, &delta)
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.loaded()?;
        if let Some(moments) = &mut self.moments {
            moments.close(&mut self.live)?;
        }
        if let Some(gate) = &mut self.gate {
            self.live.begin(cx.times);
            gate.close(&mut self.live, cx)?;
        }
        self.live.close(cx)
    }

    fn state(&self) -> Option<u16> {
        Some(self.state)
    }

    fn freeze(&mut self) {
        match &mut self.moments {
            Some(moments) => moments.freeze(),
            None => self.live.freeze(),
        }
    }

    fn copy(&mut self, budget: &mut usize) -> Result<()> {
        match &mut self.moments {
            Some(moments) => moments.copy(budget),
            None => self.live.copy(budget),
        }
    }

    fn kept_rows(&self) -> usize {
        self.moments.as_ref().map_or_else(|| self.live.kept_rows(), Moments::kept_rows)
    }

    fn take_copied(&mut self) -> Vec<StateChanges> {
        match &mut self.moments {
            Some(moments) => moments.take_copied(),
            None => self.live.take_copied(),
        }
    }

    fn load(&mut self, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let Some(moments) = &mut self.moments else { return self.live.load(part, columns, rows) };
        self.is_loaded = false;
        self.live.find_partitions(columns, rows, &mut self.partitions)?;
        moments.load(part, &self.partitions, columns, rows)
    }

    fn resume(&mut self) {
        self.live.resume();
    }

    fn due(&self) -> Option<(TimeOf, i64)> {
        let (source, at) = self.live.next_due()?;
        Some((TimeOf::Source(source), at))
    }

    fn takes_late(&self) -> bool {
        self.gate.is_some()
    }

    fn memory_bytes(&self) -> usize {
        let gate = self.gate.as_ref().map_or(0, Gate::memory_bytes);
        gate + self.live.memory_bytes() + self.moments.as_ref().map_or(0, Moments::memory_bytes)
    }

    fn dirty_bytes(&self) -> usize {
        self.moments.as_ref().map_or_else(|| self.live.dirty_bytes(), Moments::dirty_bytes)
    }

    fn groups(&self) -> usize {
        self.live.sessions()
    }
}

//! What comes for sessions that close: rows that are in time by themselves, and those that have to find a session that is still open.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::SchemaRef;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::expr::ExprRef;
use weir_common::lateness::{SessionLife, Span};

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::partial::PartialAggregate;
use crate::operator::aggregate::session::live::Live;
use crate::operator::aggregate::{AggregateSpec, Stage};
use crate::operator::late::Entries;
use crate::operator::project::Project;
use crate::rows::times;

/// Which rows are taken in, and what is summed up of them.
#[derive(Clone, Debug)]
pub(crate) struct GateSpec {
    pub(crate) life: SessionLife,
    /// Of the rows that come.
    pub(crate) input: SchemaRef,
    /// The columns of the partition.
    pub(crate) partition: Vec<usize>,
    /// The column of the event time.
    pub(crate) time: usize,
    /// What is summed up: the columns of the partition, the time, what is aggregated.
    pub(crate) exprs: Vec<ExprRef>,
    /// Of that.
    pub(crate) rows: SchemaRef,
}

/// Sums up the rows of an epoch by moment, and keeps those apart that may be late until all of the epoch are there.
pub(super) struct Gate {
    spec: GateSpec,
    gap: i64,
    project: Project,
    partial: PartialAggregate,
    entries: Entries,
    /// Rows of this epoch whose session would be closed, if each had one by itself.
    doubtful: Vec<Delta>,
}

impl Gate {
    pub(super) fn new(spec: GateSpec, moments: &AggregateSpec, gap: i64, view: Arc<str>) -> Result<Self> {
        let moments = AggregateSpec { stage: Stage::Partial, ..moments.clone() };
        let schema = moments.partial_schema(&spec.rows)?;
        let groups = moments.groups(&spec.rows, false)?;
        let partial = PartialAggregate::new(moments, groups, schema);
        let project = Project::new(spec.exprs.clone(), spec.rows.clone(), view);
        let entries = Entries::new(spec.life.input.clone(), spec.time, true, spec.life.positions, &spec.input);
        Ok(Gate { spec, gap, project, partial, entries, doubtful: vec![] })
    }

    /// The watermark by which rows of the epoch are late.
    fn watermark(&self, cx: &Context) -> i64 {
        let closing = &self.spec.life.windows.closing;
        closing.watermark(cx.times.before(closing.source))
    }

    pub(super) fn push(&mut self, delta: Delta, live: &mut Live, cx: &mut Context) -> Result<()> {
        let (watermark, life) = (self.watermark(cx), &self.spec.life.windows);
        let is_over = |moment: i64| life.closed_at(moment.saturating_add(self.gap)) <= watermark;
        let moments = times(&delta.rows, self.spec.time)?.values();
        if watermark == i64::MIN || moments.iter().min().is_none_or(|first| !is_over(*first)) {
            return self.take_in(delta, live, cx);
        }
        let over: BooleanArray = moments.iter().map(|moment| Some(is_over(*moment))).collect();
        let in_time = delta.filter(&arrow::compute::not(&over)?)?;
        self.doubtful.push(delta.filter(&over)?);
        if in_time.is_empty() { Ok(()) } else { self.take_in(in_time, live, cx) }
    }

    /// The epoch is complete: rows in doubt join open sessions, directly or through each other, or are late.
    pub(super) fn close(&mut self, live: &mut Live, cx: &mut Context) -> Result<()> {
        self.sum_up(live, cx)?;
        let doubtful = std::mem::take(&mut self.doubtful);
        if doubtful.is_empty() {
            return Ok(());
        }
        let delta = Delta::concat(&self.spec.input, &doubtful)?;
        let keys: Vec<ArrayRef> = self.spec.partition.iter().map(|column| delta.rows.column(*column).clone()).collect();
        let mut partitions = vec![];
        live.find_partitions(&keys, delta.num_rows(), &mut partitions)?;
        let moments = times(&delta.rows, self.spec.time)?.values();
        let mut order: Vec<u32> = (0..delta.num_rows() as u32).collect();
        order.sort_unstable_by_key(|row| (partitions[*row as usize], moments[*row as usize]));
        let mut late = vec![];
        for run in order.chunk_by(|a, b| partitions[*a as usize] == partitions[*b as usize]) {
            let times: Vec<i64> = run.iter().map(|row| moments[*row as usize]).collect();
            for reach in live.reach(partitions[run[0] as usize], &times) {
                if reach.sessions.is_empty() {
                    late.extend(reach.moments.map(|moment| run[moment]));
                }
            }
        }
        if !late.is_empty() {
            late.sort_unstable();
            let span = |row: u32| {
                let moment = moments[row as usize];
                (row, Span { start: Some(moment), end: moment.saturating_add(self.gap) })
            };
            let spans: Vec<(u32, Span)> = late.iter().map(|row| span(*row)).collect();
            cx.late.push(self.entries.of(&delta, &spans, self.watermark(cx))?);
            let mut unknown: Vec<u32> = late.iter().map(|row| partitions[*row as usize]).collect();
            unknown.sort_unstable();
            unknown.dedup();
            unknown.into_iter().for_each(|partition| live.release_partition(partition));
        }
        let joins: BooleanArray = (0..delta.num_rows() as u32).map(|row| Some(late.binary_search(&row).is_err())).collect();
        let joins = delta.filter(&joins)?;
        if joins.is_empty() {
            return Ok(());
        }
        self.take_in(joins, live, cx)?;
        self.sum_up(live, cx)
    }

    /// Computes what is aggregated, and adds it to the sums.
    fn take_in(&mut self, delta: Delta, live: &mut Live, cx: &mut Context) -> Result<()> {
        let (mut rows, mut sums) = (vec![], vec![]);
        self.project.push(0, delta, &mut cx.into(&mut rows))?;
        rows.into_iter().try_for_each(|rows| self.partial.push(0, rows, &mut cx.into(&mut sums)))?;
        sums.iter().try_for_each(|sums| live.add(sums.rows.columns(), sums.num_rows()))
    }

    /// Hands the sums to their sessions.
    fn sum_up(&mut self, live: &mut Live, cx: &mut Context) -> Result<()> {
        let mut sums = vec![];
        self.partial.close(&mut cx.into(&mut sums))?;
        sums.iter().try_for_each(|sums| live.add(sums.rows.columns(), sums.num_rows()))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let doubtful = self.doubtful.iter().flat_map(|delta| delta.rows.columns());
        self.partial.memory_bytes() + doubtful.map(|column| column.get_array_memory_size()).sum::<usize>()
    }
}

//! Rows of windows, held back until their window is closed.

use std::collections::BTreeMap;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::lateness::Final;

use crate::consolidate::consolidate;
use crate::fragment::Context;
use crate::operator::Operator;
use crate::rows::times;
use crate::times::TimeOf;

/// Rows that are held at least before they are summed up.
const SUM_UP_ROWS_MIN: usize = 1024;

/// Gives each row once, when its window is closed, as it is then.
///
/// # Invariants
/// - What is held is of windows that `upto` does not close.
/// - The delete of a row comes to where the row is held.
pub(crate) struct HoldBack {
    rule: Final,
    schema: SchemaRef,
    /// The watermark of the windows' event time at the end of the last epoch.
    upto: i64,
    /// By what names their window.
    held: BTreeMap<i64, Held>,
}

/// The rows of a window so far.
#[derive(Default)]
struct Held {
    deltas: Vec<Delta>,
    rows: usize,
    /// How many rows there were when they were summed up last.
    summed_up: usize,
}

impl Held {
    /// Takes a change in; rows that come and go take no more than twice the room of those that are there.
    fn add(&mut self, schema: &SchemaRef, delta: Delta) -> Result<()> {
        self.rows += delta.num_rows();
        self.deltas.push(delta);
        if self.rows >= SUM_UP_ROWS_MIN.max(2 * self.summed_up) {
            let sum = self.sum(schema)?;
            (self.rows, self.summed_up) = (sum.num_rows(), sum.num_rows());
            self.deltas = vec![sum];
        }
        Ok(())
    }

    /// Its rows, each once, with how often it is there.
    fn sum(&self, schema: &SchemaRef) -> Result<Delta> {
        consolidate(&Delta::concat(schema, &self.deltas)?)
    }
}

impl HoldBack {
    pub(crate) fn new(rule: Final, schema: SchemaRef) -> Self {
        HoldBack { rule, schema, upto: i64::MIN, held: BTreeMap::new() }
    }
}

impl Operator for HoldBack {
    fn push(&mut self, _port: usize, delta: Delta, _cx: &mut Context) -> Result<()> {
        let mut by_window: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, named) in times(&delta.rows, self.rule.closing.column)?.values().iter().enumerate() {
            by_window.entry(*named).or_default().push(row as u32);
        }
        for (named, rows) in by_window {
            // What was final stays as it was told.
            if self.rule.closed_at(named) > self.upto {
                let rows = delta.take(&UInt32Array::from(rows))?;
                self.held.entry(named).or_default().add(&self.schema, rows)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        let closing = &self.rule.closing;
        self.upto = closing.watermark(cx.times.after(closing.source)).max(self.upto);
        while let Some(first) = self.held.first_entry()
            && self.rule.closed_at(*first.key()) <= self.upto
        {
            let sum = first.remove().sum(&self.schema)?;
            let mut rows = Vec::with_capacity(sum.num_rows());
            for row in 0..sum.num_rows() {
                let times =
                    usize::try_from(sum.weights.get(row)).map_err(|_| Error::internal("a row was taken back that was never there"))?;
                rows.extend(std::iter::repeat_n(row as u32, times));
            }
            if !rows.is_empty() {
                cx.out.push(Delta::insert(Delta::insert(sum.rows).take(&UInt32Array::from(rows))?.rows));
            }
        }
        Ok(())
    }

    fn due(&self) -> Option<(TimeOf, i64)> {
        let (named, _) = self.held.first_key_value()?;
        Some((TimeOf::Source(self.rule.closing.source), self.rule.closing.earliest(self.rule.closed_at(*named))))
    }

    fn memory_bytes(&self) -> usize {
        self.held.values().flat_map(|held| &held.deltas).map(|delta| delta.rows.get_array_memory_size()).sum()
    }

    fn groups(&self) -> usize {
        self.held.values().map(|held| held.rows).sum()
    }
}

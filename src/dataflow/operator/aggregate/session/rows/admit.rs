//! Late rows are admitted: the closed sessions that they reach are put together again with them.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use weir_common::error::{Error, Result};
use weir_common::lateness::LATE_WEIGHT;

use crate::fragment::Context;
use crate::operator::aggregate::ordered::words;
use crate::operator::aggregate::session::rows::closing::{Batch, Closing};
use crate::operator::aggregate::session::rows::{Out, Row, SessionRows, together};
use crate::rows::encode;

impl SessionRows {
    /// Rows that were once late, in the form in which they were told of: until the epoch is complete.
    pub(super) fn admit(&mut self, late: &RecordBatch) -> Result<()> {
        let width = self.key.fields().len();
        if self.closing.as_ref().is_some_and(|closing| late.num_columns() != closing.entries.width()) {
            return Err(Error::internal("late rows are not those of this plan"));
        }
        let (columns, weights) = (&late.columns()[..width], late.column(width + LATE_WEIGHT).as_primitive::<Int64Type>());
        self.find(columns, late.num_rows())?;
        let (rows, times) = (encode(&self.converter, columns)?, words(&columns[self.spec.time])?);
        let Some(Closing { admitted, closed: Some(_), .. }) = &mut self.closing else {
            return Err(Error::internal("closed sessions are not kept"));
        };
        for (row, slot) in self.slots.iter().enumerate() {
            *admitted.entry(*slot).or_default().entry((times[row], rows.value(row).into())).or_insert(0) += weights.value(row);
        }
        Ok(())
    }

    /// All that is admitted in this epoch is there. Sessions that are open have nothing to do with it.
    pub(super) fn put_together(&mut self, cx: &mut Context) -> Result<()> {
        let gap = self.spec.gap;
        let Some(admitted) = self.closing.as_mut().map(|closing| std::mem::take(&mut closing.admitted)) else { return Ok(()) };
        for (partition, mut coming) in admitted {
            // What came and went again reaches nothing.
            coming.retain(|_, weight| *weight != 0);
            let (mut out, mut over) = (Out::default(), Batch::default());
            let moments: BTreeSet<i64> = coming.keys().map(|(time, _)| *time).collect();
            let mut rows: BTreeMap<(i64, Row), i64> = BTreeMap::new();
            for name in self.closed().map_or(vec![], |closed| closed.reached(partition, &moments, gap)) {
                let Some(batch) = self.closed().map_or(Ok(None), |closed| closed.take(name))? else { continue };
                for (time, row, count) in self.rows_of(&batch)? {
                    out.push(&row, (name.1, name.2), -count);
                    *rows.entry((time, row)).or_insert(0) += count;
                }
            }
            for (row, weight) in coming {
                *rows.entry(row).or_insert(0) += weight;
            }
            // What goes of sessions that are not kept any more is gone with them.
            rows.retain(|_, count| *count > 0);
            let sessions = together(rows.keys().map(|(time, _)| *time).collect(), gap);
            let mut rows = rows.into_iter().peekable();
            for (first, last) in sessions {
                let mut of_session = vec![];
                while let Some(((_, row), count)) = rows.next_if(|((time, _), _)| *time <= last) {
                    out.push(&row, (first, last), count);
                    of_session.push((row, count));
                }
                over.add((partition, first, last), of_session);
            }
            self.emit(out, cx)?;
            self.keep(over)?;
            self.release(partition);
        }
        Ok(())
    }

    /// The rows of closed sessions, with their times, and how often they are there.
    fn rows_of(&self, batch: &RecordBatch) -> Result<Vec<(i64, Row, i64)>> {
        let columns = &batch.columns()[..self.key.fields().len()];
        let (rows, times) = (encode(&self.converter, columns)?, words(&columns[self.spec.time])?);
        let counts = batch.column(batch.num_columns() - 1).as_primitive::<Int64Type>().values();
        Ok((0..batch.num_rows()).map(|row| (times[row], rows.value(row).into(), counts[row])).collect())
    }

    /// Takes back rows of closed sessions.
    pub(super) fn load_closed(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.find(columns, rows)?;
        let bytes = encode(&self.converter, &columns[..self.key.fields().len()])?;
        let slots = std::mem::take(&mut self.slots);
        let loaded = self.closed().map_or(Err(Error::internal("closed sessions are not kept")), |closed| {
            closed.load(&slots, columns, |row| bytes.value(row).len())
        });
        self.slots = slots;
        loaded
    }
}

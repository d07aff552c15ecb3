//! Batches of generated rows, and where they end.

use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::origins::Origins;
use weir_common::source::{Position, Read, SourceBatch, SourceReader};

use crate::nexmark::generator::Generator;
use crate::nexmark::pace::Schedule;

/// Reads a table from one event number to another.
///
/// # Invariants
/// - a position is the number of the event behind the last row, so it tells which rows came before.
pub struct NexmarkReader {
    generator: Generator,
    next: u64,
    end: u64,
    schedule: Option<Schedule>,
    finite: bool,
    /// The event numbers of a batch; kept for its memory.
    events: Vec<u64>,
}

impl NexmarkReader {
    /// From event `next` up to but not including event `end`; a source that is not `finite` fails there.
    pub fn new(generator: Generator, next: u64, end: u64, finite: bool, schedule: Option<Schedule>) -> Self {
        NexmarkReader { generator, next, end, schedule, finite, events: Vec::with_capacity(BATCH_ROWS_MAX) }
    }
}

impl SourceReader for NexmarkReader {
    fn next(&mut self) -> Result<Read> {
        while self.next < self.end {
            let due = self.schedule.map_or(self.end, |schedule| schedule.wait(self.next, self.end));
            self.events.clear();
            self.generator.table.events(self.next, due, BATCH_ROWS_MAX, &mut self.events);
            let Some(last) = self.events.last() else {
                self.next = due;
                continue;
            };
            self.next = last + 1;
            let rows = self.generator.batch(&self.events)?;
            let bytes = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum();
            let offsets = Int64Array::from_iter_values(self.events.iter().map(|event| *event as i64));
            let (origins, position) = (Some(Arc::new(Origins::each(None, offsets))), Position(self.next.to_string()));
            return Ok(Read::Batch(SourceBatch { partition: 0, rows, origins, dead: Vec::new(), position, bytes }));
        }
        if self.finite {
            return Ok(Read::End);
        }
        let message = format!("event {} has no event time that fits a timestamp", self.end);
        Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
    }
}

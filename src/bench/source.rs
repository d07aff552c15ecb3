//! Sources to measure with: one that tells how much CPU time its readers take, one that holds all rows in memory, one without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::Int64Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::error::{Error, Result};
use weir_common::hash::mix;
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::source::{Position, Read, Source, SourceBatch, SourceReader, SourceRef};

use crate::bench::usage;

/// CPU time of all readers of a source, nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// CPU seconds so far.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// Adds what the calling thread has used since `before`; returns what it has used in all.
    fn add_since(&self, before: Duration) -> Duration {
        let now = usage::of_thread();
        self.0.fetch_add((now - before).as_nanos() as u64, Ordering::Relaxed);
        now
    }
}

/// A source whose readers' threads are measured: what they do between two batches counts too.
#[derive(Debug)]
pub struct Metered {
    pub source: SourceRef,
    pub meter: Meter,
}

impl Source for Metered {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    fn finite(&self) -> bool {
        self.source.finite()
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        // On the thread of whoever opens it; the reader then moves to its own, which begins at 0.
        let before = usage::of_thread();
        let reader = self.source.open(from);
        self.meter.add_since(before);
        Ok(Box::new(MeteredReader { reader: reader?, meter: self.meter.clone(), so_far: Duration::ZERO }))
    }
}

struct MeteredReader {
    reader: Box<dyn SourceReader>,
    meter: Meter,
    /// CPU time of the thread that has been added to the meter.
    so_far: Duration,
}

impl SourceReader for MeteredReader {
    fn next(&mut self) -> Result<Read> {
        let read = self.reader.next();
        self.so_far = self.meter.add_since(self.so_far);
        read
    }
}

/// A source whose rows have all been read into memory.
#[derive(Debug)]
pub struct Held {
    schema: SchemaRef,
    batches: Arc<Vec<SourceBatch>>,
}

impl Held {
    /// Reads a finite source to its end.
    pub fn all_of(source: &SourceRef) -> Result<Held> {
        let mut reader = source.open(&Position::default())?;
        let mut batches = vec![];
        while let Read::Batch(batch) = reader.next()? {
            batches.push(batch);
        }
        Ok(Held { schema: source.schema(), batches: Arc::new(batches) })
    }
}

impl Source for Held {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finite(&self) -> bool {
        true
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let behind = self.batches.iter().position(|batch| batch.position == *from);
        Ok(Box::new(HeldReader { batches: self.batches.clone(), next: behind.map_or(0, |batch| batch + 1) }))
    }
}

struct HeldReader {
    batches: Arc<Vec<SourceBatch>>,
    next: usize,
}

impl SourceReader for HeldReader {
    fn next(&mut self) -> Result<Read> {
        let Some(batch) = self.batches.get(self.next) else { return Ok(Read::End) };
        self.next += 1;
        Ok(Read::Batch(batch.clone()))
    }
}

/// A source of one column of whole numbers that gives batches which are in memory, again and again, without end.
#[derive(Debug)]
pub struct Endless {
    schema: SchemaRef,
    batches: Arc<Vec<RecordBatch>>,
}

impl Endless {
    /// Rows with random keys from 0 to `keys`, the same in every run; `rows` until they begin anew, more than that by less than a batch.
    pub fn random(schema: SchemaRef, keys: u64, rows: u64) -> Result<Endless> {
        let batch = |number: u64| {
            let first = number * BATCH_ROWS_MAX as u64;
            let keys = Int64Array::from_iter_values((first..first + BATCH_ROWS_MAX as u64).map(|row| (mix(row) % keys) as i64));
            Ok(RecordBatch::try_new(schema.clone(), vec![Arc::new(keys)])?)
        };
        let batches = (0..rows.div_ceil(BATCH_ROWS_MAX as u64)).map(batch).collect::<Result<_>>()?;
        Ok(Endless { schema, batches: Arc::new(batches) })
    }
}

impl Source for Endless {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finite(&self) -> bool {
        false
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let given = match from.is_start() {
            true => 0,
            false => from.0.parse().map_err(|_| Error::internal(format!("\"{}\" is no position of rows in memory", from.0)))?,
        };
        Ok(Box::new(EndlessReader { batches: self.batches.clone(), given }))
    }
}

struct EndlessReader {
    batches: Arc<Vec<RecordBatch>>,
    /// Batches that were given out: the position.
    given: u64,
}

impl SourceReader for EndlessReader {
    fn next(&mut self) -> Result<Read> {
        let rows = self.batches[(self.given % self.batches.len() as u64) as usize].clone();
        self.given += 1;
        let bytes = rows.num_rows() as u64 * 8;
        Ok(Read::Batch(SourceBatch { partition: 0, rows, origins: None, dead: vec![], position: Position(self.given.to_string()), bytes }))
    }
}

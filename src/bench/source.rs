//! Sources around a source: one that tells how much CPU time its readers take, and one that holds all rows in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use weir_common::error::Result;
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

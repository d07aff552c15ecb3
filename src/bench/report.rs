//! What was found: a JSON object for programs, a line with its heading for people.

use std::error::Error;

use serde_json::json;

use crate::bench::arguments::{Emit, Format};
use crate::bench::usage::Used;

/// The figures of one measurement.
#[derive(Debug)]
pub struct Report {
    pub query: &'static str,
    pub emit: Emit,
    /// `nexmark`, or the file.
    pub source: String,
    /// Whether the rows were there before the clock started.
    pub pregenerated: bool,
    pub workers: usize,
    /// Rows that entered the query.
    pub events: u64,
    /// Event numbers that the generator stepped through for them.
    pub generated_events: Option<u64>,
    /// Rows of the view in the end; where they are not kept, the result rows that were counted.
    pub rows_out: u64,
    /// Commits that it took.
    pub epochs: u64,
    pub used: Used,
    /// CPU time of the threads that made or read the rows; part of the process's.
    pub generator_cpu_seconds: f64,
    pub peak_rss_bytes: Option<u64>,
    /// What the engine counts of the view in the end: operators' state, and the rows that can be read.
    pub view_bytes: u64,
    /// Whether the view was found equal to its query asked as a batch.
    pub checked: bool,
}

impl Report {
    /// Prints it on standard output.
    pub fn print(&self, format: Format) -> Result<(), Box<dyn Error + Send + Sync>> {
        format.print(|| self.json(), || format!("{}\n{}\n", self.heading(), self.line()))
    }

    fn events_per_second(&self) -> f64 {
        self.events as f64 / self.used.seconds
    }

    fn events_per_cpu_second(&self) -> f64 {
        self.events as f64 / self.used.cpu_seconds
    }

    /// Resident memory for each row of the view, all else that the process holds included; `None` where rows were dropped.
    fn peak_bytes_per_row(&self) -> Option<f64> {
        let kept = self.view_bytes > 0 && self.rows_out > 0;
        self.peak_rss_bytes.filter(|_| kept).map(|bytes| bytes as f64 / self.rows_out as f64)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "query": self.query,
            "emit": match self.emit { Emit::Update => "update", Emit::Close => "close" },
            "source": self.source,
            "pregenerated": self.pregenerated,
            "workers": self.workers,
            "events": self.events,
            "generated_events": self.generated_events,
            "rows_out": self.rows_out,
            "epochs": self.epochs,
            "seconds": self.used.seconds,
            "cpu_seconds": self.used.cpu_seconds,
            "generator_cpu_seconds": self.generator_cpu_seconds,
            "events_per_second": self.events_per_second(),
            "events_per_cpu_second": self.events_per_cpu_second(),
            "peak_rss_bytes": self.peak_rss_bytes,
            "peak_rss_bytes_per_row_out": self.peak_bytes_per_row(),
            "view_bytes": self.view_bytes,
            "checked": self.checked,
        })
    }

    fn heading(&self) -> String {
        format!(
            "{:<9} {:<13} {:>7} {:>10} {:>10} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>7}",
            "query",
            "rows from",
            "workers",
            "events",
            "rows out",
            "seconds",
            "CPU s",
            "of rows",
            "M ev/s",
            "M ev/CPU s",
            "peak MiB",
            "B/row"
        )
    }

    fn line(&self) -> String {
        let from = match (self.source.as_str(), self.pregenerated) {
            ("nexmark", true) => "memory",
            ("nexmark", false) => "generator",
            (path, _) => path.rsplit('/').next().unwrap_or(path),
        };
        format!(
            "{:<9} {from:<13} {:>7} {:>10} {:>10} {:>8.3} {:>8.3} {:>8.3} {:>9.2} {:>10.2} {:>9} {:>7}",
            self.query,
            self.workers,
            self.events,
            self.rows_out,
            self.used.seconds,
            self.used.cpu_seconds,
            self.generator_cpu_seconds,
            self.events_per_second() / 1e6,
            self.events_per_cpu_second() / 1e6,
            self.peak_rss_bytes.map_or("?".to_string(), |bytes| (bytes >> 20).to_string()),
            // Little of the memory is the view's where it is small, or where the rows were made before.
            self.peak_bytes_per_row()
                .filter(|_| self.rows_out >= 1_000_000 && !self.pregenerated)
                .map_or("-".to_string(), |bytes| format!("{bytes:.0}")),
        )
    }
}

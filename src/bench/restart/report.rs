//! How long restarts took, and what the view takes, as text or JSON.

use std::error::Error;

use serde_json::{Value, json};

use crate::bench::arguments::Format;

/// The figures of all restarts with one view.
pub struct Report {
    pub keys: u64,
    /// Rows that were counted for them.
    pub rows: u64,
    pub workers: usize,
    /// From CREATE SOURCE until all rows were in the view.
    pub fill_seconds: f64,
    /// The CHECKPOINT after that; the server has taken others before.
    pub checkpoint_seconds: f64,
    /// The directory `state` after it.
    pub disk_bytes: u64,
    /// What the server counts of the view: groups, and rows that can be read.
    pub state_bytes: u64,
    pub served_bytes: u64,
    /// Of a server without a view.
    pub memory_empty: Memory,
    /// Of the server that filled the view.
    pub memory_before: Memory,
    /// Each on a copy of what the kill has left.
    pub restarts: Vec<Restarted>,
    /// Once more after the last of them, which was killed too and has done the store's recovery.
    pub again: Vec<Restarted>,
}

/// Memory of a server's process, bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    pub resident: u64,
    /// The most since its start.
    pub peak: u64,
}

/// One restart; seconds are since the start of the process.
pub struct Restarted {
    /// It said that it is ready.
    pub ready_seconds: f64,
    /// The rows of one key were right.
    pub first_answer_seconds: f64,
    /// The number of keys and rows was right.
    pub whole_answer_seconds: f64,
    pub memory: Memory,
}

impl Report {
    /// Prints it on standard output.
    pub fn print(&self, format: Format) -> Result<(), Box<dyn Error + Send + Sync>> {
        format.print(|| self.json(), || self.text())
    }

    fn best(&self) -> f64 {
        self.restarts.iter().map(|restart| restart.first_answer_seconds).fold(f64::INFINITY, f64::min)
    }

    fn per_key(&self, bytes: u64) -> f64 {
        bytes as f64 / self.keys as f64
    }

    /// For each key, without what a server without a view takes.
    fn memory_per_key(&self, memory: Memory) -> (f64, f64) {
        let beyond = |bytes: u64| self.per_key(bytes.saturating_sub(self.memory_empty.resident));
        (beyond(memory.resident), beyond(memory.peak))
    }

    fn json(&self) -> Value {
        let restart = |restart: &Restarted| {
            let (resident, peak) = self.memory_per_key(restart.memory);
            json!({
                "ready_seconds": restart.ready_seconds,
                "first_answer_seconds": restart.first_answer_seconds,
                "whole_answer_seconds": restart.whole_answer_seconds,
                "rss_bytes_per_key": resident,
                "peak_rss_bytes_per_key": peak,
            })
        };
        let (resident, peak) = self.memory_per_key(self.memory_before);
        json!({
            "keys": self.keys,
            "rows": self.rows,
            "workers": self.workers,
            "fill_seconds": self.fill_seconds,
            "checkpoint_seconds": self.checkpoint_seconds,
            "best_first_answer_seconds": self.best(),
            "disk_bytes_per_key": self.per_key(self.disk_bytes),
            "state_bytes_per_key": self.per_key(self.state_bytes),
            "served_bytes_per_key": self.per_key(self.served_bytes),
            "empty_rss_bytes": self.memory_empty.resident,
            "before": { "rss_bytes_per_key": resident, "peak_rss_bytes_per_key": peak },
            "restarts": self.restarts.iter().map(restart).collect::<Vec<_>>(),
            "again": self.again.iter().map(restart).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} keys, {} rows, workers: {}, filled in {:.1} s, last checkpoint {:.2} s\n",
            self.keys, self.rows, self.workers, self.fill_seconds, self.checkpoint_seconds
        );
        text += &format!(
            "bytes a key: on disk {:.1}, groups {:.1}, rows that can be read {:.1}\n",
            self.per_key(self.disk_bytes),
            self.per_key(self.state_bytes),
            self.per_key(self.served_bytes)
        );
        text += &format!(
            "\n{:<14} {:>9} {:>14} {:>14} {:>10} {:>11}\n",
            "", "ready s", "first answer s", "whole answer s", "RSS B/key", "peak B/key"
        );
        let (resident, peak) = self.memory_per_key(self.memory_before);
        text += &format!("{:<14} {:>9} {:>14} {:>14} {resident:>10.1} {peak:>11.1}\n", "before", "-", "-", "-");
        let restarts = self.restarts.iter().enumerate().map(|(number, restart)| (format!("restart {}", number + 1), restart));
        let again = self.again.iter().map(|restart| ("once more".to_string(), restart));
        for (what, restart) in restarts.chain(again) {
            let (resident, peak) = self.memory_per_key(restart.memory);
            text += &format!(
                "{what:<14} {:>9.3} {:>14.3} {:>14.3} {resident:>10.1} {peak:>11.1}\n",
                restart.ready_seconds, restart.first_answer_seconds, restart.whole_answer_seconds
            );
        }
        text += &format!(
            "\nbest of {}: {:.3} s to the first right answer; an empty server takes {} MiB, which RSS is without\n",
            self.restarts.len(),
            self.best(),
            self.memory_empty.resident >> 20
        );
        text
    }
}

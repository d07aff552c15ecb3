//! What checkpoints cost, as text or JSON.

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};
use weir_engine::status::CheckpointStatus;
use weir_engine::times::Times;

use crate::bench::arguments::Format;

/// Parts of all epochs of which it is told how long they took at most.
const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// All runs, in the order in which they were.
pub struct Report {
    pub keys: u64,
    pub workers: u16,
    pub interval: Duration,
    pub runs: Vec<Run>,
}

/// One run.
pub struct Run {
    /// Whether checkpoints were taken.
    pub with: bool,
    /// Rows that entered the view while the clock ran.
    pub rows: u64,
    pub seconds: f64,
    /// CPU time of all threads of the process.
    pub cpu_seconds: f64,
    /// How long each epoch took from its opening to its commit.
    pub times: Times,
    /// How long workers copied state for a checkpoint meanwhile.
    pub waits: Times,
    /// Rows of the view in the end.
    pub view_rows: u64,
    /// Those that ended while the clock ran.
    pub checkpoints: Vec<CheckpointStatus>,
}

impl Report {
    /// Prints it on standard output.
    pub fn print(&self, format: Format) -> Result<(), Box<dyn Error + Send + Sync>> {
        format.print(|| self.json(), || self.text())
    }

    /// Rows a second, and rows a CPU second, of all runs with checkpoints, or of all without.
    fn rates(&self, with: bool) -> (f64, f64) {
        let of = |figure: fn(&Run) -> f64| self.runs.iter().filter(|run| run.with == with).map(figure).sum::<f64>();
        let rows = of(|run| run.rows as f64);
        (rows / of(|run| run.seconds), rows / of(|run| run.cpu_seconds))
    }

    /// What part of the throughput is left with checkpoints: by time, and by CPU time.
    fn ratios(&self) -> (f64, f64) {
        let (with, without) = (self.rates(true), self.rates(false));
        (with.0 / without.0, with.1 / without.1)
    }

    fn checkpoints(&self) -> impl Iterator<Item = &CheckpointStatus> {
        self.runs.iter().flat_map(|run| &run.checkpoints)
    }

    /// The longest that a worker did nothing but copy.
    fn longest_slice(&self) -> Duration {
        self.checkpoints().map(|checkpoint| checkpoint.pause).max().unwrap_or_default()
    }

    /// Of the epochs of all runs with checkpoints, or of all without.
    fn epochs(&self, with: bool, of: fn(&Run) -> &Times) -> Times {
        self.runs.iter().filter(|run| run.with == with).map(of).fold(Times::default(), |all, times| all.and(times))
    }

    fn json(&self) -> Value {
        let ((with, with_cpu), (without, without_cpu), (ratio, cpu_ratio)) = (self.rates(true), self.rates(false), self.ratios());
        json!({
            "keys": self.keys,
            "workers": self.workers,
            "interval_seconds": self.interval.as_secs_f64(),
            "rows_per_second": { "with": with, "without": without, "ratio": ratio },
            "rows_per_cpu_second": { "with": with_cpu, "without": without_cpu, "ratio": cpu_ratio },
            "epoch_wait_seconds": seconds(&self.epochs(true, |run| &run.waits)),
            "epoch_seconds": {
                "with": seconds(&self.epochs(true, |run| &run.times)),
                "without": seconds(&self.epochs(false, |run| &run.times)),
            },
            "slice_max_seconds": self.longest_slice().as_secs_f64(),
            "runs": self.runs.iter().map(Run::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let heading = ["checkpoints", "rows", "seconds", "CPU s", "M rows/s", "M rows/CPU s", "epochs", "view rows", "number"];
        let mut text = line(heading.map(String::from));
        self.runs.iter().for_each(|run| text += &line(run.fields()));
        text += &format!("\n{:>12} {:>12} {:>10} {:>10} {:>12} {:>10}\n", "of run", "keys", "MiB", "seconds", "copying ms", "slice ms");
        for (number, run) in self.runs.iter().enumerate() {
            for checkpoint in &run.checkpoints {
                text += &format!(
                    "{:>12} {:>12} {:>10.1} {:>10.3} {:>12.1} {:>10.1}\n",
                    number + 1,
                    checkpoint.keys,
                    checkpoint.bytes as f64 / f64::from(1 << 20),
                    checkpoint.duration.as_secs_f64(),
                    millis(checkpoint.copying),
                    millis(checkpoint.pause)
                );
            }
        }
        let ((with, _), (without, _), (ratio, cpu_ratio)) = (self.rates(true), self.rates(false), self.ratios());
        text += &format!(
            "\nwith checkpoints {:.2} M rows/s, without {:.2}: {ratio:.3} of it, {cpu_ratio:.3} by CPU time\n",
            with / 1e6,
            without / 1e6
        );
        let told: [(_, Times); 3] = [
            ("epochs waited for a checkpoint", self.epochs(true, |run| &run.waits)),
            ("epochs took with checkpoints", self.epochs(true, |run| &run.times)),
            ("epochs took without", self.epochs(false, |run| &run.times)),
        ];
        for (what, times) in told {
            let parts = PARTS.map(|(name, part)| format!("{name} {:.1} ms", millis(times.at_most(part)))).join(", ");
            text += &format!("{what}, at most: {parts}\n");
        }
        text += &format!("longest slice: {:.1} ms\n", millis(self.longest_slice()));
        text
    }
}

impl Run {
    fn json(&self) -> Value {
        let checkpoint = |checkpoint: &CheckpointStatus| {
            json!({
                "keys": checkpoint.keys,
                "bytes": checkpoint.bytes,
                "seconds": checkpoint.duration.as_secs_f64(),
                "copying_seconds": checkpoint.copying.as_secs_f64(),
                "slice_seconds": checkpoint.pause.as_secs_f64(),
            })
        };
        json!({
            "with_checkpoints": self.with,
            "rows": self.rows,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "epochs": self.times.count(),
            "view_rows": self.view_rows,
            "checkpoints": self.checkpoints.iter().map(checkpoint).collect::<Vec<_>>(),
        })
    }

    fn fields(&self) -> [String; 9] {
        [
            if self.with { "with" } else { "without" }.to_string(),
            self.rows.to_string(),
            format!("{:.2}", self.seconds),
            format!("{:.2}", self.cpu_seconds),
            format!("{:.2}", self.rows as f64 / self.seconds / 1e6),
            format!("{:.2}", self.rows as f64 / self.cpu_seconds / 1e6),
            self.times.count().to_string(),
            self.view_rows.to_string(),
            self.checkpoints.len().to_string(),
        ]
    }
}

fn line(fields: [String; 9]) -> String {
    fields.map(|field| format!("{field:>12}")).join(" ") + "\n"
}

/// The figures of [`PARTS`].
fn seconds(times: &Times) -> Value {
    PARTS.iter().map(|(name, part)| (name.to_string(), json!(times.at_most(*part).as_secs_f64()))).collect()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

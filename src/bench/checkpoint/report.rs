//! What checkpoints cost, as text or JSON.

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};
use weir_engine::status::CheckpointStatus;

use crate::bench::arguments::Format;

/// How long an epoch may have waited for a checkpoint.
type WaitOf = fn(&CheckpointStatus) -> Duration;

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
    /// Commits.
    pub epochs: u64,
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

    fn longest(&self, of: fn(&CheckpointStatus) -> Duration) -> Duration {
        self.checkpoints().map(of).max().unwrap_or_default()
    }

    fn wait_99th(&self, of: fn(&CheckpointStatus) -> Duration) -> Duration {
        let runs = || self.runs.iter().filter(|run| run.with);
        let pauses: Vec<Duration> = self.checkpoints().map(of).collect();
        wait_99th(runs().map(|run| run.epochs).sum(), runs().map(|run| run.seconds).sum(), pauses)
    }

    fn json(&self) -> Value {
        let ((with, with_cpu), (without, without_cpu), (ratio, cpu_ratio)) = (self.rates(true), self.rates(false), self.ratios());
        json!({
            "keys": self.keys,
            "workers": self.workers,
            "interval_seconds": self.interval.as_secs_f64(),
            "rows_per_second": { "with": with, "without": without, "ratio": ratio },
            "rows_per_cpu_second": { "with": with_cpu, "without": without_cpu, "ratio": cpu_ratio },
            "epoch_wait_p99_seconds": self.wait_99th(pause).as_secs_f64(),
            "pause_max_seconds": self.longest(pause).as_secs_f64(),
            "copying_p99_seconds": self.wait_99th(copying).as_secs_f64(),
            "copying_max_seconds": self.longest(copying).as_secs_f64(),
            "runs": self.runs.iter().map(Run::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let heading = ["checkpoints", "rows", "seconds", "CPU s", "M rows/s", "M rows/CPU s", "epochs", "view rows", "number"];
        let mut text = line(heading.map(String::from));
        self.runs.iter().for_each(|run| text += &line(run.fields()));
        text += &format!("\n{:>12} {:>12} {:>10} {:>10} {:>10} {:>12}\n", "of run", "keys", "MiB", "seconds", "pause ms", "copying ms");
        for (number, run) in self.runs.iter().enumerate() {
            for checkpoint in &run.checkpoints {
                let (seconds, pause) = (checkpoint.duration.as_secs_f64(), checkpoint.pause.as_secs_f64() * 1e3);
                let copying = copying(checkpoint).as_secs_f64() * 1e3;
                let mebibytes = checkpoint.bytes as f64 / f64::from(1 << 20);
                text += &format!(
                    "{:>12} {:>12} {mebibytes:>10.1} {seconds:>10.3} {pause:>10.1} {copying:>12.1}\n",
                    number + 1,
                    checkpoint.keys
                );
            }
        }
        let ((with, _), (without, _), (ratio, cpu_ratio)) = (self.rates(true), self.rates(false), self.ratios());
        text += &format!(
            "\nwith checkpoints {:.2} M rows/s, without {:.2}: {ratio:.3} of it, {cpu_ratio:.3} by CPU time\n",
            with / 1e6,
            without / 1e6
        );
        let waits: [(_, WaitOf); 2] = [("for a checkpoint", pause), ("besides epochs in flight", copying)];
        for (what, of) in waits {
            text += &format!(
                "waited {what}, at most: 99 of 100 epochs {:.1} ms, all {:.1} ms\n",
                self.wait_99th(of).as_secs_f64() * 1e3,
                self.longest(of).as_secs_f64() * 1e3
            );
        }
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
                "pause_seconds": checkpoint.pause.as_secs_f64(),
                "landing_seconds": checkpoint.landing.as_secs_f64(),
            })
        };
        json!({
            "with_checkpoints": self.with,
            "rows": self.rows,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "epochs": self.epochs,
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
            self.epochs.to_string(),
            self.view_rows.to_string(),
            self.checkpoints.len().to_string(),
        ]
    }
}

fn line(fields: [String; 9]) -> String {
    fields.map(|field| format!("{field:>12}")).join(" ") + "\n"
}

/// How long no epoch was opened for its sake.
fn pause(checkpoint: &CheckpointStatus) -> Duration {
    checkpoint.pause
}

/// The part of the pause in which workers copied what has changed, and computed nothing.
fn copying(checkpoint: &CheckpointStatus) -> Duration {
    checkpoint.pause.saturating_sub(checkpoint.landing)
}

/// How long 99 of 100 epochs waited for a checkpoint at most. A pause holds up the epoch after it, and as many as would have been
/// opened meanwhile; each of them is said to have waited for all of it, all others for nothing.
fn wait_99th(epochs: u64, seconds: f64, mut pauses: Vec<Duration>) -> Duration {
    pauses.sort_unstable_by(|one, other| other.cmp(one));
    let mut longer = epochs / 100;
    for pause in pauses {
        let held_up = 1 + (epochs as f64 / seconds * pause.as_secs_f64()) as u64;
        match longer.checked_sub(held_up) {
            Some(left) => longer = left,
            None => return pause,
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::wait_99th;

    #[test]
    fn one_epoch_in_a_hundred_may_have_waited_longer() {
        let pauses = |millis: &[u64]| millis.iter().map(|millis| Duration::from_millis(*millis)).collect::<Vec<_>>();
        // 100 a second: the pause of 1 s holds up 101 of 1000, that of 10 ms holds up 2.
        assert_eq!(wait_99th(1000, 10.0, pauses(&[10, 1000])), Duration::from_secs(1));
        assert_eq!(wait_99th(1000, 10.0, pauses(&[10])), Duration::ZERO);
        // Of 1000 epochs 10 may have waited longer: five pauses of 10 ms hold up as many, a sixth more than that.
        assert_eq!(wait_99th(1000, 10.0, pauses(&[10; 5])), Duration::ZERO);
        assert_eq!(wait_99th(1000, 10.0, pauses(&[10, 10, 10, 10, 10, 7])), Duration::from_millis(7));
        assert_eq!(wait_99th(0, 1.0, pauses(&[])), Duration::ZERO);
    }
}

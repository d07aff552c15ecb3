//! The recorded flights and the pace at which they arrive: an hour of flights in a second, quiet nights in less.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::{Client, Statement};

use crate::demo::{Result, execute_all};

/// Three days of real flights; `sql/data/README.md` tells where they are from.
const RECORDING: &[u8] = include_bytes!("../../sql/data/flights.jsonl.gz");
/// Seconds of the recording that pass in one second.
const PACE: f64 = 3600.0;
/// Seconds without a departure that the demo waits for at most.
const QUIET_MAX: f64 = 20.0 * 60.0;

/// The recording on the server, and how much of it has arrived.
pub struct Feed {
    insert: Statement,
    /// When each flight left, seconds since 1970, and when it arrives here, seconds since the start; both rising.
    schedule: Vec<(f64, f64)>,
    arrived: usize,
}

impl Feed {
    /// Has the server read the recording, which comes with the binary.
    pub async fn prepare(client: &Client) -> Result<Feed> {
        let file = RecordingFile::write()?;
        let path = file.0.to_str().ok_or("the directory for temporary files has a name that is not UTF-8")?;
        let script = include_str!("../../sql/recording.sql").replace("$RECORDING", &path.replace('\'', "''"));
        execute_all(client, &script).await?;
        let rows = client.query("SELECT left_at FROM recorded ORDER BY left_at", &[]).await?;
        let schedule = schedule(rows.iter().map(|row| row.get(0)));
        let insert =
            "INSERT INTO flights SELECT sched_dep, dep, carrier, flight, tailnum, origin, dest, dep_delay, arr_delay, air_time, distance
            FROM recorded WHERE left_at > $1::double precision AND left_at <= $2::double precision";
        Ok(Feed { insert: client.prepare(insert).await?, schedule, arrived: 0 })
    }

    /// Inserts the flights that are due this long after the start; how many they were.
    pub async fn arrive(&mut self, client: &Client, elapsed: Duration) -> Result<u64> {
        let due = self.schedule.partition_point(|(_, arrives)| *arrives <= elapsed.as_secs_f64());
        if due == self.arrived {
            return Ok(0);
        }
        let after = if self.arrived == 0 { f64::MIN } else { self.schedule[self.arrived - 1].0 };
        let inserted = client.execute(&self.insert, &[&after, &self.schedule[due - 1].0]).await?;
        self.arrived += inserted as usize;
        Ok(inserted)
    }

    /// Flights that have arrived so far.
    pub fn arrived(&self) -> u64 {
        self.arrived as u64
    }

    /// Flights in the recording.
    pub fn total(&self) -> u64 {
        self.schedule.len() as u64
    }
}

/// Seconds since the start at which each flight arrives, given when it left.
fn schedule(left: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let mut last: Option<(f64, f64)> = None;
    left.map(|left| {
        let arrives = last.map_or(0.0, |(before, arrived)| arrived + (left - before).min(QUIET_MAX) / PACE);
        last = Some((left, arrives));
        (left, arrives)
    })
    .collect()
}

/// The recording as a file for the server to read; gone when dropped.
struct RecordingFile(PathBuf);

impl RecordingFile {
    fn write() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-demo-{}.jsonl.gz", std::process::id()));
        std::fs::write(&path, RECORDING)?;
        Ok(RecordingFile(path))
    }
}

impl Drop for RecordingFile {
    fn drop(&mut self) {
        // Best effort: a file that stays in the temporary directory harms nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::schedule;

    #[test]
    fn an_hour_passes_in_a_second_and_a_night_in_less() {
        let arrives: Vec<f64> =
            schedule([0.0, 600.0, 600.0, 1800.0, 18_000.0].into_iter()).into_iter().map(|(_, arrives)| arrives).collect();
        let expected = [0.0, 600.0 / 3600.0, 600.0 / 3600.0, 1800.0 / 3600.0, 3000.0 / 3600.0];
        assert!(arrives.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{arrives:?}");
    }
}

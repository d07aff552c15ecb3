//! `weir bench checkpoint`: the same stream of rows with checkpoints and without, in turns.

mod report; // the figures, for people and for programs

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_common::error::{Error, Result};
use weir_common::source::SourceRef;
use weir_engine::status::Status;
use weir_server::database::CheckpointOptions;
use weir_server::local::Local;

use crate::bench::arguments::Checkpoint;
use crate::bench::checkpoint::report::{Report, Run};
use crate::bench::scratch::Scratch;
use crate::bench::source::Endless;
use crate::bench::usage::Usage;

/// Between two checkpoints where there are to be none.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Rows for each key until they begin anew: all but 1 key in 3,000 come.
const ROWS_PER_KEY: u64 = 8;
/// How often it is looked whether the view is full.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Measures, and prints the report.
pub async fn run(wanted: Checkpoint) -> std::result::Result<(), Box<dyn StdError + Send + Sync>> {
    let mut rows: Option<Arc<Endless>> = None;
    let mut runs = vec![];
    for pair in 0..wanted.pairs {
        // The first of a pair changes, for what runs first may find the machine otherwise.
        for with in [pair % 2 == 0, pair % 2 == 1] {
            runs.push(measure(&wanted, with, &mut rows).await?);
        }
    }
    let report = Report { keys: wanted.keys, workers: wanted.workers, interval: wanted.interval, runs };
    report.print(wanted.format)
}

/// One run on a new database, with checkpoints or without.
async fn measure(wanted: &Checkpoint, with: bool, rows: &mut Option<Arc<Endless>>) -> Result<Run> {
    let scratch = Scratch::make()?;
    let interval = if with { wanted.interval } else { NEVER };
    let options = CheckpointOptions { interval, bytes: u64::MAX };
    let mut local = Local::open(scratch.path().join("data"), wanted.workers.into(), options).await?;
    let failed = local.failed();
    let result = tokio::select! {
        run = count(&mut local, wanted, with, rows) => run,
        reason = failed => Err(Error::internal(format!("the engine cannot go on: {reason}"))),
    };
    local.stop().await;
    result
}

async fn count(local: &mut Local, wanted: &Checkpoint, with: bool, rows: &mut Option<Arc<Endless>>) -> Result<Run> {
    // A declaration that any catalog knows; other rows come in its place.
    local.run("CREATE SOURCE stream (auction BIGINT) WITH (connector = 'nexmark', table = 'bid')").await?;
    let in_memory = |source: SourceRef| -> Result<SourceRef> {
        if rows.is_none() {
            *rows = Some(Arc::new(Endless::random(source.schema(), wanted.keys, ROWS_PER_KEY * wanted.keys)?));
        }
        Ok(rows.clone().expect("just made"))
    };
    local.wrap_source("stream", in_memory).await?;
    local.run("CREATE MATERIALIZED VIEW counts AS SELECT auction AS k, count(*) AS n FROM stream GROUP BY auction").await?;
    while rows_of(&local.status().await?)? < ROWS_PER_KEY * wanted.keys {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let before = local.status().await?;
    let (usage, started) = (Usage::now(), Instant::now());
    tokio::time::sleep(wanted.seconds).await;
    let after = local.status().await?;
    let (used, seconds) = (usage.used(), started.elapsed());
    // What counts is when it ended: one that began before is in, and one that is under way at the end is not.
    let checkpoints = after.checkpoints[before.checkpoints.len()..].to_vec();
    Ok(Run {
        with,
        rows: rows_of(&after)? - rows_of(&before)?,
        seconds: seconds.as_secs_f64(),
        cpu_seconds: used.cpu_seconds,
        times: after.epoch_times.since(&before.epoch_times),
        waits: after.epoch_waits.since(&before.epoch_waits),
        view_rows: after.views.first().map_or(0, |view| view.rows),
        checkpoints,
    })
}

/// Rows that were read so far.
fn rows_of(status: &Status) -> Result<u64> {
    let error = status.sources.iter().find_map(|source| source.error.clone());
    if let Some(error) = error.or_else(|| status.views.iter().find_map(|view| view.error.clone())) {
        return Err(Error::internal(format!("the measurement broke off: {error}")));
    }
    Ok(status.sources.iter().map(|source| source.rows).sum())
}

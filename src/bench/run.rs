//! One measurement: declare a source, start the clock, create the view, wait until it has everything, stop the clock.

use std::fs::File as Rows;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_common::error::{Error, Result, SqlState};
use weir_common::source::SourceRef;
use weir_server::local::Local;

use crate::bench::arguments::{Bids, Emit, File, Nexmark};
use crate::bench::check::check;
use crate::bench::queries::Query;
use crate::bench::report::Report;
use crate::bench::source::{Held, Meter, Metered};
use crate::bench::usage::{self, Usage};

/// How often it is looked whether the view has everything; a longer pause would blur the time, a shorter one add to it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How far the watermark stays behind, as in the usual Nexmark declarations.
const WATERMARK: &str = "WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds'";
/// Event numbers of a cycle, how many of them are bids, and where those begin.
const CYCLE: (u64, u64, u64) = (50, 46, 4);

/// Measures.
pub async fn run(bids: Bids) -> Result<Report> {
    let workers = crate::workers(bids.common().workers);
    let mut local = Local::start(workers).await?;
    let failed = local.failed();
    let result = tokio::select! {
        report = measure(&mut local, &bids, workers) => report,
        reason = failed => Err(Error::internal(format!("the engine cannot go on: {reason}"))),
    };
    local.stop().await;
    result
}

async fn measure(local: &mut Local, bids: &Bids, workers: usize) -> Result<Report> {
    let common = bids.common();
    let meter = Meter::default();
    let (declaration, pregenerate) = match bids {
        Bids::Nexmark(nexmark) => (of_nexmark(nexmark), nexmark.pregenerate),
        Bids::File(file) => (of_file(file)?, false),
    };
    local.run(&declaration).await?;
    let wrap = |source: SourceRef| -> Result<SourceRef> {
        Ok(match pregenerate {
            true => Arc::new(Held::all_of(&source)?),
            false => Arc::new(Metered { source, meter: meter.clone() }),
        })
    };
    local.wrap_source("bids", wrap).await?;

    usage::forget_peak();
    let before = Usage::now();
    create_view(local, common.query, common.emit).await?;
    let events = until_read(local).await?;
    let used = before.used();
    let status = local.status().await?;
    let (rows_out, view_bytes) = status.views.first().map_or((0, 0), |view| (view.rows, view.state_bytes + view.served_bytes));
    let (generator_cpu_seconds, peak_rss_bytes) = (meter.seconds(), usage::peak_bytes());
    if common.check {
        check(local, common.query, rows_out).await?;
    }
    Ok(Report {
        query: common.query.name(),
        emit: common.emit,
        source: match bids {
            Bids::Nexmark(_) => "nexmark".to_string(),
            Bids::File(file) => file.path.display().to_string(),
        },
        pregenerated: pregenerate,
        workers,
        events,
        generated_events: match bids {
            Bids::Nexmark(nexmark) => Some(generated(nexmark.events)),
            Bids::File(_) => None,
        },
        rows_out,
        epochs: status.epochs,
        used,
        generator_cpu_seconds,
        peak_rss_bytes,
        view_bytes: if common.query.kept() { view_bytes } else { 0 },
        checked: common.check,
    })
}

async fn create_view(local: &mut Local, query: Query, emit: Emit) -> Result<()> {
    let emit = match emit {
        Emit::Update => "",
        Emit::Close => " EMIT ON WINDOW CLOSE",
    };
    let sql = format!("CREATE MATERIALIZED VIEW result AS {}{emit}", query.sql());
    match query.kept() {
        true => local.run(&sql).await,
        false => local.run_counted(&sql).await,
    }
}

/// Waits until all rows of the source are in the view; how many there were. The workers count the view's rows a moment
/// after that, so a status that is asked for later has them all.
async fn until_read(local: &Local) -> Result<u64> {
    loop {
        let status = local.status().await?;
        let error = status.sources.iter().find_map(|source| source.error.clone());
        if let Some(error) = error.or_else(|| status.views.iter().find_map(|view| view.error.clone())) {
            return Err(Error::internal(format!("the measurement broke off: {error}")));
        }
        if let Some(letter) = status.dead_letters.first() {
            return Err(Error::new(SqlState::DATA_EXCEPTION, format!("a row could not be used: {}", letter.error)));
        }
        match (&status.sources[..], &status.views[..]) {
            ([source], [view]) if !view.filling => return Ok(source.rows),
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The number behind that of the last of so many bids.
fn generated(bids: u64) -> u64 {
    let (cycle, of_cycle, first) = CYCLE;
    (bids - 1) / of_cycle * cycle + first + (bids - 1) % of_cycle + 1
}

fn of_nexmark(nexmark: &Nexmark) -> String {
    let (events, seed) = (generated(nexmark.events), nexmark.seed);
    format!("CREATE SOURCE bids ({WATERMARK}) WITH (connector = 'nexmark', table = 'bid', events = '{events}', seed = '{seed}')")
}

fn of_file(file: &File) -> Result<String> {
    let path = file.path.to_str().ok_or_else(|| Error::new(SqlState::INVALID_PARAMETER_VALUE, "the path is not UTF-8"))?;
    let name = path.strip_suffix(".gz").unwrap_or(path);
    let (encode, options) = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("json" | "jsonl" | "ndjson") => ("JSON", ""),
        Some("csv") if name == path && has_header(&file.path)? => ("CSV", ", header = 'true'"),
        Some("csv") => ("CSV", ""),
        _ => {
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("\"{path}\" does not say what its rows are written in"))
                .with_hint("Name it .json, .jsonl or .csv, with .gz behind it where it is compressed."));
        }
    };
    Ok(format!(
        "CREATE SOURCE bids (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, date_time TIMESTAMP, extra TEXT, {WATERMARK})
         WITH (connector = 'file', path = '{}'{options}) FORMAT PLAIN ENCODE {encode}",
        path.replace('\'', "''")
    ))
}

/// Whether the first line names columns: no bid begins with a letter.
fn has_header(path: &Path) -> Result<bool> {
    let mut line = String::new();
    let read = Rows::open(path).and_then(|file| BufReader::new(file.take(1024)).read_line(&mut line));
    read.map_err(|error| Error::new(SqlState::IO_ERROR, format!("could not read \"{}\": {error}", path.display())))?;
    Ok(line.trim_start_matches(['"', '\u{feff}']).starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::generated;

    #[test]
    fn the_last_bid_is_the_last_event() {
        assert_eq!([1, 2, 46, 47, 92, 93].map(generated), [5, 6, 50, 55, 100, 105]);
    }
}

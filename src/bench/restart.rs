//! `weir bench restart`: how long a server takes from its start to the first right answer, with a large view in its last checkpoint.

mod report; // the figures, for people and for programs
mod server; // a server in a process of its own

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_common::error::{Error, Result, SqlState};

use crate::bench::arguments;
use crate::bench::restart::report::{Memory, Report, Restarted};
use crate::bench::restart::server::Server;
use crate::bench::scratch::Scratch;
use crate::bench::{files, usage};

/// How often it is looked whether the view has everything.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Until the allocator has given back what the last statement took, before memory is measured.
const SETTLE: Duration = Duration::from_secs(2);

/// The auctions of the Nexmark generator have numbers in a row from this one on, and three of 50 events are auctions.
const FIRST_AUCTION: u64 = 1000;
const AUCTIONS: u64 = 3;
const CYCLE: u64 = 50;
/// Keys are auctions' numbers times the factor modulo this prime: as many as there are auctions, and in no order.
const PRIME: u64 = (1 << 31) - 1;
const FACTOR: u64 = 48_271;
/// The auctions that come after those which make the keys choose one of them by this factor.
const FACTOR_AGAIN: u64 = 69_621;

/// Measures, and prints the report.
pub async fn run(wanted: arguments::Restart) -> std::result::Result<(), Box<dyn StdError + Send + Sync>> {
    let scratch = Scratch::make()?;
    let data = match &wanted.data {
        Some(dir) => unused(dir)?,
        None => scratch.path().join("data"),
    };
    let report = tokio::select! {
        report = measure(&wanted, &scratch, &data) => report?,
        // Servers and the temporary directory go too.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".into()),
    };
    report.print(wanted.format)
}

/// The directory, unless there is something in it.
fn unused(dir: &Path) -> Result<PathBuf> {
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(Error::new(SqlState::DUPLICATE_OBJECT, format!("there is something in \"{}\" already", dir.display()))
            .with_hint("Name a directory that does not exist: what is measured is made anew.")),
        // It is made, or whoever makes it tells why not.
        _ => Ok(dir.to_path_buf()),
    }
}

async fn measure(wanted: &arguments::Restart, scratch: &Scratch, data: &Path) -> Result<Report> {
    let workers = crate::workers(wanted.workers);
    let empty = Server::start(&scratch.path().join("empty"), workers).await?;
    let memory_empty = memory(&empty).await?;
    drop(empty);

    let server = Server::start(data, workers).await?;
    let started = Instant::now();
    let rows = wanted.keys + wanted.keys.div_ceil(2);
    // Whole cycles.
    let rows = rows.next_multiple_of(AUCTIONS);
    fill(&server, wanted.keys, rows).await?;
    let fill_seconds = started.elapsed().as_secs_f64();
    let known = Known::ask(&server, wanted.keys, rows).await?;
    let started = Instant::now();
    server.run("CHECKPOINT").await?;
    let checkpoint_seconds = started.elapsed().as_secs_f64();
    let sizes = server.row("SELECT state_bytes, served_bytes FROM weir.views WHERE name = 'counts'").await?;
    let memory_before = memory(&server).await?;
    let disk_error = |error| Error::new(SqlState::IO_ERROR, format!("\"{}\" cannot be measured: {error}", data.display()));
    let disk_bytes = files::disk_bytes(&data.join("state")).map_err(disk_error)?;
    // SIGKILL: a restart has nothing that a server in peace would have put in order.
    drop(server);

    let (mut restarts, mut again) = (vec![], vec![]);
    for number in 0..wanted.restarts {
        // A start changes what the next one finds, so each has a copy of what the kill has left.
        let copy = Scratch::make()?;
        let of_kill = copy.path().join("data");
        files::copy(data, &of_kill).map_err(disk_error)?;
        restarts.push(restart(&of_kill, workers, &known).await?);
        if number + 1 == wanted.restarts {
            again.push(restart(&of_kill, workers, &known).await?);
        }
    }
    Ok(Report {
        keys: wanted.keys,
        rows,
        workers,
        fill_seconds,
        checkpoint_seconds,
        disk_bytes,
        state_bytes: number(&sizes, 0)?,
        served_bytes: number(&sizes, 1)?,
        memory_empty,
        memory_before,
        restarts,
        again,
    })
}

/// Starts a server, takes the time, and kills it again.
async fn restart(data: &Path, workers: usize, known: &Known) -> Result<Restarted> {
    let server = Server::start(data, workers).await?;
    known.hold_one(&server).await?;
    let first_answer_seconds = server.since_start();
    known.hold_all(&server).await?;
    let whole_answer_seconds = server.since_start();
    let memory = memory(&server).await?;
    Ok(Restarted { ready_seconds: server.ready_seconds, first_answer_seconds, whole_answer_seconds, memory })
}

/// Makes the view, and waits until everything is in it. A third of the rows come for keys that are there already.
async fn fill(server: &Server, keys: u64, rows: u64) -> Result<()> {
    let events = rows / AUCTIONS * CYCLE;
    server.run(&format!("CREATE SOURCE auctions (id BIGINT) WITH (connector = 'nexmark', table = 'auction', events = '{events}')")).await?;
    let beyond = FIRST_AUCTION + keys;
    server
        .run(&format!(
            "CREATE MATERIALIZED VIEW counts AS SELECT k, count(*) AS n FROM (
               SELECT CASE WHEN id < {beyond} THEN id ELSE {FIRST_AUCTION} + id * {FACTOR_AGAIN} % {PRIME} % {keys} END * {FACTOR} % {PRIME} AS k
               FROM auctions) AS keys
             GROUP BY k"
        ))
        .await?;
    loop {
        let view = server.row("SELECT filling, coalesce(error, '') FROM weir.views WHERE name = 'counts'").await?;
        match (view[0].as_str(), view[1].as_str()) {
            ("f", "") => return Ok(()),
            ("t", "") => tokio::time::sleep(LOOK_EVERY).await,
            (_, error) => return Err(Error::internal(format!("the view could not be filled: {error}"))),
        }
    }
}

/// What the view answered before the server was killed.
struct Known {
    one: String,
    all: String,
    answer: Vec<String>,
    answers: Vec<String>,
}

impl Known {
    async fn ask(server: &Server, keys: u64, rows: u64) -> Result<Known> {
        let one = format!("SELECT n FROM counts WHERE k = {}", (FIRST_AUCTION + keys / 2) * FACTOR % PRIME);
        let all = "SELECT count(*), sum(n) FROM counts".to_string();
        let known = Known { answer: server.row(&one).await?, answers: vec![keys.to_string(), rows.to_string()], one, all };
        known.hold_all(server).await?;
        Ok(known)
    }

    /// Fails unless one key has the rows that it had.
    async fn hold_one(&self, server: &Server) -> Result<()> {
        hold(server, &self.one, &self.answer).await
    }

    /// Fails unless there are as many keys and rows as were put in.
    async fn hold_all(&self, server: &Server) -> Result<()> {
        hold(server, &self.all, &self.answers).await
    }
}

async fn hold(server: &Server, query: &str, expected: &[String]) -> Result<()> {
    let found = server.row(query).await?;
    match found == expected {
        true => Ok(()),
        false => Err(Error::internal(format!("{query} answers {found:?} instead of {expected:?}"))),
    }
}

async fn memory(server: &Server) -> Result<Memory> {
    tokio::time::sleep(SETTLE).await;
    let (resident, peak) =
        usage::resident_bytes(server.process()).ok_or_else(|| Error::internal("the server's memory cannot be measured"))?;
    Ok(Memory { resident, peak })
}

fn number(row: &[String], column: usize) -> Result<u64> {
    row[column].parse().map_err(|_| Error::internal(format!("\"{}\" is no number of bytes", row[column])))
}

//! What the integration tests share: servers with their HTTP port, queries as text, and the data.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::server::{self, Server, Setup};

/// The columns of the flights, as the README declares them.
pub const FLIGHT_COLUMNS: &str = "sched_dep TIMESTAMP, dep TIMESTAMP, carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
  dep_delay DOUBLE PRECISION, arr_delay DOUBLE PRECISION, air_time DOUBLE PRECISION, distance INT";
/// Flights by hour and airport.
pub const BY_HOUR: &str = "SELECT window_start, origin, count(*) AS flights, avg(dep_delay) AS mean_delay, max(dep_delay) AS worst
  FROM TUMBLE(flights, sched_dep, INTERVAL '1 hour') GROUP BY window_start, origin";
/// How long a fact may take to become true.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A server with all that a test needs to reach it.
pub struct Weir {
    server: Server,
    http: String,
    scratch: TempDir,
}

impl Weir {
    /// Starts one, or fails the test.
    pub fn start(workers: usize) -> Weir {
        let http = free_port();
        let server = Server::start(workers, &http).unwrap();
        Weir { server, http, scratch: tempfile::tempdir().unwrap() }
    }

    /// Starts one that takes no checkpoint by itself, which would be a commit between those of the test.
    pub fn start_without_checkpoints(workers: usize) -> Weir {
        let http = free_port();
        let mut server = Server::prepare(&http, Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
        server.restart(workers).unwrap();
        Weir { server, http, scratch: tempfile::tempdir().unwrap() }
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Where metrics and health are served.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// A session.
    pub async fn connect(&self) -> Client {
        server::connect(self.url()).await.unwrap()
    }

    /// Writes a file for a source to read, and names it.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// Ends the server; it must go in good order.
    pub fn stop(self) {
        self.server.stop().unwrap();
    }
}

/// An address of this machine that nobody listens on.
pub fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// `CREATE SOURCE flights` over this file.
pub fn create_flights(path: &Path) -> String {
    format!(
        "CREATE SOURCE flights ({FLIGHT_COLUMNS}, WATERMARK FOR sched_dep AS sched_dep - INTERVAL '1 day')
         WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE JSON",
        path.display()
    )
}

/// The extract that the repository carries: 2,699 flights.
pub fn few_flights() -> PathBuf {
    server::data().join("flights.jsonl.gz")
}

/// The whole file of 336,776 flights, where `WEIR_FLIGHTS` names it; says so when it does not.
pub fn all_flights(test: &str) -> Option<PathBuf> {
    let path = std::env::var("WEIR_FLIGHTS").ok().map(PathBuf::from);
    if path.is_none() {
        eprintln!("{test}: skipped, WEIR_FLIGHTS does not name the file of all flights");
    }
    path
}

/// What random input is made of: `WEIR_SEED`, or something new; printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("WEIR_SEED={seed}");
    seed
}

/// The rows of a query as text, `NULL` for NULL.
pub async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {}", describe(&e)));
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_string()).collect());
        }
    }
    rows
}

/// The one value of a query, as text.
pub async fn value(client: &Client, sql: &str) -> String {
    let rows = rows(client, sql).await;
    assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: one value was expected, not {rows:?}");
    rows[0][0].clone()
}

/// Runs statements that must succeed.
pub async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {}", describe(&e)));
}

/// Runs a statement that must fail: its SQLSTATE and message.
pub async fn refused(client: &Client, sql: &str) -> (String, String) {
    match client.simple_query(sql).await {
        Ok(_) => panic!("{sql}: succeeded"),
        Err(error) => {
            let db = error.as_db_error().unwrap_or_else(|| panic!("{sql}: no error from the server but {error}"));
            (db.code().code().to_string(), db.message().to_string())
        }
    }
}

/// An error with its code.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} {} {}", db.code().code(), db.message(), db.detail().unwrap_or_default()),
        None => error.to_string(),
    }
}

/// Waits until a query answers `expected`.
pub async fn until(client: &Client, sql: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let found = value(client, sql).await;
        if found == expected {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{sql}: still {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A source over a file of JSON lines with the column `k`, and the view `of_NAME` that counts its rows by `k`; `options` are more of
/// the source's, each after a comma.
pub fn counted_source(name: &str, path: &Path, options: &str) -> String {
    format!(
        "CREATE SOURCE {name} (k INT) WITH (connector = 'file', path = '{}'{options}) FORMAT PLAIN ENCODE JSON;
         CREATE MATERIALIZED VIEW of_{name} AS SELECT k, count(*) AS n FROM {name} GROUP BY k",
        path.display()
    )
}

/// Waits until a view with a count `n` has counted this many rows.
pub async fn until_counted(client: &Client, view: &str, rows: usize) {
    until(client, &format!("SELECT coalesce(sum(n), 0)::text FROM {view}"), &rows.to_string()).await;
}

/// Waits until every view holds what its sources hold.
pub async fn until_filled(client: &Client) {
    until(client, "SELECT count(*) FROM weir.views WHERE filling", "0").await;
}

/// Status line and body of an HTTP GET.
pub fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_string(), body.to_string())
}

/// Runs psql over a script. `None`, with a sentence, where there is no psql.
pub fn psql(url: &str, script: &str) -> Option<Output> {
    let mut command = psql_command(url)?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    Some(child.wait_with_output().unwrap())
}

/// psql without anyone's settings, stopping at the first error. `None`, with a sentence, where there is no psql.
pub fn psql_command(url: &str) -> Option<Command> {
    let there = Command::new("psql").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("skipped: psql is not installed (Debian package postgresql-client)");
        return None;
    }
    let mut command = Command::new("psql");
    command.args(["-X", "-v", "ON_ERROR_STOP=1", url]).env("PAGER", "").env("PGCONNECT_TIMEOUT", "30");
    Some(command)
}

/// Runs a process to its end, which must come within [`PATIENCE`].
pub fn finish(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} did not end:\n{}", printed(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// What a process printed, both streams, for a failed assertion.
pub fn printed(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

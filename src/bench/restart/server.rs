//! A server in a process of its own, and a client of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use weir_common::error::{Error, Result};

/// A running server; dropping it kills it with SIGKILL.
pub struct Server {
    child: Killed,
    started: Instant,
    client: Client,
    /// From the start of the process until it said that it is ready.
    pub ready_seconds: f64,
}

impl Server {
    /// Starts this program as a server on a data directory, waits until it is ready, and connects.
    pub async fn start(data: &Path, workers: usize) -> Result<Server> {
        let data = data.to_path_buf();
        let started = tokio::task::spawn_blocking(move || start(&data, workers)).await;
        let (child, url, started, ready) = started.map_err(|error| Error::internal(format!("no server was started: {error}")))??;
        let connected = tokio_postgres::connect(&url, NoTls).await;
        let (client, connection) = connected.map_err(|error| Error::internal(format!("no connection to the server: {error}")))?;
        // It ends with the client; an error reaches whoever waits for an answer.
        tokio::spawn(connection);
        Ok(Server { child, started, client, ready_seconds: ready.as_secs_f64() })
    }

    /// Its process's number.
    pub fn process(&self) -> u32 {
        self.child.0.id()
    }

    /// Seconds since the start of its process.
    pub fn since_start(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Runs a statement.
    pub async fn run(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|error| failed(sql, &error))
    }

    /// The one row of a query, as text.
    pub async fn row(&self, sql: &str) -> Result<Vec<String>> {
        let messages = self.client.simple_query(sql).await.map_err(|error| failed(sql, &error))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).unwrap_or("").to_string()).collect()),
            _ => None,
        });
        row.ok_or_else(|| Error::internal(format!("no row for {sql}")))
    }
}

/// A process that ends with this.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process, where it can be reached, when it started, and how long it took to be ready.
fn start(data: &Path, workers: usize) -> Result<(Killed, String, Instant, Duration)> {
    let broken = |error| Error::internal(format!("no server could be started: {error}"));
    let program = std::env::current_exe().map_err(broken)?;
    let mut command = Command::new(program);
    command.args(["serve", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", &workers.to_string(), "--data"]).arg(data);
    if std::env::var_os("WEIR_LOG").is_none() {
        command.env("WEIR_LOG", "error");
    }
    let started = Instant::now();
    let mut child = Killed(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(broken)?);
    let out = child.0.stdout.take().ok_or_else(|| Error::internal("the server has no output"))?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).map_err(broken)?;
    let ready = started.elapsed();
    match line.trim_end().strip_prefix("ready: ") {
        Some(url) => Ok((child, url.to_string(), started, ready)),
        // It has said why on standard error.
        None => Err(Error::internal("the server ended before it was ready")),
    }
}

fn failed(sql: &str, error: &tokio_postgres::Error) -> Error {
    let why = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_string());
    Error::internal(format!("{why}\nwhile the server was asked: {sql}"))
}

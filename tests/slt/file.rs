//! One file: a server of its own, its records in order, and after each query the check of the views it read.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::Failed;
use sqllogictest::{DefaultColumnType, MakeConnection, Record, Runner};
use tempfile::TempDir;

use crate::database::Database;
use crate::restart;
use crate::server::{self, Server};
use crate::views::Views;

/// A record with Weir's column types, which are letters for the reader only.
pub type SltRecord = Record<DefaultColumnType>;

/// What the comments at the head of a file ask of the runner.
#[derive(Clone, Debug)]
pub struct Directives {
    /// `# workers: 1`: the worker counts to run at; 1 and 4 unless given here or in `WEIR_SLT_WORKERS`.
    pub workers: Vec<usize>,
    /// Whether the file itself says them.
    pub workers_fixed: bool,
    /// `# batch: off REASON` clears it: the views are not compared with their queries.
    pub batch: bool,
    /// `# restart: off REASON` clears it: the server is not killed on the way.
    pub restart: bool,
    /// `# postgres: same`: a real Postgres gives the same answers (checked when `WEIR_SLT_POSTGRES` names one).
    pub postgres: bool,
}

impl Directives {
    /// Reads them from the comment lines before the first record.
    pub fn read(path: &Path) -> Result<Directives, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let workers = std::env::var("WEIR_SLT_WORKERS").unwrap_or_else(|_| "1,4".to_string());
        let mut directives = Directives { workers: counts(&workers)?, workers_fixed: false, batch: true, restart: true, postgres: false };
        for line in text.lines().take_while(|line| line.starts_with('#') || line.is_empty()) {
            let Some((word, value)) = line.trim_start_matches('#').trim().split_once(": ") else { continue };
            match (word, value) {
                ("workers", value) => (directives.workers, directives.workers_fixed) = (counts(value)?, true),
                ("batch", value) => match value.strip_prefix("off ") {
                    Some(_reason) => directives.batch = false,
                    None => return Err("write `# batch: off` with a reason behind it".to_string()),
                },
                ("restart", value) => match value.strip_prefix("off ") {
                    Some(_reason) => directives.restart = false,
                    None => return Err("write `# restart: off` with a reason behind it".to_string()),
                },
                ("postgres", "same") => directives.postgres = true,
                ("postgres", value) => return Err(format!("`# postgres: {value}`: only `same` is known")),
                _ => {}
            }
        }
        Ok(directives)
    }
}

fn counts(list: &str) -> Result<Vec<usize>, String> {
    let parse = |part: &str| part.trim().parse().map_err(|_| format!("`{list}` is not a list of worker counts"));
    list.split(',').map(parse).collect()
}

/// What answers the file.
pub enum Target {
    /// A fresh `weir serve`.
    Weir {
        /// Its number of workers.
        workers: usize,
        /// Whether it is killed in the middle, and started again with other numbers of workers.
        killed: bool,
    },
    /// A fresh database of a running Postgres.
    Postgres {
        /// Where it is, with rights to create databases.
        url: String,
    },
}

/// The paths that a file names by `$DATA`, `$FLIGHTS` and `$TMP`.
pub struct Places {
    scratch: TempDir,
}

impl Places {
    fn new() -> Result<Places, Failed> {
        Ok(Places { scratch: tempfile::Builder::new().prefix("weir-slt-").tempdir()? })
    }

    fn pairs(&self) -> Vec<(&'static str, PathBuf)> {
        let mut pairs = vec![("$DATA", server::data()), ("$TMP", self.scratch.path().to_path_buf())];
        if let Ok(flights) = std::env::var("WEIR_FLIGHTS") {
            pairs.push(("$FLIGHTS", PathBuf::from(flights)));
        }
        pairs
    }

    /// Names to paths, in what is sent.
    pub fn concrete(&self, text: &str) -> String {
        self.pairs().iter().fold(text.to_string(), |text, (name, path)| text.replace(name, &path.to_string_lossy()))
    }

    /// Paths to names, in what comes back.
    pub fn abstracted(&self, text: &str) -> String {
        self.pairs().iter().fold(text.to_string(), |text, (name, path)| text.replace(&*path.to_string_lossy(), name))
    }
}

/// What a file runs in: its server, its places, and the views it made.
pub struct Stage {
    server: Option<Server>,
    /// Where it is; a server that was killed may be somewhere else.
    url: Arc<Mutex<String>>,
    /// The paths behind the names.
    pub places: Arc<Places>,
    /// The materialized views that the file created.
    pub views: Arc<Mutex<Views>>,
    postgres: bool,
    checker: tokio_postgres::Client,
}

impl Stage {
    /// Whether it stands on a real Postgres.
    pub fn is_postgres(&self) -> bool {
        self.postgres
    }

    /// Starts what answers the file.
    pub async fn open(target: Target) -> Result<Stage, Failed> {
        let (server, url, postgres) = match target {
            Target::Weir { workers, .. } => {
                let server = Server::start(workers, "127.0.0.1:0")?;
                let url = server.url().to_string();
                (Some(server), url, false)
            }
            Target::Postgres { url } => (None, fresh_database(&url).await?, true),
        };
        let checker = server::connect(&url).await?;
        Ok(Stage { server, url: Arc::new(Mutex::new(url)), places: Arc::new(Places::new()?), views: Arc::default(), postgres, checker })
    }

    /// A runner whose connections go to this stage.
    pub fn runner(&self) -> Runner<Database, impl MakeConnection<Conn = Database> + use<>> {
        let (url, places, views, postgres) = (self.url.clone(), self.places.clone(), self.views.clone(), self.postgres);
        let mut runner = Runner::new(move || Database::open(url.clone(), places.clone(), views.clone(), postgres));
        runner.with_column_validator(|actual, expected| actual.len() == expected.len());
        runner
    }

    /// The record with paths for names.
    pub fn concrete(&self, record: &SltRecord) -> SltRecord {
        let mut record = record.clone();
        match &mut record {
            Record::Statement { sql, .. } | Record::Query { sql, .. } | Record::Let { sql, .. } => *sql = self.places.concrete(sql),
            Record::System { command, .. } => *command = self.places.concrete(command),
            _ => {}
        }
        record
    }

    /// Waits until no view is still filling from a source, so that a query has one answer.
    pub async fn settle(&self) -> Result<(), Failed> {
        let sources = self.views.lock().expect("nobody panics holding it").has_sources();
        if !sources || self.postgres {
            return Ok(());
        }
        for _ in 0..3000 {
            if !crate::views::filling(&self.checker).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("views are still filling after a minute".into())
    }

    /// Holds each view that `sql` names (all of them without) against its query.
    pub async fn check_views(&self, sql: Option<&str>) -> Result<(), Failed> {
        let chosen = self.views.lock().expect("nobody panics holding it").named_in(sql);
        for view in chosen {
            let still_there = view.check(&self.checker).await?;
            if !still_there {
                self.views.lock().expect("nobody panics holding it").forget(&view);
            }
        }
        Ok(())
    }

    /// Kills the server, and starts it again with so many workers.
    pub async fn kill(&mut self, workers: usize) -> Result<(), Failed> {
        let server = self.server.as_mut().ok_or("only a server of the runner's own is killed")?;
        server.kill();
        server.restart(workers)?;
        // Somebody else may have taken its port.
        let url = server.url().to_string();
        self.checker = server::connect(&url).await?;
        *self.url.lock().expect("nobody panics holding it") = url;
        Ok(())
    }

    /// Ends the server and looks how it ended.
    pub async fn close(self) -> Result<(), Failed> {
        drop(self.checker);
        match self.server {
            Some(server) => Ok(server.stop()?),
            None => {
                let url = self.url.lock().expect("nobody panics holding it").clone();
                drop_database(&url).await
            }
        }
    }
}

/// Runs a file.
pub fn run(path: &Path, directives: &Directives, target: Target) -> Result<(), Failed> {
    block_on(async {
        let killed = matches!(target, Target::Weir { killed: true, .. });
        let mut stage = Stage::open(target).await?;
        let check = directives.batch && !stage.postgres;
        let mut runner = stage.runner();
        let records = records(path)?;
        let kills = if killed { restart::moments(&records) } else { vec![] };
        for (number, record) in records.into_iter().enumerate() {
            if let Some(workers) = kills.iter().find(|(before, _)| *before == number).map(|(_, workers)| *workers) {
                stage.kill(if directives.workers_fixed { directives.workers[0] } else { workers }).await?;
            }
            if matches!(record, Record::Halt { .. }) {
                break;
            }
            let query = match &record {
                Record::Query { sql, .. } => Some(sql.clone()),
                _ => None,
            };
            if query.is_some() {
                stage.settle().await?;
            }
            let at = location(&record);
            if let Err(error) = runner.run_async(stage.concrete(&record)).await {
                return Err(format!("{}{}", error.display(false), tail(&stage)).into());
            }
            if check && let Some(sql) = query {
                stage.check_views(Some(&sql)).await.map_err(|e| format!("{}\nat {at}", e.message().unwrap_or_default()))?;
            }
        }
        if check {
            stage.settle().await?;
            stage.check_views(None).await.map_err(|e| format!("{}\nat the end of {}", e.message().unwrap_or_default(), path.display()))?;
        }
        runner.shutdown_async().await;
        drop(runner);
        stage.close().await
    })
}

/// The records of a file; `include` is not used here, since each file starts from nothing.
pub fn records(path: &Path) -> Result<Vec<SltRecord>, Failed> {
    let records = sqllogictest::parse_file(path)?;
    match records.iter().any(|record| matches!(record, Record::Include { .. })) {
        true => Err("include is not supported: a file shows all it needs".into()),
        false => Ok(records),
    }
}

fn location(record: &SltRecord) -> String {
    match record {
        Record::Query { loc, .. } => loc.to_string(),
        _ => String::new(),
    }
}

/// What the server logged last, when it has something to do with the failure.
fn tail(stage: &Stage) -> String {
    let log = stage.server.as_ref().map(Server::log).unwrap_or_default();
    let telling: Vec<&str> = log.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).collect();
    telling[telling.len().saturating_sub(5)..].iter().map(|line| format!("log: {line}\n")).collect()
}

/// Runs a future on this test's own thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts").block_on(future)
}

async fn fresh_database(url: &str) -> Result<String, Failed> {
    let admin = server::connect(url).await?;
    let name = format!("slt_{:016x}", fastrand::u64(..));
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    let (base, _) = url.rsplit_once('/').ok_or("WEIR_SLT_POSTGRES must name a database")?;
    Ok(format!("{base}/{name}"))
}

async fn drop_database(url: &str) -> Result<(), Failed> {
    let (base, name) = url.rsplit_once('/').ok_or("made by fresh_database")?;
    let admin = server::connect(&format!("{base}/postgres")).await?;
    Ok(admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?)
}

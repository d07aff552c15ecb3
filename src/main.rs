//! The command line of Weir.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use weir_engine::FeedLimits;
use weir_server::database::CheckpointOptions;
use weir_server::server::{Server, ServerConfig};

mod backup; // weir backup and weir restore
mod bench;
mod demo;
mod units; // times and sizes, as people write them

use units::{duration, positive_size, size};

// Batches are allocated on one thread and freed on another, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Planning a deeply nested statement needs a deep stack; the parser refuses what this does not hold.
const STACK_BYTES: usize = 16 << 20;
const _: () = assert!(STACK_BYTES >= weir_sql::parser::STACK_BYTES_MIN);

/// Queries that compute at once, each on a thread: a client may hold a few half-read results.
const QUERIES_MAX: usize = 4 * weir_common::limits::CONNECTIONS_MAX;

/// A SQL-first streaming database: Postgres on the wire, incremental materialized views inside.
#[derive(Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Show a live view over real flights in this terminal
    Demo(Demo),
    /// Copy the database of a running server into a new directory, as of one commit
    Backup(Backup),
    /// Make a data directory of a backup
    Restore(Restore),
    /// Measure the engine: rows in, a view kept up to date, and what that costs
    Bench(bench::arguments::Bench),
}

#[derive(Args)]
struct Serve {
    /// Where Postgres clients connect; port 0 picks one
    #[arg(long, env = "WEIR_PG", value_name = "HOST:PORT", default_value = "127.0.0.1:5433")]
    pg: SocketAddr,
    /// Where health and metrics are served; port 0 picks one
    #[arg(long, env = "WEIR_HTTP", value_name = "HOST:PORT", default_value = "127.0.0.1:9433")]
    http: SocketAddr,
    /// Where the database is kept; created if missing
    #[arg(long, env = "WEIR_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Worker threads; as many as there are cores unless given
    #[arg(long, env = "WEIR_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Time between two checkpoints, such as 10s or 2m: a restart does again what came after the last one
    #[arg(long, env = "WEIR_CHECKPOINT_INTERVAL", value_name = "TIME", value_parser = duration, default_value = "10s")]
    checkpoint_interval: Duration,
    /// Changes after which a checkpoint does not wait for its time, such as 256MB
    #[arg(long, env = "WEIR_CHECKPOINT_SIZE", value_name = "SIZE", value_parser = size, default_value = "256MB")]
    checkpoint_size: u64,
    /// Memory that tables and views may take together, such as 4GB; any amount unless given
    #[arg(long, env = "WEIR_MEMORY_LIMIT", value_name = "SIZE", value_parser = positive_size)]
    memory_limit: Option<u64>,
    /// Time for which changes are kept for clients that come back with SUBSCRIBE ... AS OF, such as 60s or 10m
    #[arg(long, env = "WEIR_SUBSCRIBE_HISTORY", value_name = "TIME", value_parser = duration, default_value = "60s")]
    subscribe_history: Duration,
}

#[derive(Args)]
struct Backup {
    /// The directory to be made, on the server's machine
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// Where the server listens
    #[arg(long, env = "WEIR_PG", value_name = "HOST:PORT", default_value = "127.0.0.1:5433")]
    pg: SocketAddr,
}

#[derive(Args)]
struct Restore {
    /// The backup
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The data directory to be made; no server may have it yet
    #[arg(long, env = "WEIR_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

#[derive(Args)]
struct Demo {
    /// End by itself after this time, such as 15s or 2m, with a last, plain table
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Worker threads; as many as there are cores unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let quiet = matches!(command, Command::Demo(_) | Command::Bench(_));
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(if quiet { "error" } else { "info" }));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(QUERIES_MAX)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match command {
            Command::Serve(serve) => run_server(serve).await,
            Command::Demo(demo) => run_demo(demo).await,
            Command::Backup(Backup { to, pg }) => backup::make(&to, pg).await,
            Command::Restore(Restore { from, data }) => backup::restore(&from, &data),
            Command::Bench(bench) => bench::run(bench).await,
        }
    });
    // A query that nobody waits for any more may still be computing; the process need not wait for it either.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_server(serve: Serve) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let data = Some(serve.data);
    let checkpoints = CheckpointOptions { interval: serve.checkpoint_interval, bytes: serve.checkpoint_size };
    let (workers, memory_limit, subscribe_history) = (workers(serve.workers), serve.memory_limit, serve.subscribe_history);
    let config = ServerConfig { pg: serve.pg, http: serve.http, workers, data, checkpoints, memory_limit, subscribe_history };
    let server = Server::start(config).await?;
    tracing::info!(http = %server.http, workers, "serving");
    // Before anybody is told that the server is ready: from then on a signal must end it cleanly.
    let mut stop = Stop::listen()?;
    println!("ready: postgres://weir@{}/weir", server.pg);
    tokio::select! {
        () = stop.asked() => {
            tracing::info!("stopping");
            server.stop().await;
            Ok(())
        }
        reason = server.failed() => Err(format!("the engine cannot go on: {reason}").into()),
    }
}

async fn run_demo(demo: Demo) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = |pg: u16, http: u16| ServerConfig {
        pg: SocketAddr::from(([127, 0, 0, 1], pg)),
        http: SocketAddr::from(([127, 0, 0, 1], http)),
        workers: workers(demo.workers),
        data: None,
        checkpoints: CheckpointOptions::default(),
        memory_limit: None,
        subscribe_history: FeedLimits::default().history,
    };
    // The usual ports if they are free, so that the psql line is the one in the README.
    let server = match Server::start(config(5433, 9433)).await {
        Ok(server) => server,
        Err(_) => Server::start(ServerConfig { pg: any, http: any, ..config(0, 0) }).await?,
    };
    let interactive = demo.duration.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdout());
    let options = demo::DemoOptions { pg_url: format!("postgres://weir@{}/weir", server.pg), duration: demo.duration, interactive };
    let result = tokio::select! {
        result = demo::run(options) => result,
        reason = server.failed() => Err(format!("the engine cannot go on: {reason}").into()),
    };
    server.stop().await;
    result
}

fn workers(given: Option<u16>) -> usize {
    given.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// The signals that end the server.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Stop> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

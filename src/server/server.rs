//! A running server: an engine, a database, and listeners for Postgres and HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::FAREWELL_MILLIS;
use weir_engine::FeedLimits;

use crate::database::{CheckpointOptions, Database};
use crate::session::Sessions;
use crate::{http, pgwire};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where Postgres clients connect; port 0 picks one.
    pub pg: SocketAddr,
    /// Where HTTP is served; port 0 picks one.
    pub http: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// The data directory; without one, nothing survives a restart.
    pub data: Option<PathBuf>,
    /// When checkpoints are taken, if there is a data directory.
    pub checkpoints: CheckpointOptions,
    /// Bytes that tables and views may take together, if there is a data directory; `None` for any number.
    pub memory_limit: Option<u64>,
    /// How long changes are kept for subscribers that come back, if there is a data directory.
    pub subscribe_history: Duration,
}

/// A running server; it runs until [`Server::stop`].
pub struct Server {
    /// Where Postgres clients connect.
    pub pg: SocketAddr,
    /// Where HTTP is served.
    pub http: SocketAddr,
    database: Arc<Database>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts it; when this returns, connections are accepted.
    pub async fn start(config: ServerConfig) -> Result<Server> {
        for address in [config.pg, config.http] {
            if !address.ip().is_loopback() {
                return Err(Error::new(SqlState::INVALID_AUTHORIZATION, format!("{address} is not a loopback address"))
                    .with_hint("There is no authentication yet, so Weir listens on 127.0.0.1 or [::1] only."));
            }
        }
        let pg = bind(config.pg).await?;
        let http = bind(config.http).await?;
        let (pg_address, http_address) = (local(&pg)?, local(&http)?);
        // Connections wait in the listeners' queues until all is as it was.
        let database = match config.data {
            Some(dir) => {
                let feeds = FeedLimits { history: config.subscribe_history, ..FeedLimits::default() };
                let open = move || Database::open(&dir, config.workers, config.checkpoints, config.memory_limit, feeds);
                let opened = tokio::task::spawn_blocking(open).await;
                opened.map_err(|error| Error::internal(format!("the database was not opened: {error}")))??
            }
            None => Database::start(config.workers)?,
        };
        let shutdown = CancellationToken::new();
        let sessions = Arc::new(Sessions { database: database.clone() });
        let of_pg = shutdown.clone();
        let pg_task = tokio::spawn(async move {
            let connections = sessions.database.connections.clone();
            if let Err(error) = pgwire::serve(pg, sessions, connections, of_pg).await {
                tracing::error!(%error, "the Postgres listener ended");
            }
        });
        let (of_http, stopped) = (database.clone(), shutdown.clone());
        let http_task = tokio::spawn(async move {
            if let Err(error) = http::serve(http, of_http, stopped).await {
                tracing::error!(%error, "the HTTP listener ended");
            }
        });
        Ok(Server { pg: pg_address, http: http_address, database, shutdown, tasks: vec![pg_task, http_task] })
    }

    /// Resolves when the server cannot go on, with the reason.
    pub async fn failed(&self) -> Error {
        let error = self.database.engine.failed().await;
        // Statements that wait are being told; whoever asks here is about to end the process.
        tokio::time::sleep(Duration::from_millis(FAREWELL_MILLIS)).await;
        error
    }

    /// Ends connections, listeners and the engine, and waits for them.
    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        let engine = self.database.engine.clone();
        let _ = tokio::task::spawn_blocking(move || engine.stop()).await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(SqlState::IO_ERROR, format!("cannot listen on {address}: {error}"))
            .with_hint("Is another server running there? Choose another port with --pg or --http; port 0 picks a free one.")
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::internal(format!("a listener without an address: {error}")))
}

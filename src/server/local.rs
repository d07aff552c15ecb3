//! A database in this process with one session and no sockets: SQL in, Arrow out, through the same code as for any client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use weir_common::error::{Error, Result, SqlState};
use weir_common::source::SourceRef;
use weir_engine::FeedLimits;
use weir_engine::status::Status;
use weir_sql::catalog::{DATABASE, Relation, RelationKind, SourceDef};

use crate::database::{CheckpointOptions, Database};
use crate::pgwire::backend::{Backend, Outcome, Session as _, Startup};
use crate::session::{Session, Sessions};

/// Batches of a result, as they come.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// A running database and a session on it.
pub struct Local {
    database: Arc<Database>,
    session: Session,
}

impl Local {
    /// Starts an engine with so many worker threads, which keeps nothing.
    pub async fn start(workers: usize) -> Result<Local> {
        Local::with(Database::start(workers)?).await
    }

    /// Opens the database in a data directory, as a server would.
    pub async fn open(dir: PathBuf, workers: usize, checkpoints: CheckpointOptions) -> Result<Local> {
        let opened = tokio::task::spawn_blocking(move || Database::open(&dir, workers, checkpoints, None, FeedLimits::default())).await;
        Local::with(opened.map_err(|error| Error::internal(format!("the database was not opened: {error}")))??).await
    }

    async fn with(database: Arc<Database>) -> Result<Local> {
        let startup = Startup {
            user: "weir".into(),
            database: DATABASE.into(),
            parameters: BTreeMap::new(),
            pid: 0,
            peer: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let session = Sessions { database: database.clone() }.open(startup).await?;
        Ok(Local { database, session })
    }

    /// Runs statements that return no rows.
    pub async fn run(&mut self, sql: &str) -> Result<()> {
        for outcome in self.execute(sql).await? {
            if let Outcome::Rows { mut batches, .. } = outcome {
                while let Some(batch) = batches.next().await {
                    batch?;
                }
            }
        }
        Ok(())
    }

    /// Runs one query.
    pub async fn query(&mut self, sql: &str) -> Result<Batches> {
        match self.execute(sql).await?.pop() {
            Some(Outcome::Rows { batches, .. }) => Ok(batches),
            _ => Err(Error::new(SqlState::SYNTAX_ERROR, "the statement is not a query")),
        }
    }

    /// Creates a materialized view whose rows are counted and dropped: [`Status`] has the count, and nobody can read it.
    pub async fn run_counted(&mut self, sql: &str) -> Result<()> {
        self.session.count_only = true;
        let result = self.run(sql).await;
        self.session.count_only = false;
        result
    }

    /// Puts another source of the same rows in the place of a declared one; views that are created later read that.
    pub async fn wrap_source(&self, name: &str, wrap: impl FnOnce(SourceRef) -> Result<SourceRef>) -> Result<()> {
        let definitions = self.database.definitions().await;
        let catalog = definitions.catalog();
        let relation = Relation::clone(catalog.require(name)?);
        let RelationKind::Source(source) = &relation.kind else {
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a source")));
        };
        let kind = RelationKind::Source(SourceDef { source: wrap(source.source.clone())?, ..source.clone() });
        definitions.publish(catalog.with(Relation { kind, ..relation }));
        Ok(())
    }

    /// What there is to say about sources and views.
    pub async fn status(&self) -> Result<Status> {
        self.database.engine.status().await
    }

    /// Resolves when the engine cannot go on, with the reason.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        let engine = self.database.engine.clone();
        async move { engine.failed().await.to_string() }
    }

    /// Ends the engine, and waits for it.
    pub async fn stop(self) {
        let engine = self.database.engine.clone();
        drop(self.session);
        // It fails only when the runtime is ending, and everything with it.
        let _ = tokio::task::spawn_blocking(move || engine.stop()).await;
    }

    async fn execute(&mut self, sql: &str) -> Result<Vec<Outcome>> {
        let mut outcomes = vec![];
        for parsed in self.session.parse(sql)? {
            match self.session.run_once(parsed).await {
                Ok((_, outcome)) => outcomes.push(outcome),
                Err(error) => {
                    self.session.fail();
                    return Err(error);
                }
            }
        }
        Ok(outcomes)
    }
}

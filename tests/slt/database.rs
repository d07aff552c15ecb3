//! One connection as the runner wants it: text in, text out, errors with their SQLSTATE.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, TryStreamExt};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::file::Places;
use crate::server;
use crate::views::Views;

/// What a statement came to: rows of text, or a count.
type Output = DBOutput<DefaultColumnType>;

/// A session of the file under test.
pub struct Database {
    url: Arc<Mutex<String>>,
    client: Client,
    places: Arc<Places>,
    views: Arc<Mutex<Views>>,
    /// Real Postgres does not maintain its materialized views: there they become plain ones.
    postgres: bool,
}

impl Database {
    /// Connects.
    pub async fn open(url: Arc<Mutex<String>>, places: Arc<Places>, views: Arc<Mutex<Views>>, postgres: bool) -> Result<Self, SqlError> {
        let client = connect(&url).await?;
        Ok(Database { url, client, places, views, postgres })
    }

    async fn simple(&self, sql: &str) -> Result<Output, SqlError> {
        let mut width = None;
        let mut rows = Vec::new();
        let mut affected = 0;
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => width = Some(columns.len()),
                SimpleQueryMessage::Row(row) => rows.push((0..row.len()).map(|i| self.show(row.get(i))).collect()),
                SimpleQueryMessage::CommandComplete(count) => affected = count,
                _ => {}
            }
        }
        Ok(match width {
            Some(width) => DBOutput::Rows { types: vec![DefaultColumnType::Any; width], rows },
            None => DBOutput::StatementComplete(affected),
        })
    }

    /// `COPY .. FROM STDIN;` on the first line, the data on the lines that follow.
    async fn copy_in(&mut self, sql: &str) -> Result<Output, SqlError> {
        let (statement, data) = sql.split_once(";\n").unwrap_or((sql, ""));
        let data = if data.is_empty() { String::new() } else { format!("{data}\n") };
        let sink = match self.client.copy_in::<_, std::io::Cursor<Vec<u8>>>(statement).await {
            Ok(sink) => sink,
            Err(error) => {
                // tokio-postgres 0.7 sends one Sync too many when a COPY is refused, and is then one answer behind.
                self.client = connect(&self.url).await?;
                return Err(error.into());
            }
        };
        let mut sink = Box::pin(sink);
        sink.send(std::io::Cursor::new(data.into_bytes())).await?;
        Ok(DBOutput::StatementComplete(sink.as_mut().finish().await?))
    }

    /// Each line of `COPY .. TO STDOUT` is a row of one column.
    async fn copy_out(&self, sql: &str) -> Result<Output, SqlError> {
        let chunks: Vec<_> = self.client.copy_out(sql).await?.try_collect().await?;
        let text = String::from_utf8(chunks.concat()).map_err(|e| SqlError::other(e.to_string()))?;
        let rows = text.lines().map(|line| vec![self.show(Some(line))]).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any], rows })
    }

    fn show(&self, value: Option<&str>) -> String {
        match value {
            None => "NULL".to_string(),
            Some("") => "(empty)".to_string(),
            Some(text) => self.places.abstracted(text),
        }
    }
}

async fn connect(url: &Mutex<String>) -> Result<Client, tokio_postgres::Error> {
    let url = url.lock().expect("nobody panics holding it").clone();
    server::connect(&url).await
}

#[async_trait]
impl AsyncDB for Database {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, SqlError> {
        let rewritten = if self.postgres { sql.replace("MATERIALIZED VIEW", "VIEW") } else { sql.to_string() };
        let sql = rewritten.as_str();
        // The server was killed and is there again.
        if self.client.is_closed() {
            self.client = connect(&self.url).await?;
        }
        let upper = sql.trim_start().to_uppercase();
        let result = if upper.starts_with("COPY") && upper.contains("FROM STDIN") {
            self.copy_in(sql).await
        } else if upper.starts_with("COPY") && upper.contains("TO STDOUT") {
            self.copy_out(sql).await
        } else {
            self.simple(sql).await
        };
        match result {
            Ok(output) => {
                self.views.lock().expect("nobody panics holding it").note(sql);
                Ok(output)
            }
            Err(error) => Err(SqlError { text: self.places.abstracted(&error.text), ..error }),
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        if self.postgres { "postgres" } else { "weir" }
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &SqlError) -> Option<String> {
        error.code.clone()
    }
}

/// An error as an expectation sees it: `42P01 relation "x" does not exist`, then lines DETAIL, HINT, CONTEXT and POSITION.
#[derive(Clone, Debug)]
pub struct SqlError {
    /// The SQLSTATE; `None` when the connection failed.
    pub code: Option<String>,
    text: String,
}

impl SqlError {
    /// An error of the runner's own.
    pub fn other(text: String) -> Self {
        SqlError { code: None, text }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SqlError {}

impl From<tokio_postgres::Error> for SqlError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return SqlError { code: None, text: format!("no answer from the server: {error}") };
        };
        let mut text = format!("{} {}", db.code().code(), db.message());
        for (label, value) in [("DETAIL", db.detail()), ("HINT", db.hint()), ("CONTEXT", db.where_())] {
            if let Some(value) = value {
                text.push_str(&format!("\n{label}: {value}"));
            }
        }
        if let Some(tokio_postgres::error::ErrorPosition::Original(position)) = db.position() {
            text.push_str(&format!("\nPOSITION: {position}"));
        }
        SqlError { code: Some(db.code().code().to_string()), text }
    }
}

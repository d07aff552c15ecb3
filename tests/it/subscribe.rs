//! SUBSCRIBE: rows, then changes by commit, through COPY, cursors and the extended protocol; where it starts, ends, and is cut.

use std::ops::Deref;
use std::pin::Pin;

use futures::StreamExt;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, CopyOutStream, NoTls};

use crate::harness::describe;

mod bounds; // AS OF, UP TO, progress, what is kept
mod ends; // a drop, a cancel, a slow client, a stop
mod finals; // EMIT FINAL: each window once
mod idle; // what nothing happens to costs nothing
mod page; // docs/subscribe.md
mod portions; // cursors and portals
mod random; // any subscriber can make every state of what it follows
mod shapes; // tables, queries, keys: what the rows look like

/// A connection that is closed when it is dropped, also in the middle of a statement.
pub struct Connection {
    client: Client,
    task: JoinHandle<()>,
}

impl Connection {
    /// Opens one.
    pub async fn open(url: &str) -> Connection {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let task = tokio::spawn(async move {
            // How it ends is seen where it is used.
            let _ = connection.await;
        });
        Connection { client, task }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A subscription through COPY, a line a row.
pub struct Lines(Pin<Box<CopyOutStream>>);

impl Lines {
    /// Starts `SUBSCRIBE ..`.
    pub async fn of(client: &Client, subscribe: &str) -> Lines {
        let sql = format!("COPY ({subscribe}) TO STDOUT");
        Lines(Box::pin(client.copy_out(&sql).await.unwrap_or_else(|error| panic!("{sql}: {}", describe(&error)))))
    }

    /// The next row as COPY writes it; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<String, tokio_postgres::Error>> {
        let line = self.0.next().await?;
        Some(line.map(|line| String::from_utf8(line.to_vec()).unwrap().trim_end_matches('\n').to_string()))
    }

    /// The next row, which there must be, cut into its fields.
    pub async fn fields(&mut self) -> Vec<String> {
        match self.next().await {
            Some(Ok(line)) => line.split('\t').map(String::from).collect(),
            Some(Err(error)) => panic!("{}", describe(&error)),
            None => panic!("it ended"),
        }
    }

    /// The next rows without their commits, in the order of the text: rows of one commit have none.
    pub async fn take(&mut self, count: usize) -> Vec<String> {
        let mut rows = Vec::new();
        for _ in 0..count {
            rows.push(self.fields().await[1..].join(" "));
        }
        rows.sort();
        rows
    }

    /// All rows up to the end, which must come.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut rows = Vec::new();
        while let Some(line) = self.next().await {
            rows.push(line.unwrap_or_else(|error| panic!("{}", describe(&error))));
        }
        rows
    }

    /// The error that it ends in: SQLSTATE, message, detail.
    pub async fn error(&mut self) -> (String, String, String) {
        loop {
            match self.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let db = error.as_db_error().unwrap_or_else(|| panic!("no error from the server but {error}"));
                    return (db.code().code().to_string(), db.message().to_string(), db.detail().unwrap_or_default().to_string());
                }
                None => panic!("it ended without an error"),
            }
        }
    }
}

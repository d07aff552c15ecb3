//! The views of the load: over files, over tables, over each other; what they hold, and at which commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{describe, rows, run};

/// Each view and its query. What is over the source can be asked as a batch over `raw`, which has its rows.
pub const VIEWS: [(&str, &str); 11] = [
    ("raw", "SELECT id, at, kind, v FROM events"),
    (
        "by_minute",
        "SELECT window_start, kind, count(*) AS n, sum(v) AS total, max(v) AS most
         FROM TUMBLE(events, at, INTERVAL '1 minute') GROUP BY window_start, kind",
    ),
    (
        "hopping",
        "SELECT window_start, count(*) AS n, min(v) AS least FROM HOP(events, at, INTERVAL '20 seconds', INTERVAL '1 minute') GROUP BY window_start",
    ),
    (
        "visits",
        "SELECT kind, window_start, window_end, count(*) AS n, max(v) AS most
         FROM SESSION(events PARTITION BY kind, at, INTERVAL '5 seconds') GROUP BY kind, window_start, window_end",
    ),
    (
        "crowds",
        "SELECT window_start, window_end, count(*) AS visits, min(most) AS least
         FROM SESSION((SELECT window_start AS began, most FROM visits), began, INTERVAL '4 seconds') GROUP BY window_start, window_end",
    ),
    ("busiest", "SELECT kind, count(*) AS minutes, max(n) AS n, sum(total) AS total FROM by_minute GROUP BY kind"),
    ("sums", "SELECT sum(n) AS n, max(least) AS least FROM hopping"),
    ("by_shard", "SELECT shard, sum(amount) AS amount, count(*) AS n FROM accounts GROUP BY shard"),
    ("total", "SELECT sum(amount) AS amount, sum(n) AS n FROM by_shard"),
    ("by_writer", "SELECT writer, count(*) AS n, sum(version) AS versions, max(note) AS note FROM entries GROUP BY writer"),
    ("written", "SELECT sum(n) AS n, sum(versions) AS versions FROM by_writer"),
];

pub async fn create(client: &Client) {
    for (view, query) in VIEWS {
        run(client, &format!("CREATE MATERIALIZED VIEW {view} AS {query}")).await;
    }
}

/// A view's query as a batch.
pub fn batch(query: &str) -> String {
    query
        .replace("TUMBLE(events", "TUMBLE(raw")
        .replace("HOP(events", "HOP(raw")
        .replace("SESSION(events", "SESSION(raw")
        .replace("FROM events", "FROM raw")
}

/// Holds what a view has against its query, both at one commit; nothing may be filling.
pub async fn check(client: &Client, view: &str, query: &str) {
    run(client, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ").await;
    let mut held = rows(client, &format!("SELECT * FROM {view}")).await;
    let mut asked = rows(client, &batch(query)).await;
    run(client, "COMMIT").await;
    held.sort();
    asked.sort();
    assert_eq!(held, asked, "view {view} is not what its query answers: {query}");
}

/// A view's rows, sorted.
pub type Answer = Vec<Vec<String>>;

/// What was read at which commit, by commit and view.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<BTreeMap<(i64, String), Answer>>>);

impl Answers {
    /// Reads one view at whatever commit that is: its rows, and whether it had been read at that commit; `None` when the server is gone.
    pub async fn read(&self, client: &Client, view: &str) -> Option<(Answer, bool)> {
        let sql = format!("SELECT s.commit, v.* FROM weir.snapshot AS s LEFT JOIN {view} AS v ON true");
        let messages = match client.simple_query(&sql).await {
            Ok(messages) => messages,
            Err(error) if error.code().is_none() => return None,
            Err(error) => panic!("{sql}: {}", describe(&error)),
        };
        let mut commit = None;
        let mut answer = Answer::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                commit = Some(super::writers::int(row.get(0).expect("a statement that reads a view has a commit")));
                answer.push((1..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_string()).collect());
            }
        }
        answer.sort();
        let commit = commit.expect("weir.snapshot has a row");
        let before = self.0.lock().unwrap().insert((commit, view.to_string()), answer.clone());
        if let Some(before) = &before {
            assert_eq!(*before, answer, "{view} had two answers at commit {commit}");
        }
        Some((answer, before.is_some()))
    }

    /// The latest commit that anybody read.
    pub fn latest(&self) -> i64 {
        self.0.lock().unwrap().keys().next_back().map_or(0, |(commit, _)| *commit)
    }

    /// Forgets what was read before a commit: nobody can ask at it again.
    pub fn forget_before(&self, commit: i64) {
        let mut answers = self.0.lock().unwrap();
        *answers = answers.split_off(&(commit, String::new()));
    }

    /// Reads until the server is gone.
    pub async fn go_on_reading(self, client: Client, mut random: Rng) {
        loop {
            let view = VIEWS[random.usize(1..VIEWS.len())].0;
            if self.read(&client, view).await.is_none() {
                return;
            }
        }
    }
}

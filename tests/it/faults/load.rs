//! Who writes to a server over a bad disk, and knows what must be there afterwards.

use tokio_postgres::{Client, Error};

use crate::harness::{rows, run, value};

/// How many rows its table has at most.
const ROWS: i64 = 20;

/// Writes to a table of its own, with two views over it; each write is a transaction of three statements.
pub struct Writer {
    name: &'static str,
    /// The last write that was acknowledged, or found.
    pub done: i64,
    /// The last one that was tried.
    tried: i64,
}

impl Writer {
    /// Makes the table and the views.
    pub async fn create(client: &Client, name: &'static str) -> Writer {
        run(client, &format!("CREATE TABLE {name} (id INT PRIMARY KEY, k INT, v NUMERIC(10, 2), s TEXT)")).await;
        run(client, &format!("CREATE TABLE {name}_last (n INT)")).await;
        run(client, &format!("INSERT INTO {name}_last VALUES (0)")).await;
        run(client, &format!("CREATE MATERIALIZED VIEW {name}_by_k AS {}", by_k(name))).await;
        run(client, &format!("CREATE MATERIALIZED VIEW {name}_total AS {}", total(name))).await;
        Writer { name, done: 0, tried: 0 }
    }

    /// Writes once. After an error nothing is known but that it was tried.
    pub async fn write(&mut self, client: &Client) -> Result<(), Error> {
        assert_eq!(self.done, self.tried, "after an error comes a check");
        self.tried += 1;
        let (name, id) = (self.name, self.tried);
        let text = if id % 3 == 0 { "NULL".to_string() } else { format!("repeat('x', {id} % 50)") };
        let sql = format!(
            "BEGIN; INSERT INTO {name} VALUES ({id}, {id} % 5, {id} + 0.5, {text}); UPDATE {name}_last SET n = {id};
             DELETE FROM {name} WHERE id <= {id} - {ROWS}; COMMIT"
        );
        client.batch_execute(&sql).await?;
        self.done = self.tried;
        Ok(())
    }

    /// Writes as often as that; all must succeed.
    pub async fn write_some(&mut self, client: &Client, times: usize) {
        for _ in 0..times {
            self.write(client).await.unwrap();
        }
    }

    /// What was acknowledged is there, what was only tried is there or not, and the views are right.
    pub async fn check(&mut self, client: &Client) {
        let name = self.name;
        let last: i64 = value(client, &format!("SELECT n FROM {name}_last")).await.parse().unwrap();
        assert!(last == self.done || last == self.tried, "write {} was acknowledged, and {last} is there", self.done);
        (self.done, self.tried) = (last, last);
        let row = |id: i64| {
            let text = if id % 3 == 0 { "NULL".to_string() } else { "x".repeat((id % 50) as usize) };
            vec![id.to_string(), (id % 5).to_string(), format!("{id}.50"), text]
        };
        let expected: Vec<_> = ((last - ROWS + 1).max(1)..=last).map(row).collect();
        assert_eq!(rows(client, &format!("SELECT * FROM {name} ORDER BY id")).await, expected);
        for (view, query) in [(format!("{name}_by_k"), by_k(name)), (format!("{name}_total"), total(name))] {
            let answer = rows(client, &format!("SELECT * FROM {view} ORDER BY 1")).await;
            assert_eq!(answer, rows(client, &format!("{query} ORDER BY 1")).await, "{view} is not its query");
            assert!(!answer.is_empty() || last == 0, "{view} is empty");
        }
    }
}

fn by_k(name: &str) -> String {
    format!("SELECT k, count(*) AS n, sum(v) AS v, min(id) AS least, max(s) AS s FROM {name} GROUP BY k")
}

fn total(name: &str) -> String {
    format!("SELECT sum(n) AS n, sum(v) AS v, max(least) AS least FROM {name}_by_k")
}

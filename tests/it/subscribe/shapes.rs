//! What the rows of a subscription look like: tables, views, queries, and one row for each key.

use crate::harness::{Weir, printed, psql, refused, rows, run, until, value};
use crate::subscribe::{Connection, Lines};

#[tokio::test]
async fn rows_first_and_then_changes() {
    for workers in [1, 3] {
        let weir = Weir::start_without_checkpoints(workers);
        let (client, other) = (weir.connect().await, weir.connect().await);
        run(&client, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
        run(&client, "CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t").await;
        let (of_table, of_view) = (weir.connect().await, weir.connect().await);
        let mut table = Lines::of(&of_table, "SUBSCRIBE t").await;
        let mut view = Lines::of(&of_view, "SUBSCRIBE TO n").await;
        assert_eq!(table.take(2).await, ["1 1 a", "1 2 b"]);
        assert_eq!(view.take(1).await, ["1 2"]);
        run(&other, "INSERT INTO t VALUES (3, NULL)").await;
        let commit = value(&other, "SELECT commit FROM weir.snapshot").await;
        assert_eq!(table.fields().await, [&commit, "1", "3", "\\N"]);
        assert_eq!(view.fields().await, [&commit, "-1", "2"]);
        assert_eq!(view.fields().await, [&commit, "1", "3"]);
        // What cancels out in a transaction is no change; the update is one commit.
        run(&other, "BEGIN; INSERT INTO t VALUES (4, 'd'); DELETE FROM t WHERE id = 4; UPDATE t SET name = 'c' WHERE id = 3; COMMIT").await;
        assert_eq!(table.take(2).await, ["-1 3 \\N", "1 3 c"]);
        run(&other, "DELETE FROM t").await;
        assert_eq!(table.take(3).await, ["-1 1 a", "-1 2 b", "-1 3 c"]);
        assert_eq!(view.take(2).await, ["-1 3", "1 0"]);
        weir.stop();
    }
}

#[tokio::test]
async fn a_query_is_followed_while_somebody_subscribes_to_it() {
    let weir = Weir::start_without_checkpoints(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, k INT); INSERT INTO t SELECT g, g % 3 FROM generate_series(1, 30) AS s(g)").await;
    run(&client, "CREATE VIEW plain AS SELECT k FROM t WHERE id > 28").await;
    let (of_query, of_view) = (Connection::open(weir.url()).await, weir.connect().await);
    let mut query = Lines::of(&of_query, "SUBSCRIBE (SELECT k, count(*) AS n FROM t GROUP BY k HAVING count(*) > 10)").await;
    let mut view = Lines::of(&of_view, "SUBSCRIBE plain").await;
    assert_eq!(view.take(2).await, ["1 0", "1 2"]);
    run(&client, "INSERT INTO t VALUES (31, 1), (32, 1)").await;
    assert_eq!(query.take(1).await, ["1 1 12"]);
    assert_eq!(view.take(1).await, ["2 1"]);
    // Two views that nobody sees, but in what they cost.
    assert_eq!(rows(&client, "SELECT relation FROM weir.subscriptions").await, [["NULL"], ["NULL"]]);
    assert_eq!(value(&client, "SELECT count(*) FROM weir.views").await, "0");
    run(&client, "CHECKPOINT").await;
    drop((query, of_query));
    until(&client, "SELECT count(*) FROM weir.subscriptions", "1").await;
    run(&client, "DELETE FROM t WHERE id = 31").await;
    assert_eq!(view.take(1).await, ["-1 1"]);
    // What a view cannot maintain, a subscription cannot either; it says so as CREATE MATERIALIZED VIEW does.
    let made = refused(&client, "CREATE MATERIALIZED VIEW v AS SELECT k FROM t ORDER BY k LIMIT 1").await;
    assert_eq!(refused(&client, "SUBSCRIBE (SELECT k FROM t ORDER BY k LIMIT 1)").await, made);
    assert_eq!(refused(&client, "SUBSCRIBE (SELECT nothing FROM t)").await.0, "42703");
    assert_eq!(refused(&client, "SUBSCRIBE nothing").await, ("42P01".into(), "relation \"nothing\" does not exist".into()));
    assert_eq!(refused(&client, "SUBSCRIBE t EMIT FINAL").await.0, "0A000");
    weir.stop();
}

#[tokio::test]
async fn one_row_for_each_key() {
    let weir = Weir::start_without_checkpoints(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (v TEXT, id INT PRIMARY KEY); INSERT INTO t VALUES ('a', 1), ('b', 2)").await;
    let of_table = weir.connect().await;
    let mut table = Lines::of(&of_table, "SUBSCRIBE t ENVELOPE UPSERT (KEY (id)) WITH (progress = true)").await;
    assert_eq!(table.take(2).await, ["f upsert 1 a", "f upsert 2 b"]);
    assert_eq!(table.take(1).await, ["t \\N \\N \\N"]);
    run(&client, "BEGIN; UPDATE t SET v = 'A' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES ('c', 3); COMMIT").await;
    let mut changes = Vec::new();
    while changes.len() < 3 {
        let fields = table.fields().await;
        changes.extend((fields[1] == "f").then(|| fields[2..].join(" ")));
    }
    changes.sort();
    assert_eq!(changes, ["delete 2 \\N", "upsert 1 A", "upsert 3 c"]);
    // A column that is no key has one value twice.
    run(&client, "INSERT INTO t VALUES ('c', 4)").await;
    let of_value = weir.connect().await;
    let mut value = Lines::of(&of_value, "SUBSCRIBE t ENVELOPE UPSERT (KEY (v))").await;
    assert_eq!(value.take(2).await, ["key_violation c \\N", "upsert A 1"]);
    assert_eq!(refused(&client, "SUBSCRIBE t ENVELOPE UPSERT (KEY (nothing))").await.0, "42703");
    weir.stop();
}

#[tokio::test]
async fn as_psql_shows_it() {
    let weir = Weir::start_without_checkpoints(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (7)").await;
    let commit = value(&client, "SELECT commit FROM weir.snapshot").await;
    let Some(output) = psql(weir.url(), &format!("SUBSCRIBE t WITH (progress = true) UP TO {commit};\n")) else { return };
    let expected = format!(
        " weir_commit | weir_progressed | weir_diff | id \n-------------+-----------------+-----------+----\n{commit:>12} | f               |         1 |  7\n{commit:>12} | t               |           |   \n(2 rows)"
    );
    let lines = |text: &str| text.trim_end().lines().map(|line| line.trim().to_string()).collect::<Vec<_>>();
    assert_eq!(lines(&printed(&output)), lines(&expected));
    let Some(output) = psql(weir.url(), &format!("COPY (SUBSCRIBE t UP TO {commit}) TO STDOUT (FORMAT csv, HEADER);\n")) else { return };
    assert_eq!(lines(&printed(&output)), ["weir_commit,weir_diff,id".to_string(), format!("{commit},1,7")]);
    weir.stop();
}

#[tokio::test]
async fn rows_that_come_with_time_are_told_of() {
    let weir = Weir::start_without_checkpoints(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, at TIMESTAMPTZ); INSERT INTO t VALUES (1, now()), (2, now() + INTERVAL '2 seconds')")
        .await;
    let of_query = weir.connect().await;
    let mut query = Lines::of(&of_query, "SUBSCRIBE (SELECT id FROM t WHERE at <= now() AND at > CURRENT_DATE - 7)").await;
    assert_eq!(query.take(2).await, ["1 1", "1 2"]);
    run(&client, "DELETE FROM t WHERE id = 1").await;
    assert_eq!(query.take(1).await, ["-1 1"]);
    weir.stop();
}

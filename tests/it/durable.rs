//! A restart after `kill -9`: what was acknowledged is there, sources go on where they were, and what cannot be done again says so.

use std::fs;
use std::io::Write;

use crate::harness::{counted_source, run, until_counted, until_filled, value};
use crate::server::{Server, Setup, connect};

/// As an option of a source.
const FOLLOWED: &str = ", follow = 'true'";

/// A server that needs the rows of its sources again when it is started again.
fn without_checkpoints(workers: usize) -> Server {
    let mut server = Server::prepare("127.0.0.1:0", Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
    server.restart(workers).unwrap();
    server
}

#[tokio::test]
async fn all_kinds_of_relations_come_back() {
    let mut weir = Server::start(2, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    let script = "CREATE TABLE t (id INT PRIMARY KEY, v NUMERIC(8, 2) NOT NULL DEFAULT 1.5 CHECK (v > 0), j JSONB, a TEXT[], ts TIMESTAMPTZ, w VARCHAR(3));
         INSERT INTO t VALUES (1, 2, '{\"b\": 1, \"a\": [null]}', '{x,NULL}', '2026-01-01 00:00+02', 'abc'), (2, DEFAULT, NULL, NULL, NULL, NULL);
         CREATE VIEW doubled AS SELECT id, v * 2 AS v FROM t;
         CREATE MATERIALIZED VIEW total AS SELECT sum(v) AS v, count(*) AS n FROM doubled;
         CREATE OR REPLACE VIEW above AS SELECT v + 1 AS v FROM total;
         CREATE OR REPLACE VIEW above AS SELECT v + 2 AS v FROM total;
         CREATE TABLE copied AS SELECT id, v FROM doubled;
         CREATE TABLE gone (id INT); INSERT INTO gone VALUES (1); DROP TABLE gone;
         CREATE TABLE gone (other TEXT); INSERT INTO gone VALUES ('anew');
         UPDATE t SET v = 4 WHERE id = 2; DELETE FROM t WHERE id = 1; BEGIN; INSERT INTO t (id) VALUES (3); COMMIT; BEGIN; INSERT INTO t (id) VALUES (4)";
    for statement in script.split("; ").flat_map(|line| line.split(";\n")) {
        run(&client, statement).await;
    }
    let asked = [
        "SELECT string_agg(concat_ws('|', id::text, v::text, j::text, a::text, ts::text, w), ' ' ORDER BY id) FROM t",
        "SELECT v || ' ' || n FROM total",
        "SELECT v::text FROM above",
        "SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM copied",
        "SELECT other FROM gone",
        "SELECT string_agg(name || ' ' || data_type, ', ' ORDER BY name) FROM (SELECT column_name AS name, data_type FROM information_schema.columns WHERE table_name = 't') c",
    ];
    // From another session: the one above has written what it has not committed.
    let other = connect(weir.url()).await.unwrap();
    let mut before = vec![];
    for sql in asked {
        before.push(value(&other, sql).await);
    }
    for workers in [3, 1] {
        weir.kill();
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        for (sql, before) in asked.iter().zip(&before) {
            assert_eq!(&value(&client, sql).await, before, "{sql}");
        }
    }
    let client = connect(weir.url()).await.unwrap();
    let refused = client.simple_query("INSERT INTO t VALUES (5, -1)").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23514");
    let refused = client.simple_query("INSERT INTO t VALUES (2, 1)").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "23505");
    run(&client, "INSERT INTO t (id) VALUES (6)").await;
    assert_eq!(value(&client, "SELECT (v = 14)::text FROM total").await, "true");
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_file_is_read_on_where_it_was() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("in.jsonl");
    fs::write(&path, "{\"k\": 1}\n{\"k\": 2}\nbroken\n{\"k\": 1}\n{\"k\"").unwrap();
    let mut weir = Server::start(1, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, &counted_source("s", &path, FOLLOWED)).await;
    until_counted(&client, "of_s", 3).await;
    for (round, workers) in [2, 4, 1].into_iter().enumerate() {
        weir.kill();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        write!(file, ": 3}}\n{{\"k\": 4}}\n{{\"k\"").unwrap();
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        until_counted(&client, "of_s", 5 + 2 * round).await;
        assert_eq!(value(&client, "SELECT n::text FROM of_s WHERE k = 1").await, "2");
        assert_eq!(value(&client, "SELECT count(*) FROM weir.dead_letters").await, "1");
    }
    weir.stop().unwrap();
}

#[tokio::test]
async fn what_was_dropped_need_not_be_there_any_more() {
    let files = tempfile::tempdir().unwrap();
    let (stays, goes) = (files.path().join("stays.jsonl"), files.path().join("goes.jsonl"));
    for path in [&stays, &goes] {
        fs::write(path, "{\"k\": 1}\n".repeat(1000)).unwrap();
    }
    let mut weir = Server::start(2, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, &counted_source("goes", &goes, FOLLOWED)).await;
    run(&client, &counted_source("stays", &stays, FOLLOWED)).await;
    until_counted(&client, "of_stays", 1000).await;
    // Through a reader of its own, which joins the shared one; then the view goes for which that was made.
    run(&client, "CREATE MATERIALIZED VIEW later AS SELECT count(*) AS n FROM stays").await;
    until_filled(&client).await;
    run(&client, "DROP MATERIALIZED VIEW of_stays; DROP SOURCE goes CASCADE").await;
    fs::remove_file(&goes).unwrap();
    for workers in [1, 3] {
        weir.kill();
        let mut file = fs::OpenOptions::new().append(true).open(&stays).unwrap();
        writeln!(file, "{{\"k\": 2}}").unwrap();
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        until_counted(&client, "later", if workers == 1 { 1001 } else { 1002 }).await;
        assert_eq!(value(&client, "SELECT count(*) FROM weir.sources").await, "1");
    }
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_source_that_lost_its_rows_is_named_and_can_be_put_back() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("in.jsonl");
    fs::write(&path, "{\"k\": 1}\n".repeat(10)).unwrap();
    let mut weir = without_checkpoints(1);
    let client = connect(weir.url()).await.unwrap();
    run(&client, &counted_source("s", &path, FOLLOWED)).await;
    until_counted(&client, "of_s", 10).await;
    weir.kill();
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(weir.restart(1).is_err());
    assert!(weir.log().contains("source \"s\" no longer gives the 10 rows"), "{}", weir.log());
    // A copy is another file for the system.
    fs::write(files.path().join("other"), "takes the number that the file had").unwrap();
    fs::write(&path, kept).unwrap();
    weir.restart(1).unwrap();
    let client = connect(weir.url()).await.unwrap();
    until_counted(&client, "of_s", 10).await;
    weir.stop().unwrap();
}

#[tokio::test]
async fn the_number_of_what_was_dropped_is_not_given_again() {
    let mut weir = Server::start(1, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, "CREATE TABLE gone (id INT)").await;
    run(&client, "DROP TABLE gone").await;
    for name in ["a", "b", "c"] {
        weir.kill();
        weir.restart(1).unwrap();
        let client = connect(weir.url()).await.unwrap();
        run(&client, &format!("CREATE TABLE {name} (id INT)")).await;
        run(&client, &format!("INSERT INTO {name} VALUES (1)")).await;
    }
    weir.kill();
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM a, b, c").await, "1");
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_file_that_came_between_those_that_were_read_is_noticed() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    for name in ["b.jsonl", "d.jsonl"] {
        fs::write(file(name), "{\"k\": 1}\n".repeat(9000)).unwrap();
    }
    let mut weir = without_checkpoints(2);
    let client = connect(weir.url()).await.unwrap();
    let source = counted_source("s", &files.path().join("*.jsonl"), "");
    run(&client, &source).await;
    until_counted(&client, "of_s", 18000).await;
    until_filled(&client).await;
    for name in ["a.jsonl", "c.jsonl"] {
        weir.kill();
        fs::write(file(name), "{\"k\": 2}\n{\"k\": 3}\n").unwrap();
        assert!(weir.restart(1).is_err(), "{name} was taken for another");
        assert!(weir.log().contains("source \"s\" no longer gives"), "{}", weir.log());
        fs::remove_file(file(name)).unwrap();
        weir.restart(3).unwrap();
    }
    weir.kill();
    // A source that is not followed has been read to its end: what comes behind is none of its rows, as before.
    fs::write(file("e.jsonl"), "{\"k\": 4}\n").unwrap();
    weir.restart(1).unwrap();
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT k || ':' || n FROM of_s").await, "1:18000");
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_source_that_no_view_reads_may_be_gone() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("in.jsonl");
    fs::write(&path, "{\"k\": 1}\n").unwrap();
    let mut weir = Server::start(1, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, &counted_source("s", &path, "")).await;
    run(&client, "DROP MATERIALIZED VIEW of_s").await;
    weir.kill();
    fs::remove_file(&path).unwrap();
    weir.restart(1).unwrap();
    let client = connect(weir.url()).await.unwrap();
    let refused = client.simple_query("SELECT * FROM s").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "58P01");
    fs::write(&path, "{\"k\": 7}\n").unwrap();
    assert_eq!(value(&client, "SELECT k::text FROM s").await, "7");
    weir.stop().unwrap();
}

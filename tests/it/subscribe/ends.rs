//! What ends a subscription: a drop, a cancel, a client that is too slow, a stop. The engine goes on.

use std::time::Duration;

use tokio_postgres::NoTls;

use crate::harness::{Weir, free_port, get, refused, rows, run, until, value};
use crate::server::{Server, connect};
use crate::subscribe::{Connection, Lines};

#[tokio::test]
async fn a_drop_says_so() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await;
    let (of_table, of_view, of_query) = (weir.connect().await, weir.connect().await, weir.connect().await);
    let mut table = Lines::of(&of_table, "SUBSCRIBE t").await;
    let mut view = Lines::of(&of_view, "SUBSCRIBE v").await;
    let mut query = Lines::of(&of_query, "SUBSCRIBE (SELECT n + 1 AS more FROM v)").await;
    assert_eq!((view.take(1).await, query.take(1).await), (vec!["1 0".to_string()], vec!["1 1".to_string()]));
    run(&client, "INSERT INTO t VALUES (1)").await;
    run(&client, "DROP TABLE t CASCADE").await;
    // What came before is there.
    assert_eq!(table.take(1).await, ["1 1"]);
    for lines in [&mut table, &mut view, &mut query] {
        let (code, message, _) = lines.error().await;
        assert_eq!((code.as_str(), message.as_str()), ("42P01", "subscription ended: the relation was dropped"));
    }
    // The connections are good for more.
    for connection in [&of_table, &of_view, &of_query] {
        assert_eq!(value(connection, "SELECT count(*) FROM weir.subscriptions").await, "0");
    }
    weir.stop();
}

#[tokio::test]
async fn a_cancel_a_timeout_and_a_client_that_is_gone() {
    let weir = Weir::start(2);
    let (client, subscriber) = (weir.connect().await, Connection::open(weir.url()).await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut lines = Lines::of(&subscriber, "SUBSCRIBE t").await;
    assert_eq!(lines.take(1).await, ["1 1"]);
    subscriber.cancel_token().cancel_query(NoTls).await.unwrap();
    assert_eq!(lines.error().await.0, "57014");
    run(&subscriber, "SET statement_timeout = '50ms'").await;
    assert_eq!(refused(&subscriber, "SUBSCRIBE t").await.0, "57014");
    run(&subscriber, "SET statement_timeout = 0").await;
    let mut lines = Lines::of(&subscriber, "SUBSCRIBE (SELECT id FROM t)").await;
    assert_eq!(lines.take(1).await, ["1 1"]);
    assert_eq!(value(&client, "SELECT count(*) FROM weir.subscriptions").await, "1");
    drop((lines, subscriber));
    until(&client, "SELECT count(*) FROM weir.subscriptions", "0").await;
    weir.stop();
}

#[tokio::test]
async fn not_within_what_is_not_committed() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    run(&client, "BEGIN; INSERT INTO t VALUES (1)").await;
    assert_eq!(refused(&client, "DECLARE c CURSOR FOR SUBSCRIBE t").await.0, "25001");
    run(&client, "ROLLBACK").await;
    weir.stop();
}

#[tokio::test]
async fn a_slow_client_is_cut_and_slows_nobody() {
    let weir = Weir::start(2);
    let (client, slow, quick) = (weir.connect().await, weir.connect().await, weir.connect().await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, filler TEXT)").await;
    run(&slow, "BEGIN; DECLARE c CURSOR FOR SUBSCRIBE t").await;
    let mut count = Lines::of(&quick, "SUBSCRIBE (SELECT count(*) FROM t)").await;
    assert_eq!(count.take(1).await, ["1 0"]);
    // More than is kept: 64 MB.
    for round in 0..8 {
        let ids = format!("generate_series({}, {})", round * 100, round * 100 + 99);
        run(&client, &format!("INSERT INTO t SELECT g, repeat('x', 100000) FROM {ids} AS s(g)")).await;
        assert_eq!(count.take(2).await, [format!("-1 {}", round * 100), format!("1 {}", round * 100 + 100)]);
    }
    let (code, message) = refused(&slow, "FETCH ALL c").await;
    assert_eq!((code.as_str(), message.as_str()), ("53000", "subscription cut: the client reads more slowly than rows change"));
    run(&slow, "ROLLBACK").await;
    assert!(get(weir.http(), "/metrics").1.contains("weir_subscriptions_cut_total 1\n"));
    // One that takes nothing off the wire is cut as well, and hears of it when it does.
    let mut stuck = Lines::of(&slow, "SUBSCRIBE t WITH (snapshot = false)").await;
    until(&client, "SELECT count(*) FROM weir.subscriptions WHERE commit IS NOT NULL", "2").await;
    for round in 0..12 {
        run(&client, &format!("UPDATE t SET filler = repeat('{}', 100000) WHERE id < 50", round % 10)).await;
    }
    let (code, _, detail) = stuck.error().await;
    assert_eq!(code, "53000");
    assert!(detail.starts_with("It got every change up to commit "), "{detail}");
    // The quick one goes on.
    run(&client, "DELETE FROM t WHERE id > 0").await;
    assert_eq!(count.take(2).await, ["-1 800", "1 1"]);
    assert_eq!(rows(&client, "SELECT relation, rows_behind FROM weir.subscriptions").await, [["NULL", "0"]]);
    weir.stop();
}

#[tokio::test]
async fn a_view_that_has_stopped() {
    let server = Server::start_with(2, &free_port(), &["--memory-limit", "3MB"]).unwrap();
    let client = connect(server.url()).await.unwrap();
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, k INT)").await;
    run(&client, "CREATE MATERIALIZED VIEW big AS SELECT k, min(id) AS least, count(DISTINCT id) AS n FROM t GROUP BY k").await;
    run(&client, "CREATE MATERIALIZED VIEW on_big AS SELECT count(*) AS n FROM big").await;
    let (of_big, of_on_big) = (connect(server.url()).await.unwrap(), connect(server.url()).await.unwrap());
    let mut big = Lines::of(&of_big, "SUBSCRIBE big").await;
    let mut on_big = Lines::of(&of_on_big, "SUBSCRIBE on_big").await;
    for round in 0..1000 {
        let ids = format!("generate_series({}, {})", round * 1000, round * 1000 + 999);
        // In the end tables may be full too.
        let _ = client.batch_execute(&format!("INSERT INTO t SELECT g, g / 4 FROM {ids} AS s(g)")).await;
        if value(&client, "SELECT error IS NOT NULL FROM weir.views WHERE name = 'big'").await == "t" {
            break;
        }
    }
    for lines in [&mut big, &mut on_big] {
        let (code, message, _) = lines.error().await;
        assert_eq!(code, "53200");
        assert!(message.contains("\"big\""), "{message}");
    }
    assert_eq!(refused(&of_big, "SUBSCRIBE on_big").await.0, "53200");
    server.stop().unwrap();
}

#[tokio::test]
async fn a_stop() {
    let server = Server::start(2, &free_port()).unwrap();
    let (client, subscriber) = (connect(server.url()).await.unwrap(), connect(server.url()).await.unwrap());
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let mut lines = Lines::of(&subscriber, "SUBSCRIBE t").await;
    assert_eq!(lines.take(1).await, ["1 1"]);
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let (code, ..) = tokio::time::timeout(Duration::from_secs(60), lines.error()).await.unwrap();
    assert_eq!(code, "57P01");
    stopped.await.unwrap().unwrap();
}

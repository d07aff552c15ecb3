//! Sessions that look at each other: pg_stat_activity, pg_cancel_backend, pg_terminate_backend, pg_sleep.

use std::time::Duration;

use tokio_postgres::Client;

use crate::harness::{Weir, refused, rows, run, until, value};

async fn pid(client: &Client) -> i32 {
    value(client, "SELECT pg_backend_pid()").await.parse().unwrap()
}

#[tokio::test]
async fn everybody_is_seen_with_what_they_do() {
    let weir = Weir::start(1);
    let (me, other) = (weir.connect().await, weir.connect().await);
    let other_pid = pid(&other).await;
    let of_other = |columns: &str| format!("SELECT {columns} FROM pg_stat_activity WHERE pid = {other_pid}");
    run(&other, "SET application_name = 'a dashboard'").await;
    assert_eq!(
        rows(&me, &of_other("application_name, usename, datname, client_addr, state, query, xact_start IS NULL")).await,
        [["a dashboard", "weir", "weir", "127.0.0.1", "idle", "SET application_name = 'a dashboard'", "t"]]
    );
    run(&other, "BEGIN; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    assert_eq!(
        rows(&me, &of_other("state, xact_start <= query_start, state_change >= query_start, backend_start <= xact_start")).await,
        [["idle in transaction", "t", "t", "t"]]
    );
    assert_eq!(refused(&other, "INSERT INTO t VALUES (1)").await.0, "23505");
    assert_eq!(value(&me, &of_other("state")).await, "idle in transaction (aborted)");
    run(&other, "ROLLBACK").await;
    // Its own statement is the one that runs.
    assert_eq!(value(&me, "SELECT state FROM pg_stat_activity WHERE pid = pg_backend_pid()").await, "active");
    assert_eq!(value(&me, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").await, "2");
    drop(other);
    until(&me, "SELECT count(*) FROM pg_stat_activity", "1").await;
    weir.stop();
}

#[tokio::test]
async fn another_sessions_statement_is_cancelled() {
    let weir = Weir::start(1);
    let (me, other) = (weir.connect().await, weir.connect().await);
    let other_pid = pid(&other).await;
    // Both wait for the same fact: that the other is asleep.
    for sleep in ["SELECT pg_sleep(1000000)", "SELECT count(*) FROM generate_series(1, 3) WHERE pg_sleep(1000000)::text = ''"] {
        let (slept, ()) = tokio::join!(refused(&other, sleep), async {
            until(&me, &format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {other_pid} AND query LIKE '%pg_sleep%'"), "1").await;
            assert_eq!(value(&me, &format!("SELECT pg_cancel_backend({other_pid})")).await, "t");
        });
        assert_eq!(slept, ("57014".to_string(), "canceling statement due to user request".to_string()));
    }
    assert_eq!(value(&other, "SELECT 1").await, "1");
    // A cancel for one that does nothing does nothing; one for oneself is one.
    assert_eq!(value(&me, &format!("SELECT pg_cancel_backend({other_pid})")).await, "t");
    assert_eq!(value(&other, "SELECT 2").await, "2");
    assert_eq!(refused(&me, "SELECT pg_cancel_backend(pg_backend_pid())").await.0, "57014");
    assert_eq!(value(&me, "SELECT pg_cancel_backend(2147483647)").await, "f");
    weir.stop();
}

#[tokio::test]
async fn another_session_is_ended() {
    let weir = Weir::start(1);
    let (me, other) = (weir.connect().await, weir.connect().await);
    run(&me, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let other_pid = pid(&other).await;
    run(&other, "BEGIN; INSERT INTO t VALUES (1); DELETE FROM t").await;
    assert_eq!(value(&me, &format!("SELECT pg_terminate_backend({other_pid})")).await, "t");
    until(&me, "SELECT count(*) FROM pg_stat_activity", "1").await;
    assert!(other.simple_query("SELECT 1").await.is_err());
    // Its lock went with it.
    run(&me, "DELETE FROM t").await;
    assert_eq!(value(&me, &format!("SELECT pg_terminate_backend({other_pid})")).await, "f");
    let third = weir.connect().await;
    let (code, message) = refused(&third, "SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert_eq!((code.as_str(), message.as_str()), ("57P01", "terminating connection due to administrator command"));
    weir.stop();
}

#[tokio::test]
async fn a_sleep_ends_by_itself_or_by_its_timeout() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    assert_eq!(value(&client, "SELECT pg_sleep(0.05)").await, "");
    assert_eq!(value(&client, "SELECT pg_sleep(-1)").await, "");
    assert_eq!(value(&client, "SELECT pg_catalog.pg_sleep(NULL)").await, "NULL");
    run(&client, "SET statement_timeout = '100ms'").await;
    assert_eq!(refused(&client, "SELECT pg_sleep(1000000)").await.0, "57014");
    run(&client, "RESET statement_timeout").await;
    // Asleep in the middle of a stop, it does not hold the server back.
    let sleeping = weir.connect().await;
    let asleep = tokio::spawn(async move { sleeping.simple_query("SELECT pg_sleep(1000000)").await.is_err() });
    until(&client, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", "1").await;
    weir.stop();
    assert!(tokio::time::timeout(Duration::from_secs(60), asleep).await.unwrap().unwrap());
}

//! The extended protocol, as drivers speak it: typed parameters, binary values, portals, cancellation, transactions.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt, TryStreamExt, pin_mut};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::harness::{Weir, describe, refused, rows, run, value};

/// Takes long enough for anyone to cancel it.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) WHERE (x + y) % 7 = 8";

fn code(error: &tokio_postgres::Error) -> String {
    error.code().unwrap_or_else(|| panic!("no error from the server but {error}")).code().to_string()
}

#[tokio::test]
async fn values_travel_in_binary_both_ways() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, s SMALLINT, b BIGINT, r REAL, d DOUBLE PRECISION, ok BOOLEAN, x TEXT, raw BYTEA)")
        .await;
    let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let raw: &[u8] = &[0, 1, 255];
    let written = client.execute(insert, &[&1i32, &-2i16, &i64::MAX, &1.5f32, &-0.25f64, &true, &"grüße", &raw]).await.unwrap();
    assert_eq!(written, 1);
    let none: Option<i32> = None;
    client
        .execute(insert, &[&2i32, &None::<i16>, &None::<i64>, &None::<f32>, &None::<f64>, &None::<bool>, &None::<&str>, &None::<&[u8]>])
        .await
        .unwrap();
    let found = client.query("SELECT * FROM t ORDER BY id", &[]).await.unwrap();
    let row = &found[0];
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i16>(1), row.get::<_, i64>(2)), (1, -2, i64::MAX));
    assert_eq!((row.get::<_, f32>(3), row.get::<_, f64>(4), row.get::<_, bool>(5)), (1.5, -0.25, true));
    assert_eq!((row.get::<_, &str>(6), row.get::<_, &[u8]>(7)), ("grüße", raw));
    assert!((1..8).all(|column| found[1].try_get::<_, Option<i16>>(column).map_or(true, |value| value.is_none())));
    assert_eq!(found[1].get::<_, Option<&str>>(6), None);

    // A parameter's type comes from where it stands, or from a cast.
    let row = client.query_one("SELECT count(*) FROM t WHERE b > $1 AND x = $2", &[&5i64, &"grüße"]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    let row = client.query_one("SELECT $1::int + 1, $2::text || '!'", &[&41i32, &"a"]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "a!"));
    let row = client.query_one("SELECT count(*) FROM t WHERE $1::int IS NULL", &[&none]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
    weir.stop();
}

#[tokio::test]
async fn statements_are_described_before_they_run() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, b BIGINT, n NUMERIC(10,2), ts TIMESTAMP)").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS c, sum(id) AS i, sum(b) AS b, avg(id) AS a, max(ts) AS ts FROM t").await;
    let select = client.prepare("SELECT c, i, b, a, ts FROM v WHERE c > $1").await.unwrap();
    let types: Vec<&Type> = select.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::INT8, &Type::INT8, &Type::NUMERIC, &Type::NUMERIC, &Type::TIMESTAMP]);
    assert_eq!(select.params(), [Type::INT8]);
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2, $3, $4)").await.unwrap();
    assert_eq!(insert.params(), [Type::INT4, Type::INT8, Type::NUMERIC, Type::TIMESTAMP]);
    assert!(insert.columns().is_empty());

    // Prepared once, run often; what another session does in between is seen.
    let other = weir.connect().await;
    let count = client.prepare("SELECT c FROM v").await.unwrap();
    for id in 0..5i64 {
        assert_eq!(client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), id);
        run(&other, &format!("INSERT INTO t (id, b) VALUES ({id}, {id})")).await;
    }
    // The object behind a prepared statement goes: an error, and the session lives on.
    run(&other, "DROP MATERIALIZED VIEW v").await;
    assert!(client.query(&count, &[]).await.is_err());
    assert_eq!(value(&client, "SELECT 1").await, "1");
    weir.stop();
}

#[tokio::test]
async fn portals_hand_out_rows_in_portions() {
    let weir = Weir::start(1);
    let mut client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    run(&client, "INSERT INTO t SELECT g FROM generate_series(1, 1000) AS s(g)").await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let portion = transaction.query_portal(&portal, 300).await.unwrap();
        seen.push(portion.len());
        if portion.is_empty() || portion.len() < 300 {
            assert_eq!(portion.last().map(|row| row.get::<_, i32>(0)), Some(1000));
            break;
        }
    }
    assert_eq!(seen, [300, 300, 300, 100]);
    transaction.commit().await.unwrap();
    weir.stop();
}

#[tokio::test]
async fn an_error_leaves_the_session_usable() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, price BIGINT)").await;
    let error = client.query("SELECT prices FROM t", &[]).await.unwrap_err();
    let db = error.as_db_error().unwrap();
    assert_eq!((db.code().code(), db.message(), db.severity()), ("42703", "column \"prices\" does not exist", "ERROR"));
    assert_eq!(db.hint(), Some("Perhaps you meant to reference the column \"t.price\"."));
    assert_eq!(db.position(), Some(&tokio_postgres::error::ErrorPosition::Original(8)));
    let error = client.query("SELECT $1::int / 0", &[&1i32]).await.unwrap_err();
    assert_eq!(code(&error), "22012");
    assert_eq!(client.query_one("SELECT 1::int", &[]).await.unwrap().get::<_, i32>(0), 1);
    weir.stop();
}

#[tokio::test]
async fn many_statements_in_flight_keep_their_order() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id BIGINT PRIMARY KEY)").await;
    let insert = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
    let count = client.prepare("SELECT count(*) FROM t").await.unwrap();
    // Sent without waiting for answers: each count sees exactly the inserts before it.
    let mut pending = Vec::new();
    for id in 0..50i64 {
        let (client, insert, count) = (&client, &insert, &count);
        pending.push(async move {
            client.execute(insert, &[&id]).await.unwrap();
            client.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
        });
    }
    let counts = futures::future::join_all(pending).await;
    assert_eq!(counts.iter().max(), Some(&50));
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "50");
    weir.stop();
}

#[tokio::test]
async fn a_transaction_commits_or_vanishes() {
    let weir = Weir::start(1);
    let mut client = weir.connect().await;
    let other = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await;
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES ($1)", &[&1i32]).await.unwrap();
    assert_eq!(value(&other, "SELECT n FROM v").await, "0");
    transaction.commit().await.unwrap();
    assert_eq!(value(&other, "SELECT n FROM v").await, "1");
    let transaction = client.transaction().await.unwrap();
    transaction.execute("INSERT INTO t VALUES ($1)", &[&2i32]).await.unwrap();
    drop(transaction);
    assert_eq!(value(&client, "SELECT n FROM v").await, "1");
    let transaction = client.transaction().await.unwrap();
    assert_eq!(code(&transaction.query("SELECT nothing", &[]).await.unwrap_err()), "42703");
    assert_eq!(code(&transaction.query("SELECT 1", &[]).await.unwrap_err()), "25P02");
    transaction.rollback().await.unwrap();
    // A client that goes away in the middle leaves nothing.
    let leaving = weir.connect().await;
    run(&leaving, "BEGIN; INSERT INTO t VALUES (3)").await;
    drop(leaving);
    assert_eq!(value(&client, "SELECT n FROM v").await, "1");
    run(&client, "INSERT INTO t VALUES (3)").await;
    weir.stop();
}

#[tokio::test]
async fn a_long_query_can_be_cancelled() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    let cancel = client.cancel_token();
    let start = Instant::now();
    let (result, ()) = tokio::join!(client.simple_query(LONG), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(code(&result.unwrap_err()), "57014");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(value(&client, "SELECT 1").await, "1");
    weir.stop();
}

#[tokio::test]
async fn a_stream_of_rows_can_be_cancelled() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    let cancel = client.cancel_token();
    let stream = client.simple_query_raw("SELECT * FROM generate_series(1, 1000000000)").await.unwrap();
    pin_mut!(stream);
    let mut seen = 0u64;
    let error = loop {
        match stream.next().await.expect("the stream ends with an error") {
            Ok(SimpleQueryMessage::Row(_)) => seen += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
        if seen == 5000 {
            cancel.cancel_query(NoTls).await.unwrap();
        }
    };
    assert_eq!(code(&error), "57014");
    assert!((5000..900_000_000).contains(&seen));
    assert_eq!(value(&client, "SELECT 1").await, "1");
    weir.stop();
}

#[tokio::test]
async fn statement_timeout_ends_a_long_query() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "SET statement_timeout = '200ms'").await;
    let start = Instant::now();
    assert_eq!(refused(&client, LONG).await, ("57014".to_string(), "canceling statement due to statement timeout".to_string()));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    run(&client, "SET statement_timeout = 0").await;
    assert_eq!(value(&client, "SELECT 1").await, "1");
    weir.stop();
}

#[tokio::test]
async fn rows_are_copied_in_and_out() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await;
    assert_eq!(copy(&client, 0..50_000).await, 50_000);
    assert_eq!(value(&client, "SELECT n FROM v").await, "50000");
    let chunks: Vec<_> = client.copy_out("COPY (SELECT id, name FROM t ORDER BY id) TO STDOUT").await.unwrap().try_collect().await.unwrap();
    let text = String::from_utf8(chunks.concat()).unwrap();
    assert_eq!(text.lines().count(), 50_000);
    assert_eq!(text.lines().last(), Some("49999\trow 49999"));
    // A copy that is given up leaves nothing.
    let sink = client.copy_in::<_, std::io::Cursor<Vec<u8>>>("COPY t FROM STDIN").await.unwrap();
    let mut sink = Box::pin(sink);
    sink.send(std::io::Cursor::new(b"100000\tx\n".to_vec())).await.unwrap();
    drop(sink);
    assert_eq!(value(&client, "SELECT n FROM v").await, "50000");
    weir.stop();
}

async fn copy(client: &Client, ids: std::ops::Range<u32>) -> u64 {
    let sink = client.copy_in::<_, std::io::Cursor<Vec<u8>>>("COPY t FROM STDIN").await.unwrap();
    let mut sink = Box::pin(sink);
    let lines: Vec<String> = ids.map(|id| format!("{id}\trow {id}\n")).collect();
    // Pieces that end in the middle of lines.
    for piece in lines.concat().as_bytes().chunks(1000) {
        sink.send(std::io::Cursor::new(piece.to_vec())).await.unwrap();
    }
    sink.as_mut().finish().await.unwrap_or_else(|e| panic!("{}", describe(&e)))
}

#[tokio::test]
async fn a_write_is_seen_by_the_next_read_of_anyone() {
    let weir = Weir::start(4);
    let (writer, reader) = (weir.connect().await, weir.connect().await);
    run(&writer, "CREATE TABLE t (id BIGINT PRIMARY KEY, k BIGINT)").await;
    run(&writer, "CREATE MATERIALIZED VIEW per_k AS SELECT k, count(*) AS n FROM t GROUP BY k").await;
    run(&writer, "CREATE MATERIALIZED VIEW overall AS SELECT sum(n) AS n, count(*) AS keys FROM per_k").await;
    let mut times = Vec::new();
    for id in 0..200 {
        let start = Instant::now();
        run(&writer, &format!("INSERT INTO t VALUES ({id}, {})", id % 10)).await;
        let seen = rows(&reader, "SELECT n, keys FROM overall").await;
        times.push(start.elapsed());
        assert_eq!(seen, vec![vec![(id + 1).to_string(), (id + 1).min(10).to_string()]]);
    }
    times.sort();
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    eprintln!("from sending an INSERT to having read a view on a view ({build} build): p50 {:?}, p99 {:?}", times[100], times[198]);
    weir.stop();
}

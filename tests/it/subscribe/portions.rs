//! Subscriptions in portions: cursors with FETCH and its timeout, portals with a limit of rows, typed values.

use futures::StreamExt;
use tokio_postgres::types::Type;

use crate::harness::{Weir, refused, rows, run, value};

#[tokio::test]
async fn fetch_returns_what_is_there() {
    let weir = Weir::start_without_checkpoints(2);
    let (client, other) = (weir.connect().await, weir.connect().await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT g FROM generate_series(1, 5) AS s(g)").await;
    run(&client, "BEGIN READ ONLY; DECLARE c CURSOR FOR SUBSCRIBE t").await;
    assert_eq!(rows(&client, "FETCH 2 c").await.len(), 2);
    assert_eq!(rows(&client, "FETCH FORWARD 2 FROM c WITH (timeout = '10s')").await.len(), 2);
    // Fewer than asked for: those that are there.
    assert_eq!(rows(&client, "FETCH 100 c").await.len(), 1);
    assert_eq!(rows(&client, "FETCH ALL c WITH (timeout = '0ms')").await.len(), 0);
    assert_eq!(rows(&client, "FETCH 10 c WITH (timeout = '20ms')").await.len(), 0);
    run(&other, "DELETE FROM t WHERE id > 3").await;
    let commit = value(&other, "SELECT commit FROM weir.snapshot").await;
    let mut fetched = rows(&client, "FETCH ALL c WITH (timeout = '1min')").await;
    fetched.sort();
    assert_eq!(fetched, [[commit.as_str(), "-1", "4"], [commit.as_str(), "-1", "5"]]);
    // Without a timeout it waits for the first row.
    let wait = tokio::spawn(async move {
        let fetched = rows(&client, "FETCH 5 c").await;
        (client, fetched)
    });
    run(&other, "INSERT INTO t VALUES (6)").await;
    let (client, fetched) = wait.await.unwrap();
    assert_eq!(fetched[0][1..], ["1", "6"]);
    let tag = client.execute("MOVE 5 c WITH (timeout = '10ms')", &[]).await.unwrap();
    assert_eq!(tag, 0);
    run(&client, "CLOSE c; COMMIT").await;
    // Outside a block it needs WITH HOLD, as every cursor; then it goes on from one transaction to the next.
    assert_eq!(refused(&client, "DECLARE c CURSOR FOR SUBSCRIBE t").await.0, "25P01");
    run(&client, "DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE t WITH (snapshot = false)").await;
    run(&client, "INSERT INTO t VALUES (7)").await;
    assert_eq!(rows(&client, "FETCH c").await[0][1..], ["1", "7"]);
    assert_eq!(refused(&client, "FETCH PRIOR c").await.0, "55000");
    assert_eq!(refused(&client, "DECLARE d SCROLL CURSOR FOR SUBSCRIBE t").await.0, "0A000");
    run(&client, "BEGIN; DECLARE e CURSOR FOR SELECT 1").await;
    assert_eq!(refused(&client, "FETCH e WITH (timeout = '1s')").await.0, "0A000");
    run(&client, "ROLLBACK; DISCARD ALL").await;
    assert_eq!(value(&client, "SELECT count(*) FROM weir.subscriptions").await, "0");
    weir.stop();
}

#[tokio::test]
async fn through_the_extended_protocol() {
    let weir = Weir::start_without_checkpoints(2);
    let (mut client, other) = (weir.connect().await, weir.connect().await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT); INSERT INTO t SELECT g, 'n' || g FROM generate_series(1, 5) AS s(g)")
        .await;
    let statement = client.prepare("SUBSCRIBE t WITH (progress = true)").await.unwrap();
    let columns: Vec<_> = statement.columns().iter().map(|column| (column.name(), column.type_().clone())).collect();
    let expected =
        [("weir_commit", Type::INT8), ("weir_progressed", Type::BOOL), ("weir_diff", Type::INT8), ("id", Type::INT4), ("name", Type::TEXT)];
    assert_eq!(columns, expected);
    // Rows of values in binary, as they come.
    let stream = client.query_raw(&statement, std::iter::empty::<i32>()).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    for _ in 0..5 {
        let row = stream.next().await.unwrap().unwrap();
        assert_eq!((row.get::<_, i64>(2), row.get::<_, String>(4)), (1, format!("n{}", row.get::<_, i32>(3))));
    }
    let row = stream.next().await.unwrap().unwrap();
    assert_eq!((row.get::<_, bool>(1), row.get::<_, Option<i64>>(2)), (true, None));
    client.cancel_token().cancel_query(tokio_postgres::NoTls).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");

    // A portal with a limit: that many rows, as soon as there are that many.
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SUBSCRIBE t", &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 3).await.unwrap().len(), 3);
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 2);
    run(&other, "INSERT INTO t VALUES (6, 'six')").await;
    let rows = transaction.query_portal(&portal, 1).await.unwrap();
    assert_eq!((rows[0].get::<_, i64>(1), rows[0].get::<_, i32>(2), rows[0].get::<_, &str>(3)), (1, 6, "six"));
    // SQL takes from the same portal.
    let name: String = transaction.query_one("SELECT name FROM pg_cursors", &[]).await.unwrap().get(0);
    run(&other, "INSERT INTO t VALUES (7, 'seven')").await;
    let rows = transaction.query(&format!("FETCH ALL \"{name}\" WITH (timeout = '10s')"), &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, i32>(2), 7);
    transaction.rollback().await.unwrap();
    weir.stop();
}

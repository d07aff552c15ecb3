//! Cursors and prepared statements, as drivers mix SQL and the protocol: FETCH with parameters, DECLARE with parameters,
//! portals that SQL reaches, statements prepared on one side and run on the other.

use tokio_postgres::types::Type;

use crate::harness::{Weir, printed, psql, refused, rows, run, value};

fn ids(rows: &[tokio_postgres::Row]) -> Vec<i32> {
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_cursor_is_read_and_not_collected() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    // Nobody could wait for all of these.
    run(&client, "BEGIN; DECLARE c CURSOR FOR SELECT generate_series FROM generate_series(1, 1000000000000)").await;
    assert_eq!(rows(&client, "FETCH 2 FROM c").await, [["1"], ["2"]]);
    assert_eq!(rows(&client, "MOVE 100000 FROM c; FETCH c").await, [["100003"]]);
    run(&client, "CLOSE c; COMMIT").await;
    // What a SCROLL cursor keeps has a limit, and says so.
    run(&client, "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT generate_series, repeat('x', 1000) FROM generate_series(1, 1000000000000)")
        .await;
    let (code, message) = refused(&client, "MOVE ALL FROM c").await;
    assert_eq!((code.as_str(), message.as_str()), ("54000", "the SCROLL cursors of a session keep at most 256 MB of rows"));
    run(&client, "ROLLBACK").await;
    weir.stop();
}

#[tokio::test]
async fn cursors_through_the_extended_protocol() {
    let weir = Weir::start(2);
    let mut client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT); INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 20) AS s(g)")
        .await;
    let transaction = client.transaction().await.unwrap();
    transaction.execute("DECLARE c CURSOR FOR SELECT id, name FROM t WHERE id > $1 ORDER BY id", &[&5i32]).await.unwrap();
    // What postgres_fdw sends, prepared: its columns are those of the cursor.
    let fetch = transaction.prepare("FETCH 4 FROM c").await.unwrap();
    assert_eq!(fetch.columns().iter().map(|column| column.type_().clone()).collect::<Vec<_>>(), [Type::INT4, Type::TEXT]);
    assert_eq!(ids(&transaction.query(&fetch, &[]).await.unwrap()), [6, 7, 8, 9]);
    assert_eq!(ids(&transaction.query(&fetch, &[]).await.unwrap()), [10, 11, 12, 13]);
    assert_eq!(transaction.execute("MOVE 3 FROM c", &[]).await.unwrap(), 3);
    assert_eq!(ids(&transaction.query("FETCH ALL FROM c", &[]).await.unwrap()), [17, 18, 19, 20]);
    transaction.batch_execute("CLOSE c").await.unwrap();

    // A portal of the protocol is a cursor to SQL, once it has been executed.
    let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    assert_eq!(ids(&transaction.query_portal(&portal, 2).await.unwrap()), [1, 2]);
    let name: String = transaction.query_one("SELECT name FROM pg_cursors", &[]).await.unwrap().get(0);
    transaction.batch_execute(&format!("MOVE 3 IN \"{name}\"")).await.unwrap();
    assert_eq!(ids(&transaction.query_portal(&portal, 2).await.unwrap()), [6, 7]);
    assert_eq!(ids(&transaction.query(&format!("FETCH 2 IN \"{name}\""), &[]).await.unwrap()), [8, 9]);
    assert_eq!(ids(&transaction.query_portal(&portal, 0).await.unwrap()).len(), 11);
    transaction.batch_execute(&format!("CLOSE \"{name}\"")).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap_err().code().unwrap().code(), "34000");
    transaction.rollback().await.unwrap();

    // It ends with its transaction, also when the client is not the one to say so.
    let error = client.query("DECLARE c CURSOR FOR SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25P01");
    assert_eq!(refused(&client, "FETCH c").await.0, "34000");
    weir.stop();
}

#[tokio::test]
async fn a_cursor_holds_its_commit() {
    let weir = Weir::start(2);
    let (client, other) = (weir.connect().await, weir.connect().await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT g FROM generate_series(1, 10) AS s(g)").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(id) AS total FROM t").await;
    run(
        &client,
        "DECLARE rows CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id; DECLARE sums CURSOR WITH HOLD FOR SELECT n, total FROM v",
    )
    .await;
    run(&other, "DELETE FROM t WHERE id > 2; INSERT INTO t VALUES (100)").await;
    assert_eq!(rows(&client, "FETCH 3 FROM rows").await, [["1"], ["2"], ["3"]]);
    assert_eq!(rows(&client, "FETCH ALL FROM sums").await, [["10", "55"]]);
    assert_eq!(rows(&client, "SELECT n, total FROM v").await, [["3", "103"]]);
    // The table itself may go: the rows of the commit are there still.
    run(&other, "DROP TABLE t CASCADE").await;
    assert_eq!(rows(&client, "FETCH ALL FROM rows").await.len(), 7);
    run(&client, "DISCARD ALL").await;
    assert_eq!(refused(&client, "FETCH rows").await.0, "34000");
    weir.stop();
}

#[tokio::test]
async fn prepared_statements_of_sql_and_of_the_protocol_are_the_same() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT)").await;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    let names = rows(&client, "SELECT name, parameter_types, from_sql, statement FROM pg_prepared_statements").await;
    assert_eq!(names.len(), 1);
    assert_eq!(names[0][1..], ["{integer,text}", "f", "INSERT INTO t VALUES ($1, $2)"]);
    run(&client, &format!("EXECUTE {}(1, 'by SQL')", names[0][0])).await;
    client.execute(&insert, &[&2i32, &"by the protocol"]).await.unwrap();
    assert_eq!(rows(&client, "SELECT * FROM t ORDER BY id").await, [["1", "by SQL"], ["2", "by the protocol"]]);
    run(&client, &format!("DEALLOCATE {}", names[0][0])).await;
    assert_eq!(client.execute(&insert, &[&3i32, &"gone"]).await.unwrap_err().code().unwrap().code(), "26000");
    // EXECUTE is described by what it executes.
    run(&client, "PREPARE of_sql AS SELECT id, name FROM t WHERE id = $1").await;
    let execute = client.prepare("EXECUTE of_sql(2)").await.unwrap();
    assert_eq!(execute.columns().iter().map(|column| column.name()).collect::<Vec<_>>(), ["id", "name"]);
    assert_eq!(client.query_one(&execute, &[]).await.unwrap().get::<_, &str>(1), "by the protocol");
    // What it was planned with has changed: planned again, or refused when the columns are others.
    run(&client, "DROP TABLE t; CREATE TABLE t (id INT PRIMARY KEY, name TEXT, more INT); INSERT INTO t VALUES (2, 'new', 1)").await;
    assert_eq!(rows(&client, "EXECUTE of_sql(2)").await, [["2", "new"]]);
    run(&client, "DROP TABLE t; CREATE TABLE t (id INT PRIMARY KEY, name INT)").await;
    assert_eq!(refused(&client, "EXECUTE of_sql(2)").await, ("0A000".into(), "cached plan must not change result type".into()));
    // A statement that executes itself would never end.
    client.prepare("EXECUTE of_sql(1)").await.unwrap();
    let name = value(&client, "SELECT max(name) FROM pg_prepared_statements WHERE NOT from_sql").await;
    assert_eq!(refused(&client, &format!("EXECUTE {name}")).await.0, "0A000");
    weir.stop();
}

#[tokio::test]
async fn psql_fetches_in_portions() {
    let weir = Weir::start(1);
    let script = "\\set FETCH_COUNT 100
\\pset format unaligned
\\pset tuples_only on
CREATE TABLE t (id INT PRIMARY KEY);
INSERT INTO t SELECT g FROM generate_series(1, 1050) AS s(g);
SELECT id FROM t ORDER BY id;
BEGIN;
SELECT count(*), sum(id) FROM t;
DECLARE b BINARY CURSOR FOR SELECT 'bytes'::text;
FETCH b;
COMMIT;
";
    let Some(output) = psql(weir.url(), script) else { return };
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&"1050|551775") && lines.contains(&"bytes"), "{text}");
    let numbers: Vec<usize> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=1050).collect::<Vec<_>>());
    weir.stop();
}

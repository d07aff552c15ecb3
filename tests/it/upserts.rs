//! INSERT .. ON CONFLICT and RETURNING as drivers use them: 8 connections on the same keys, and what is described.

use futures::{TryStreamExt, pin_mut};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Weir, describe, rows, run, value};

const WRITERS: i64 = 8;
const KEYS: i64 = 60;

const INCREMENT: &str =
    "INSERT INTO counters AS c VALUES ($1, 1, $2) ON CONFLICT (id) DO UPDATE SET n = c.n + excluded.n, last = excluded.last";
const FIRST: &str = "INSERT INTO firsts VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING writer";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_exact_under_eight_writers() {
    for workers in [1, 4] {
        let weir = Weir::start(workers);
        let client = weir.connect().await;
        run(&client, "CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT CHECK (n > 0), last BIGINT)").await;
        run(&client, "CREATE TABLE firsts (id BIGINT PRIMARY KEY, writer BIGINT)").await;
        run(&client, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n, count(*) AS keys FROM counters").await;
        run(&client, "CREATE MATERIALIZED VIEW by_writer AS SELECT writer, count(*) AS firsts FROM firsts GROUP BY writer").await;
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            writers.push(tokio::spawn(write(weir.connect().await, writer)));
        }
        // Two more insert the same keys without ON CONFLICT, and take no lock for it.
        let mut inserters = Vec::new();
        for inserter in 0..2 {
            inserters.push(tokio::spawn(insert(weir.connect().await, inserter)));
        }
        let mut firsts = 0;
        for writer in writers {
            firsts += writer.await.unwrap();
        }
        let mut inserted = 0;
        for inserter in inserters {
            inserted += inserter.await.unwrap();
        }
        let total = (WRITERS * KEYS + inserted).to_string();
        assert_eq!(rows(&client, "SELECT sum(n), count(*) FROM counters").await, [[total.clone(), KEYS.to_string()]]);
        assert_eq!(rows(&client, "SELECT n, keys FROM total").await, [[total, KEYS.to_string()]], "{workers} workers");
        assert_eq!(firsts, KEYS, "each key has one that was first");
        assert_eq!(value(&client, "SELECT sum(firsts) FROM by_writer").await, KEYS.to_string());
        weir.stop();
    }
}

/// Increments every counter once, in one of the ways that there are; nothing of it may fail. Says how often it was first.
async fn write(client: Client, writer: i64) -> i64 {
    let increment = client.prepare(INCREMENT).await.unwrap();
    let first = client.prepare(FIRST).await.unwrap();
    let mut firsts = 0;
    for id in 0..KEYS {
        let done = match writer % 4 {
            0 => client.batch_execute(&INCREMENT.replace("$1", &id.to_string()).replace("$2", &writer.to_string())).await.map(|()| 1),
            // Two rows in one command, of which the other writers know one.
            1 => {
                let both = INCREMENT.replace("($1, 1, $2)", &format!("({id}, 1, {writer}), ({}, 1, {writer})", -1 - id));
                let count = client.execute(&both, &[]).await.unwrap();
                assert_eq!(count, 2);
                client.execute("DELETE FROM counters WHERE id = $1", &[&(-1 - id)]).await.map(|_| 1)
            }
            _ => client.execute(&increment, &[&id, &writer]).await,
        };
        let done = done.unwrap_or_else(|error| panic!("writer {writer}, key {id}: {}", describe(&error)));
        assert_eq!(done, 1);
        let rows = client.query(&first, &[&id, &writer]).await.unwrap_or_else(|error| panic!("{}", describe(&error)));
        firsts += rows.len() as i64;
        assert!(rows.iter().all(|row| row.get::<_, i64>(0) == writer));
    }
    firsts
}

/// Inserts every key of counters that is not there yet, with 1; says how many.
async fn insert(client: Client, inserter: i64) -> i64 {
    let mut inserted = 0;
    for id in 0..KEYS {
        match client.execute("INSERT INTO counters VALUES ($1, 1, $2)", &[&id, &inserter]).await {
            Ok(count) => inserted += count as i64,
            Err(error) => assert_eq!(error.code().map(|code| code.code()), Some("23505"), "{}", describe(&error)),
        }
    }
    inserted
}

#[tokio::test]
async fn returning_is_described_and_typed() {
    let weir = Weir::start(1);
    let mut client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, name TEXT DEFAULT 'x', at TIMESTAMP, price NUMERIC(8,2))").await;
    let insert = client
        .prepare(
            "INSERT INTO t AS a (id, price) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET price = excluded.price + $3 WHERE a.id > $4
             RETURNING *, id::bigint * 2 AS twice, $5::text || name",
        )
        .await
        .unwrap();
    let columns: Vec<(&str, &Type)> = insert.columns().iter().map(|column| (column.name(), column.type_())).collect();
    let expected = [
        ("id", &Type::INT4),
        ("name", &Type::TEXT),
        ("at", &Type::TIMESTAMP),
        ("price", &Type::NUMERIC),
        ("twice", &Type::INT8),
        ("?column?", &Type::TEXT),
    ];
    assert_eq!(columns, expected);
    assert_eq!(insert.params()[0], Type::INT4);
    assert_eq!(insert.params()[1], Type::NUMERIC);
    assert_eq!(insert.params()[3..], [Type::INT4, Type::TEXT]);

    let update = client.prepare("UPDATE t SET name = $1 WHERE id = $2 RETURNING id, name, now() AS moment").await.unwrap();
    assert_eq!(update.params(), [Type::TEXT, Type::INT4]);
    let types: Vec<&Type> = update.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::INT4, &Type::TEXT, &Type::TIMESTAMPTZ]);
    let delete = client.prepare("DELETE FROM t USING (SELECT $1::bigint AS x) AS g WHERE t.id = g.x RETURNING t.id, g.x").await.unwrap();
    let types: Vec<&Type> = delete.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::INT4, &Type::INT8]);

    // Values in binary, each run on its own rows.
    let plain = client.prepare("INSERT INTO t (id) VALUES ($1) RETURNING id, name").await.unwrap();
    for id in 1..=5i32 {
        let row = client.query_one(&plain, &[&id]).await.unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (id, "x"));
    }
    // Without asking for the rows, the command tag tells their number.
    assert_eq!(client.execute(&plain, &[&6i32]).await.unwrap(), 1);
    let row = client.query_one(&update, &[&"new", &3i32]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (3, "new"));
    assert_eq!(client.query(&update, &[&"new", &99i32]).await.unwrap().len(), 0);

    // A stream of rows that nobody reads to its end has happened all the same.
    {
        let stream =
            client.query_raw("INSERT INTO t SELECT x::int, 'many' FROM generate_series(100, 599) AS g(x) RETURNING id", &[] as &[i32; 0]);
        let stream = stream.await.unwrap();
        pin_mut!(stream);
        assert_eq!(stream.try_next().await.unwrap().unwrap().get::<_, i32>(0), 100);
    }
    assert_eq!(value(&client, "SELECT count(*) FROM t WHERE name = 'many'").await, "500");

    // In portions, in a block, in order.
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("DELETE FROM t WHERE name = 'many' RETURNING id", &[]).await.unwrap();
    let mut found = Vec::new();
    loop {
        let portion = transaction.query_portal(&portal, 200).await.unwrap();
        if portion.is_empty() {
            break;
        }
        assert!(portion.len() <= 200);
        found.extend(portion.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(found.len(), 500);
    transaction.rollback().await.unwrap();
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "506");

    // The simple protocol says the same.
    let messages = client.simple_query("UPDATE t SET price = 1.5 WHERE id <= 2 RETURNING id, price").await.unwrap();
    let tags: Vec<u64> =
        messages.iter().filter_map(|m| if let SimpleQueryMessage::CommandComplete(n) = m { Some(*n) } else { None }).collect();
    assert_eq!(tags, [2]);

    // A change of the table's columns between Parse and Execute is noticed.
    run(&client, "DROP TABLE t; CREATE TABLE t (id INT PRIMARY KEY, name INT)").await;
    assert!(client.query(&update, &[&"new", &3i32]).await.is_err());
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "0");
    weir.stop();
}

#[tokio::test]
async fn a_pipeline_of_upserts_is_one_transaction() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, n INT CHECK (n < 3))").await;
    // One message with several statements: what the last one violates undoes all.
    let upsert = "INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = t.n + 1;";
    let error = client.simple_query(&upsert.repeat(3)).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("23514"), "{}", describe(&error));
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "0");
    run(&client, &upsert.repeat(2)).await;
    assert_eq!(rows(&client, "SELECT * FROM t").await, [["1", "2"]]);
    weir.stop();
}

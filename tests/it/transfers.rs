//! Amounts move between the rows of a table, by 8 writers at once, under the eyes of 8 readers.
//!
//! The total never changes, in the table and in every view; no update is lost, and no key is there twice. A failure
//! prints the seed; `WEIR_SEED` repeats it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;
use tokio_postgres::Client;

use crate::harness::{Weir, describe, rows, run, seed, value};

const ACCOUNTS: u64 = 20;
const START: i64 = 1000;
const WRITERS: u64 = 8;
const READERS: u64 = 8;
const ROUNDS: u64 = 60;
const KEYS: u64 = 50;

/// What the writers were told has happened.
#[derive(Default)]
struct Told {
    transfers: AtomicU64,
    increments: AtomicU64,
    keys: AtomicU64,
    refused_keys: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_total_stays_the_same() {
    transfer(1).await;
    transfer(4).await;
}

async fn transfer(workers: usize) {
    let seed = seed();
    let weir = Weir::start(workers);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE accounts (id BIGINT PRIMARY KEY, shard BIGINT, amount BIGINT)").await;
    run(&client, "CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT)").await;
    run(&client, "CREATE TABLE keys (id BIGINT PRIMARY KEY, writer BIGINT)").await;
    let values: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {}, {START})", id % 4)).collect();
    run(&client, &format!("INSERT INTO accounts VALUES {}; INSERT INTO counters VALUES (1, 0)", values.join(", "))).await;
    run(&client, "CREATE MATERIALIZED VIEW by_shard AS SELECT shard, sum(amount) AS amount, count(*) AS n FROM accounts GROUP BY shard")
        .await;
    run(&client, "CREATE MATERIALIZED VIEW total AS SELECT sum(amount) AS amount, sum(n) AS n FROM by_shard").await;
    run(&client, "CREATE MATERIALIZED VIEW rich AS SELECT id, amount FROM accounts WHERE amount >= 0").await;
    run(&client, "CREATE MATERIALIZED VIEW poor AS SELECT id, amount FROM accounts WHERE amount < 0").await;
    run(&client, "CREATE MATERIALIZED VIEW both_kinds AS SELECT * FROM rich UNION ALL SELECT * FROM poor").await;

    let told = Arc::new(Told::default());
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (client, told, random) = (weir.connect().await, told.clone(), Rng::with_seed(seed ^ (writer + 1)));
        writers.push(tokio::spawn(write(client, writer, random, told)));
    }
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let (client, done) = (weir.connect().await, done.clone());
        readers.push(tokio::spawn(read(client, reader, done)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }

    let increments = value(&client, "SELECT n FROM counters").await;
    assert_eq!(increments, told.increments.load(Ordering::Relaxed).to_string(), "an increment was lost or doubled");
    let keys = rows(&client, "SELECT count(*), count(DISTINCT id) FROM keys").await;
    let expected = told.keys.load(Ordering::Relaxed).to_string();
    assert_eq!(keys, vec![vec![expected.clone(), expected]], "keys that writers were told they had inserted");
    assert!(told.refused_keys.load(Ordering::Relaxed) > 0, "writers never met over a key");
    let transfers = told.transfers.load(Ordering::Relaxed);
    assert_eq!(transfers, WRITERS * ROUNDS);
    eprintln!("{workers} workers: {transfers} transfers, {reads} reads");
    weir.stop();
}

async fn write(client: Client, writer: u64, mut random: Rng, told: Arc<Told>) {
    for round in 0..ROUNDS {
        let from = random.u64(..ACCOUNTS);
        let to = (from + random.u64(1..ACCOUNTS)) % ACCOUNTS;
        let amount = random.i64(1..500);
        let transfer = match random.u8(..3) {
            0 => format!(
                "UPDATE accounts SET amount = amount + CASE WHEN id = {from} THEN -{amount} ELSE {amount} END WHERE id IN ({from}, {to})"
            ),
            1 => format!(
                "BEGIN; UPDATE accounts SET amount = amount - {amount} WHERE id = {from}; UPDATE accounts SET amount = amount + {amount} WHERE id = {to}; COMMIT"
            ),
            // A row that leaves and comes back with another amount.
            _ => format!(
                "BEGIN; UPDATE accounts SET amount = amount + {amount} WHERE id = {to}; \
                 UPDATE accounts SET amount = amount - {amount}, shard = (shard + 1) % 4 WHERE id = {from}; COMMIT"
            ),
        };
        again(&client, &transfer).await;
        told.transfers.fetch_add(1, Ordering::Relaxed);
        again(&client, "UPDATE counters SET n = n + 1 WHERE id = 1").await;
        told.increments.fetch_add(1, Ordering::Relaxed);
        match client.simple_query(&format!("INSERT INTO keys VALUES ({}, {writer})", random.u64(..KEYS))).await {
            Ok(_) => told.keys.fetch_add(1, Ordering::Relaxed),
            Err(error) if error.code().is_some_and(|code| code.code() == "23505") => told.refused_keys.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("writer {writer}, round {round}: {}", describe(&error)),
        };
    }
}

/// A transaction that lost against another may be tried again, as with Postgres.
async fn again(client: &Client, sql: &str) {
    loop {
        match client.batch_execute(sql).await {
            Ok(()) => return,
            Err(error) if error.code().is_some_and(|code| ["40001", "40P01"].contains(&code.code())) => {
                run(client, "ROLLBACK").await;
            }
            Err(error) => panic!("{sql}: {}", describe(&error)),
        }
    }
}

async fn read(client: Client, reader: u64, done: Arc<AtomicBool>) -> u64 {
    let total = (ACCOUNTS as i64 * START).to_string();
    let everything = "SELECT (SELECT sum(amount) FROM accounts), (SELECT sum(amount) FROM by_shard), (SELECT amount FROM total),
        (SELECT sum(amount) FROM both_kinds), (SELECT n FROM total), (SELECT count(*) FROM both_kinds)";
    let whole = vec![total.clone(), total.clone(), total.clone(), total.clone(), ACCOUNTS.to_string(), ACCOUNTS.to_string()];
    let mut reads = 0;
    while !done.load(Ordering::Relaxed) {
        match reader % 4 {
            0 => assert_eq!(value(&client, "SELECT amount FROM total").await, total),
            1 => assert_eq!(value(&client, "SELECT sum(amount) FROM accounts").await, total),
            2 => assert_eq!(rows(&client, everything).await, vec![whole.clone()], "one statement, one moment"),
            _ => {
                // One block, one moment, over several statements.
                run(&client, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ").await;
                let shards = rows(&client, "SELECT shard, amount FROM by_shard ORDER BY shard").await;
                let sum: i64 = shards.iter().map(|row| row[1].parse::<i64>().unwrap()).sum();
                assert_eq!(sum.to_string(), total);
                let accounts = rows(&client, "SELECT shard, sum(amount) FROM accounts GROUP BY shard ORDER BY shard").await;
                assert_eq!(accounts, shards, "a block saw a view and its table at two moments");
                run(&client, "COMMIT").await;
            }
        }
        reads += 1;
    }
    reads
}

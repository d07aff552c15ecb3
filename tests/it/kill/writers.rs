//! Who writes to tables: each writer owns keys and a counter, knows what it was told is done, and what it was told nothing of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use tokio_postgres::Client;

use crate::harness::{describe, rows, run};

pub const ACCOUNTS: i64 = 20;
pub const START: i64 = 1000;
/// Keys that a writer has at most.
const ENTRIES_MAX: usize = 40;
/// Numbers are a writer's own from here on, times its number.
const OWN: i64 = 1_000_000;

/// What is true of a writer's rows.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    /// Its counter.
    n: i64,
    /// Its rows of `entries`, and how often each was changed.
    entries: BTreeMap<i64, i64>,
    /// Its rows of `transfers`, numbered from 1.
    transfers: i64,
    /// Keys of `keys`, over which writers meet.
    claims: BTreeSet<i64>,
    /// How often it raised the counter that all share, since the last check.
    shared: i64,
}

pub struct Writer {
    pub number: i64,
    /// What it was told.
    told: State,
    /// What is true if the last statement, of which it was told nothing, was carried out.
    perhaps: Option<State>,
    next_key: i64,
    /// Transactions that were acknowledged.
    pub acknowledged: u64,
}

/// What became of a statement.
#[derive(PartialEq)]
enum Outcome {
    Done,
    Refused,
    /// The server is gone.
    Unknown,
}

pub async fn create_tables(client: &Client, writers: i64) {
    run(client, "CREATE TABLE accounts (id BIGINT PRIMARY KEY, shard BIGINT, amount BIGINT)").await;
    run(client, "CREATE TABLE transfers (id BIGINT PRIMARY KEY, src BIGINT, dst BIGINT, amount BIGINT)").await;
    run(client, "CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT)").await;
    run(client, "CREATE TABLE entries (id BIGINT PRIMARY KEY, writer BIGINT, version BIGINT, note TEXT)").await;
    run(client, "CREATE TABLE keys (id BIGINT PRIMARY KEY, writer BIGINT)").await;
    let accounts: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {}, {START})", id % 4)).collect();
    run(client, &format!("INSERT INTO accounts VALUES {}", accounts.join(", "))).await;
    let counters: Vec<String> = (0..=writers).map(|id| format!("({id}, 0)")).collect();
    run(client, &format!("INSERT INTO counters VALUES {}", counters.join(", "))).await;
}

impl Writer {
    /// Writers are numbered from 1; number 0 is the counter that all share.
    pub fn new(number: i64) -> Self {
        Writer { number, told: State::default(), perhaps: None, next_key: number * OWN, acknowledged: 0 }
    }

    /// Writes until the server is gone, or until it is told to stop.
    pub async fn write(mut self, client: Client, mut random: Rng, round: i64, stop: Arc<AtomicBool>) -> Writer {
        while !stop.load(Ordering::Relaxed) && self.once(&client, &mut random, round).await != Outcome::Unknown {}
        self
    }

    async fn once(&mut self, client: &Client, random: &mut Rng, round: i64) -> Outcome {
        let mut after = self.told.clone();
        let me = self.number;
        let sql = match random.u8(..8) {
            0 => self.count(&mut after),
            1 => {
                after.shared += 1;
                "UPDATE counters SET n = n + 1 WHERE id = 0".to_string()
            }
            2 => {
                let key = round * 30 + random.i64(0..60);
                after.claims.insert(key);
                format!("INSERT INTO keys VALUES ({key}, {me})")
            }
            3 => self.insert(&mut after, random),
            4 => self.update(&mut after, random),
            5 => self.delete(&mut after, random),
            6 => {
                let parts = [self.insert(&mut after.clone(), random), self.transfer(&mut after.clone(), random)];
                format!("BEGIN; {}; ROLLBACK", parts.join("; "))
            }
            _ => {
                let mut parts = vec![self.count(&mut after), self.transfer(&mut after, random)];
                for _ in 0..random.u8(..4) {
                    let part = match random.u8(..3) {
                        0 => self.insert(&mut after, random),
                        1 => self.update(&mut after, random),
                        _ => self.delete(&mut after, random),
                    };
                    parts.push(part);
                }
                random.shuffle(&mut parts[..2]);
                format!("BEGIN; {}; COMMIT", parts.join("; "))
            }
        };
        self.attempt(client, &sql, after).await
    }

    fn count(&self, after: &mut State) -> String {
        after.n += 1;
        format!("UPDATE counters SET n = n + 1 WHERE id = {}", self.number)
    }

    /// An amount moves, and a row tells of it.
    fn transfer(&self, after: &mut State, random: &mut Rng) -> String {
        after.transfers += 1;
        let (id, from, amount) = (self.number * OWN + after.transfers, random.i64(0..ACCOUNTS), random.i64(1..500));
        let to = (from + random.i64(1..ACCOUNTS)) % ACCOUNTS;
        let moved = match random.bool() {
            true => format!(
                "UPDATE accounts SET amount = amount + CASE WHEN id = {from} THEN -{amount} ELSE {amount} END WHERE id IN ({from}, {to})"
            ),
            false => format!(
                "UPDATE accounts SET amount = amount - {amount} WHERE id = {from}; \
                 UPDATE accounts SET amount = amount + {amount}, shard = (shard + 1) % 4 WHERE id = {to}"
            ),
        };
        format!("INSERT INTO transfers VALUES ({id}, {from}, {to}, {amount}); {moved}")
    }

    fn insert(&mut self, after: &mut State, random: &mut Rng) -> String {
        let keys: Vec<i64> = (0..random.i64(1..5)).map(|more| self.next_key + more).collect();
        self.next_key += keys.len() as i64;
        after.entries.extend(keys.iter().map(|key| (*key, 0)));
        let values: Vec<String> = keys.iter().map(|key| format!("({key}, {}, 0, 'entry {key}')", self.number)).collect();
        format!("INSERT INTO entries VALUES {}", values.join(", "))
    }

    fn update(&self, after: &mut State, random: &mut Rng) -> String {
        let part = random.i64(0..3);
        after.entries.iter_mut().filter(|(key, _)| **key % 3 == part).for_each(|(_, version)| *version += 1);
        format!("UPDATE entries SET version = version + 1 WHERE writer = {} AND id % 3 = {part}", self.number)
    }

    /// The oldest ones go: one, or as many as there are too many.
    fn delete(&self, after: &mut State, random: &mut Rng) -> String {
        let count = random.usize(1..4).max(after.entries.len().saturating_sub(ENTRIES_MAX));
        let through = after.entries.keys().nth(count - 1).or(after.entries.keys().last()).copied().unwrap_or(0);
        after.entries.retain(|key, _| *key > through);
        format!("DELETE FROM entries WHERE writer = {} AND id <= {through}", self.number)
    }

    /// A transaction that lost against another is tried again, as with Postgres.
    async fn attempt(&mut self, client: &Client, sql: &str, after: State) -> Outcome {
        loop {
            self.perhaps = Some(after.clone());
            let Err(error) = client.batch_execute(sql).await else {
                self.acknowledged += 1;
                self.told = after;
                self.perhaps = None;
                return Outcome::Done;
            };
            let Some(code) = error.code().map(|code| code.code().to_string()) else { return Outcome::Unknown };
            self.perhaps = None;
            match code.as_str() {
                "23505" if sql.starts_with("INSERT INTO keys") => return Outcome::Refused,
                "40001" | "40P01" if client.batch_execute("ROLLBACK").await.is_ok() => {}
                "40001" | "40P01" => return Outcome::Unknown,
                _ => panic!("{sql}: {}", describe(&error)),
            }
        }
    }

    /// Holds what there is against what the writer was told, all of it or all of what it was told nothing of; it is told the rest now.
    async fn settle(&mut self, client: &Client) {
        let mut found = self.told.clone();
        found.n = one(client, &format!("SELECT n FROM counters WHERE id = {}", self.number)).await;
        let entries = rows(client, &format!("SELECT id, version, note FROM entries WHERE writer = {}", self.number)).await;
        found.entries = entries.iter().map(|row| (int(&row[0]), int(&row[1]))).collect();
        assert_eq!(found.entries.len(), entries.len(), "a key is there twice: {entries:?}");
        assert!(entries.iter().all(|row| row[2] == format!("entry {}", row[0])), "{entries:?}");
        let (from, to) = (self.number * OWN, (self.number + 1) * OWN);
        let transfers = format!("SELECT count(*), coalesce(max(id) - {from}, 0) FROM transfers WHERE id > {from} AND id < {to}");
        let transfers = rows(client, &transfers).await;
        assert_eq!(transfers[0][0], transfers[0][1], "transfers of writer {} are not numbered through", self.number);
        found.transfers = int(&transfers[0][0]);
        let claims = rows(client, &format!("SELECT id FROM keys WHERE writer = {}", self.number)).await;
        found.claims = claims.iter().map(|row| int(&row[0])).collect();
        assert_eq!(found.claims.len(), claims.len(), "a key is there twice: {claims:?}");

        let is = |state: &State| State { shared: found.shared, ..state.clone() } == found;
        let perhaps = self.perhaps.take();
        assert!(
            is(&self.told) || perhaps.as_ref().is_some_and(is),
            "writer {} was told\n{:?}\nand perhaps\n{perhaps:?}\nbut there is\n{found:?}",
            self.number,
            self.told
        );
        self.told = State { shared: 0, ..found };
    }
}

/// What every writer was told is there, what it was told nothing of is there in full or not at all, and amounts are what transfers
/// made them. Afterwards the writers know what is there. `shared` is the counter that all of them raise.
pub async fn settle(client: &Client, writers: &mut [Writer], shared: &mut i64) {
    let told: i64 = writers.iter().map(|writer| writer.told.shared).sum();
    let perhaps = writers.iter().filter(|writer| writer.perhaps.as_ref().is_some_and(|state| state.shared > writer.told.shared)).count();
    let n = one(client, "SELECT n FROM counters WHERE id = 0").await;
    let (least, most) = (*shared + told, *shared + told + perhaps as i64);
    assert!((least..=most).contains(&n), "the shared counter is {n}, not from {least} to {most}");
    *shared = n;
    for writer in writers.iter_mut() {
        writer.settle(client).await;
    }
    for table in ["accounts", "transfers", "counters", "entries", "keys"] {
        let keys = rows(client, &format!("SELECT count(*), count(DISTINCT id) FROM {table}")).await;
        assert_eq!(keys[0][0], keys[0][1], "a key of {table} is there twice");
    }
    let mut expected: BTreeMap<i64, i64> = (0..ACCOUNTS).map(|id| (id, START)).collect();
    for (side, sign) in [("src", -1), ("dst", 1)] {
        for row in rows(client, &format!("SELECT {side}, sum(amount) FROM transfers GROUP BY {side}")).await {
            *expected.get_mut(&int(&row[0])).expect("transfers are between accounts") += sign * int(&row[1]);
        }
    }
    let found = rows(client, "SELECT id, amount FROM accounts").await;
    let found: BTreeMap<i64, i64> = found.iter().map(|row| (int(&row[0]), int(&row[1]))).collect();
    assert_eq!(found, expected, "amounts are not what the transfers made them");
    assert_eq!(found.values().sum::<i64>(), ACCOUNTS * START, "the total moved");
}

async fn one(client: &Client, sql: &str) -> i64 {
    int(&crate::harness::value(client, sql).await)
}

pub fn int(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no integer"))
}

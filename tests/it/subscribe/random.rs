//! Any subscriber can make every state of what it follows: the rows that it begins with and the changes up to a commit are what a
//! SELECT shows at that commit, while others write and subscribers come and go. A failure prints the seed; `WEIR_SEED` repeats it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;
use futures::TryStreamExt;
use tokio_postgres::Client;

use crate::harness::{Weir, run, seed, value};
use crate::subscribe::{Connection, Lines};

const WRITERS: u64 = 4;
const ROUNDS: u64 = 40;
const SUBSCRIBERS: u64 = 6;
const IDS: i32 = 40;

/// What is followed: what to subscribe to, and the query that shows the same rows.
const FOLLOWED: [(&str, &str); 4] = [
    ("t", "SELECT * FROM t"),
    ("v", "SELECT * FROM v"),
    ("(SELECT k, v FROM t WHERE v % 2 = 0)", "SELECT k, v FROM t WHERE v % 2 = 0"),
    ("(SELECT k, max(total) AS most FROM v GROUP BY k)", "SELECT k, total AS most FROM v"),
];

/// Rows as text, and how often each is there.
type Bag = BTreeMap<String, i64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_can_be_made() {
    make_states(1).await;
    make_states(3).await;
}

async fn make_states(workers: usize) {
    let seed = seed();
    let weir = Weir::start(workers);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, k INT, v INT)").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k").await;
    let (done, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(weir.connect().await, Rng::with_seed(seed ^ (writer + 1)))));
    }
    let mut followers = Vec::new();
    for subscriber in 0..SUBSCRIBERS {
        let random = Rng::with_seed(seed ^ (100 + subscriber));
        followers.push(tokio::spawn(follow(weir.url().to_string(), subscriber as usize, random, last.clone())));
    }
    let mut observers = Vec::new();
    for (_, query) in FOLLOWED {
        observers.push(tokio::spawn(observe(weir.connect().await, query, done.clone())));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let mut observed = Vec::new();
    for observer in observers {
        observed.push(observer.await.unwrap());
    }
    last.store(value(&client, "SELECT commit FROM weir.snapshot").await.parse().unwrap(), Ordering::SeqCst);
    // A commit that those who wait for progress hear of.
    run(&client, "CREATE TABLE over (id INT)").await;
    let mut compared = 0;
    for follower in followers {
        for Followed { what, start, changes, end } in follower.await.unwrap() {
            let mut state = Bag::new();
            let mut changes = changes.into_iter().peekable();
            for (commit, expected) in observed[what].range(start..=end) {
                while let Some((_, diff, row)) = changes.next_if(|(at, ..)| at <= commit) {
                    *state.entry(row).or_insert(0) += diff;
                }
                state.retain(|_, count| *count != 0);
                assert_eq!(&state, expected, "{} from {start}, at commit {commit}, {workers} workers", FOLLOWED[what].0);
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared} states were compared");
    weir.stop();
}

/// Random changes, some statements alone and some in transactions.
async fn write(client: Client, mut random: Rng) {
    for _ in 0..ROUNDS {
        let mut statements = Vec::new();
        for _ in 0..random.usize(1..4) {
            let (id, k, v) = (random.i32(0..IDS), random.i32(0..4), random.i32(0..10));
            statements.push(match random.u8(0..4) {
                0 => format!("DELETE FROM t WHERE id = {id}"),
                1 => format!("UPDATE t SET k = {k}, v = {v} WHERE id % 7 = {}", id % 7),
                _ => format!("INSERT INTO t VALUES ({id}, {k}, {v}) ON CONFLICT (id) DO UPDATE SET k = EXCLUDED.k, v = EXCLUDED.v"),
            });
        }
        let all = statements.join("; ");
        // Two transactions that read what the other writes: one of them has to be run again, and is not.
        if let Err(error) = client.batch_execute(&all).await {
            let code = error.as_db_error().map(|error| error.code().code().to_string());
            assert!(matches!(code.as_deref(), Some("40001" | "40P01")), "{all}: {error:?}");
        }
    }
}

/// States by commit, as a SELECT shows them.
async fn observe(client: Client, query: &'static str, done: Arc<AtomicBool>) -> BTreeMap<u64, Bag> {
    let mut states = BTreeMap::new();
    loop {
        let ended = done.load(Ordering::SeqCst);
        let sql = format!(
            "COPY (SELECT s.commit, r.* FROM weir.snapshot s LEFT JOIN (SELECT true AS there, q.* FROM ({query}) q) r ON true) TO STDOUT"
        );
        let chunks: Vec<bytes::Bytes> = client.copy_out(&sql).await.unwrap().try_collect().await.unwrap();
        let mut state = Bag::new();
        let mut commit = 0;
        for chunk in chunks {
            let line = String::from_utf8(chunk.to_vec()).unwrap();
            let mut fields = line.trim_end_matches('\n').splitn(3, '\t');
            commit = fields.next().unwrap().parse().unwrap();
            if fields.next() == Some("t") {
                *state.entry(fields.next().unwrap().to_string()).or_insert(0) += 1;
            }
        }
        if let Some(before) = states.insert(commit, state.clone()) {
            assert_eq!(before, state, "two states of commit {commit}");
        }
        if ended {
            return states;
        }
    }
}

/// What one subscription said.
struct Followed {
    what: usize,
    start: u64,
    changes: Vec<(u64, i64, String)>,
    end: u64,
}

/// Subscribes again and again: anew, or where it was left with what it had; the last one to the end.
async fn follow(url: String, subscriber: usize, mut random: Rng, last: Arc<AtomicU64>) -> Vec<Followed> {
    let what = subscriber % FOLLOWED.len();
    let temporary = FOLLOWED[what].0.starts_with('(');
    let mut all: Vec<Followed> = Vec::new();
    loop {
        let client = Connection::open(&url).await;
        let resumed = all.pop_if(|_| !temporary && random.bool());
        let bounds = match &resumed {
            Some(before) => format!("WITH (progress = true, snapshot = false) AS OF {}", before.end),
            None => "WITH (progress = true)".to_string(),
        };
        let mut lines = Lines::of(&client, &format!("SUBSCRIBE {} {bounds}", FOLLOWED[what].0)).await;
        let mut followed = resumed.unwrap_or(Followed { what, start: 0, changes: vec![], end: 0 });
        let (enough, mut read) = (random.usize(20..200), 0);
        loop {
            let fields = lines.fields().await;
            let commit: u64 = fields[0].parse().unwrap();
            assert!(commit >= followed.end, "commit {commit} after {}", followed.end);
            read += 1;
            if fields[1] == "f" {
                followed.changes.push((commit, fields[2].parse().unwrap(), fields[3..].join("\t")));
                continue;
            }
            if followed.start == 0 {
                followed.start = commit;
            }
            followed.end = commit;
            let end = last.load(Ordering::SeqCst);
            if end > 0 && commit >= end {
                all.push(followed);
                return all;
            }
            if read > enough {
                break;
            }
        }
        all.push(followed);
    }
}

//! Faults while RocksDB writes files in the background and segments of the epoch log are dropped, as happens only with a large state.

use std::time::Duration;

use fastrand::Rng;
use tokio_postgres::{Client, Error};

use super::{Disk, Fault, Part, ended_because, healthy, rounds, start};
use crate::harness::{describe, rows, run, seed, value};
use crate::server::{Server, connect};

const ROUNDS: u64 = 4;
/// Of 2 MB each.
const ROWS: i64 = 10;
/// After a few checkpoints of that much a table of RocksDB's memory is full.
const STEPS: i64 = 6;

/// A table whose rows are all replaced by each write.
struct Large {
    done: i64,
    tried: i64,
}

impl Large {
    async fn create(client: &Client) -> Large {
        run(client, "CREATE TABLE large (id INT PRIMARY KEY, n INT, s TEXT)").await;
        let rows = format!("SELECT g, 0, repeat(md5(g::text), 62500) FROM generate_series(1, {ROWS}) AS g");
        run(client, &format!("INSERT INTO large {rows}")).await;
        run(client, "CREATE MATERIALIZED VIEW of_large AS SELECT n, count(*) AS rows, max(length(s)) AS length FROM large GROUP BY n")
            .await;
        Large { done: 0, tried: 0 }
    }

    /// Writes and takes a checkpoint, a few times.
    async fn go_on(&mut self, client: &Client) -> Result<(), Error> {
        for _ in 0..STEPS {
            self.tried = self.done + 1;
            let n = self.tried;
            client.batch_execute(&format!("UPDATE large SET n = {n}, s = repeat(md5((id + {n})::text), 62500)")).await?;
            self.done = n;
            client.batch_execute("CHECKPOINT").await?;
        }
        Ok(())
    }

    async fn check(&mut self, client: &Client) {
        let n: i64 = value(client, "SELECT min(n) FROM large").await.parse().unwrap();
        assert!(n == self.done || n == self.tried, "write {} was acknowledged, and {n} is there", self.done);
        let right = format!("n = {n} AND s = repeat(md5((id + {n})::text), 62500)");
        let sql = format!("SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE {right}) FROM large");
        assert_eq!(rows(client, &sql).await, [vec![ROWS.to_string(); 3]]);
        assert_eq!(rows(client, "SELECT * FROM of_large").await, [[n.to_string(), ROWS.to_string(), "2000000".into()]]);
        (self.done, self.tried) = (n, n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_state() {
    let rounds = rounds(ROUNDS);
    let mut random = Rng::with_seed(seed());
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    let client = connect(server.url()).await.unwrap();
    let mut large = Large::create(&client).await;
    server.kill();
    disk.remember();
    for round in 1..=rounds {
        let client = healthy(&mut server, &disk, random.usize(1..=3), &mut writer).await;
        large.check(&client).await;
        writer.write_some(&client, 2).await;
        let what = one_round(&mut server, &disk, &mut large, &client, round, &mut random).await;
        eprintln!("round {round}: {what}; write {} was acknowledged", large.done);
    }
    let client = healthy(&mut server, &disk, 2, &mut writer).await;
    large.check(&client).await;
    server.stop().unwrap();
}

/// The server is gone at the end, in one way or another.
async fn one_round(server: &mut Server, disk: &Disk, large: &mut Large, client: &Client, round: u64, random: &mut Rng) -> String {
    let logged = server.log().len();
    let fault = match round % 4 {
        1 | 3 => {
            let time = Duration::from_millis(random.u64(1..12_000));
            let ended = tokio::time::timeout(time, large.go_on(client)).await;
            assert!(!matches!(ended, Ok(Err(_))), "{}", describe(&ended.unwrap().unwrap_err()));
            server.kill();
            let some = random.bool();
            return format!("{} writes and names were lost after {time:?}", disk.forget(&server.data(), some.then_some(random)));
        }
        2 => *random.choice([Fault::Full, Fault::HalfThenFull].iter()).unwrap(),
        _ => Fault::SyncFails,
    };
    let at = random.i64(1..if fault == Fault::SyncFails { 15 } else { 60 });
    disk.fail(Part::State, fault, at);
    let ended = large.go_on(client).await;
    match &ended {
        // In the background, maybe, or that much was not written.
        Ok(()) => server.kill(),
        Err(_) => ended_because(server, logged, fault),
    }
    match fault {
        Fault::SyncFails => drop(disk.forget(&server.data(), None)),
        _ => disk.forget_nothing(),
    }
    format!("{fault:?} at {at}: {}", ended.map_or_else(|error| describe(&error), |()| format!("{} faults", disk.counts().faults)))
}

/// A checkpoint that was told of and is not there, after the log it replaced is gone: refused, not a wrong answer.
#[tokio::test]
async fn a_disk_that_lies_about_checkpoints() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    let client = connect(server.url()).await.unwrap();
    let mut large = Large::create(&client).await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    server.kill();
    disk.remember();
    let client = healthy(&mut server, &disk, 2, &mut writer).await;
    disk.fail(Part::State, Fault::SyncLies, 1);
    large.go_on(&client).await.unwrap();
    server.kill();
    assert!(disk.forget(&server.data(), None) > 0);
    disk.heal();
    let logged = server.log().len();
    assert!(server.restart(2).is_err(), "it started from an old checkpoint, and the log begins later");
    let log = server.log();
    let said = &log[logged..];
    assert!(said.contains("the log begins with record ") && !said.contains("panicked at"), "{said}");
}

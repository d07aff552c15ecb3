//! A process that commits is killed, at any moment: what it was told is durable is there, and no commit is there in part.
//!
//! A failure prints the seed; `WEIR_SEED` repeats what is committed, though not the moments. `WEIR_KILLS` asks for more.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const NAME: &str = "rocks_store::tests::kill::what_was_acknowledged_survives_a_kill";
const LAST: &[u8] = b"last";

fn last(store: &dyn StateStore) -> u64 {
    let bytes = store.get(Space::Meta, LAST).unwrap();
    bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

/// Commit number `number`, always the same for a seed.
fn change(seed: u64, number: u64, batch: &mut dyn StateBatch) {
    let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    batch.put(Space::Meta, LAST, &number.to_be_bytes());
    // Some are cut into many writes to the log, some are one.
    let bytes = [100, 10_000, 1_000_000, 4_000_000][rng.usize(0..4)];
    let from = rng.u64(0..1000);
    batch.delete_range(Space::State, &from.to_be_bytes(), &(from + rng.u64(0..50)).to_be_bytes());
    for _ in 0..bytes / 100 {
        let key = [rng.u64(0..1000).to_be_bytes(), rng.u64(0..20).to_be_bytes()].concat();
        batch.put(Space::State, &key, &[&number.to_be_bytes()[..], &vec![rng.u8(..); rng.usize(0..200)]].concat());
    }
    batch.put(Space::Runs, &number.to_be_bytes(), &vec![rng.u8(..); rng.usize(0..300_000)]);
    batch.delete_range(Space::Runs, b"", &number.saturating_sub(5).to_be_bytes());
}

fn commit_until_killed(dir: &str, seed: u64) {
    let store = RocksStore::open(Path::new(dir)).unwrap();
    let mut out = std::io::stdout();
    for number in last(&store) + 1.. {
        let mut batch = store.begin();
        change(seed, number, &mut *batch);
        batch.commit().unwrap();
        // The test's name may be on the line before.
        if out.write_all(format!("\ncommitted {number}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let (Ok(dir), Ok(seed)) = (std::env::var("WEIR_STORE_TO_KILL"), std::env::var("WEIR_SEED")) {
        return commit_until_killed(&dir, seed.parse().unwrap());
    }
    let seed = seed();
    let mut rng = Rng::new();
    let kills = std::env::var("WEIR_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let memory = MemoryStore::default();
    for kill in 0..kills {
        let alone = crate::files::tests::alone();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env("WEIR_STORE_TO_KILL", &path)
            .env("WEIR_SEED", seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(alone);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = last(&memory);
        let mut hear = |line: std::io::Result<String>| {
            // A number counts when its line is whole.
            if let Some(number) = line.unwrap().strip_prefix("committed ") {
                acknowledged = number.parse().unwrap();
            }
        };
        // Sometimes while it opens the store, mostly while it commits.
        let wanted = if kill % 5 == 4 { 0 } else { rng.usize(1..40) };
        lines.by_ref().take(wanted).for_each(&mut hear);
        std::thread::sleep(Duration::from_micros(rng.u64(0..30_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(&mut hear);

        let store = RocksStore::open(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        let found = last(&store);
        assert!(found == acknowledged || found == acknowledged + 1, "kill {kill}: {acknowledged} were acknowledged, {found} are there");
        for number in last(&memory) + 1..=found {
            let mut batch = memory.begin();
            change(seed, number, &mut *batch);
            batch.commit().unwrap();
        }
        assert!(entries(&store).unwrap() == entries(&memory).unwrap(), "kill {kill}, after commit {found}");
    }
    assert!(last(&memory) > kills, "so that there was something to lose: {}", last(&memory));
}

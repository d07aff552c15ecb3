//! Views that nothing happens to: they are left alone, and nothing runs for their sake.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::harness::{Weir, get, run, value};

const VIEWS: usize = 300;
const CHANGES: u64 = 100;
const WORKERS: usize = 2;
/// Statements that no worker is needed for.
const ELSEWHERE: usize = 1000;
/// Turns that looking takes: a question to each worker, and one that the look before has not counted.
const TURNS_OF_A_LOOK_MAX: u64 = 2 * WORKERS as u64;
/// Looks at a server until it is at rest. The last commit's messages are soon worked off; a server that never rests is the failure.
const LOOKS_MAX: usize = 1000;

/// What the server has counted so far.
#[derive(Debug)]
struct Counted {
    epochs: u64,
    worker_turns: u64,
    /// By view.
    turns: BTreeMap<String, u64>,
}

impl Counted {
    fn now(weir: &Weir) -> Counted {
        let (_, body) = get(weir.http(), "/metrics");
        let number = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
        let one = |name: &str| number(body.lines().find(|line| line.split(' ').next() == Some(name)).expect("the metric is there"));
        let turns = body.lines().filter_map(|line| {
            let view = line.strip_prefix("weir_view_turns_total{relation=\"")?.split('"').next()?;
            Some((view.to_string(), number(line)))
        });
        Counted { epochs: one("weir_epochs_total"), worker_turns: one("weir_worker_turns_total"), turns: turns.collect() }
    }

    /// Whether nothing was done since the look before this one.
    fn is_quiet_since(&self, before: &Counted) -> bool {
        let same = (self.epochs, &self.turns) == (before.epochs, &before.turns);
        same && self.worker_turns <= before.worker_turns + TURNS_OF_A_LOOK_MAX
    }

    /// Once nothing is done any more.
    fn at_rest(weir: &Weir) -> Counted {
        let mut before = Counted::now(weir);
        for _ in 0..LOOKS_MAX {
            let now = Counted::now(weir);
            if now.is_quiet_since(&before) {
                return now;
            }
            before = now;
        }
        panic!("workers have something to do where nothing happens: {before:?}");
    }
}

#[tokio::test]
async fn idle_views_are_left_alone() {
    // A checkpoint would be an epoch of its own.
    let weir = Weir::start_without_checkpoints(WORKERS);
    let (writer, reader) = (weir.connect().await, weir.connect().await);
    run(&writer, "CREATE TABLE quiet (id BIGINT, v BIGINT)").await;
    run(&writer, "CREATE TABLE busy (id BIGINT, v BIGINT)").await;
    run(&writer, "INSERT INTO quiet VALUES (1, 1), (2, 2)").await;
    run(&writer, "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(v) AS v FROM busy").await;
    for view in 1..VIEWS {
        run(
            &writer,
            &format!("CREATE MATERIALIZED VIEW idle_{view} AS SELECT v % {view} AS k, count(*) AS n FROM quiet GROUP BY v % {view}"),
        )
        .await;
    }

    // So that none is due: there will be nothing new.
    run(&writer, "CHECKPOINT").await;
    let filled = Counted::at_rest(&weir);
    assert_eq!(filled.turns.len(), VIEWS);
    assert!(filled.turns.values().all(|turns| *turns > 0), "filling a view takes turns: {filled:?}");

    // While the server answers what no worker is needed for, no worker looks for work, and no epoch opens.
    for _ in 0..ELSEWHERE {
        assert_eq!(value(&reader, "SELECT 1").await, "1");
    }
    let idle = Counted::now(&weir);
    assert!(idle.is_quiet_since(&filled), "{filled:?}\n{idle:?}");

    // Changes elsewhere are an epoch each, and let no other view have a turn.
    change(&writer, &reader).await;
    let mut changed = Counted::at_rest(&weir);
    assert_eq!(changed.epochs, filled.epochs + CHANGES);
    let (before, after) = (filled.turns["total"], changed.turns.insert("total".to_string(), filled.turns["total"]).unwrap());
    assert!(after >= before + CHANGES, "{CHANGES} changes of a view took it {before} to {after} turns");
    assert_eq!(changed.turns, filled.turns);

    // And all of them are right when something happens at last.
    run(&writer, "INSERT INTO quiet VALUES (3, 3)").await;
    assert_eq!(value(&reader, "SELECT sum(n) FROM idle_299").await, "3");
    let woken = Counted::at_rest(&weir);
    assert!(woken.turns.iter().all(|(view, turns)| view == "total" || *turns > changed.turns[view]), "{woken:?}");
    assert_eq!(woken.turns["total"], after);
    weir.stop();
}

/// Inserts, and reads the view after each.
async fn change(writer: &Client, reader: &Client) {
    for round in 0..CHANGES {
        run(writer, &format!("INSERT INTO busy VALUES ({round}, 1)")).await;
        assert_eq!(value(reader, "SELECT n FROM total").await, (round + 1).to_string());
    }
}

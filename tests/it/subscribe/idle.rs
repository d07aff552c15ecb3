//! A thousand subscribers of what does not change: nothing is done for them.

use crate::harness::{Weir, get, rows, run, until};

/// A counter or gauge of the server.
fn metric(weir: &Weir, name: &str) -> u64 {
    let (_, text) = get(weir.http(), "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_subscribers_cost_nothing() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE quiet (id INT PRIMARY KEY); INSERT INTO quiet VALUES (1); CREATE TABLE busy (id INT PRIMARY KEY)").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM quiet").await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let session = weir.connect().await;
        run(&session, "BEGIN").await;
        for cursor in 0..100 {
            let what = if cursor % 2 == 0 { "quiet" } else { "v" };
            run(&session, &format!("DECLARE c{cursor} CURSOR FOR SUBSCRIBE {what}")).await;
        }
        sessions.push(session);
    }
    assert_eq!(metric(&weir, "weir_subscriptions"), 1000);
    let before = metric(&weir, "weir_subscription_parts_total");
    for id in 0..200 {
        run(&client, &format!("INSERT INTO busy VALUES ({id})")).await;
    }
    assert_eq!(metric(&weir, "weir_subscription_parts_total"), before, "work was done for those whom nothing concerned");
    // One change is one part a worker and relation, however many read it.
    run(&client, "INSERT INTO quiet VALUES (2)").await;
    assert_eq!(metric(&weir, "weir_subscription_parts_total"), before + 2 * 2);
    for session in &sessions {
        for cursor in 0..100 {
            let mut changes: Vec<String> = vec![];
            // The row to begin with, and the change: together or one after the other.
            let count = if cursor % 2 == 0 { 2 } else { 3 };
            while changes.len() < count {
                let fetched = rows(session, &format!("FETCH ALL c{cursor} WITH (timeout = '1min')")).await;
                assert!(!fetched.is_empty(), "nothing came in a minute");
                changes.extend(fetched.iter().map(|row| row[1..].join(" ")));
            }
            assert_eq!(changes, if cursor % 2 == 0 { vec!["1 1", "1 2"] } else { vec!["1 1", "-1 1", "1 2"] });
        }
    }
    drop(sessions);
    until(&client, "SELECT count(*) FROM weir.subscriptions", "0").await;
    weir.stop();
}

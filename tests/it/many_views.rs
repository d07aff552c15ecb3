//! Views that nothing happens to: they cost next to nothing, and do not slow down the others.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::harness::{Weir, get, run, value};

const VIEWS: usize = 300;

/// CPU seconds that the server has used so far, as it says itself.
fn cpu_seconds(weir: &Weir) -> f64 {
    let (_, body) = get(weir.http(), "/metrics");
    let line = body.lines().find(|line| line.starts_with("process_cpu_seconds_total")).expect("metrics count CPU time");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn idle_views_cost_next_to_nothing() {
    let weir = Weir::start(2);
    let (writer, reader) = (weir.connect().await, weir.connect().await);
    run(&writer, "CREATE TABLE quiet (id BIGINT, v BIGINT)").await;
    run(&writer, "CREATE TABLE busy (id BIGINT, v BIGINT)").await;
    run(&writer, "INSERT INTO quiet VALUES (1, 1), (2, 2)").await;
    run(&writer, "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(v) AS v FROM busy").await;
    let alone = change(&writer, &reader, 0).await;
    for view in 1..VIEWS {
        run(
            &writer,
            &format!("CREATE MATERIALIZED VIEW idle_{view} AS SELECT v % {view} AS k, count(*) AS n FROM quiet GROUP BY v % {view}"),
        )
        .await;
    }

    let (before, start) = (cpu_seconds(&weir), Instant::now());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let share = (cpu_seconds(&weir) - before) / start.elapsed().as_secs_f64();
    let among = change(&writer, &reader, 100).await;
    eprintln!("{VIEWS} idle views: {:.1} % of a core; a change takes {among:?} among them, {alone:?} alone (medians)", share * 100.0);
    assert!(share < 0.05, "{VIEWS} idle views cost {:.1} % of a core", share * 100.0);
    assert!(among < alone * 5 + Duration::from_millis(30), "a change takes {among:?} among {VIEWS} idle views, and {alone:?} alone");

    // And all of them are right when something happens at last.
    run(&writer, "INSERT INTO quiet VALUES (3, 3)").await;
    assert_eq!(value(&reader, "SELECT sum(n) FROM idle_299").await, "3");
    weir.stop();
}

/// Median time from sending an INSERT to having read the view.
async fn change(writer: &Client, reader: &Client, already: u64) -> Duration {
    let mut times = Vec::new();
    for round in 0..100 {
        let start = Instant::now();
        run(writer, &format!("INSERT INTO busy VALUES ({round}, 1)")).await;
        assert_eq!(value(reader, "SELECT n FROM total").await, (already + round + 1).to_string());
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

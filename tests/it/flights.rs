//! All of the flights: what the views hold equals the batch answer, also when views come and go while rows flow.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::harness::{BY_HOUR, PATIENCE, Weir, all_flights, create_flights, few_flights, rows, run, until_filled, value};

const BUSIEST: &str = "SELECT window_start, max(flights) AS flights FROM by_hour GROUP BY window_start";

#[tokio::test]
async fn views_of_the_extract_equal_the_batch_answers() {
    for workers in [1, 2, 4] {
        let weir = Weir::start(workers);
        let client = weir.connect().await;
        run(&client, &create_flights(&few_flights())).await;
        create_views(&client).await;
        until_filled(&client).await;
        assert_equal_to_batch(&client, "by_hour", 2699).await;
        weir.stop();
    }
}

#[tokio::test]
async fn views_of_all_flights_equal_the_batch_answers_at_one_worker() {
    all(1, "views_of_all_flights_equal_the_batch_answers_at_one_worker").await;
}

#[tokio::test]
async fn views_of_all_flights_equal_the_batch_answers_at_four_workers() {
    all(4, "views_of_all_flights_equal_the_batch_answers_at_four_workers").await;
}

async fn create_views(client: &Client) {
    run(client, &format!("CREATE MATERIALIZED VIEW by_hour AS {BY_HOUR}")).await;
    run(client, &format!("CREATE MATERIALIZED VIEW busiest AS {BUSIEST}")).await;
}

async fn all(workers: usize, test: &str) {
    let Some(path) = all_flights(test) else { return };
    let weir = Weir::start(workers);
    let client = weir.connect().await;
    run(&client, &create_flights(&path)).await;
    create_views(&client).await;
    run(&client, "CREATE MATERIALIZED VIEW dropped AS SELECT carrier, count(*) AS n, max(distance) AS far FROM flights GROUP BY carrier")
        .await;

    // While it is loading, a view can be read, is never ahead of what was read, and never shrinks.
    let reader = weir.connect().await;
    let (mut last, mut reads, mut partial) = (0, 0, 0);
    let mut created = false;
    let mut gone = false;
    let start = Instant::now();
    loop {
        let count: u64 = value(&reader, "SELECT coalesce(sum(flights), 0) FROM by_hour").await.parse().unwrap();
        assert!(count >= last && count <= 336_776, "{count} flights after {last}");
        partial += u64::from(count > 0 && count < 336_776);
        (last, reads) = (count, reads + 1);
        if !created && count > 50_000 {
            created = true;
            run(&client, &format!("CREATE MATERIALIZED VIEW halfway AS {BY_HOUR}")).await;
            run(&client, "CREATE MATERIALIZED VIEW halfway_busiest AS SELECT window_start, max(flights) AS flights FROM halfway GROUP BY window_start").await;
        }
        if !gone && count > 100_000 {
            gone = true;
            run(&client, "DROP MATERIALIZED VIEW dropped").await;
        }
        if count == 336_776 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{count} of 336776 flights after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(created && gone);
    eprintln!("{workers} workers: loaded in {:?}, {reads} reads meanwhile, {partial} of them of a part", start.elapsed());
    until_filled(&client).await;
    assert_equal_to_batch(&client, "by_hour", 336_776).await;
    assert_equal_to_batch(&client, "halfway", 336_776).await;
    let same = "SELECT window_start, flights FROM halfway_busiest ORDER BY window_start";
    assert_eq!(rows(&client, same).await, rows(&client, &same.replace("halfway_busiest", "busiest")).await);
    assert_eq!(value(&client, "SELECT count(*) FROM weir.views WHERE name = 'dropped'").await, "0");
    weir.stop();
}

/// `view` is by_hour, and busiest is made of by_hour: both against the source read as a batch.
async fn assert_equal_to_batch(client: &Client, view: &str, flights: u64) {
    let batch = hours(client, BY_HOUR).await;
    let held = hours(client, &format!("SELECT window_start, origin, flights, mean_delay, worst FROM {view}")).await;
    assert_eq!(held.values().map(|hour| hour.flights).sum::<u64>(), flights);
    assert_eq!(held.len(), batch.len(), "as many windows");
    for (key, expected) in &batch {
        let found = held.get(key).unwrap_or_else(|| panic!("{view} lacks {key:?}"));
        let near = match (found.mean_delay, expected.mean_delay) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            (a, b) => a == b,
        };
        assert!(
            found.flights == expected.flights && found.worst == expected.worst && near,
            "{view} at {key:?}: {found:?}, not {expected:?}"
        );
    }
    let order = "ORDER BY window_start";
    let busiest = rows(client, &format!("SELECT window_start, flights FROM busiest {order}")).await;
    let expected = rows(client, &format!("SELECT window_start, max(flights) FROM ({BY_HOUR}) AS b GROUP BY window_start {order}")).await;
    assert_eq!(busiest, expected);
}

#[derive(Debug)]
struct Hour {
    flights: u64,
    mean_delay: Option<f64>,
    worst: String,
}

async fn hours(client: &Client, sql: &str) -> BTreeMap<(String, String), Hour> {
    let rows = rows(client, sql).await;
    let count = rows.len();
    let hours: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| {
            let hour = Hour { flights: row[2].parse().unwrap(), mean_delay: row[3].parse().ok(), worst: row[4].clone() };
            ((row[0].clone(), row[1].clone()), hour)
        })
        .collect();
    assert_eq!(hours.len(), count, "a window of an airport is there twice");
    hours
}

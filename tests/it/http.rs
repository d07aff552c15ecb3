//! Health and metrics over HTTP.

use crate::harness::{Weir, create_flights, few_flights, get, run, until_filled, value};

#[tokio::test]
async fn health_and_readiness_answer() {
    let weir = Weir::start(1);
    for path in ["/healthz", "/readyz"] {
        let (status, _) = get(weir.http(), path);
        assert_eq!(status, "HTTP/1.1 200 OK", "{path}");
    }
    let (status, _) = get(weir.http(), "/nothing");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    weir.stop();
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, &create_flights(&few_flights())).await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT origin, count(*) AS n FROM flights GROUP BY origin").await;
    until_filled(&client).await;
    let (status, body) = get(weir.http(), "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("process_cpu_seconds_total"), "{body}");
    let counted = |line: &&str| line.starts_with("weir_") && line.contains("flights") && line.ends_with(" 2699");
    assert!(body.lines().any(|line| counted(&line)), "no metric of weir counts the 2699 rows of the source:\n{body}");
    weir.stop();
}

#[tokio::test]
async fn every_write_that_returned_has_been_synced() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let syncs = || -> u64 {
        let (_, body) = get(weir.http(), "/metrics");
        let line = body.lines().find(|line| line.starts_with("weir_log_syncs_total ")).expect("the log has its metrics");
        line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count")
    };
    let before = syncs();
    for id in 0..50 {
        run(&client, &format!("INSERT INTO t VALUES ({id})")).await;
    }
    // One after the other, so none shares a sync with another.
    assert!(syncs() >= before + 50, "{before} syncs before, {} after 50 writes", syncs());
    weir.stop();
}

#[tokio::test]
async fn checkpoints_are_counted_and_the_last_one_is_described() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    // The value of a metric, or none.
    let metric = |name: &str| -> Option<f64> {
        let (_, body) = get(weir.http(), "/metrics");
        body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    let count = || {
        let (_, body) = get(weir.http(), "/metrics");
        let counts = body.lines().filter(|line| line.starts_with("weir_checkpoints_total{why="));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    assert_eq!((count(), metric("weir_checkpoint_age_seconds"), metric("weir_checkpoint_epoch")), (0, None, None), "there is none yet");
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)").await;
    // Through the extended protocol as well.
    client.execute("CHECKPOINT", &[]).await.unwrap();
    assert!(count() > 0);
    let epoch = value(&client, "SELECT max(epoch) FROM weir.checkpoints").await;
    assert_eq!(metric("weir_checkpoint_epoch").map(|epoch| epoch.to_string()), Some(epoch));
    for name in ["age_seconds", "last_seconds", "last_pause_seconds", "last_bytes", "last_keys"] {
        assert!(metric(&format!("weir_checkpoint_{name}")).is_some_and(|value| value >= 0.0), "{name}");
    }
    assert!(metric("weir_checkpoint_last_bytes") > Some(0.0) && metric("weir_checkpoint_last_keys") > Some(0.0));
    weir.stop();
}

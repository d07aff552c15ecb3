//! Health and metrics over HTTP.

use crate::harness::{Weir, create_flights, few_flights, get, run, until_filled};

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

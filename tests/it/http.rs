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

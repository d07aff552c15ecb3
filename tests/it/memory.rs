//! The memory limit, as who runs a server meets it.

use std::process::Command;

use crate::harness::{finish, free_port, get, printed, psql, refused, run, value};
use crate::server::{Server, connect};

/// Inserts rows of `t` until a query answers `true`, or the insert is refused; how many there are then.
async fn fill(client: &tokio_postgres::Client, from: i64, until: &str) -> i64 {
    let mut written = from;
    loop {
        let sql = format!("INSERT INTO t SELECT g, g / 4 FROM generate_series({written}, {}) AS s(g)", written + 999);
        if client.batch_execute(&sql).await.is_err() {
            return written;
        }
        written += 1000;
        if value(client, until).await == "t" {
            return written;
        }
        assert!(written < 1_000_000, "nothing happens at the limit");
    }
}

#[tokio::test]
async fn at_the_limit_a_view_is_stopped_and_without_one_tables_are_full() {
    let http = free_port();
    let mut weir = Server::start_with(2, &http, &["--memory-limit", "3MB"]).unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(
        &client,
        "CREATE TABLE t (id INT PRIMARY KEY, k INT); CREATE TABLE quiet (id INT PRIMARY KEY);
         CREATE MATERIALIZED VIEW big AS SELECT k, min(id) AS least, max(id) AS most, count(DISTINCT id) AS n FROM t GROUP BY k;
         CREATE MATERIALIZED VIEW on_big AS SELECT count(*) AS n FROM big;
         CREATE MATERIALIZED VIEW small AS SELECT count(*) AS n FROM quiet;
         INSERT INTO quiet VALUES (1), (2)",
    )
    .await;
    let written = fill(&client, 0, "SELECT error IS NOT NULL FROM weir.views WHERE name = 'big'").await;
    let (sqlstate, message) = refused(&client, "SELECT * FROM big").await;
    assert_eq!(sqlstate, "53200");
    assert!(message.contains("\"big\"") && message.contains("memory limit of 3145728 bytes"), "{message}");
    assert_eq!(refused(&client, "SELECT * FROM on_big").await.0, "53200");
    run(&client, "INSERT INTO quiet VALUES (3)").await;
    assert_eq!(value(&client, "SELECT n FROM small").await, "3");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, written.to_string());
    if let Some(output) = psql(weir.url(), "TABLE big") {
        let printed = printed(&output);
        assert!(printed.contains("HINT:") && printed.contains("--memory-limit"), "{printed}");
    }
    let (_, metrics) = get(&http, "/metrics");
    assert!(metrics.contains("\nweir_memory_limit_bytes 3145728\n") && metrics.contains("\nweir_memory_bytes "), "{metrics}");

    // The checkpoint that was forced has it; this one waits for that.
    run(&client, "CHECKPOINT").await;
    assert_ne!(value(&client, "SELECT count(*) FROM weir.checkpoints WHERE why = 'memory'").await, "0");
    weir.kill();
    weir.restart(1).unwrap();
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(refused(&client, "SELECT * FROM big").await, (sqlstate, message));
    assert_eq!(value(&client, "SELECT n FROM small").await, "3");
    run(&client, "DROP MATERIALIZED VIEW big CASCADE").await;

    let written = fill(&client, written, "SELECT false").await;
    let (sqlstate, message) = refused(&client, "INSERT INTO quiet VALUES (4)").await;
    assert!(sqlstate == "53200" && message.contains("memory limit of 3145728 bytes"), "{sqlstate} {message}");
    assert_eq!(refused(&client, "UPDATE quiet SET id = 4 WHERE id = 3").await.0, "53200");
    assert_eq!(refused(&client, "CREATE TABLE more AS SELECT 1 AS one").await.0, "53200");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, written.to_string());
    run(&client, "DELETE FROM t WHERE id % 2 = 0; TRUNCATE t").await;
    // A question is answered when the workers have counted what has gone.
    assert_eq!(value(&client, "SELECT rows FROM weir.tables WHERE name = 't'").await, "0");
    run(&client, "INSERT INTO quiet VALUES (4)").await;
    assert_eq!(value(&client, "SELECT n FROM small").await, "4");
    weir.stop().unwrap();
}

#[test]
fn a_limit_that_is_no_size_is_refused() {
    for (limit, why) in [("lots", "expected a number"), ("0", "more than nothing"), ("4 acres", "unknown unit")] {
        let output = finish(Command::new(env!("CARGO_BIN_EXE_weir")).args(["serve", "--memory-limit", limit]));
        assert!(!output.status.success() && printed(&output).contains(why), "{limit}: {}", printed(&output));
    }
}

//! Late rows of a followed file: where they come from, also after a restart.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::harness::{free_port, get, printed, psql, run, until, value};
use crate::server::{Server, Setup, connect};

fn append(path: &Path, lines: &[&str]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
}

#[tokio::test]
async fn line_numbers_go_on_after_a_restart() {
    let mut weir = Server::prepare("127.0.0.1:0", Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log.csv");
    append(&log, &["2024-01-01 00:00:01,a", "", "2024-01-01 01:00:00,\"b", "c\""]);
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    let path = log.display();
    run(
        &client,
        &format!(
            "CREATE SOURCE s (ts TIMESTAMP, v TEXT, WATERMARK FOR ts AS ts) \
             WITH (connector = 'file', path = '{path}', follow = 'true', idle_timeout = '1 day') FORMAT PLAIN ENCODE CSV"
        ),
    )
    .await;
    let view = "AS SELECT window_start, count(v) AS n FROM TUMBLE(s, ts, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE";
    run(&client, &format!("CREATE MATERIALIZED VIEW v {view}")).await;
    until(&client, "SELECT count(*)::text FROM v", "1").await;
    // The number of each late line is in it.
    let wrong = format!("SELECT count(*)::text FROM v$late WHERE v <> \"offset\"::text OR partition <> '{path}' OR partition IS NULL");
    let late = "SELECT string_agg(\"offset\"::text, ' ' ORDER BY \"offset\") FROM v$late";
    append(&log, &["2024-01-01 00:00:02,5", "no row", "2024-01-01 00:00:02,7"]);
    until(&client, late, "5 7").await;
    run(&client, "CHECKPOINT").await;
    append(&log, &["2024-01-01 00:00:02,8", "", "", "no row either", "2024-01-01 00:00:02,12"]);
    until(&client, late, "5 7 8 12").await;
    let mut expected = "5 7 8 12".to_string();
    for (workers, next) in [(1, 13), (3, 14), (2, 15)] {
        weir.kill();
        if workers == 3 {
            // While nobody looks.
            append(&log, &[&format!("2024-01-01 00:00:02,{next}")]);
        }
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        if workers != 3 {
            assert_eq!(value(&client, late).await, expected, "as before");
            append(&log, &[&format!("2024-01-01 00:00:02,{next}")]);
        }
        expected = format!("{expected} {next}");
        until(&client, late, &expected).await;
        assert_eq!(value(&client, &wrong).await, "0");
    }
    // A view that comes later reads the file from its start, through a reader of its own.
    let client = connect(weir.url()).await.unwrap();
    run(&client, &format!("CREATE MATERIALIZED VIEW w {view}")).await;
    until(&client, "SELECT count(*)::text FROM w", "1").await;
    append(&log, &["2024-01-01 00:00:02,16"]);
    until(&client, late, &format!("{expected} 16")).await;
    until(&client, "SELECT max(\"offset\")::text FROM w$late", "16").await;
    assert_eq!(value(&client, &wrong.replace("v$late", "w$late")).await, "0");
    weir.stop().unwrap();
    fs::remove_file(&log).unwrap();
}

#[tokio::test]
async fn late_rows_beyond_the_limit_are_counted_and_told_of() {
    let http = free_port();
    let mut weir = Server::prepare(&http, Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log.json");
    let row = |second: usize| format!("{{\"ts\": \"2024-01-01 00:00:{second:02}\"}}");
    append(&log, &["{\"ts\": \"2024-01-01 01:00:00\"}"]);
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(
        &client,
        &format!(
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts) \
             WITH (connector = 'file', path = '{}', follow = 'true', idle_timeout = '1 day') FORMAT PLAIN ENCODE JSON; \
             CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS n FROM TUMBLE(s, ts, INTERVAL '1 minute') GROUP BY window_start \
             EMIT ON WINDOW CLOSE WITH (late_entries = '2')",
            log.display()
        ),
    )
    .await;
    let read = |rows: usize| format!("SELECT (rows = {rows} AND at_end)::text FROM weir.sources");
    until(&client, &read(1), "true").await;
    // As many at once as come, then none.
    let late = "SELECT string_agg(\"offset\"::text, ' ' ORDER BY \"offset\") FROM v$late";
    append(&log, &[&row(1), &row(2), &row(3)]);
    until(&client, &read(4), "true").await;
    let kept = value(&client, late).await;
    assert!(["2 3 4", "2 3"].contains(&kept.as_str()), "{kept}");
    append(&log, &[&row(4), &row(5)]);
    until(&client, &read(6), "true").await;
    let dropped = "SELECT late_dropped::text FROM weir.views";
    let lost = 5 - kept.split(' ').count();
    for (workers, checkpoint) in [(1, false), (4, true), (2, false), (3, false)] {
        if checkpoint {
            run(&connect(weir.url()).await.unwrap(), "CHECKPOINT").await;
        }
        weir.kill();
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        assert_eq!(value(&client, late).await, kept, "as before");
        assert_eq!(value(&client, dropped).await, lost.to_string());
    }
    let (status, metrics) = get(&http, "/metrics");
    assert!(status.contains("200") && metrics.contains(&format!("weir_late_rows_dropped_total{{view=\"v\"}} {lost}\n")), "{metrics}");
    assert_eq!(weir.log().matches("late rows are not kept any more").count(), 1, "{}", weir.log());
    let Some(output) = psql(weir.url(), "ALTER MATERIALIZED VIEW v ADMIT LATE") else { return };
    let said = printed(&output);
    assert!(said.contains(&format!("NOTICE:  admitted {} late rows\n", kept.split(' ').count())), "{said}");
    assert!(said.contains(&format!("NOTICE:  {lost} late rows of \"v\" were not kept since it was created\n")), "{said}");
    let client = connect(weir.url()).await.unwrap();
    append(&log, &[&row(6)]);
    until(&client, late, "7").await;
    assert_eq!(weir.log().matches("late rows are kept again").count(), 1, "{}", weir.log());
    let said = printed(&psql(weir.url(), "ALTER MATERIALIZED VIEW v DISCARD LATE").unwrap());
    assert!(said.contains("NOTICE:  discarded 1 late row\n") && !said.contains("were not kept"), "{said}");
    weir.stop().unwrap();
}

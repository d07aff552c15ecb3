//! A source that gives nothing for a while: its windows close all the same, and a restart after `kill -9` tells the same of them.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::harness::{free_port, get, run, until, value};
use crate::server::{Server, Setup, connect};

#[tokio::test]
async fn windows_of_a_source_that_pauses_close_and_stay_as_they_were_after_a_kill() {
    // Every epoch moves the watermark of a source that pauses, also that of a checkpoint: here they come when they are asked for.
    let http = free_port();
    let setup = Setup { checkpoint_interval: Some("1h"), ..Setup::default() };
    let mut weir = Server::prepare(&http, setup).unwrap();
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("log.jsonl");
    let line = |v: i64, ts: &str| format!("{{\"v\": {v}, \"ts\": \"{ts}\"}}\n");
    fs::write(&path, line(1, "2013-01-01 00:00:10") + &line(2, "2099-01-01 00:00:00") + &line(3, "2013-01-01 00:00:10.2")).unwrap();
    let append = |text: String| OpenOptions::new().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let source = format!(
        "CREATE SOURCE s (v INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '100 ms') WITH (connector = 'file', path = '{}', \
         follow = 'true', idle_timeout = '200 ms') FORMAT PLAIN ENCODE JSON",
        path.display()
    );
    run(&client, &source).await;
    let view = "CREATE MATERIALIZED VIEW w AS SELECT window_start, count(*) AS n, sum(v) AS v \
                FROM TUMBLE(s, ts, INTERVAL '1 second') GROUP BY window_start EMIT ON WINDOW CLOSE";
    run(&client, view).await;
    let shown = "SELECT coalesce(string_agg(window_start || ' ' || n || ' ' || v, ', ' ORDER BY window_start), 'nothing') FROM w";
    // Nothing comes, and time goes on.
    until(&client, shown, "2013-01-01 00:00:10 2 4").await;
    assert_eq!(value(&client, "SELECT (idle_since IS NOT NULL)::text FROM weir.watermarks WHERE relation = 's'").await, "true");
    let passed = "SELECT (watermark >= '2013-01-01 00:00:11')::text FROM weir.watermarks WHERE relation = 's'";
    assert_eq!(value(&client, passed).await, "true");
    append(line(4, "2013-01-01 00:00:10.5"));
    let late = "SELECT coalesce(string_agg(v || ' ' || weight || ' ' || watermark, ', '), 'nothing') FROM \"w$late\"";
    until(&client, "SELECT count(*)::text FROM \"w$late\"", "1").await;
    let asked = [
        shown,
        late,
        "SELECT watermark::text FROM weir.watermarks WHERE relation = 's'",
        "SELECT watermark::text FROM weir.watermarks WHERE relation = 'w'",
        "SELECT held_back_by FROM weir.watermarks WHERE relation = 'w'",
        "SELECT relation || ' ' || reason || ' ' || payload FROM weir.dead_letters",
        "SELECT rows || ' ' || dead_letters FROM weir.sources",
    ];
    let answers = async |url: &str| {
        let client = connect(url).await.unwrap();
        let mut answers = vec![];
        for sql in asked {
            answers.push(value(&client, sql).await);
        }
        answers
    };
    let before = answers(weir.url()).await;
    assert_eq!(before[5], "s future_event_time v = 2, ts = 2099-01-01T00:00:00");
    assert_eq!(before[6], "3 1");
    let lag = "SELECT (event_time_lag_seconds > 1e8 AND processing_lag_seconds >= 0)::text FROM weir.lag WHERE view = 'w'";
    assert_eq!(value(&client, lag).await, "true");
    let (_, metrics) = get(&http, "/metrics");
    for line in ["weir_late_rows_total{view=\"w\"} 1", "weir_dead_letters_total{relation=\"s\",reason=\"future_event_time\"} 1"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    for (workers, checkpoint) in [(1, false), (3, true), (2, false)] {
        if checkpoint {
            run(&connect(weir.url()).await.unwrap(), "CHECKPOINT").await;
        }
        let before = answers(weir.url()).await;
        weir.kill();
        weir.restart(workers).unwrap();
        assert_eq!(answers(weir.url()).await, before, "{asked:?}");
    }
    let client = connect(weir.url()).await.unwrap();
    append(line(5, "2013-01-01 00:00:20") + &line(6, "2013-01-01 00:00:21.5"));
    until(&client, shown, "2013-01-01 00:00:10 2 4, 2013-01-01 00:00:20 1 5, 2013-01-01 00:00:21 1 6").await;
    weir.stop().unwrap();
}

#[tokio::test]
async fn late_rows_of_windows_that_are_gone_change_nothing_also_after_a_restart_of_a_source_that_has_ended() {
    let mut weir = Server::prepare("127.0.0.1:0", Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("log.jsonl");
    // The last row comes more than an epoch's worth of rows after those that have made its window old.
    let line = |ts: &str| format!("{{\"ts\": \"2013-01-01 {ts}\"}}\n");
    fs::write(&path, line("00:00:05") + &line("01:00:00").repeat(150_000) + &line("00:00:30")).unwrap();
    let source = format!(
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts) WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE JSON",
        path.display()
    );
    run(&client, &source).await;
    let view = "CREATE MATERIALIZED VIEW recent WITH (retention = '2 minutes') AS \
                SELECT window_start, count(*) AS n FROM TUMBLE(s, ts, INTERVAL '1 minute') GROUP BY window_start";
    run(&client, view).await;
    until(&client, "SELECT at_end::text FROM weir.sources", "true").await;
    let (shown, late) = ("SELECT string_agg(window_start || ' ' || n, ', ') FROM recent", "SELECT count(*)::text FROM \"recent$late\"");
    let answers = ["2013-01-01 01:00:00 150000", "1"];
    assert_eq!([value(&client, shown).await, value(&client, late).await], answers);
    run(&client, "CHECKPOINT").await;
    weir.kill();
    weir.restart(3).unwrap();
    let client = connect(weir.url()).await.unwrap();
    assert_eq!([value(&client, shown).await, value(&client, late).await], answers);
    run(&client, "ALTER MATERIALIZED VIEW recent ADMIT LATE").await;
    assert_eq!([value(&client, shown).await, value(&client, late).await], [answers[0], "0"]);
    weir.stop().unwrap();
}

//! SUBSCRIBE .. EMIT FINAL: the rows of a window once, when nothing can change it any more.

use fastrand::Rng;

use crate::harness::{Weir, refused, rows, run, seed, value};
use crate::subscribe::Lines;

const HITS: &str = "CREATE TABLE hits (ts TIMESTAMP, k TEXT, WATERMARK FOR ts AS ts)";
const V: &str = "CREATE MATERIALIZED VIEW v AS SELECT window_start, k, count(*) AS n FROM TUMBLE(hits, ts, INTERVAL '1 minute') GROUP BY window_start, k";

#[tokio::test]
async fn a_window_comes_once_when_it_is_closed() {
    for workers in [1, 3] {
        let weir = Weir::start_without_checkpoints(workers);
        let client = weir.connect().await;
        run(&client, HITS).await;
        run(&client, &format!("{V} ALLOW LATENESS INTERVAL '30 seconds'")).await;
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:00:10', 'a'), ('2026-01-01 00:01:10', 'a'), ('2026-01-01 00:01:20', 'b')")
            .await;
        let (one, other) = (weir.connect().await, weir.connect().await);
        let mut rows = Lines::of(&one, "SUBSCRIBE v EMIT FINAL").await;
        let mut busy = Lines::of(&other, "SUBSCRIBE (SELECT k, window_start, n FROM v WHERE n > 1) EMIT FINAL").await;
        // Revised, twice, before its window is closed; that takes half a minute more than its end.
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:00:20', 'a')").await;
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:00:40', 'b'), ('2026-01-01 00:01:29', 'b')").await;
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:01:30', 'c')").await;
        let commit = value(&client, "SELECT commit FROM weir.snapshot").await;
        assert_eq!(rows.fields().await[0], commit);
        assert_eq!(rows.take(1).await, ["1 2026-01-01 00:00:00 b 1"]);
        assert_eq!(busy.take(1).await, ["1 a 2026-01-01 00:00:00 2"]);
        // Too late; and admitted: what was said is said.
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:00:30', 'b')").await;
        run(&client, "ALTER MATERIALIZED VIEW v ADMIT LATE").await;
        assert_eq!(value(&client, "SELECT n FROM v WHERE window_start = '2026-01-01' AND k = 'b'").await, "2");
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:02:30', 'a')").await;
        assert_eq!(rows.take(3).await, ["1 2026-01-01 00:01:00 a 1", "1 2026-01-01 00:01:00 b 2", "1 2026-01-01 00:01:00 c 1"]);
        assert_eq!(busy.take(1).await, ["1 b 2026-01-01 00:01:00 2"]);
        // Who comes now is shown what is final by now, as it is by now; or nothing of it.
        let (one, other) = (weir.connect().await, weir.connect().await);
        let mut all = Lines::of(&one, "SUBSCRIBE v EMIT FINAL").await;
        let mut later = Lines::of(&other, "SUBSCRIBE v EMIT FINAL WITH (snapshot = false, progress = true)").await;
        assert_eq!(later.take(1).await, ["t \\N \\N \\N \\N"]);
        assert_eq!(all.take(2).await[0], "1 2026-01-01 00:00:00 a 2");
        assert_eq!(all.take(3).await.len(), 3);
        run(&client, "INSERT INTO hits VALUES ('2026-01-01 00:03:30', 'a')").await;
        assert_eq!(all.take(1).await, ["1 2026-01-01 00:02:00 a 1"]);
        let next = loop {
            // Commits without anything final have their row of progress.
            let fields = later.fields().await;
            if fields[1] == "f" {
                break fields[2..].join(" ");
            }
        };
        assert_eq!(next, "1 2026-01-01 00:02:00 a 1");
        weir.stop();
    }
}

#[tokio::test]
async fn it_says_what_a_view_with_emit_final_says_in_the_same_commits() {
    let seed = seed();
    for workers in [1, 3] {
        let mut random = Rng::with_seed(seed ^ workers as u64);
        let weir = Weir::start_without_checkpoints(workers);
        let client = weir.connect().await;
        run(&client, "CREATE TABLE hits (id INT PRIMARY KEY, ts TIMESTAMP, k INT, WATERMARK FOR ts AS ts - INTERVAL '20 s')").await;
        let query = "SELECT window_start, k, count(*) AS n, sum(id) AS ids FROM HOP(hits, ts, INTERVAL '30 s', INTERVAL '1 minute') GROUP BY window_start, k";
        let view = |name: &str, clauses: &str| format!("CREATE MATERIALIZED VIEW {name} AS {query} {clauses}");
        run(&client, &view("finals", "ALLOW LATENESS INTERVAL '10 s' EMIT FINAL")).await;
        run(&client, &view("early", "ALLOW LATENESS INTERVAL '10 s'")).await;
        run(&client, &view("closed", "ALLOW LATENESS INTERVAL '10 s' EMIT ON WINDOW CLOSE")).await;
        run(&client, &format!("CREATE VIEW plain AS {query}")).await;
        let followed = ["finals EMIT FINAL", "finals", "early EMIT FINAL", "closed EMIT FINAL", "(SELECT * FROM early) EMIT FINAL"];
        let mut connections = Vec::new();
        for _ in followed {
            connections.push(weir.connect().await);
        }
        let mut lines = Vec::new();
        for (connection, what) in connections.iter().zip(followed) {
            lines.push(Lines::of(connection, &format!("SUBSCRIBE {what} WITH (progress = true)")).await);
        }
        let mut id = 0;
        for second in (0..600).step_by(7) {
            let mut rows = Vec::new();
            for _ in 0..random.usize(1..4) {
                id += 1;
                let at = (second - random.i64(0..60)).max(0);
                rows.push(format!("({id}, TIMESTAMP '2026-01-01' + INTERVAL '{at} s', {})", random.i32(0..3)));
            }
            run(&client, &format!("INSERT INTO hits VALUES {}", rows.join(", "))).await;
            if random.usize(..4) == 0 {
                run(&client, &format!("DELETE FROM hits WHERE id = {}", random.i32(1..=id))).await;
            }
        }
        run(&client, "INSERT INTO hits VALUES (0, '2026-01-02', 0)").await;
        let last = value(&client, "SELECT commit FROM weir.snapshot").await;
        let mut found = Vec::new();
        for lines in &mut lines {
            let mut rows = Vec::new();
            loop {
                let fields = lines.fields().await;
                match fields[1].as_str() {
                    "t" if fields[0] == last => break,
                    "t" => {}
                    _ => rows.push(fields.join(" ")),
                }
            }
            rows.sort();
            found.push(rows);
        }
        assert!(found[0].len() > 30, "{} rows, seed {seed}", found[0].len());
        for (rows, what) in found.iter().zip(followed) {
            assert_eq!(rows, &found[0], "{what}, seed {seed}, {workers} workers");
        }
        // A query's own windows are shown when they are closed. Of what is there when it comes nothing is late.
        let one = weir.connect().await;
        let mut query = Lines::of(&one, "SUBSCRIBE plain EMIT FINAL").await;
        let batch = "SELECT '1', window_start, k, n, ids FROM plain WHERE window_start < '2026-01-01 12:00:00' ORDER BY 2, 3";
        let expected: Vec<String> = rows(&client, batch).await.iter().map(|row| row.join(" ")).collect();
        assert_eq!(query.take(expected.len()).await, expected, "seed {seed}");
        weir.stop();
    }
}

#[tokio::test]
async fn old_results_that_go_are_not_told_of() {
    let weir = Weir::start_without_checkpoints(2);
    let client = weir.connect().await;
    run(&client, HITS).await;
    let recent = V.replacen("VIEW v AS", "VIEW v WITH (retention = '1 minute') AS", 1);
    run(&client, &format!("{recent} EMIT FINAL")).await;
    run(&client, &format!("{} EMIT ON WINDOW CLOSE", recent.replacen("VIEW v", "VIEW closed", 1))).await;
    run(&client, &recent.replacen("VIEW v", "VIEW at_once", 1)).await;
    let (one, other) = (weir.connect().await, weir.connect().await);
    let mut finals = Lines::of(&one, "SUBSCRIBE v EMIT FINAL").await;
    let mut closed = Lines::of(&other, "SUBSCRIBE closed EMIT FINAL").await;
    for minute in 0..5 {
        run(&client, &format!("INSERT INTO hits VALUES ('2026-01-01 00:0{minute}:10', 'a')")).await;
    }
    for lines in [&mut finals, &mut closed] {
        for minute in 0..4 {
            assert_eq!(lines.take(1).await, [format!("1 2026-01-01 00:0{minute}:00 a 1")]);
        }
    }
    assert_eq!(value(&client, "SELECT count(*) FROM v").await, "1", "older ones are gone from the view");
    // Nothing that it shows is final before it goes.
    let (code, message) = refused(&client, "SUBSCRIBE at_once EMIT FINAL").await;
    assert_eq!((code.as_str(), message.as_str()), ("0A000", "\"at_once\" removes what is in its windows when they are closed"));
    weir.stop();
}

#[tokio::test]
async fn a_silent_source_makes_rows_final_for_those_who_wait() {
    let weir = Weir::start_without_checkpoints(2);
    let client = weir.connect().await;
    let path = weir.file("rows.jsonl", b"{\"ts\": \"2013-01-01 00:00:59\"}\n");
    let source = format!(
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts) WITH (connector = 'file', path = '{path}', follow = 'true', idle_timeout = '1 day') FORMAT PLAIN ENCODE JSON"
    );
    run(&client, &source).await;
    let view =
        "CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS n FROM TUMBLE(s, ts, INTERVAL '1 minute') GROUP BY window_start";
    run(&client, &format!("{view} ALLOW LATENESS INTERVAL '0 s'")).await;
    let one = weir.connect().await;
    let mut rows = Lines::of(&one, "SUBSCRIBE v EMIT FINAL").await;
    run(&client, "ALTER SOURCE s SET (idle_timeout = '0 s')").await;
    assert_eq!(rows.take(1).await, ["1 2013-01-01 00:00:00 1"]);
    weir.stop();
}

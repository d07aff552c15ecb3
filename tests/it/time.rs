//! Windows that close: what came in time and what came too late add up, whatever the epochs, the workers, and a `kill -9` in between.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use tokio_postgres::Client;

use crate::harness::{FLIGHT_COLUMNS, Weir, all_flights, rows, run, seed, until, until_filled, value};
use crate::server::{Server, connect};

const RESULTS: &str = "count(*) AS n, sum(distance) AS far, avg(dep_delay) AS mean, min(dep_delay) AS least, max(dep_delay) AS most";

#[tokio::test]
async fn flights_in_time_and_late_flights_are_all_flights_at_one_worker() {
    flights(1, "flights_in_time_and_late_flights_are_all_flights_at_one_worker").await;
}

#[tokio::test]
async fn flights_in_time_and_late_flights_are_all_flights_at_two_workers() {
    flights(2, "flights_in_time_and_late_flights_are_all_flights_at_two_workers").await;
}

async fn flights(workers: usize, test: &str) {
    let Some(path) = all_flights(test) else { return };
    let weir = Weir::start(workers);
    let client = weir.connect().await;
    run(
        &client,
        &format!(
            "CREATE SOURCE flights ({FLIGHT_COLUMNS}, WATERMARK FOR sched_dep AS sched_dep - INTERVAL '1 hour')
             WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE JSON",
            path.display()
        ),
    )
    .await;
    // Each flight is in one window, or in four; the last view comes while the others are being filled, and reads by itself at first.
    let views = [
        ("by_hour", "TUMBLE(flights, sched_dep, INTERVAL '1 hour')", 1),
        ("by_quarter", "HOP(flights, sched_dep, INTERVAL '15 minutes', INTERVAL '1 hour')", 4),
        ("by_half", "HOP(flights, sched_dep, INTERVAL '30 minutes', INTERVAL '1 hour')", 2),
    ];
    let query = |windows: &str| format!("SELECT window_start, origin, {RESULTS} FROM {windows} GROUP BY window_start, origin");
    for (name, windows, copies) in views {
        if copies == 2 {
            until(&client, "SELECT count(*) > 0 FROM by_hour", "t").await;
        }
        run(&client, &format!("CREATE MATERIALIZED VIEW {name} AS {} EMIT ON WINDOW CLOSE", query(windows))).await;
    }
    until_filled(&client).await;
    assert_eq!(value(&client, "SELECT count(*) FROM weir.dead_letters").await, "0", "flights without event time");
    for (name, windows, copies) in views {
        let in_time: u64 = value(&client, &format!("SELECT sum(n) FROM {name}")).await.parse().unwrap();
        let late: u64 = value(&client, &format!("SELECT count(*) FROM {name}$late")).await.parse().unwrap();
        eprintln!("{workers} workers, {name}: {in_time} in time, {late} late");
        assert_eq!(in_time + late, 336_776 * copies, "{name}: {in_time} in time, {late} late");
        // The file is read in more than one epoch, and its flights are out of order.
        assert!(late > 0, "{name}: nothing was late");
        // Only the end of the source has no time that would tell.
        let wrong = format!("SELECT count(*) FROM {name}$late WHERE weight <> 1 OR watermark IS NULL OR watermark < window_end");
        assert_eq!(value(&client, &wrong).await, "0");
        // Each flight has a line of its own.
        let lines =
            format!("SELECT count(*) - count(DISTINCT (\"offset\", window_start)) FROM {name}$late WHERE partition = '{}'", path.display());
        assert_eq!(value(&client, &lines).await, "0");
        let lost = format!(
            "SELECT count(*) FROM {name}$late WHERE partition IS NULL OR \"offset\" IS NULL OR \"offset\" NOT BETWEEN 1 AND 336776"
        );
        assert_eq!(value(&client, &lost).await, "0");

        run(&client, &format!("ALTER MATERIALIZED VIEW {name} ADMIT LATE")).await;
        assert_eq!(value(&client, &format!("SELECT count(*) FROM {name}$late")).await, "0");
        let order = "ORDER BY window_start, origin";
        let held = rows(&client, &format!("SELECT * FROM {name} {order}")).await;
        let batch = rows(&client, &format!("{} {order}", query(windows))).await;
        assert_eq!(held.len(), batch.len(), "as many windows");
        for (held, batch) in held.iter().zip(&batch) {
            assert!(held.iter().zip(batch).all(|(a, b)| equal(a, b)), "{name} has {held:?}, the batch answer is {batch:?}");
        }
    }
    weir.stop();
}

/// The same text, or nearly the same number.
fn equal(a: &str, b: &str) -> bool {
    a == b || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if (a - b).abs() <= 1e-9 * a.abs().max(b.abs()))
}

/// A file that is followed, and views that close its windows.
struct Followed {
    server: Server,
    client: Client,
    path: PathBuf,
    random: Rng,
    /// What was written in time, and what came late: the second of the event time, and the value.
    in_time: Vec<(i64, i64)>,
    late: Vec<(i64, i64)>,
}

/// The views: their windows and clauses; slide and size in seconds; how long after their end windows close.
const VIEWS: [(&str, &str, &str, i64, i64, i64); 3] = [
    ("on_close", "TUMBLE(s, ts, INTERVAL '1 minute')", "EMIT ON WINDOW CLOSE", 60, 60, 0),
    ("hops", "HOP(s, ts, INTERVAL '10 seconds', INTERVAL '30 seconds')", "EMIT ON WINDOW CLOSE", 10, 30, 0),
    ("final", "TUMBLE(s, ts, INTERVAL '1 minute')", "ALLOW LATENESS INTERVAL '1 minute' EMIT FINAL", 60, 60, 60),
];
/// How far the watermark stays behind, in seconds.
const DELAY: i64 = 10;

impl Followed {
    async fn start(workers: usize, directory: &Path) -> Followed {
        let path = directory.join("rows.jsonl");
        let server = Server::start(workers, "127.0.0.1:0").unwrap();
        let client = connect(server.url()).await.unwrap();
        let sql = format!(
            "CREATE SOURCE s (ts TIMESTAMP, v INT, WATERMARK FOR ts AS ts - INTERVAL '{DELAY} seconds')
             WITH (connector = 'file', path = '{}', follow = 'true', idle_timeout = '1 day') FORMAT PLAIN ENCODE JSON",
            path.display()
        );
        let mut followed = Followed { server, client, path, random: Rng::with_seed(seed()), in_time: vec![], late: vec![] };
        followed.append(&[]);
        run(&followed.client, &sql).await;
        for (name, windows, clauses, ..) in VIEWS {
            let query = format!("SELECT window_start, count(*) AS n, sum(v) AS s, min(v) AS a, max(v) AS z FROM {windows}");
            run(&followed.client, &format!("CREATE MATERIALIZED VIEW {name} AS {query} GROUP BY window_start {clauses}")).await;
        }
        followed
    }

    fn append(&mut self, text: &[u8]) {
        OpenOptions::new().create(true).append(true).open(&self.path).unwrap().write_all(text).unwrap();
    }

    /// Rows of these seconds, with random values.
    fn rows(&mut self, seconds: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
        seconds.into_iter().map(|second| (second, self.random.i64(-1000..1000))).collect()
    }

    /// So many rows of the first eight minutes, as lines.
    fn late_lines(&mut self, rows: usize) -> String {
        let seconds: Vec<i64> = (0..rows).map(|_| self.random.i64(0..480)).collect();
        let rows = self.rows(seconds);
        self.late.extend(&rows);
        lines(&rows)
    }

    /// Rows of all these seconds, in order; waits until the windows that they close are closed, and so all rows before them read.
    async fn go_on(&mut self, from: i64, to: i64) {
        let rows = self.rows(from..=to);
        self.append(lines(&rows).as_bytes());
        self.in_time.extend(&rows);
        for (view, _, _, slide, size, lateness) in VIEWS {
            let last = (to - DELAY - lateness - size).div_euclid(slide) * slide;
            let start = format!("TIMESTAMP '2024-01-01' + INTERVAL '{last} seconds'");
            until(&self.client, &format!("SELECT coalesce(max(window_start) >= {start}, false) FROM {view}"), "t").await;
        }
    }

    async fn restart(&mut self, workers: usize) {
        self.server.kill();
        self.server.restart(workers).unwrap();
        self.client = connect(self.server.url()).await.unwrap();
    }

    /// The views hold what came in time, and these late rows, of all windows that rows up to this second close.
    async fn expect(&self, admitted: &[(i64, i64)], to: i64) {
        for (view, _, _, slide, size, lateness) in VIEWS {
            let mut windows: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for (second, v) in self.in_time.iter().chain(admitted) {
                let mut start = second.div_euclid(slide) * slide;
                while start + size > *second {
                    windows.entry(start).or_default().push(*v);
                    start -= slide;
                }
            }
            windows.retain(|start, _| start + size + lateness <= to - DELAY);
            let row = |(start, values): (&i64, &Vec<i64>)| {
                let (n, sum): (usize, i64) = (values.len(), values.iter().sum());
                let (least, most) = (values.iter().min().unwrap(), values.iter().max().unwrap());
                vec![start.to_string(), n.to_string(), sum.to_string(), least.to_string(), most.to_string()]
            };
            let expected: Vec<_> = windows.iter().map(row).collect();
            assert_eq!(self.held(view).await, expected, "{view}, {} late rows admitted", admitted.len());
        }
    }

    async fn held(&self, view: &str) -> Vec<Vec<String>> {
        let since = "CAST(extract(epoch FROM window_start) - extract(epoch FROM TIMESTAMP '2024-01-01') AS BIGINT)";
        rows(&self.client, &format!("SELECT {since}, n, s, a, z FROM {view} ORDER BY 1")).await
    }

    /// All late rows of all views, in some order that is always the same.
    async fn late_rows(&self) -> Vec<Vec<Vec<String>>> {
        let mut all = vec![];
        for (view, ..) in VIEWS {
            let mut late = rows(&self.client, &format!("SELECT * FROM {view}$late")).await;
            late.sort();
            all.push(late);
        }
        all
    }
}

fn lines(rows: &[(i64, i64)]) -> String {
    let line =
        |(at, v): &(i64, i64)| format!("{{\"ts\": \"2024-01-01 {:02}:{:02}:{:02}\", \"v\": {v}}}\n", at / 3600, at / 60 % 60, at % 60);
    rows.iter().map(line).collect()
}

/// Windows close up to 590 s; then 1,000 rows come for the first eight minutes, in pieces that are cut anywhere.
async fn a_thousand_late_rows(workers: usize, kills: bool) {
    let directory = tempfile::tempdir().unwrap();
    let mut followed = Followed::start(workers, directory.path()).await;
    followed.go_on(0, 600).await;
    assert!(followed.late_rows().await.iter().all(Vec::is_empty), "rows that came in order are late");

    let text = followed.late_lines(1000);
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(followed.random.usize(1..=rest.len().min(9000)));
        followed.append(piece);
        rest = after;
        if followed.random.bool() {
            // An epoch for this piece, or what is left of the one before.
            let read = &text.as_bytes()[..text.len() - rest.len()];
            let lines = read.iter().filter(|byte| **byte == b'\n').count();
            until(&followed.client, "SELECT count(*) FROM on_close$late", &lines.to_string()).await;
        }
        if kills && followed.random.u8(..4) == 0 {
            let workers = followed.random.usize(1..=3);
            followed.restart(workers).await;
        }
    }
    followed.go_on(601, 700).await;

    let late = followed.late_rows().await;
    assert_eq!(late.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 3000, 1000], "entries of one window, of three, of one");
    followed.expect(&[], 700).await;
    if kills {
        followed.restart(2).await;
        assert_eq!(followed.late_rows().await, late, "late rows after a restart");
        followed.expect(&[], 700).await;
    }
    for (view, ..) in VIEWS {
        run(&followed.client, &format!("ALTER MATERIALIZED VIEW {view} ADMIT LATE")).await;
        if kills {
            followed.restart(1).await;
        }
    }
    let admitted = followed.late.clone();
    followed.expect(&admitted, 700).await;
    assert!(followed.late_rows().await.iter().all(Vec::is_empty), "admitted, and still there");

    // What was closed is still closed.
    let text = followed.late_lines(10);
    followed.append(text.as_bytes());
    followed.go_on(701, 800).await;
    assert_eq!(followed.late_rows().await.iter().map(Vec::len).collect::<Vec<_>>(), [10, 30, 10]);
    followed.expect(&admitted, 800).await;
    followed.server.stop().unwrap();
}

#[tokio::test]
async fn a_thousand_rows_that_are_late_are_a_thousand_entries() {
    a_thousand_late_rows(1, false).await;
    a_thousand_late_rows(3, false).await;
}

#[tokio::test]
async fn late_rows_survive_kills() {
    a_thousand_late_rows(2, true).await;
}

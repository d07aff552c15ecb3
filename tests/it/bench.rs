//! `weir bench`: the engine's own figures are right where they can be held against something.

use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{finish, printed};

fn bench(args: &[&str]) -> Output {
    finish(Command::new(env!("CARGO_BIN_EXE_weir")).arg("bench").args(args))
}

/// The report of a measurement that must succeed.
fn report(args: &[&str]) -> Value {
    let output = bench(&[args, &["--check", "--format", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", printed(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", printed(&output)));
    let figure = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    assert!(figure("seconds") > 0.0 && figure("cpu_seconds") > 0.0 && figure("peak_rss_bytes") > 1e6, "{report}");
    let near = |rate: f64, seconds: &str| (rate * figure(seconds) / figure("events") - 1.0).abs() < 1e-6;
    assert!(near(figure("events_per_second"), "seconds") && near(figure("events_per_cpu_second"), "cpu_seconds"), "{report}");
    assert_eq!(report["checked"], true);
    report
}

#[test]
fn every_query_gives_what_it_gives_as_a_batch_at_1_2_and_4_workers() {
    for (query, rows_out) in [("q0", 60_000), ("q1", 60_000), ("q2", 227), ("tumble", 3907), ("q5_count", 19_781), ("q7_max", 1)] {
        for workers in ["1", "2", "4"] {
            let report = report(&["nexmark", "--query", query, "--events", "60000", "--workers", workers]);
            assert_eq!((report["query"].as_str(), report["workers"].to_string()), (Some(query), workers.to_string()));
            // 1,304 cycles of 46 bids and 16 more.
            assert_eq!((report["events"].as_u64(), report["generated_events"].as_u64()), (Some(60_000), Some(65_220)));
            assert_eq!(report["rows_out"].as_u64(), Some(rows_out), "{report}");
            assert!(report["generator_cpu_seconds"].as_f64().unwrap() > 0.0, "{report}");
        }
    }
}

#[test]
fn bids_that_are_there_before_cost_nothing_to_make() {
    let args = ["nexmark", "--query", "tumble", "--events", "60000", "--workers", "2", "--pregenerate"];
    let report = report(&args);
    assert_eq!((report["generator_cpu_seconds"].as_f64(), report["pregenerated"].as_bool()), (Some(0.0), Some(true)));
    assert_eq!(report["rows_out"].as_u64(), Some(3907));
}

#[test]
fn bids_of_a_file_are_counted_by_auction() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("bids.jsonl");
    let bid = |n: u64| {
        let time = format!("2015-07-15 00:00:{:02}.{:03}", n / 1000, n % 1000);
        format!(
            "{{\"auction\":{},\"bidder\":1,\"price\":{n},\"channel\":\"c\",\"url\":\"u\",\"date_time\":\"{time}\",\"extra\":\"\"}}\n",
            n % 7
        )
    };
    std::fs::write(&path, (0..25_000).map(bid).collect::<String>()).unwrap();
    let path = path.to_str().unwrap();
    let found = report(&["file", "--path", path, "--query", "tumble", "--workers", "2"]);
    // Three windows of seven auctions.
    assert_eq!((found["events"].as_u64(), found["rows_out"].as_u64()), (Some(25_000), Some(21)));
    assert_eq!(found["generated_events"], Value::Null);
    assert_eq!(report(&["file", "--path", path, "--query", "q7_max"])["rows_out"].as_u64(), Some(3));
}

/// The report of a measurement that checks itself, and must succeed.
fn figures(args: &[&str]) -> Value {
    let output = bench(&[args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", printed(&output)))
}

#[test]
fn a_restart_is_measured_with_all_keys_and_rows() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let data = data.to_str().unwrap();
    let args = ["restart", "--keys", "20000", "--restarts", "2", "--workers", "2", "--data", data];
    let found = figures(&args);
    // It fails where a server answers anything else.
    assert_eq!((found["keys"].as_u64(), found["rows"].as_u64()), (Some(20_000), Some(30_000)));
    let restarts = found["restarts"].as_array().unwrap();
    assert_eq!(restarts.len(), 2);
    for restart in restarts {
        let seconds = |name: &str| restart[name].as_f64().unwrap();
        let inner = seconds("ready_seconds") < seconds("first_answer_seconds");
        assert!(inner && seconds("first_answer_seconds") < seconds("whole_answer_seconds"), "{found}");
        assert!(found["best_first_answer_seconds"].as_f64().unwrap() <= seconds("first_answer_seconds"), "{found}");
    }
    for figure in ["disk_bytes_per_key", "state_bytes_per_key", "served_bytes_per_key"] {
        assert!(found[figure].as_f64().unwrap() > 8.0, "{figure} in {found}");
    }
    let again = bench(&args);
    assert!(!again.status.success() && printed(&again).contains("there is something in"), "{}", printed(&again));
}

#[test]
fn checkpoints_are_measured_against_none() {
    let found = figures(&["checkpoint", "--keys", "5000", "--seconds", "2s", "--interval", "50ms", "--pairs", "1"]);
    let runs = found["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["with_checkpoints"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false]);
    for run in runs {
        let rows = run["view_rows"].as_u64().unwrap();
        assert!((4900..=5000).contains(&rows) && run["rows"].as_u64().unwrap() > 0, "{found}");
    }
    assert_eq!(runs[1]["checkpoints"].as_array().unwrap().len(), 0, "{found}");
    for checkpoint in runs[0]["checkpoints"].as_array().unwrap() {
        let seconds = |name: &str| checkpoint[name].as_f64().unwrap();
        assert!(checkpoint["keys"].as_u64().unwrap() > 0 && seconds("copying_seconds") >= seconds("slice_seconds"), "{found}");
        assert!(seconds("slice_seconds") > 0.0 && seconds("slice_seconds") <= found["slice_max_seconds"].as_f64().unwrap(), "{found}");
    }
    for times in [&found["epoch_wait_seconds"], &found["epoch_seconds"]["with"], &found["epoch_seconds"]["without"]] {
        let [half, most, all] = ["p50", "p99", "max"].map(|part| times[part].as_f64().unwrap());
        assert!(half <= most && most <= all, "{found}");
    }
    assert!(found["epoch_wait_seconds"]["max"].as_f64() > Some(0.0), "{found}");
}

#[test]
fn windows_that_close_are_measured() {
    let output = bench(&["nexmark", "--query", "tumble", "--emit", "close", "--events", "1000"]);
    assert!(output.status.success() && printed(&output).contains("tumble"), "{}", printed(&output));
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    for (args, message) in [
        (&["nexmark", "--events", "0"][..], "0 is not in 1"),
        (&["nexmark", "--query", "q99"], "invalid value 'q99'"),
        (&["restart", "--keys", "0"], "0 is not in 1"),
        (&["restart", "--data", "sql"], "there is something in \"sql\" already"),
        (&["checkpoint", "--keys", "0"], "0 is not in 1"),
        (&["file", "--path", "no/such.jsonl"], "could not open file \"no/such.jsonl\""),
        (&["file", "--path", "Cargo.toml"], "\"Cargo.toml\" does not say what its rows are written in"),
        (&["file", "--path", "sql/data/flights-100.jsonl"], "column \"date_time\" is null, so the row is in no window"),
    ] {
        let output = bench(args);
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}: {}", printed(&output));
        assert!(printed(&output).contains(message), "{args:?}: {}", printed(&output));
    }
}

//! What users and files get wrong: a clear error or a dead letter each time, and the server stands.

use std::io::Write;
use std::path::Path;

use tokio_postgres::Client;

use crate::harness::{Weir, create_flights, few_flights, refused, rows, run, until_filled, value};

async fn source(weir: &Weir, client: &Client, name: &str, columns: &str, file: &str, content: &[u8]) {
    let path = weir.file(file, content);
    run(client, &format!("CREATE SOURCE {name} ({columns}) WITH (connector = 'file', path = '{path}') FORMAT PLAIN ENCODE JSON")).await;
    run(client, &format!("CREATE MATERIALIZED VIEW {name}_v AS SELECT * FROM {name}")).await;
    until_filled(client).await;
}

/// Dead letters of a relation: reason and position.
async fn dead(client: &Client, relation: &str) -> Vec<Vec<String>> {
    rows(client, &format!("SELECT reason, \"offset\" FROM weir.dead_letters WHERE relation = '{relation}' ORDER BY \"offset\"")).await
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<Vec<String>> {
    pairs.iter().map(|(a, b)| vec![a.to_string(), b.to_string()]).collect()
}

#[tokio::test]
async fn statements_that_are_wrong_are_refused_clearly() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, &create_flights(&few_flights())).await;
    let data = few_flights().display().to_string();
    let with = |options: &str| format!("CREATE SOURCE s (id INT) WITH ({options}) FORMAT PLAIN ENCODE JSON");
    let cases = [
        ("CREATE MATERIALIZED VIEW v AS SELECT dep_dellay FROM flights".to_string(), "42703", "dep_dellay"),
        ("CREATE MATERIALIZED VIEW v AS SELECT carrier + 1 FROM flights".to_string(), "42883", "operator does not exist: text + integer"),
        ("CREATE SOURCE s (id INTEGERR) WITH (connector = 'file', path = 'x') FORMAT PLAIN ENCODE JSON".to_string(), "42704", "integerr"),
        (with(&format!("connector = 'file', path = '{data}', colour = 'red'")), "22023", "colour"),
        (with("connector = 'file', path = '/nowhere/flights.jsonl'"), "58P01", "/nowhere/flights.jsonl"),
        ("SELECT 99999999999::int".to_string(), "22003", "out of range"),
        ("SELECT * FROM TUMBLE(flights, carrier, INTERVAL '1 hour')".to_string(), "42804", "carrier"),
    ];
    for (sql, expected, part) in cases {
        let (code, message) = refused(&client, &sql).await;
        assert!(code == expected && message.contains(part), "{sql}: {code} {message}");
    }
    assert_eq!(value(&client, "SELECT count(*) FROM flights").await, "2699");
    weir.stop();
}

#[tokio::test]
async fn a_nul_byte_is_refused_in_values() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (x TEXT)").await;
    let error = client.execute("INSERT INTO t VALUES ($1)", &[&"a\0b"]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22021");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "0");

    let lines = b"{\"id\": 1, \"x\": \"fine\"}\n{\"id\": 2, \"x\": \"a\0b\"}\n{\"id\": 3, \"x\": \"a\\u0000b\"}\n\0\n{\"id\": 4, \"x\": \"fine\"}\n";
    source(&weir, &client, "nul", "id INT, x TEXT", "nul.jsonl", lines).await;
    assert_eq!(value(&client, "SELECT sum(id) FROM nul_v").await, "5");
    assert_eq!(dead(&client, "nul").await, pairs(&[("decode", "2"), ("decode", "3"), ("decode", "4")]));
    weir.stop();
}

#[tokio::test]
async fn lines_that_are_no_rows_become_dead_letters() {
    let weir = Weir::start(4);
    let client = weir.connect().await;
    let lines = b"{\"id\": 1}\n{\"id\": \"two\"}\n{\"id\": 3000000000}\n{\"id\": 4.5}\n{\"id\": 5, \n{\"id\": 6}{\"id\": 7}\n\n\xff\xfe\n{\"id\": 8}";
    source(&weir, &client, "s", "id INT", "lines.jsonl", lines).await;
    assert_eq!(value(&client, "SELECT sum(id) FROM s_v").await, "9");
    let letters = dead(&client, "s").await;
    assert!(letters.iter().all(|letter| letter[0] == "decode"), "{letters:?}");
    let at: Vec<&str> = letters.iter().map(|letter| letter[1].as_str()).collect();
    assert_eq!(at, ["2", "3", "4", "5", "6", "8"]);
    let counted = rows(&client, "SELECT rows, dead_letters, at_end FROM weir.sources WHERE name = 's'").await;
    assert_eq!(counted, vec![vec!["2".to_string(), "6".to_string(), "t".to_string()]]);
    weir.stop();
}

#[tokio::test]
async fn a_file_that_breaks_off_gives_what_came_before() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    source(&weir, &client, "broken", "id INT", "broken.jsonl", b"{\"id\": 1}\n{\"id\": 2}\n{\"id\": ").await;
    assert_eq!(value(&client, "SELECT sum(id) FROM broken_v").await, "3");
    assert_eq!(dead(&client, "broken").await, pairs(&[("decode", "3")]));

    let lines: String = (1..=20_000).map(|id| format!("{{\"id\": {id}, \"salt\": {}}}\n", id * 7919 % 10_007)).collect();
    let whole = gzip(lines.as_bytes());
    source(&weir, &client, "cut", "id INT", "cut.jsonl.gz", &whole[..whole.len() / 2]).await;
    let read: u64 = value(&client, "SELECT count(*) FROM cut_v").await.parse().unwrap();
    assert!(read > 1000 && read < 20_000, "{read}");
    let reasons = rows(&client, "SELECT reason, count(*) FROM weir.dead_letters WHERE relation = 'cut' GROUP BY reason").await;
    assert_eq!(reasons, pairs(&[("truncated", "1")]));
    assert_eq!(value(&client, "SELECT max(id) FROM cut_v").await, read.to_string());

    source(&weir, &client, "no_gzip", "id INT", "no.jsonl.gz", b"{\"id\": 1}\n").await;
    let stands = rows(&client, "SELECT count(*) FROM weir.dead_letters WHERE relation = 'no_gzip'").await;
    let rows_read = value(&client, "SELECT count(*) FROM no_gzip_v").await;
    assert!(stands[0][0] != "0" || rows_read == "1", "neither read as plain lines nor told");
    weir.stop();
}

#[tokio::test]
async fn a_line_of_100_megabytes_is_one_dead_letter() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    let mut content = b"{\"id\": 1, \"x\": \"short\"}\n{\"id\": 2, \"x\": \"".to_vec();
    content.resize(content.len() + 100_000_000, b'x');
    content.extend(b"\"}\n{\"id\": 3, \"x\": \"short\"}\n");
    // Compressed, so that the test writes little.
    source(&weir, &client, "long", "id INT, x TEXT", "long.jsonl.gz", &gzip(&content)).await;
    assert_eq!(value(&client, "SELECT sum(id) FROM long_v").await, "4");
    assert_eq!(dead(&client, "long").await, pairs(&[("too_long", "2")]));
    let kept: usize = value(&client, "SELECT max(length(payload)) FROM weir.dead_letters").await.parse().unwrap();
    assert!(kept <= 1024, "{kept}");
    weir.stop();
}

#[tokio::test]
async fn a_null_event_time_is_a_dead_letter_of_the_window() {
    let weir = Weir::start(4);
    let client = weir.connect().await;
    let path = weir.file("times.jsonl", b"{\"ts\": \"2020-01-01 00:00:00\"}\n{\"ts\": null}\n{}\n{\"ts\": \"2020-01-01 00:59:59\"}\n");
    run(
        &client,
        &format!(
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1 minute')
             WITH (connector = 'file', path = '{path}') FORMAT PLAIN ENCODE JSON"
        ),
    )
    .await;
    run(
        &client,
        "CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS n FROM TUMBLE(s, ts, INTERVAL '1 hour') GROUP BY window_start",
    )
    .await;
    until_filled(&client).await;
    assert_eq!(rows(&client, "SELECT * FROM v").await, pairs(&[("2020-01-01 00:00:00", "2")]));
    let letters = rows(&client, "SELECT relation, reason FROM weir.dead_letters").await;
    assert_eq!(letters, pairs(&[("v", "null_event_time"), ("v", "null_event_time")]));
    weir.stop();
}

#[tokio::test]
async fn a_file_that_goes_away_is_told() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    let path = weir.file("gone.jsonl", b"{\"id\": 1}\n");
    run(&client, &format!("CREATE SOURCE s (id INT) WITH (connector = 'file', path = '{path}') FORMAT PLAIN ENCODE JSON")).await;
    std::fs::remove_file(Path::new(&path)).unwrap();
    let (code, message) = refused(&client, "SELECT * FROM s").await;
    assert!(code == "58P01" && message.contains(&path), "{code} {message}");
    let (code, message) = refused(&client, "CREATE MATERIALIZED VIEW v AS SELECT * FROM s").await;
    assert!(code == "58P01" && message.contains(&path), "{code} {message}");
    assert_eq!(value(&client, "SELECT 1").await, "1");
    weir.stop();
}

//! What a person types into psql: the quickstart, the backslash commands, several statements, \watch.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::harness::{BY_HOUR, Weir, create_flights, few_flights, printed, psql, psql_command, run, until_filled};
use crate::server;

#[tokio::test]
async fn the_quickstart_gives_what_it_promises() {
    let weir = Weir::start(2);
    let airlines = server::data().join("airlines.csv");
    let script = format!(
        "{create};
CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT);
\\copy airlines FROM '{airlines}' WITH (FORMAT csv, HEADER true)
CREATE MATERIALIZED VIEW by_hour AS {BY_HOUR};
CREATE MATERIALIZED VIEW busiest AS SELECT window_start, max(flights) AS flights FROM by_hour GROUP BY window_start;
",
        create = create_flights(&few_flights()),
        airlines = airlines.display()
    );
    let Some(output) = psql(weir.url(), &script) else { return };
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    let tags: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with("NOTICE")).collect();
    assert_eq!(tags, ["CREATE SOURCE", "CREATE TABLE", "COPY 16", "CREATE MATERIALIZED VIEW", "CREATE MATERIALIZED VIEW"]);
    until_filled(&weir.connect().await).await;
    let output =
        psql(weir.url(), "SELECT * FROM by_hour ORDER BY window_start, origin LIMIT 3;\nSELECT max(flights) FROM busiest;\n").unwrap();
    let expected = "
    window_start     | origin | flights |     mean_delay     | worst 
---------------------+--------+---------+--------------------+-------
 2013-01-01 05:00:00 | EWR    |       2 |                 -1 |     2
 2013-01-01 05:00:00 | JFK    |       3 | 0.3333333333333333 |     2
 2013-01-01 05:00:00 | LGA    |       1 |                  4 |     4
(3 rows)

 max 
-----
  35
(1 row)
";
    assert_eq!(printed(&output).trim_end(), expected.trim_start_matches('\n').trim_end());
    let text = printed(&psql(weir.url(), "SELECT name FROM airlines WHERE carrier = 'AA';").unwrap());
    assert!(text.contains("American Airlines Inc."), "{text}");
    weir.stop();
}

#[tokio::test]
async fn data_can_stand_in_the_script() {
    let weir = Weir::start(1);
    let script = "CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT);
COPY airlines FROM STDIN WITH (FORMAT csv, HEADER true);
carrier,name
AA,\"American, the first\"
9E,Endeavor
\\.
COPY (SELECT * FROM airlines ORDER BY carrier) TO STDOUT WITH (FORMAT csv);
";
    let Some(output) = psql(weir.url(), script) else { return };
    assert_eq!(printed(&output).trim_end(), "CREATE TABLE\nCOPY 2\n9E,Endeavor\nAA,\"American, the first\"");
    weir.stop();
}

#[tokio::test]
async fn backslash_commands_describe_what_is_there() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, &create_flights(&few_flights())).await;
    run(&client, "CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT NOT NULL, size NUMERIC(10,2))").await;
    run(&client, "CREATE VIEW names AS SELECT name FROM airlines").await;
    run(&client, "CREATE MATERIALIZED VIEW per_origin AS SELECT origin, count(*) AS n FROM flights GROUP BY origin").await;
    let cases: [(&str, &[&str]); 16] = [
        ("\\d", &["airlines", "names", "per_origin", "flights", "materialized view"]),
        ("\\d+", &["airlines", "names", "per_origin", "flights"]),
        ("\\dt", &["airlines"]),
        ("\\dv", &["names"]),
        ("\\dm", &["per_origin"]),
        ("\\dm+", &["per_origin"]),
        ("\\ds", &["Did not find any relations."]),
        ("\\di", &["airlines_pkey"]),
        ("\\l", &["weir", "UTF8"]),
        ("\\dn", &["public"]),
        ("\\du", &["weir"]),
        (
            "\\d airlines",
            &[
                "Table \"public.airlines\"",
                "carrier",
                "text",
                "not null",
                "numeric(10,2)",
                "\"airlines_pkey\" PRIMARY KEY, btree (carrier)",
            ],
        ),
        ("\\d names", &["View \"public.names\"", "name"]),
        ("\\d per_origin", &["Materialized view \"public.per_origin\"", "origin", "bigint"]),
        ("\\d+ per_origin", &["View definition:", "count(*)"]),
        ("\\d flights", &["sched_dep", "timestamp without time zone", "double precision"]),
    ];
    for (command, parts) in cases {
        let Some(output) = psql(weir.url(), &format!("{command}\n")) else { return };
        let text = printed(&output);
        assert!(output.status.success() && !text.contains("ERROR"), "{command}\n{text}");
        for part in parts {
            assert!(text.contains(part), "{command}: no {part:?} in\n{text}");
        }
    }
    let text = printed(&psql(weir.url(), "\\dt\n").unwrap());
    assert!(!text.contains("per_origin") && !text.contains("names"), "{text}");
    let text = printed(&psql(weir.url(), "\\d nothing_of_that_name\n").unwrap());
    assert!(text.contains("Did not find any relation named \"nothing_of_that_name\"."), "{text}");
    weir.stop();
}

#[tokio::test]
async fn several_statements_in_one_message_answer_one_after_the_other() {
    let weir = Weir::start(1);
    let Some(mut command) = psql_command(weir.url()) else { return };
    // -c sends its text as one message.
    let output = command
        .args(["-At", "-c", "CREATE TABLE t (id INT); INSERT INTO t VALUES (1), (2); SELECT sum(id) FROM t; SELECT 'a;b'"])
        .output()
        .unwrap();
    assert_eq!(printed(&output).trim_end(), "CREATE TABLE\nINSERT 0 2\n3\na;b");
    weir.stop();
}

#[tokio::test]
async fn errors_look_as_in_postgres() {
    let weir = Weir::start(1);
    run(&weir.connect().await, "CREATE TABLE bids (id INT PRIMARY KEY, price INT)").await;
    let Some(mut command) = psql_command(weir.url()) else { return };
    let output = command.args(["-c", "SELECT id, prices FROM bids"]).output().unwrap();
    let expected = "ERROR:  column \"prices\" does not exist\nLINE 1: SELECT id, prices FROM bids\n                   ^\nHINT:  Perhaps you meant to reference the column \"bids.price\".\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    let output = psql(weir.url(), "DROP TABLE IF EXISTS missing;\n").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "NOTICE:  table \"missing\" does not exist, skipping\n");
    weir.stop();
}

#[tokio::test]
async fn watch_sees_a_view_change() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await;
    let Some(mut command) = psql_command(weir.url()) else { return };
    let mut psql = command.arg("-At").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = psql.stdin.take().unwrap();
    stdin.write_all(b"SELECT 'n is ' || n FROM v \\watch 0.05\n").unwrap();
    let mut lines = BufReader::new(psql.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line == "n is 0"));
    run(&client, "INSERT INTO t VALUES (1), (2)").await;
    assert!(lines.by_ref().any(|line| line == "n is 2"));
    psql.kill().unwrap();
    psql.wait().unwrap();
    weir.stop();
}

#[tokio::test]
async fn what_a_cascade_took_along_is_told() {
    let weir = Weir::start(1);
    let script = "CREATE TABLE t (a INT PRIMARY KEY);
CREATE MATERIALIZED VIEW v1 AS SELECT a FROM t;
CREATE VIEW v2 AS SELECT a FROM v1;
CREATE VIEW v3 AS SELECT a FROM t;
DROP TABLE t CASCADE;
CREATE TABLE t (a INT PRIMARY KEY);
CREATE VIEW v1 AS SELECT a FROM t;
DROP TABLE t CASCADE;
DROP VIEW IF EXISTS v1;
";
    let Some(output) = psql(weir.url(), script) else { return };
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = "NOTICE:  drop cascades to 3 other objects
DETAIL:  drop cascades to materialized view v1
drop cascades to view v2
drop cascades to view v3
NOTICE:  drop cascades to view v1
NOTICE:  view \"v1\" does not exist, skipping
";
    assert_eq!(text, expected);
    weir.stop();
}

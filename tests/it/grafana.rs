//! What Grafana's Postgres data source sends: its ping, the look-ups of its query builder, panels with expanded macros.
//!
//! Panels and the builder's first look-ups are query strings of the simple protocol, answered in text; the newer look-ups
//! have parameters. `tests/clients/go` sends the same with the drivers that Grafana is built on.

use std::path::Path;
use std::process::Command;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Weir, printed, refused, rows, run, until_filled, value};

/// Where the names stand that the search path finds: the builder writes those without their schema.
const IN_SEARCH_PATH: &str = "quote_ident(table_schema) IN (
  SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END
  FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1),
                       array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
       string_to_array(current_setting('search_path'),',') s)";

const TABLES: &str =
    "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 AND table_type IN ('BASE TABLE', 'VIEW') ORDER BY table_name";
const COLUMNS: &str = "SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale FROM information_schema.columns
  WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position";

/// A table, a view, materialized views and a source, with rows of the first ten minutes of 2026.
async fn prepare(weir: &Weir) -> Client {
    let client = weir.connect().await;
    run(
        &client,
        "CREATE TABLE samples (id INT PRIMARY KEY, at TIMESTAMPTZ NOT NULL, host TEXT, load DOUBLE PRECISION, price NUMERIC(10,2));
         CREATE VIEW busy AS SELECT at, host, load FROM samples WHERE load >= 2;
         CREATE MATERIALIZED VIEW by_host AS
           SELECT host, count(*) AS n, max(at) AS last, avg(load) AS load, sum(price) AS price FROM samples GROUP BY host;
         CREATE MATERIALIZED VIEW per_minute AS
           SELECT window_start, host, count(*) AS n, max(load) AS peak FROM TUMBLE(samples, at, INTERVAL '1 minute') GROUP BY window_start, host",
    )
    .await;
    let clicks = weir.file(
        "clicks.jsonl",
        b"{\"at\":\"2026-01-01T00:00:10Z\",\"page\":\"/\",\"ms\":5}\n{\"at\":\"2026-01-01T00:06:00Z\",\"page\":\"/\",\"ms\":7}\n",
    );
    run(
        &client,
        &format!(
            "CREATE SOURCE clicks (at TIMESTAMP, page TEXT, ms BIGINT) WITH (connector = 'file', path = '{clicks}') FORMAT PLAIN ENCODE JSON;
             CREATE MATERIALIZED VIEW \"Slow pages\" AS SELECT page, max(ms) AS ms FROM clicks GROUP BY page"
        ),
    )
    .await;
    run(
        &client,
        "INSERT INTO samples VALUES
           (1, '2026-01-01 00:00:00Z', 'a', 1, 10.50), (2, '2026-01-01 00:01:30Z', 'a', 3, 0.25), (3, '2026-01-01 00:04:59.999999Z', 'b', 2, NULL),
           (4, '2026-01-01 00:05:00Z', 'a', 5, 1), (5, '2026-01-01 00:09:00Z', 'b', NULL, 1), (6, '2026-01-01 01:00:00Z', 'a', 9, 9)",
    )
    .await;
    until_filled(&client).await;
    client
}

fn texts(rows: &[&[&str]]) -> Vec<Vec<String>> {
    rows.iter().map(|row| row.iter().map(|text| text.to_string()).collect()).collect()
}

#[tokio::test]
async fn save_and_test() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    // The health check: a statement that is a comment only. It has no result, not even a count.
    let answer = client.simple_query("-- ping").await.unwrap();
    assert!(matches!(answer.as_slice(), [] | [SimpleQueryMessage::CommandComplete(0)]), "{answer:?}");
    let version = value(&client, "SELECT current_setting('server_version_num')::int/100 as version").await;
    assert!((1000..2000).contains(&version.parse::<u32>().unwrap()), "{version}");
    assert!(rows(&client, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").await.is_empty());
    // Grafana shows the server's words when a panel is wrong.
    let (sqlstate, message) = refused(&client, "SELECT load FROM sample").await;
    assert_eq!((sqlstate.as_str(), message.as_str()), ("42P01", "relation \"sample\" does not exist"));
    weir.stop();
}

#[tokio::test]
async fn the_builder_lists_tables_and_columns() {
    let weir = Weir::start(1);
    let client = prepare(&weir).await;
    // As query strings. Who is found by the search path has no schema before it, and names that need quotes have them.
    let tables = format!(
        "SELECT CASE WHEN {IN_SEARCH_PATH} THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\"
         FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
         ORDER BY CASE WHEN {IN_SEARCH_PATH} THEN 0 ELSE 1 END, 1"
    );
    let listed = rows(&client, &tables).await.concat();
    let (ours, others) = listed.split_at(6);
    assert_eq!(ours, ["\"Slow pages\"", "busy", "by_host", "clicks", "per_minute", "samples"]);
    assert!(others.iter().all(|name| name.starts_with("weir.")), "{others:?}");
    let columns = |table: &str| {
        format!(
            "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns
             WHERE CASE WHEN array_length(parse_ident('{table}'),1) = 2
               THEN quote_ident(table_schema) = (parse_ident('{table}'))[1] AND quote_ident(table_name) = (parse_ident('{table}'))[2]
               ELSE quote_ident(table_name) = '{table}' AND {IN_SEARCH_PATH} END"
        )
    };
    let by_host: &[&[&str]] =
        &[&["host", "text"], &["n", "bigint"], &["last", "timestamp with time zone"], &["load", "double precision"], &["price", "numeric"]];
    assert_eq!(rows(&client, &columns("by_host")).await, texts(by_host));
    assert_eq!(rows(&client, &columns("public.by_host")).await, texts(by_host));
    assert_eq!(
        rows(&client, &columns("clicks")).await,
        texts(&[&["at", "timestamp without time zone"], &["page", "text"], &["ms", "bigint"]])
    );
    assert_eq!(rows(&client, &columns("\"Slow pages\"")).await, texts(&[&["page", "text"], &["ms", "bigint"]]));

    // With parameters.
    let schemas = "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT LIKE 'pg_%' AND schema_name != 'information_schema' ORDER BY schema_name";
    assert_eq!(rows(&client, schemas).await.concat(), ["public", "weir"]);
    // A source is a foreign table, which this look-up leaves out.
    let found = client.query(TABLES, &[&"public"]).await.unwrap();
    let names: Vec<&str> = found.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["Slow pages", "busy", "by_host", "per_minute", "samples"]);
    let found = client.query(COLUMNS, &[&"public", &"samples"]).await.unwrap();
    let types: Vec<(&str, &str, &str)> = found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(
        types,
        [
            ("id", "integer", "int4"),
            ("at", "timestamp with time zone", "timestamptz"),
            ("host", "text", "text"),
            ("load", "double precision", "float8"),
            ("price", "numeric", "numeric"),
        ]
    );
    let digits: Vec<(Option<i32>, Option<i32>)> = found.iter().map(|row| (row.get(3), row.get(4))).collect();
    assert_eq!(digits, [(Some(32), Some(0)), (None, None), (None, None), (Some(53), None), (Some(10), Some(2))]);
    let found = client.query(COLUMNS, &[&"public", &"per_minute"]).await.unwrap();
    let types: Vec<(&str, &str)> = found.iter().map(|row| (row.get(0), row.get(2))).collect();
    assert_eq!(types, [("window_start", "timestamptz"), ("host", "text"), ("n", "int8"), ("peak", "float8")]);
    weir.stop();
}

#[tokio::test]
async fn panels_show_time_series() {
    let weir = Weir::start(1);
    let client = prepare(&weir).await;
    // $__timeFilter(at) of half an hour, as RFC 3339 with nanoseconds where there are any.
    let filter = |column: &str| format!("{column} BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-01T00:29:59.999999999Z'");
    // $__time(at)
    let raw = format!("SELECT at AS \"time\", host AS metric, load FROM samples WHERE {} ORDER BY 1", filter("at"));
    assert_eq!(
        rows(&client, &raw).await,
        texts(&[
            &["2026-01-01 00:00:00+00", "a", "1"],
            &["2026-01-01 00:01:30+00", "a", "3"],
            &["2026-01-01 00:04:59.999999+00", "b", "2"],
            &["2026-01-01 00:05:00+00", "a", "5"],
            &["2026-01-01 00:09:00+00", "b", "NULL"],
        ])
    );
    // $__timeGroupAlias(at, '5m')
    let group = "floor(extract(epoch from at)/300)*300";
    let panel = format!(
        "SELECT {group} AS \"time\", host AS metric, avg(load) AS load FROM samples WHERE {} GROUP BY {group}, host ORDER BY {group}, host",
        filter("at")
    );
    let expected: &[&[&str]] =
        &[&["1767225600", "a", "2"], &["1767225600", "b", "2"], &["1767225900", "a", "5"], &["1767225900", "b", "NULL"]];
    assert_eq!(rows(&client, &panel).await, texts(expected));
    let by_place = panel.replace(&format!("GROUP BY {group}, host ORDER BY {group}, host"), "GROUP BY 1,2 ORDER BY 1,2");
    assert_eq!(rows(&client, &by_place).await, texts(expected));
    // A view, a source, and a materialized view that has grouped already.
    let view = format!("SELECT {group} AS \"time\", count(*) AS n FROM busy WHERE {} GROUP BY 1 ORDER BY 1", filter("at"));
    assert_eq!(rows(&client, &view).await, texts(&[&["1767225600", "2"], &["1767225900", "1"]]));
    let source = format!("SELECT {group} AS \"time\", sum(ms) AS ms FROM clicks WHERE {} GROUP BY 1 ORDER BY 1", filter("at"));
    assert_eq!(rows(&client, &source).await, texts(&[&["1767225600", "5"], &["1767225900", "7"]]));
    let maintained = format!(
        "SELECT window_start AS \"time\", host AS metric, n FROM per_minute WHERE {} AND host = 'a' ORDER BY 1",
        filter("window_start")
    );
    assert_eq!(
        rows(&client, &maintained).await,
        texts(&[&["2026-01-01 00:00:00+00", "a", "1"], &["2026-01-01 00:01:00+00", "a", "1"], &["2026-01-01 00:05:00+00", "a", "1"],])
    );
    // $__timeEpoch(at), $__unixEpochFilter(e), $__unixEpochGroup(e, '5m'), $__timeFrom()
    let epoch = "SELECT extract(epoch from at) as \"time\", load FROM samples WHERE at >= '2026-01-01T01:00:00Z'";
    assert_eq!(rows(&client, epoch).await, texts(&[&["1767229200", "9"]]));
    let epochs = "SELECT floor((e)/300)*300 AS \"time\", count(*) AS n FROM (SELECT extract(epoch from at)::bigint AS e FROM samples) s
                  WHERE e >= 1767225600 AND e <= 1767227399 GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&client, epochs).await, texts(&[&["1767225600", "2"], &["1767225900", "3"]]));
    // Several statements of one panel are answered one behind the other.
    assert_eq!(rows(&client, "SELECT 1 AS a; SELECT n FROM by_host WHERE host = 'b'").await, texts(&[&["1"], &["2"]]));
    weir.stop();
}

#[tokio::test]
async fn go_drivers_show_the_same() {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("go_drivers_show_the_same: skipped, there is no go (https://go.dev/dl)");
        return;
    }
    let weir = Weir::start(1);
    prepare(&weir).await;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go");
    let output = Command::new("go").args(["run", ".", weir.url()]).current_dir(program).output().unwrap();
    assert!(output.status.success(), "{}\n{}", printed(&output), weir.log());
    let said = String::from_utf8(output.stdout).unwrap();
    let panel = [("1767225600", "a", "2"), ("1767225600", "b", "2"), ("1767225900", "a", "5"), ("1767225900", "b", "")];
    let text: String = panel.iter().map(|(time, host, load)| format!("text {time} {host} {load}\n")).collect();
    let prepared: String = panel.iter().map(|(time, host, load)| format!("row {time} {host} {}\n", or_nil(load))).collect();
    let lookups = "row public
row weir
row Slow pages
row busy
row by_host
row per_minute
row samples
row host text text <nil> <nil>
row n bigint int8 64 0
row last timestamp with time zone timestamptz <nil> <nil>
row load double precision float8 53 <nil>
row price numeric numeric <nil> <nil>
";
    // pgx asks the panel as a query string, then twice as a prepared statement.
    let columns = "columns time:float8 metric:text load:float8\n";
    let expected = format!("# pgx\n{columns}{text}{prepared}{prepared}{lookups}# pq\n{columns}{prepared}{lookups}");
    assert_eq!(said.lines().collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>());
    weir.stop();
}

fn or_nil(text: &str) -> &str {
    if text.is_empty() { "<nil>" } else { text }
}

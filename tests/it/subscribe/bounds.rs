//! From which commit to which: AS OF, UP TO, progress, and what is kept for those who come back, also after a crash.

use crate::harness::{Weir, free_port, refused, rows, run, until, value};
use crate::server::{Server, Setup, connect};
use crate::subscribe::{Connection, Lines};

async fn commit(client: &tokio_postgres::Client) -> u64 {
    value(client, "SELECT commit FROM weir.snapshot").await.parse().unwrap()
}

#[tokio::test]
async fn it_goes_on_where_it_was() {
    let weir = Weir::start_without_checkpoints(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE TABLE other (id INT); INSERT INTO t VALUES (1, 10), (2, 20)").await;
    // Nobody has subscribed yet; but nothing has changed since.
    let start = commit(&client).await;
    run(&client, "INSERT INTO other VALUES (1)").await;
    let first = Connection::open(weir.url()).await;
    let mut lines = Lines::of(&first, &format!("SUBSCRIBE t AS OF {start}")).await;
    assert_eq!(lines.take(2).await, ["1 1 10", "1 2 20"]);
    run(&client, "UPDATE t SET v = 11 WHERE id = 1").await;
    let middle: u64 = lines.fields().await[0].parse().unwrap();
    assert_eq!(lines.take(1).await, ["1 1 11"]);
    drop((lines, first));
    run(&client, "DELETE FROM t WHERE id = 2").await;
    let end = commit(&client).await;
    let again = weir.connect().await;
    let up_to = |from: u64, options: &str| format!("SUBSCRIBE t {options} AS OF {from} UP TO {end}");
    // Changes alone, from where it was cut off; then with the state as it was then, and with that of the start.
    assert_eq!(Lines::of(&again, &up_to(middle, "WITH (snapshot = false)")).await.rest().await, [format!("{end}\t-1\t2\t20")]);
    let mut lines = Lines::of(&again, &up_to(middle, "")).await;
    assert_eq!(lines.take(2).await, ["1 1 11", "1 2 20"]);
    assert_eq!(lines.rest().await, [format!("{end}\t-1\t2\t20")]);
    let mut lines = Lines::of(&again, &up_to(start, "")).await;
    assert_eq!(lines.take(2).await, ["1 1 10", "1 2 20"]);
    assert_eq!(lines.rest().await, [format!("{middle}\t-1\t1\t10"), format!("{middle}\t1\t1\t11"), format!("{end}\t-1\t2\t20")]);
    // Beyond what is kept, and beyond what has been.
    let oldest = format!("AS OF {} is before the changes that are kept", start - 2);
    assert_eq!(refused(&client, &format!("SUBSCRIBE t AS OF {}", start - 2)).await, ("22023".into(), oldest));
    assert_eq!(refused(&client, &format!("SUBSCRIBE t AS OF {}", end + 100)).await.0, "22023");
    assert_eq!(refused(&client, &format!("SUBSCRIBE t AS OF {end} UP TO {start}")).await.0, "22023");
    weir.stop();
}

#[tokio::test]
async fn quiet_commits_are_told_to_those_who_ask() {
    let weir = Weir::start_without_checkpoints(2);
    let (client, of_table) = (weir.connect().await, weir.connect().await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE other (id INT)").await;
    let mut lines = Lines::of(&of_table, "SUBSCRIBE t WITH (progress = true, snapshot = false)").await;
    let mut last: u64 = lines.fields().await[0].parse().unwrap();
    run(&client, "INSERT INTO other VALUES (1); INSERT INTO t VALUES (1)").await;
    let changed = commit(&client).await;
    run(&client, "INSERT INTO other VALUES (2)").await;
    let quiet = commit(&client).await;
    let mut seen = Vec::new();
    while last < quiet {
        let fields = lines.fields().await;
        let commit: u64 = fields[0].parse().unwrap();
        assert!(commit >= last, "{commit} after {last}");
        (last, _) = (commit, seen.push(fields));
    }
    let changes: Vec<_> = seen.iter().filter(|fields| fields[1] == "f").cloned().collect();
    assert_eq!(changes, [[changed.to_string(), "f".into(), "1".into(), "1".into()]]);
    assert!(seen.contains(&vec![changed.to_string(), "t".into(), "\\N".into(), "\\N".into()]), "{seen:?}");
    assert_eq!(seen.last().unwrap(), &vec![quiet.to_string(), "t".into(), "\\N".into(), "\\N".into()]);
    weir.stop();
}

#[tokio::test]
async fn an_end_comes_also_where_nothing_changes() {
    let weir = Weir::start_without_checkpoints(2);
    let (client, of_table) = (weir.connect().await, weir.connect().await);
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE other (id INT)").await;
    let now = commit(&client).await;
    let mut lines = Lines::of(&of_table, &format!("SUBSCRIBE t UP TO {}", now + 3)).await;
    run(&client, "INSERT INTO other VALUES (1)").await;
    run(&client, "INSERT INTO t VALUES (1)").await;
    run(&client, "INSERT INTO other VALUES (2)").await;
    run(&client, "INSERT INTO t VALUES (2)").await;
    assert_eq!(lines.rest().await, [format!("{}\t1\t1", now + 2)]);
    weir.stop();
}

#[tokio::test]
async fn commits_are_numbered_on_after_a_crash() {
    let mut server = Server::start(2, &free_port()).unwrap();
    let client = connect(server.url()).await.unwrap();
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE other (id INT); INSERT INTO t VALUES (1)").await;
    let of_query = connect(server.url()).await.unwrap();
    let mut query = Lines::of(&of_query, "SUBSCRIBE (SELECT id + 1 AS next FROM t)").await;
    assert_eq!(query.take(1).await, ["1 2"]);
    let before = commit(&client).await;
    run(&client, "INSERT INTO t VALUES (2)").await;
    let last: u64 = query.fields().await[0].parse().unwrap();
    assert!(last > before);
    run(&client, "INSERT INTO other VALUES (1)").await;
    server.kill();
    server.restart(3).unwrap();
    let client = connect(server.url()).await.unwrap();
    // The view of the query went with the process, and left nothing in the log or a checkpoint that would hinder the start.
    assert_eq!(rows(&client, "SELECT relation FROM weir.subscriptions").await, Vec::<Vec<String>>::new());
    assert_eq!(value(&client, "SELECT count(*) FROM weir.operators").await, "2");
    // Nothing has changed in the table since the last commit that the client saw.
    run(&client, "INSERT INTO t VALUES (3)").await;
    let now = commit(&client).await;
    assert!(now > last);
    let sql = |from: u64| format!("SUBSCRIBE t WITH (snapshot = false) AS OF {from} UP TO {now}");
    let (code, _) = refused(&client, &sql(before - 1)).await;
    assert_eq!(code, "22023");
    assert_eq!(Lines::of(&client, &sql(now)).await.rest().await, Vec::<String>::new());
    server.stop().unwrap();
}

/// A query over a source is followed before, between and after the views that stay; then the plug is pulled.
async fn pull_the_plug_on_queries(checkpoint_interval: &'static str) {
    let setup = Setup { checkpoint_interval: Some(checkpoint_interval), ..Setup::default() };
    let mut server = Server::prepare(&free_port(), setup).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("numbers.jsonl");
    let lines = |from: i32, to: i32| (from..to).map(|i| format!("{{\"i\": {i}}}\n")).collect::<String>();
    std::fs::write(&path, lines(0, 1000)).unwrap();
    server.restart(2).unwrap();
    let client = connect(server.url()).await.unwrap();
    let source =
        format!("CREATE SOURCE s (i INT) WITH (connector = 'file', path = '{}', follow = 'true') FORMAT PLAIN ENCODE JSON", path.display());
    run(&client, &source).await;
    let url = server.url().to_string();
    let count = async |expected: i32| {
        let connection = Connection::open(&url).await;
        let mut lines = Lines::of(&connection, "SUBSCRIBE (SELECT count(*) FROM s)").await;
        while lines.fields().await[1..] != ["1".to_string(), expected.to_string()] {}
        (connection, lines)
    };
    let all = "SELECT count(*), sum(i) FROM s";
    // The first to read the source is one that the log knows nothing of.
    let first = count(1000).await;
    run(&client, &format!("CREATE MATERIALIZED VIEW a AS {all}")).await;
    until(&client, "SELECT count FROM a", "1000").await;
    drop(first);
    let second = count(1000).await;
    let append = |text: String| {
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    };
    append(lines(1000, 1500));
    until(&client, "SELECT count FROM a", "1500").await;
    run(&client, &format!("CREATE MATERIALIZED VIEW b AS {all}")).await;
    until(&client, "SELECT count FROM b", "1500").await;
    drop(second);
    until(&client, "SELECT count(*) FROM weir.subscriptions", "0").await;
    let third = count(1500).await;
    append(lines(1500, 1600));
    until(&client, "SELECT count FROM b", "1600").await;
    let before = commit(&client).await;
    server.kill();
    drop(third);
    append(lines(1600, 1700));
    for workers in [1, 3] {
        server.restart(workers).unwrap();
        let client = connect(server.url()).await.unwrap();
        for view in ["a", "b"] {
            until(&client, &format!("SELECT count FROM {view}"), "1700").await;
            assert_eq!(value(&client, &format!("SELECT sum FROM {view}")).await, (1699 * 1700 / 2).to_string());
        }
        assert!(commit(&client).await >= before);
        // What is made now has a number that the query may have had.
        run(&client, &format!("CREATE MATERIALIZED VIEW c AS {all}; DROP MATERIALIZED VIEW c")).await;
        server.kill();
    }
}

#[tokio::test]
async fn queries_over_sources_leave_nothing_in_the_log() {
    pull_the_plug_on_queries("1h").await;
}

#[tokio::test]
async fn queries_over_sources_leave_nothing_in_checkpoints() {
    pull_the_plug_on_queries("20ms").await;
}

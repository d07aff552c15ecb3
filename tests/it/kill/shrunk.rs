//! What random kills have found, each as small as it gets.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use tokio_postgres::Client;

use crate::harness::{refused, run, until, until_filled, value};
use crate::server::{Server, connect};

async fn start() -> (Server, Client) {
    let server = Server::start(2, "127.0.0.1:0").unwrap();
    let client = connect(server.url()).await.unwrap();
    (server, client)
}

async fn kill(mut server: Server) -> (Server, Client) {
    server.kill();
    server.restart(1).unwrap();
    let client = connect(server.url()).await.unwrap();
    (server, client)
}

fn append(path: &Path, text: &str) {
    // Never by writing all of it again: then the file is empty for a moment, and whoever follows it reads it anew.
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

async fn source(client: &Client, path: &Path, options: &str) {
    let with = format!("WITH (connector = 'file', path = '{}'{options}) FORMAT PLAIN ENCODE CSV", path.display());
    run(client, &format!("CREATE SOURCE s (id INT) {with}")).await;
}

/// What came first is not what a reader that starts anew meets first.
#[tokio::test]
async fn files_that_grow_side_by_side() {
    let files = tempfile::tempdir().unwrap();
    let (a, b) = (files.path().join("a.csv"), files.path().join("b.csv"));
    append(&a, "1\n");
    append(&b, "10\n");
    let (server, client) = start().await;
    source(&client, &files.path().join("*.csv"), ", follow = 'true'").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(id) AS total FROM s").await;
    until(&client, "SELECT n || ' ' || ids || ' ' || total FROM v", "2 2 11").await;
    append(&a, "2\n");
    until(&client, "SELECT n || ' ' || ids || ' ' || total FROM v", "3 3 13").await;
    append(&b, "20\n");
    until(&client, "SELECT n || ' ' || ids || ' ' || total FROM v", "4 4 33").await;
    drop(client);
    append(&a, "3\n");
    append(&b, "30\n");
    let (server, client) = kill(server).await;
    until(&client, "SELECT n || ' ' || ids || ' ' || total FROM v", "6 6 66").await;
    server.stop().unwrap();
}

/// A view that came to nothing leaves no trace in the numbers of readers, for the log has none of it either.
#[tokio::test]
async fn a_view_whose_source_could_not_be_read_at_first() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("a.csv");
    append(&file, "1\n2\n");
    let (server, client) = start().await;
    source(&client, &file, "").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s").await;
    until_filled(&client).await;
    fs::rename(&file, files.path().join("away")).unwrap();
    let (code, message) = refused(&client, "CREATE MATERIALIZED VIEW w AS SELECT sum(id) AS total FROM s").await;
    assert_eq!(code, "58P01", "{message}");
    fs::rename(files.path().join("away"), &file).unwrap();
    run(&client, "CREATE MATERIALIZED VIEW w AS SELECT sum(id) AS total FROM s").await;
    until_filled(&client).await;
    drop(client);
    let (server, client) = kill(server).await;
    assert_eq!(value(&client, "SELECT n || ' ' || total FROM v, w").await, "2 3");
    server.stop().unwrap();
}

/// Which reader a view gets does not depend on what the log does not tell.
#[tokio::test]
async fn a_second_view_of_a_source_that_has_failed() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("*.csv");
    let (server, client) = start().await;
    let with = format!("WITH (connector = 'file', path = '{}', follow = 'true') FORMAT PLAIN ENCODE CSV (header = true)", path.display());
    run(&client, &format!("CREATE SOURCE s (id INT) {with}")).await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s").await;
    fs::write(files.path().join("a.csv"), "other\n1\n").unwrap();
    until(&client, "SELECT count(*) FROM weir.sources WHERE error IS NOT NULL", "1").await;
    fs::remove_file(files.path().join("a.csv")).unwrap();
    fs::write(files.path().join("b.csv"), "id\n1\n").unwrap();
    run(&client, "CREATE MATERIALIZED VIEW w AS SELECT sum(id) AS total FROM s").await;
    until(&client, "SELECT n || ' ' || total FROM v, w", "1 1").await;
    drop(client);
    let (server, client) = kill(server).await;
    assert_eq!(value(&client, "SELECT n || ' ' || total FROM v, w").await, "1 1");
    server.stop().unwrap();
}

/// Views share one reader as soon as they have read the same, also where none of it was a row.
#[tokio::test]
async fn views_of_a_source_that_has_only_dead_letters() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("a.csv");
    append(&file, "none\n");
    let (server, client) = start().await;
    source(&client, &file, ", follow = 'true'").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s").await;
    until(&client, "SELECT count(*) FROM weir.dead_letters", "1").await;
    run(&client, "CREATE MATERIALIZED VIEW w AS SELECT sum(id) AS total FROM s").await;
    until(&client, "SELECT count(*) FROM weir.sources", "1").await;
    drop(client);
    append(&file, "7\n");
    let (server, client) = kill(server).await;
    until(&client, "SELECT n || ' ' || total FROM v, w", "1 7").await;
    assert_eq!(value(&client, "SELECT sum(dead_letters) FROM weir.sources").await, "1");
    server.stop().unwrap();
}

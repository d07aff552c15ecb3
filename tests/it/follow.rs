//! Files that are followed: what happens to them outside shows in views.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use tokio_postgres::Client;

use crate::harness::{Weir, refused, rows, run, until, until_filled, value};

/// A server with a directory whose files are followed as source `s`, and a view `v` over it.
struct Following {
    weir: Weir,
    client: Client,
    directory: PathBuf,
}

impl Following {
    /// Follows what matches `pattern`.
    async fn start(workers: usize, pattern: &str, format: &str, first: &[(&str, &str)]) -> Following {
        let weir = Weir::start(workers);
        let client = weir.connect().await;
        let directory = PathBuf::from(weir.file("marker", b"")).parent().unwrap().to_path_buf();
        for (name, text) in first {
            append(&directory.join(name), text);
        }
        let path = directory.join(pattern);
        let with = format!("WITH (connector = 'file', path = '{}', follow = 'true') {format}", path.display());
        run(&client, &format!("CREATE SOURCE s (id INT, name TEXT) {with}")).await;
        run(&client, "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, sum(id) AS ids, max(name) AS last FROM s").await;
        Following { weir, client, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits until the view has these rows, and the source knows that there are no more.
    async fn expect(&self, rows: u64, ids: u64) {
        let sql = "SELECT n || ' ' || coalesce(ids, 0) || ' ' || at_end FROM v, weir.sources WHERE weir.sources.name = 's'";
        until(&self.client, sql, &format!("{rows} {ids} true")).await;
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn row(id: u64) -> String {
    format!("{{\"id\": {id}, \"name\": \"n{id}\"}}\n")
}

#[tokio::test]
async fn lines_that_are_appended_and_a_line_that_is_not_complete() {
    let following = Following::start(2, "log.json", "FORMAT PLAIN ENCODE JSON", &[("log.json", &(row(1) + &row(2)))]).await;
    following.expect(2, 3).await;
    let log = following.file("log.json");
    append(&log, &row(3));
    following.expect(3, 6).await;
    append(&log, "{\"id\": 4, ");
    append(&following.file("other.json"), &row(100));
    following.expect(3, 6).await;
    append(&log, "\"name\": \"four\"}\nnot json\n");
    following.expect(4, 10).await;
    assert_eq!(value(&following.client, "SELECT last FROM v").await, "n3");
    until(&following.client, "SELECT count(*) FROM weir.dead_letters", "1").await;
    let letter = rows(&following.client, "SELECT relation, reason, payload, \"offset\" FROM weir.dead_letters").await;
    assert_eq!(letter, [["s", "decode", "not json", "5"]]);

    // A view that comes later reads all that is there, and then what comes.
    run(&following.client, "CREATE MATERIALIZED VIEW later AS SELECT count(*) AS n FROM s").await;
    until_filled(&following.client).await;
    assert_eq!(value(&following.client, "SELECT n FROM later").await, "4");
    append(&log, &row(5));
    until(&following.client, "SELECT n FROM later", "5").await;
    following.expect(5, 15).await;
    until(&following.client, "SELECT count(*) FROM weir.sources", "1").await;

    let (code, message) = refused(&following.client, "SELECT * FROM s").await;
    assert_eq!((code.as_str(), message.as_str()), ("42809", "cannot read source \"s\" directly: it has no end"));
    run(&following.client, "DROP SOURCE s CASCADE").await;
    following.weir.stop();
}

#[tokio::test]
async fn files_that_are_new_also_where_they_come_late() {
    let following = Following::start(1, "in/*.csv", "FORMAT PLAIN ENCODE CSV (header = true)", &[]).await;
    following.expect(0, 0).await;
    fs::create_dir(following.file("in")).unwrap();
    append(&following.file("in/b.csv"), "id,name\n1,one\n");
    following.expect(1, 1).await;
    append(&following.file("in/c.csv"), "name,id\ntwo,2\nthr");
    following.expect(2, 3).await;
    append(&following.file("in/a.csv"), "id,name\n3,three\n");
    following.expect(3, 6).await;
    append(&following.file("in/b.csv"), "4,\"fo\nur\"\n");
    append(&following.file("in/c.csv"), "ee,5\n");
    following.expect(5, 15).await;
    // A file with another header stops the source, with the rows before it in the view.
    append(&following.file("in/d.csv"), "other,columns\n1,2\n");
    until(&following.client, "SELECT error LIKE '%d.csv\": the CSV header names none of the columns' FROM weir.sources", "t").await;
    assert_eq!(value(&following.client, "SELECT n FROM v").await, "5");
    following.weir.stop();
}

#[tokio::test]
async fn a_file_that_is_truncated() {
    let following = Following::start(1, "log.json", "FORMAT PLAIN ENCODE JSON", &[("log.json", &(row(10) + &row(20)))]).await;
    following.expect(2, 30).await;
    let log = following.file("log.json");
    fs::write(&log, row(1)).unwrap();
    following.expect(3, 31).await;
    append(&log, &row(2));
    following.expect(4, 33).await;
    let told = following.weir.log();
    assert!(told.contains("WARN") && told.contains("truncated") && told.contains("log.json"), "{told}");
    following.weir.stop();
}

#[tokio::test]
async fn a_file_that_is_rotated() {
    let following = Following::start(4, "log.json", "FORMAT PLAIN ENCODE JSON", &[("log.json", &row(1))]).await;
    following.expect(1, 1).await;
    let (log, old) = (following.file("log.json"), following.file("log.json.1"));
    append(&log, &row(2));
    fs::rename(&log, &old).unwrap();
    append(&log, &row(3));
    append(&old, &row(4));
    following.expect(4, 10).await;
    // Who writes goes on in the old file for a while.
    append(&old, &row(5));
    append(&log, &row(6));
    following.expect(6, 21).await;
    following.weir.stop();
}

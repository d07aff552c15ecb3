//! Checkpoints as a user meets them: a restart needs only what came after, backups, and what is refused.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{counted_source, finish, printed, run, until_counted, value};
use crate::server::{Server, connect};

fn weir(args: &[&str], paths: &[&Path]) -> std::process::Output {
    finish(Command::new(env!("CARGO_BIN_EXE_weir")).args(args).args(paths))
}

/// Starts a server on a directory that it must refuse; what it said.
fn refused(data: &Path) -> String {
    let output = weir(&["serve", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"], &[data]);
    assert!(!output.status.success(), "{}", printed(&output));
    printed(&output)
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn after_a_checkpoint_files_that_were_read_are_not_needed() {
    let files = tempfile::tempdir().unwrap();
    let (read, followed) = (files.path().join("read.jsonl"), files.path().join("followed.jsonl"));
    fs::write(&read, "{\"k\": 1}\n".repeat(1000)).unwrap();
    fs::write(&followed, "{\"k\": 1}\n".repeat(2000)).unwrap();
    let mut weir = Server::start(2, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, &counted_source("a", &read, "")).await;
    run(&client, &counted_source("b", &followed, ", follow = 'true'")).await;
    until_counted(&client, "of_a", 1000).await;
    until_counted(&client, "of_b", 2000).await;
    run(&client, "CHECKPOINT").await;
    weir.kill();
    // One is removed, the other cut and written anew, as a rotation by copying does.
    fs::remove_file(&read).unwrap();
    fs::write(&followed, "{\"k\": 2}\n".repeat(5)).unwrap();
    weir.restart(1).unwrap();
    let client = connect(weir.url()).await.unwrap();
    until_counted(&client, "of_a", 1000).await;
    until_counted(&client, "of_b", 2005).await;
    writeln!(fs::OpenOptions::new().append(true).open(&followed).unwrap(), "{{\"k\": 2}}").unwrap();
    until_counted(&client, "of_b", 2006).await;
    assert_eq!(value(&client, "SELECT n FROM of_b WHERE k = 2").await, "6");
    assert!(weir.log().contains("recovered"), "{}", weir.log());
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_checkpoint_of_nothing_new_is_none_and_each_is_told_of() {
    let mut weir = Server::start(2, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, "CHECKPOINT").await;
    assert_eq!(value(&client, "SELECT count(*) FROM weir.checkpoints").await, "0", "there is nothing yet");
    run(&client, "CREATE TABLE t (k INT PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)").await;
    run(&client, "CHECKPOINT").await;
    run(&client, "CHECKPOINT").await;
    let epoch = value(&client, "SELECT max(epoch) FROM weir.checkpoints").await;
    assert_eq!(value(&client, "SELECT commit FROM weir.snapshot").await, epoch);
    assert_eq!(value(&client, &format!("SELECT count(*) FROM weir.checkpoints WHERE epoch = {epoch}")).await, "1");
    weir.kill();
    weir.restart(3).unwrap();
    assert!(weir.log().contains(&format!("committed={epoch} checkpoint={epoch} relations=1 epochs=0")), "{}", weir.log());
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT sum(k) FROM t").await, "500500");
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_backup_is_the_database_at_one_commit() {
    let scratch = tempfile::tempdir().unwrap();
    let (backup, data) = (scratch.path().join("backup"), scratch.path().join("data"));
    let mut server = Server::start(2, "127.0.0.1:0").unwrap();
    let client = connect(server.url()).await.unwrap();
    run(&client, "CREATE TABLE t (k INT PRIMARY KEY, v INT); CREATE MATERIALIZED VIEW s AS SELECT count(*) AS n, sum(v) AS v FROM t").await;
    // While somebody writes: each transaction adds two rows whose sum is nothing.
    let other = connect(server.url()).await.unwrap();
    let writing = tokio::spawn(async move {
        for k in 0..400 {
            run(&other, &format!("INSERT INTO t VALUES ({}, {k}), ({}, -{k})", 2 * k, 2 * k + 1)).await;
        }
    });
    while value(&client, "SELECT count(*) FROM t").await.parse::<u32>().unwrap() < 50 {}
    let address = server.url().trim_start_matches("postgres://weir@").trim_end_matches("/weir").to_string();
    let made = tokio::task::spawn_blocking({
        let backup = backup.clone();
        move || weir(&["backup", "--pg", &address], &[&backup])
    });
    let made = made.await.unwrap();
    assert!(made.status.success(), "{}", printed(&made));
    assert!(printed(&made).starts_with("backup of commit "), "{}", printed(&made));
    writing.await.unwrap();
    let again = client.simple_query(&format!("BACKUP TO '{}'", backup.display())).await.unwrap_err();
    assert_eq!(again.code().unwrap().code(), "58P02", "{again}");
    let relative = client.simple_query("BACKUP TO 'here'").await.unwrap_err();
    assert_eq!(relative.code().unwrap().code(), "22023", "{relative}");

    let restored = weir(&["restore", "--data"], &[&data, &backup]);
    assert!(restored.status.success(), "{}", printed(&restored));
    let there = weir(&["restore", "--data"], &[&data, &backup]);
    assert!(!there.status.success() && printed(&there).contains("already exists"), "{}", printed(&there));
    let none = weir(&["restore", "--data"], &[&scratch.path().join("other"), scratch.path()]);
    assert!(!none.status.success() && printed(&none).contains("no backup"), "{}", printed(&none));

    // The same server on the restored directory.
    let all = value(&client, "SELECT n FROM s").await;
    assert_eq!(all, "800");
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    fs::rename(&data, server.data()).unwrap();
    server.restart(1).unwrap();
    let client = connect(server.url()).await.unwrap();
    let rows: u32 = value(&client, "SELECT n FROM s").await.parse().unwrap();
    assert!((50..=800).contains(&rows) && rows.is_multiple_of(2), "{rows}");
    assert_eq!(value(&client, "SELECT v FROM s").await, "0");
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, rows.to_string());
    run(&client, "INSERT INTO t VALUES (-1, 7)").await;
    server.kill();
    server.restart(2).unwrap();
    let client = connect(server.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT v FROM s").await, "7");
    server.stop().unwrap();
}

#[tokio::test]
async fn what_was_lost_or_damaged_is_said() {
    let mut weir = Server::start(1, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, "CREATE TABLE t (k INT PRIMARY KEY); CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t").await;
    run(&client, "INSERT INTO t SELECT generate_series(1, 100)").await;
    run(&client, "CHECKPOINT").await;
    weir.kill();
    let copy = tempfile::tempdir().unwrap();
    let (log, state) = (weir.data().join("log"), weir.data().join("state"));

    // The log is gone: there may have been commits after the checkpoint.
    for file in files_of(&log) {
        fs::rename(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    let said = refused(&weir.data());
    assert!(said.contains("has lost commits"), "{said}");
    for file in files_of(copy.path()) {
        fs::rename(&file, log.join(file.file_name().unwrap())).unwrap();
    }

    // The checkpoint is damaged in the middle.
    let is_table = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sst" || extension == "log");
    let file = files_of(&state).into_iter().filter(is_table).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 0x10;
    fs::write(&file, &bad).unwrap();
    let said = refused(&weir.data());
    assert!(said.contains("damaged"), "{said}");
    fs::write(&file, &good).unwrap();

    // The checkpoint is gone, but the log has everything.
    fs::rename(&state, copy.path().join("state")).unwrap();
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT n FROM n").await, "100");
    weir.stop().unwrap();
}

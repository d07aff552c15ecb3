//! The command line: what is refused, what is printed, how the server ends.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Weir, finish, printed, run, value};
use crate::server::{Server, connect};

fn weir(arguments: &[&str]) -> Output {
    let data = tempfile::tempdir().unwrap();
    finish(Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).env("WEIR_DATA", data.path()))
}

#[test]
fn help_and_version_are_there() {
    let help = weir(&["serve", "--help"]);
    assert!(help.status.success());
    for flag in ["--pg", "--http", "--data", "--workers"] {
        assert!(printed(&help).contains(flag), "{}", printed(&help));
    }
    let version = weir(&["--version"]);
    assert!(version.status.success() && printed(&version).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_flag_is_refused() {
    let output = weir(&["serve", "--prot", "1"]);
    assert!(!output.status.success() && printed(&output).contains("--prot"), "{}", printed(&output));
}

#[test]
fn an_address_that_others_could_reach_is_refused() {
    let output = weir(&["serve", "--pg", "0.0.0.0:0", "--http", "127.0.0.1:0"]);
    assert!(!output.status.success() && printed(&output).contains("loopback"), "{}", printed(&output));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = weir(&["serve", "--pg", &address, "--http", "127.0.0.1:0"]);
    assert!(!output.status.success() && printed(&output).contains(&address), "{}", printed(&output));
}

#[tokio::test]
async fn sigterm_ends_it_while_clients_are_connected() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT); INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2)").await;
    assert_eq!(value(&client, "SELECT count(*) FROM t").await, "2");
    weir.stop();
    let error = client.simple_query("SELECT 1").await.unwrap_err();
    assert!(error.is_closed() || error.code().is_some_and(|code| code.code() == "57P01"), "{error}");
}

/// Starts a server on a directory that it must refuse; what it printed.
fn refused(data: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let output = finish(command.args(["serve", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]).arg(data));
    assert!(!output.status.success(), "{}", printed(&output));
    printed(&output)
}

#[test]
fn a_directory_that_it_must_not_use_is_refused() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("letters.txt"), "dear all").unwrap();
    let said = refused(data.path());
    assert!(said.contains(&data.path().display().to_string()), "{said}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1, "nothing was put into it");
}

#[test]
fn a_second_server_on_a_directory_is_refused() {
    let weir = Server::start(1, "127.0.0.1:0").unwrap();
    let said = refused(&weir.data());
    assert!(said.contains(&weir.data().display().to_string()), "{said}");
    weir.stop().unwrap();
}

#[test]
fn a_format_that_is_not_known_is_refused() {
    let weir = Server::start(1, "127.0.0.1:0").unwrap();
    let data = tempfile::tempdir().unwrap();
    let format = std::fs::read_to_string(weir.data().join("FORMAT")).unwrap();
    std::fs::write(data.path().join("FORMAT"), format.replace('2', "77")).unwrap();
    let said = refused(data.path());
    assert!(said.contains("77") && said.contains("version"), "{said}");
    weir.stop().unwrap();
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_a_torn_end_is_cut() {
    let mut weir = Server::start(1, "127.0.0.1:0").unwrap();
    let client = connect(weir.url()).await.unwrap();
    client.simple_query("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    client.simple_query("INSERT INTO t VALUES (2)").await.unwrap();
    weir.kill();
    let log = std::fs::read_dir(weir.data().join("log")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&log).unwrap();

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&log, damaged).unwrap();
    let said = refused(&weir.data());
    assert!(said.contains(&log.display().to_string()), "{said}");

    // The beginning of a record that was never synced.
    std::fs::write(&log, [whole.as_slice(), &[0; 100]].concat()).unwrap();
    weir.restart(2).unwrap();
    assert!(weir.log().contains("cut off the end of the epoch log"), "{}", weir.log());
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT string_agg(id::text, ',' ORDER BY id) FROM t").await, "1,2");
    weir.stop().unwrap();
}

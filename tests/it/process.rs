//! The command line: what is refused, what is printed, how the server ends.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::harness::{Weir, finish, printed, run, value};

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

#[tokio::test]
async fn the_log_says_that_nothing_survives_a_restart() {
    let weir = Weir::start(1);
    assert!(weir.log().contains("restart"), "{}", weir.log());
    weir.stop();
}

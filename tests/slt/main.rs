//! Runs `sqllogictest/**/*.slt`: each file against a server of its own, at one worker and at four, and against one that is
//! killed on the way and started again with another number of workers.
//!
//! `cargo test --test slt -- window/tumble` runs the files whose name contains the filter; with `--complete` it writes
//! what the server answers into them instead. How to write a file: `sqllogictest/README.md`.

mod complete; // --complete
mod database; // one connection, as the runner wants it
mod file; // one file, from server start to server stop
mod restart; // when the server is killed on the way
#[path = "../it/server.rs"]
mod server;
mod views; // every materialized view equals its query, asked as a batch // shared with the integration tests

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let (complete, arguments): (Vec<String>, Vec<String>) = std::env::args().partition(|argument| argument == "--complete");
    let complete = !complete.is_empty();
    let arguments = Arguments::from_iter(arguments);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sqllogictest");
    let mut files = Vec::new();
    find(&root, &mut files);
    files.sort();
    let postgres = std::env::var("WEIR_SLT_POSTGRES").ok();
    let mut trials = Vec::new();
    for path in files {
        let relative = path.strip_prefix(&root).expect("found below it").with_extension("");
        let name = relative.to_string_lossy().into_owned();
        let directives = match file::Directives::read(&path) {
            Ok(directives) => directives,
            Err(error) => {
                trials.push(Trial::test(name, move || Err(error.into())));
                continue;
            }
        };
        if let Some(url) = &postgres {
            if directives.postgres {
                let target = file::Target::Postgres { url: url.clone() };
                let run = move || if complete { complete::run(&path, &directives, target) } else { file::run(&path, &directives, target) };
                trials.push(Trial::test(format!("{name}@postgres"), run));
            }
            continue;
        }
        if complete {
            let target = file::Target::Weir { workers: directives.workers[0], killed: false };
            trials.push(Trial::test(name, move || complete::run(&path, &directives, target)));
            continue;
        }
        for workers in directives.workers.clone() {
            let (path, directives) = (path.clone(), directives.clone());
            let target = file::Target::Weir { workers, killed: false };
            trials.push(Trial::test(format!("{name}@{workers}"), move || file::run(&path, &directives, target)));
        }
        if directives.restart && file::records(&path).is_ok_and(|records| restart::applies(&records)) {
            let workers = if directives.workers_fixed { directives.workers[0] } else { 2 };
            let target = file::Target::Weir { workers, killed: true };
            trials.push(Trial::test(format!("{name}@killed"), move || file::run(&path, &directives, target)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// All `.slt` files below a directory.
fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

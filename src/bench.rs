//! `weir bench`: how fast the engine takes bids in and keeps a query of them, what checkpoints cost, and how long a restart takes.
//!
//! Over bids it declares a source and a view with the same SQL that anybody would write, on an engine in this process, and takes the
//! time from CREATE MATERIALIZED VIEW until all rows are in the view and can be read. Sockets have no part in it.

pub mod arguments; // the command line
mod check; // the view against its query, asked as a batch
mod checkpoint; // what checkpoints cost
mod files; // what a directory takes on disk, and copies of it
mod queries; // what is measured
mod report; // what was found, for people and for programs
mod restart; // how long a restart takes
mod run; // one measurement over bids
mod scratch; // temporary directories
mod source; // sources that are listened to, or held in memory
mod usage; // CPU time and memory of a process

use std::error::Error;

use crate::bench::arguments::{Bench, Bids, Subject};

/// Measures, and prints the report on standard output. An error is for the caller to print.
pub async fn run(bench: Bench) -> Result<(), Box<dyn Error + Send + Sync>> {
    let bids = match bench.subject {
        Subject::Nexmark(nexmark) => Bids::Nexmark(nexmark),
        Subject::File(file) => Bids::File(file),
        Subject::Restart(restart) => return restart::run(restart).await,
        Subject::Checkpoint(checkpoint) => return tokio::spawn(checkpoint::run(checkpoint)).await?,
    };
    let format = bids.common().format;
    // A task, for its threads have the stacks that planning needs.
    let report = tokio::spawn(run::run(bids)).await??;
    report.print(format)
}

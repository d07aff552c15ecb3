//! `weir bench`: how fast the engine takes bids in and keeps a query of them, measured from the inside.
//!
//! It declares a source and a view with the same SQL that anybody would write, on an engine in this process, and takes the
//! time from CREATE MATERIALIZED VIEW until all rows are in the view and can be read. Sockets have no part in it.

pub mod arguments; // the command line
mod check; // the view against its query, asked as a batch
mod queries; // what is measured
mod report; // what was found, for people and for programs
mod run; // one measurement
mod source; // sources that are listened to, or held in memory
mod usage; // CPU time and memory of this process

use std::error::Error;

use crate::bench::arguments::Bench;

/// Measures, and prints the report on standard output. An error is for the caller to print.
pub async fn run(bench: Bench) -> Result<(), Box<dyn Error + Send + Sync>> {
    let format = bench.format();
    // A task, for its threads have the stacks that planning needs.
    let report = tokio::spawn(run::run(bench)).await??;
    report.print(format)
}

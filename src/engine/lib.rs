//! The engine: one epoch clock, one ordered lane, and worker threads that maintain views on timely dataflow.
//!
//! # Life of a row
//! A [`reader`] thread decodes a batch, or a session submits a write, to the leader (`leader`). The leader opens an epoch:
//! it collects what is there, appends the epoch's record to the log, and sends `Open` down the lane to every worker.
//! A worker deposits the rows in its `hub`, which hands them to the heads of the dataflows that read them; `adapter` runs
//! the fragments of the `dataflow` crate in strict epoch order; the last one leaves its output in the hub. When all
//! workers are done with the epoch, and its record is synced, the leader sends `Committed`: the served shards move, writers
//! are answered, and a read that follows in the lane sees the new state of every view at once.
//!
//! # Invariants
//! - Only this crate knows timely; nothing outside sees a capability or a frontier.
//! - Dataflows are built and dropped only at lane positions where no epoch is in flight.
//! - Epochs open, close and commit in order; served state changes only at a commit.
//! - A view that no input of an epoch reaches is not touched in that epoch.

pub mod engine; // the handle that everybody else holds
pub mod recovery; // what happened before a restart
pub mod reader; // threads that read sources
pub mod status; // what can be asked about sources and views
pub mod times; // how long things took
mod leader; // the epoch clock
mod pacer; // wakes it when a time has gone on by itself
mod event_clock; // the watermark of a reader
mod future; // rows that are dated too far ahead
pub mod checkpoint; // state and positions outside of memory
pub mod keys; // primary keys of tables
pub mod feed; // changes of one relation, for those who subscribe to it
pub mod subscription; // a reader of a feed
mod lane; // what the leader tells the workers
mod worker; // a worker thread
mod hub; // streams of one worker: pending, served, subscribed
mod shard; // the served rows of one relation on one worker
mod adapter; // fragments as timely operators
mod late; // late rows of a view
mod chunk; // what travels on a timely edge

pub use engine::{CheckpointConfig, Condition, Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
pub use feed::FeedLimits;
pub use lane::LateTaken;

#[cfg(test)]
mod tests;

//! Weir's incremental dataflow: plans cut into fragments of plain operators over Arrow batches with weights.
//!
//! It knows no timely, no tokio, no SQL text, no disk and no clock: an operator is a struct that is pushed deltas and
//! closed at the end of each epoch, so each can be tested alone. The engine runs [`fragment::Fragment`]s; the
//! [`simulator`] does the same on one thread for tests.

mod checker; // what a plan promises, held against every delta in debug builds
pub mod consolidate; // equal rows summed
pub mod explain; // a plan as text
pub mod fragment; // the operators between two exchanges, run as one
mod identity; // what decides about the state of a plan
mod isolate; // which rows of a batch an expression fails on
pub mod lower; // a plan cut into fragments at its exchanges
mod operator; // what maintains its output as its input changes
pub mod rows; // rows as text and as bytes
pub mod scatter; // a delta split by worker
pub mod state; // the state of operators as rows
pub mod times; // the wall clock and the watermarks of an epoch
pub mod simulator; // a dataflow of several workers on one thread

#[cfg(test)]
mod tests;

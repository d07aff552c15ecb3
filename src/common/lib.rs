//! The vocabulary that three or more of Weir's crates share: ids, errors, types, deltas, plans and the traits of the seams.
//!
//! It knows Arrow, serde and time zones. Whatever needs DataFusion, timely, a socket or a file lives in another crate and
//! meets the rest through the traits here ([`expr::BatchExpr`], [`source::SourceReader`]).

pub mod error; // what went wrong, in Postgres words
pub mod ids; // names for numbers that could be swapped
pub mod types; // Postgres types and the Arrow types that carry them
pub mod origins; // where rows come from in their source
pub mod delta; // rows with weights, what flows through a dataflow
pub mod codec; // deltas as bytes
pub mod hash; // the stable hash that decides which worker owns a row
pub mod interval; // months, days and microseconds, and their text
pub mod calendar; // days to dates and back
pub mod timezone; // time zones by name and offset
pub mod datetime; // dates and times from text
pub mod bytea; // bytes and UUIDs from text
pub mod list; // arrays from text
pub mod json; // whether a text is JSON
pub mod numeric; // decimals as Postgres does them
pub mod expansion; // floats summed without rounding
pub mod moments; // what variances are made of
pub mod expr; // expressions over batches, whoever compiles them
pub mod window; // which windows hold a moment
pub mod lateness; // when windows are shown and closed
pub mod from_now; // times that are computed from now()
pub mod temporal; // conditions of a row and of the wall clock
pub mod plan; // what a view computes, and what is known about it
pub mod snapshot; // a relation at one commit, to read
pub mod dead_letter; // rows that could not be used, and why
pub mod source; // where rows come from
pub mod epoch_log; // what went into every epoch
pub mod state_store; // what a checkpoint is kept in
pub mod row_codec; // rows as bytes, each by itself
pub mod clock; // wall time, as an argument
pub mod limits; // every bound in one place

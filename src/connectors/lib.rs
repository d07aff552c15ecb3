//! How rows come in from outside: connectors read bytes, formats turn them into batches, and what is neither is a dead letter.
//!
//! It knows `weir-common` and Arrow; the engine drives what it opens through [`weir_common::source::SourceReader`].

mod connector; // the list of connectors, and which one a CREATE SOURCE asks for
mod csv; // CSV records into columns
mod file; // files of JSON lines, plain or gzip
mod format; // FORMAT .. ENCODE .., and which of them there are
mod json; // strict JSON records into columns
mod nexmark; // made-up auctions, bids and persons
mod options; // the options of a WITH clause, none ignored
mod parquet; // Parquet files into batches
mod quote; // values in error messages
mod value; // values from text into Arrow columns

#[cfg(test)]
mod tests;

pub use connector::{CONNECTORS, Connector, Declaration, declared, source};
pub use format::SourceFormat;
pub use json::JsonDecoder;
pub use options::Options;

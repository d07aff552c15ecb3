//! The database across restarts: definitions as the epoch log has them, and what they mean to the engine.

pub mod backup; // copies of a database, made while it runs
pub mod definer; // logged definitions, back in the catalog
pub mod words; // a relation as text
pub mod kept; // the data directory, the checkpoints and the log in it
mod format1; // records of version 1

//! The database across restarts: definitions as the epoch log has them, and what they mean to the engine.

pub mod definer; // logged definitions, back in the catalog
pub mod words; // a relation as text
pub mod kept; // the data directory and the log in it

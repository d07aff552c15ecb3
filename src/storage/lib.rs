//! What survives a crash: the data directory, the log of records in it, and the one thread that syncs it for all who wait.
//!
//! It knows bytes and numbers, not epochs or rows. Everything that touches a disk goes through [`files::Files`], so that
//! tests can pull the plug ([`faulty::FaultyFiles`]).

pub mod error; // what a file can do wrong, in Postgres words
pub mod files; // files and directories, as far as they are needed here
pub mod data_dir; // the directory that one server owns
pub mod log; // numbered records, in order, on disk
pub mod group_commit; // one sync for all that wait
pub mod faulty; // a disk that forgets what was not synced, for tests

//! What survives a crash: the data directory, the log of records in it with the one thread that syncs it for all who wait, and the
//! store of state that a checkpoint is kept in.
//!
//! It knows bytes and numbers, not epochs or rows. What Weir itself writes goes through [`files::Files`], so that tests can pull the
//! plug ([`faulty::FaultyFiles`]). RocksDB, under [`rocks_store`], reaches the disk by itself: its tests kill processes and damage
//! files.

pub mod error; // what a file can do wrong, in Postgres words
pub mod files; // files and directories, as far as they are needed here
pub mod data_dir; // the directory that one server owns
pub mod log; // numbered records, in order, on disk
pub mod group_commit; // one sync for all that wait
pub mod backup; // copies of directories
pub mod rocks_store; // entries by key on disk, in RocksDB
pub mod faulty; // a disk that forgets what was not synced, for tests

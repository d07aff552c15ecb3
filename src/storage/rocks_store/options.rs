//! How RocksDB is set up, and why so.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Env, LogLevel, Options, ReadOptions};
use weir_common::error::{Error, Result};
use weir_common::state_store::Space;

const KB: usize = 1024;
const MB: usize = 1024 * 1024;

/// Blocks of files that were read, with their indexes.
const CACHE_BYTES: usize = 32 * MB;
/// What was committed and is not in files yet, of all spaces together.
const MEMTABLE_BYTES: usize = 192 * MB;
/// The log is at most about this long: what a start after a crash does once more.
const LOG_BYTES: u64 = 256 * MB as u64;

/// A commit of more than this goes into files at once. A start reads what is in the log only again entry by entry, which takes ten times
/// as long as to load it.
pub const FLUSH_FROM_BYTES: usize = 4 * MB;

/// Values from here on are kept outside of the tree, which is compacted over and over.
const BLOB_FROM_BYTES: u64 = 4 * KB as u64;
/// A file of blobs is removed when nothing in it is needed any more, so they are not too large.
const BLOB_FILE_BYTES: u64 = 64 * MB as u64;

/// What all spaces share.
pub struct Shared {
    cache: Cache,
}

impl Default for Shared {
    fn default() -> Self {
        Shared { cache: Cache::new_lru_cache(CACHE_BYTES) }
    }
}

/// The options of the whole database.
pub fn database() -> Result<Options> {
    // A log tells of the one before it how long it is and where it ends; a start compares. Without this, a log that lost its end and is
    // not the last would leave a hole: later commits without earlier ones. The crate has no setter for it.
    let mut options = Options::default()
        .get_options_from_string("track_and_verify_wals=true")
        .map_err(|error| Error::internal(format!("RocksDB does not know an option: {error}")))?;

    // A record that the end of the log has cut is what `kill -9` in the middle of a write leaves: it was not acknowledged, and is
    // dropped. Anything else that is wrong in a log refuses the start. This is the strictest mode that survives a kill: AbsoluteConsistency
    // does not start with a cut record; PointInTime, the default, starts with whatever is before the first wrong byte and tells nobody.
    //
    // What it cannot tell from a cut record: damage of the length of a record in the last 32 KB of the last log, or the loss
    // of the log's end. Then the commits from there on are gone, always all of them (`set_atomic_flush`), as if they had not been
    // made. So the caller keeps in each commit how far it goes, and holds that against the epoch log.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // All spaces go to files together, so files never have a part of a commit whose rest the log has lost.
    options.set_atomic_flush(true);
    options.set_paranoid_checks(true);

    // One commits at a time, in the order of keys: then skip lists find the next place from the one before.
    options.set_allow_concurrent_memtable_write(false);
    options.set_db_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_total_wal_size(LOG_BYTES);
    // One flushes while the other compacts; more would take CPU from the workers. Compaction can wait for them.
    options.set_max_background_jobs(2);
    let mut env = Env::new().map_err(|error| Error::internal(format!("RocksDB has no threads: {error}")))?;
    env.lower_thread_pool_cpu_priority();
    options.set_env(&env);
    // Files are written to disk while they grow, so that no sync of the epoch log has to wait for all of one.
    options.set_bytes_per_sync(MB as u64);
    // Files are read from one end to the other: the system may read ahead.
    options.set_advise_random_on_open(false);
    // Many systems give a process 1024, and the others are for connections and sources.
    options.set_max_open_files(256);

    // RocksDB's own log for people: little of it.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(MB);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    Ok(options)
}

/// The options of a space.
pub fn family(space: Space, shared: &Shared) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&shared.cache);
    // Otherwise the indexes of all open files would be in memory besides.
    table.set_cache_index_and_filter_blocks(true);
    // From 6 on a checksum covers where the block belongs, so one that was written to the wrong place is found.
    table.set_format_version(6);
    options.set_compression_type(DBCompressionType::Lz4);
    match space {
        Space::Meta => options.set_write_buffer_size(MB),
        Space::State => {
            // Keys begin alike, and a block keeps what is different: larger blocks have more alike and compress better.
            table.set_block_size(16 * KB);
            // One is filled while two are written to files.
            options.set_write_buffer_size(64 * MB);
            options.set_max_write_buffer_number(3);
            options.set_target_file_size_base(64 * MB as u64);
        }
        Space::Runs => {
            options.set_write_buffer_size(64 * MB);
            options.set_max_write_buffer_number(2);
            options.set_enable_blob_files(true);
            options.set_min_blob_size(BLOB_FROM_BYTES);
            options.set_blob_file_size(BLOB_FILE_BYTES);
            options.set_blob_compression_type(DBCompressionType::Lz4);
            // Of files with blobs that nobody needs, the older half is rewritten without them once half of it is of that kind.
            options.set_enable_blob_gc(true);
            options.set_blob_gc_age_cutoff(0.5);
            options.set_blob_gc_force_threshold(0.5);
        }
    }
    options.set_block_based_table_factory(&table);
    options
}

/// How entries up to a key, which is not among them, are read one after the other.
pub fn scan(to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(to);
    options.set_verify_checksums(true);
    // They are read once, at a start.
    options.fill_cache(false);
    options.set_readahead_size(2 * MB);
    options
}

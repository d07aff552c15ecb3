//! Every bound in one place: queues, batches and what a message may hold.

/// Rows in a batch that a source hands over; small enough for caches, large enough to amortise per-batch costs.
pub const BATCH_ROWS_MAX: usize = 8192;
/// Batches that wait between a source's reader thread and the epoch clock, per reader.
pub const READER_QUEUE_BATCHES_MAX: usize = 8;
/// Partitions of a source: the watermark of each is kept, and written with the epochs in which it moves.
pub const SOURCE_PARTITIONS_MAX: u32 = 10_000;
/// Milliseconds that a reader waits for more before it says that there is nothing: what the end of a dropped reader takes.
pub const READER_IDLE_MILLIS_MAX: u64 = 100;
/// Epochs that may be open at once; sources are not drained beyond it. With fewer, workers wait for each other at exchanges.
pub const EPOCHS_IN_FLIGHT_MAX: usize = 5;
/// Rows that sources put into one epoch, all readers together.
pub const EPOCH_SOURCE_ROWS_MAX: usize = 64 * 1024;
/// Rows of a snapshot that a new view takes in before live views get their turn.
pub const HYDRATION_SLICE_ROWS: usize = 64 * 1024;
/// Rows of deltas that wait on one worker for views that are being filled; beyond it the epoch clock waits for them.
pub const FILLING_ROWS_MAX: usize = 1024 * 1024;
/// Windows that one row may be in.
pub const WINDOWS_PER_ROW_MAX: i64 = 10_000;
/// Rows of a run of a served relation.
pub const RUN_ROWS_MAX: usize = 64 * 1024;
/// Pages, of 256 rows of one run at most, that an index of a served relation has on one worker.
pub const INDEXED_PAGES_MAX: usize = 16 * 1024 * 1024;
/// Late rows of a materialized view that are kept, unless its `late_entries` says otherwise.
pub const LATE_ENTRIES_MAX: u64 = 1_000_000;
/// Dead letters kept in memory, oldest dropped first (the counters go on).
pub const DEAD_LETTERS_MAX: usize = 10_000;
/// Bytes of a dead letter's payload that are kept.
pub const DEAD_LETTER_PAYLOAD_BYTES_MAX: usize = 1024;
/// Bytes of a line of a file; a longer one is a dead letter.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Files that the pattern of a source may match.
pub const SOURCE_FILES_MAX: usize = 100_000;
/// Followed files, of those that a source's pattern matches, that are kept open and that a position tells of one by one.
pub const FOLLOWED_FILES_MAX: usize = 64;
/// Connections served at once.
pub const CONNECTIONS_MAX: usize = 1000;
/// Bytes of one message from a client.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Statements that a session has prepared under a name, by the protocol or by PREPARE.
pub const PREPARED_STATEMENTS_MAX: usize = 10_000;
/// Cursors and named portals that a session has open.
pub const CURSORS_MAX: usize = 1000;
/// Bytes of rows that the SCROLL cursors of a session keep to go back to.
pub const CURSOR_KEPT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Rows of changes that are kept of a relation for those who subscribe to it; who is further behind is cut.
pub const SUBSCRIBE_ROWS_MAX: usize = 1024 * 1024;
/// Bytes of these rows; one larger commit is kept alone.
pub const SUBSCRIBE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Seconds for which changes are kept that all subscribers have read, unless the server is told otherwise.
pub const SUBSCRIBE_HISTORY_SECONDS: u64 = 60;
/// Bytes of a statement that `pg_stat_activity` shows.
pub const ACTIVITY_QUERY_BYTES_MAX: usize = 1024;
/// Requests that wait for the epoch clock, over all sessions.
pub const LANE_REQUESTS_MAX: usize = 4096;
/// Bytes of data of one COPY FROM: its rows are one write, and become visible together.
pub const COPY_BYTES_MAX: usize = 1 << 30;
/// Dependents that a DROP names, as in Postgres.
pub const DEPENDENTS_TOLD_MAX: usize = 100;
/// Bytes of memory that the rows take which one transaction writes, and those that one epoch takes of several.
pub const WRITE_BYTES_MAX: usize = 2 << 30;
/// Times that INSERT .. ON CONFLICT looks up its keys while others keep being first with one of them.
pub const UPSERT_ATTEMPTS_MAX: usize = 100;
/// Milliseconds between two looks whether a watermark that goes on by itself has reached a window.
pub const WATERMARK_TICK_MILLIS: u64 = 1000;
/// Milliseconds of a tick of the wall clock: temporal filters are asked again once in each, if an epoch comes in it. A row that waits
/// for a moment makes one come in the tick after that moment, at the latest.
pub const CLOCK_TICK_MILLIS: u64 = 100;
/// Seconds after which a source that gives nothing is idle, unless it is told otherwise.
pub const IDLE_TIMEOUT_SECONDS: i64 = 30;
/// Seconds that an event time may be ahead of the wall clock, unless the source is told otherwise.
pub const MAX_FUTURE_SECONDS: i64 = 24 * 60 * 60;
/// Seconds that a source may give nothing while epochs are replayed that it gave rows for.
pub const REPLAY_QUIET_SECONDS_MAX: u64 = 60;
/// Bytes after which the epoch log goes on in a new file; what a checkpoint frees is whole files.
pub const LOG_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one record of the epoch log: what one epoch may write to tables.
pub const LOG_RECORD_BYTES_MAX: usize = 4 << 30;
/// Records that wait for the epoch log to be synced; who submits more waits.
pub const LOG_QUEUE_RECORDS_MAX: usize = 4096;
/// Bytes of records that wait for the epoch log to be synced; one larger record waits alone.
pub const LOG_QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of memory that the epoch log keeps from one sync to the next.
pub const LOG_BUFFER_KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Checkpoints of this run that `weir.checkpoints` tells of, the oldest dropped first.
pub const CHECKPOINTS_TOLD_MAX: usize = 1000;
/// Rows of state that a worker copies for a checkpoint in one go, before epochs get their turn: some milliseconds.
pub const CHECKPOINT_SLICE_ROWS: usize = 16 * 1024;
/// Seconds between two checkpoints, unless the server is told otherwise.
pub const CHECKPOINT_INTERVAL_SECONDS: u64 = 10;
/// Bytes of changes after which a checkpoint does not wait for its time, unless the server is told otherwise.
pub const CHECKPOINT_BYTES: u64 = 256 * 1024 * 1024;
/// The memory limit is looked at whenever what tables and views take has changed by one part of it in so many.
pub const MEMORY_STEPS: usize = 64;
/// Parts of the memory limit in a hundred above which checkpoints are forced.
pub const MEMORY_CHECKPOINT_PERCENT: u64 = 80;
/// Milliseconds over which the growth of tables and views is compared when the memory limit is passed.
pub const MEMORY_GROWTH_MILLIS: u64 = 100;
/// Milliseconds between two checkpoints that are forced for the sake of memory.
pub const MEMORY_CHECKPOINT_MILLIS: u64 = 1000;
/// Milliseconds in which statements are told why, when the server cannot go on.
pub const FAREWELL_MILLIS: u64 = 300;
/// Nesting of a JSON value; Postgres has its stack for a limit, which is near this.
pub const JSON_DEPTH_MAX: usize = 6000;
/// Nesting of jsonb that `@>` compares: a value inside of another costs stack there.
pub const JSON_COMPARED_DEPTH_MAX: usize = 500;
/// Virtual groups: what a key's hash is reduced to before a worker is chosen.
pub const VIRTUAL_GROUPS: u64 = 4096;

const _: () = assert!(EPOCH_SOURCE_ROWS_MAX >= BATCH_ROWS_MAX);
// As bytes of the log they take little more than in memory.
const _: () = assert!(2 * WRITE_BYTES_MAX <= LOG_RECORD_BYTES_MAX);
const _: () = assert!(RUN_ROWS_MAX <= u32::MAX as usize);

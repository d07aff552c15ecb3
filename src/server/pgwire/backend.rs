//! What the protocol loop needs from the rest of the server: a backend that opens sessions, and the sessions.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use weir_common::error::{Result, SqlState};
use weir_common::types::PgType;
use weir_sql::statement::Parsed;

use crate::pgwire::shield::Shield;
use crate::value::scalar::ScalarParam;
use crate::value::settings::TextSettings;

/// Where sessions come from; one for the whole server.
pub trait Backend: Send + Sync + 'static {
    /// What serves one connection.
    type Session: Session;

    /// Admits a client, or says why not; an error is sent as FATAL and the connection closed.
    fn open(&self, startup: Startup) -> impl Future<Output = Result<Self::Session>> + Send;
}

/// What a client said of itself before its first statement.
#[derive(Clone, Debug)]
pub struct Startup {
    /// The role it wants to be.
    pub user: String,
    /// The database it wants; its user's name where it said none, as in Postgres.
    pub database: String,
    /// Everything else it set, with lower-case keys; `options` (`-c k=v`, `--k=v`) is merged in.
    pub parameters: BTreeMap<String, String>,
    /// The number of the connection: `pg_backend_pid()`, and what a cancel request names.
    pub pid: i32,
    /// Its address.
    pub peer: SocketAddr,
}

/// One client's session. Methods are called one at a time.
///
/// # Contract
/// The future of an `async` method may be dropped before it is done: by a cancel request, `statement_timeout`, a client
/// that went away, or shutdown. What it was doing must then have no effect, or its whole effect. After that, after an
/// error and after a panic, [`Session::fail`] is called before anything else.
/// A session that is dropped leaves nothing behind of a block or implicit transaction that was open.
pub trait Session: Send + 'static {
    /// A planned statement, which may be executed many times.
    type Prepared: Send + Sync + 'static;

    /// Splits and parses a query string; empty for nothing but blanks and comments.
    fn parse(&self, sql: &str) -> Result<Vec<Parsed>>;

    /// Plans a statement; `parameter_types` are the client's OIDs, 0 for unknown. Positions of its errors (and of those
    /// of [`Session::execute`]) are within the statement's own text; the loop adds the offset in the query string.
    fn prepare(&mut self, parsed: Parsed, parameter_types: &[u32]) -> impl Future<Output = Result<Arc<Self::Prepared>>> + Send;

    /// The types of `$1`, `$2` ..: for ParameterDescription, and to decode what Bind brings.
    fn parameters(prepared: &Self::Prepared) -> &[PgType];

    /// Characters before it in its query string.
    fn offset(prepared: &Self::Prepared) -> usize;

    /// The columns it returns; `None` for no rows (NoData), which includes COPY.
    fn fields(prepared: &Self::Prepared) -> Option<SchemaRef>;

    /// Runs a statement; `None` is a NULL parameter. Rows may follow as a stream, data of a COPY as calls.
    fn execute(
        &mut self,
        prepared: &Arc<Self::Prepared>,
        parameters: Vec<Option<ScalarParam>>,
    ) -> impl Future<Output = Result<Outcome>> + Send;

    /// Plans a statement without parameters and runs it, as one moment sees it.
    fn run_once(&mut self, parsed: Parsed) -> impl Future<Output = Result<(Arc<Self::Prepared>, Outcome)>> + Send;

    /// What the session raises while what it does cannot be taken back; always the same one.
    fn shield(&self) -> Shield;

    /// Whether a transaction block is open. An implicit transaction is none.
    fn transaction_status(&self) -> TransactionStatus;

    /// A statement failed: a block becomes Failed; outside one nothing is left behind, nor of a COPY that was going on.
    fn fail(&mut self);

    /// Opens the implicit transaction of a simple query with several statements, or of an extended sequence up to Sync.
    /// A BEGIN inside turns it into a block, which is then no longer ended by [`Session::end_implicit`].
    /// Where there is one already, it does nothing: the loop calls it before each statement, for a COMMIT or ROLLBACK in
    /// the middle of a message ends the one there was.
    fn begin_implicit(&mut self) -> impl Future<Output = ()> + Send;

    /// Ends it: `ok` commits, which may fail; otherwise all its statements are undone.
    fn end_implicit(&mut self, ok: bool) -> impl Future<Output = Result<()>> + Send;

    /// Takes a piece of a COPY FROM STDIN, cut anywhere.
    fn copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// The COPY is complete; returns its tag.
    fn copy_done(&mut self) -> impl Future<Output = Result<String>> + Send;

    /// The client gave the COPY up; the loop reports the error and calls [`Session::fail`].
    fn copy_fail(&mut self, message: &str);

    /// The client is told that its next statement is awaited.
    fn wait(&mut self) {}

    /// Notices since the last call; asked for after each statement.
    fn take_notices(&mut self) -> Vec<Notice>;

    /// Reported variables (`client_encoding`, `TimeZone` ..) that changed since the last call.
    fn take_parameter_changes(&mut self) -> Vec<(String, String)>;

    /// The reported variables at startup.
    fn parameter_statuses(&self) -> Vec<(String, String)>;

    /// How values are written and read as text, as of now.
    fn text_settings(&self) -> TextSettings;

    /// `statement_timeout`; `None` for no limit.
    fn statement_timeout(&self) -> Option<Duration>;

    /// The statement of a name: Parse and SQL's PREPARE share the names. The one without a name is the loop's.
    fn statement(&self, name: &str) -> Option<Named<Self::Prepared>>;

    /// Names a statement that Parse brought. A name that is taken is an error.
    fn keep_statement(&mut self, name: &str, statement: Named<Self::Prepared>) -> Result<()>;

    /// Lets the statement of a name go, if there is one.
    fn close_statement(&mut self, name: &str);

    /// The columns of a cursor that SQL declared: portals and cursors share the names too.
    fn cursor(&self, _name: &str) -> Option<SchemaRef> {
        None
    }

    /// Closes a cursor that SQL declared, if there is one of this name.
    fn close_cursor(&mut self, _name: &str) {}

    /// Makes the rows of a named portal known to SQL, whose FETCH and MOVE take from them too.
    fn share(&mut self, _name: &str, _prepared: &Self::Prepared, _schema: &SchemaRef, batches: Batches) -> Result<RowSource> {
        Ok(RowSource::Own { batches, rest: None })
    }

    /// Whether the rows of this statement, which has just run, go out in binary format where the client named none: those
    /// of a FETCH from a BINARY cursor.
    fn is_binary(&self, _prepared: &Self::Prepared) -> bool {
        false
    }
}

/// Rows as they come.
pub type Batches = BoxStream<'static, Result<RecordBatch>>;

/// Where the rows of a portal are taken from.
pub enum RowSource {
    /// Nobody else takes any.
    Own {
        /// The rows.
        batches: Batches,
        /// What is left of a batch.
        rest: Option<RecordBatch>,
    },
    /// SQL may take some in between.
    Shared(Box<dyn Portions>),
}

/// Rows that others take from too.
pub trait Portions: Send {
    /// At most so many of the next rows; `None` at the end.
    fn next(&mut self, most: u64) -> BoxFuture<'_, Result<Option<RecordBatch>>>;
}

/// A statement that can have a name; `None` is an empty text, which is one.
pub type Named<P> = Option<Arc<P>>;

/// What a statement gives.
pub enum Outcome {
    /// Rows, as they come.
    Rows {
        /// Their columns.
        schema: SchemaRef,
        /// The rows; dropped when the client no longer wants them.
        batches: Batches,
        /// The words before or instead of their number in the command tag.
        tag: RowsTag,
    },
    /// No rows.
    Done {
        /// The command tag: `INSERT 0 1`, `CREATE TABLE`, `BEGIN`.
        tag: String,
    },
    /// The client's turn: [`Session::copy_data`] until [`Session::copy_done`] or [`Session::copy_fail`].
    CopyIn {
        /// How many columns.
        columns: usize,
        /// Whether in COPY's binary format.
        binary: bool,
    },
    /// A COPY TO STDOUT.
    CopyOut {
        /// How many columns.
        columns: usize,
        /// Whether in COPY's binary format.
        binary: bool,
        /// One CopyData message each; a row must not be split over two.
        chunks: BoxStream<'static, Result<Bytes>>,
        /// How many rows there were, once the stream has ended.
        rows: Arc<AtomicU64>,
    },
}

/// The command tag of a statement that returns rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsTag {
    /// `SELECT n`
    Select,
    /// `SUBSCRIBE n`
    Subscribe,
    /// `FETCH n`
    Fetch,
    /// `INSERT 0 n`, for RETURNING
    Insert,
    /// `UPDATE n`, for RETURNING
    Update,
    /// `DELETE n`, for RETURNING
    Delete,
    /// Without a number: `SHOW`, `EXPLAIN`
    Fixed(&'static str),
}

impl RowsTag {
    /// The tag after `rows` rows.
    pub fn complete(&self, rows: u64) -> String {
        match self {
            RowsTag::Select => format!("SELECT {rows}"),
            RowsTag::Subscribe => format!("SUBSCRIBE {rows}"),
            RowsTag::Fetch => format!("FETCH {rows}"),
            RowsTag::Insert => format!("INSERT 0 {rows}"),
            RowsTag::Update => format!("UPDATE {rows}"),
            RowsTag::Delete => format!("DELETE {rows}"),
            RowsTag::Fixed(tag) => tag.to_string(),
        }
    }
}

/// Where a session is with its transaction, as ReadyForQuery says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No block is open.
    Idle,
    /// A block is open.
    InBlock,
    /// A statement of the block failed; only its end is accepted.
    Failed,
}

/// Something to tell the client that is no error.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// How grave.
    pub severity: Severity,
    /// Its code; `00000` for a plain notice.
    pub sqlstate: SqlState,
    /// The sentence to show.
    pub message: String,
    /// The DETAIL line.
    pub detail: Option<String>,
    /// The HINT line.
    pub hint: Option<String>,
}

impl Notice {
    /// A NOTICE with this sentence.
    #[expect(clippy::self_named_constructors, reason = "the severity, beside the one of warnings")]
    pub fn notice(message: impl Into<String>) -> Self {
        Notice { severity: Severity::Notice, sqlstate: SqlState::SUCCESSFUL_COMPLETION, message: message.into(), detail: None, hint: None }
    }

    /// A WARNING with this code and sentence.
    pub fn warning(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Notice { severity: Severity::Warning, sqlstate, message: message.into(), detail: None, hint: None }
    }
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For developers.
    Debug,
    /// For the log.
    Log,
    /// Asked for by the user.
    Info,
    /// Worth knowing.
    Notice,
    /// Probably not what was meant.
    Warning,
}

impl Severity {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Debug => "DEBUG",
            Severity::Log => "LOG",
            Severity::Info => "INFO",
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
        }
    }
}

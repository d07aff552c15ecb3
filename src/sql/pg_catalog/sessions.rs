//! What a statement is told of sessions: everybody's, and of its own the prepared statements and cursors.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A session, as `pg_stat_activity` shows it. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionInfo {
    /// The number that `pg_cancel_backend` takes.
    pub pid: i32,
    /// Its user.
    pub user: String,
    /// Its `application_name`.
    pub application: String,
    /// The client's address and port.
    pub client: SocketAddr,
    /// When it began.
    pub started: i64,
    /// When its transaction began, if it has one.
    pub transaction_started: Option<i64>,
    /// When the statement began that it runs, or ran last.
    pub query_started: Option<i64>,
    /// When `state` became what it is.
    pub state_changed: Option<i64>,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`
    pub state: &'static str,
    /// The statement that it runs, or ran last.
    pub query: String,
}

/// A statement that was prepared under a name, as `pg_prepared_statements` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedInfo {
    /// Its name.
    pub name: String,
    /// What was sent to prepare it.
    pub statement: String,
    /// When, microseconds since 1970 UTC.
    pub prepared: i64,
    /// The OIDs of its parameters' types.
    pub parameters: Vec<u32>,
    /// Whether SQL's PREPARE made it.
    pub from_sql: bool,
}

/// A cursor, as `pg_cursors` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct CursorInfo {
    /// Its name.
    pub name: String,
    /// The statement that declared it.
    pub statement: String,
    /// `WITH HOLD`
    pub hold: bool,
    /// `BINARY`
    pub binary: bool,
    /// `SCROLL`
    pub scroll: bool,
    /// When it was declared, microseconds since 1970 UTC.
    pub created: i64,
}

/// What one session may do to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `pg_cancel_backend`: the statement that it runs ends with an error.
    Cancel,
    /// `pg_terminate_backend`: its connection ends.
    Terminate,
}

/// What [`SendSignal`] calls: whether there was a session of this number.
pub type SendSignalFn = dyn Fn(i32, Signal) -> bool + Send + Sync;

/// Sends a signal for `pg_cancel_backend` and `pg_terminate_backend`.
#[derive(Clone)]
pub struct SendSignal(pub Arc<SendSignalFn>);

impl fmt::Debug for SendSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendSignal")
    }
}

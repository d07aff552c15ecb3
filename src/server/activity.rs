//! Who is connected and what they do: what `pg_stat_activity` shows, and what others may ask of a session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_common::limits::ACTIVITY_QUERY_BYTES_MAX;
use weir_sql::pg_catalog::SessionInfo;

/// The sessions of a server, by number.
#[derive(Default)]
pub struct Activity(Mutex<BTreeMap<i32, SessionInfo>>);

/// A session's place among them, until this is dropped.
pub struct Active {
    activity: Arc<Activity>,
    pid: i32,
}

impl Activity {
    /// A session that begins, idle.
    pub fn begin(self: &Arc<Self>, pid: i32, user: &str, client: SocketAddr, application: String, now: i64) -> Active {
        let info = SessionInfo {
            pid,
            user: user.to_string(),
            application,
            client,
            started: now,
            transaction_started: None,
            query_started: None,
            state_changed: Some(now),
            state: "idle",
            query: String::new(),
        };
        self.lock().insert(pid, info);
        Active { activity: self.clone(), pid }
    }

    /// All sessions, by number.
    pub fn all(&self) -> Vec<SessionInfo> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, SessionInfo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    /// A statement begins, in a transaction that began at `transaction_started`, if that is not the statement's own.
    pub fn run(&self, query: &str, now: i64, transaction_started: Option<i64>) {
        self.change(|info| {
            info.query = query[..query.floor_char_boundary(ACTIVITY_QUERY_BYTES_MAX)].to_string();
            info.query_started = Some(now);
            info.transaction_started = Some(transaction_started.unwrap_or(now));
            (info.state, info.state_changed) = ("active", Some(now));
        });
    }

    /// The session waits for its client, with or without a transaction.
    pub fn wait(&self, state: &'static str, now: i64, transaction_started: Option<i64>) {
        self.change(|info| {
            info.transaction_started = transaction_started;
            (info.state, info.state_changed) = (state, Some(now));
        });
    }

    /// The session calls itself something else.
    pub fn rename(&self, application: &str) {
        self.change(|info| info.application = application.to_string());
    }

    fn change(&self, change: impl FnOnce(&mut SessionInfo)) {
        if let Some(info) = self.activity.lock().get_mut(&self.pid) {
            change(info);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.activity.lock().remove(&self.pid);
    }
}

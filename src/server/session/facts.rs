//! What a session's functions and `pg_catalog` show, and what its functions may ask for.

use std::sync::{Arc, PoisonError};

use weir_common::error::SqlState;
use weir_sql::catalog::DATABASE;
use weir_sql::pg_catalog::{CursorInfo, PreparedInfo, SendSignal, SessionFacts, SetConfig, Signal};

use crate::pgwire::backend::Notice;
use crate::session::Session;
use crate::variables::Variables;

impl Session {
    /// Everything but the catalog, put together when a statement asks; `names_own`: it may ask for prepared statements and
    /// cursors.
    pub(super) fn facts(&self, names_own: bool) -> impl Fn() -> SessionFacts + Send + Sync + 'static {
        let (user, pid, peer, now) = (self.user.clone(), self.pid, self.peer, self.now_micros());
        let (variables, database) = (Arc::new(self.variables.clone()), self.database.clone());
        let (set_config, send_signal) = (self.set_config(&variables), self.send_signal());
        let (prepared, cursors) = if names_own { (self.prepared_infos(), self.cursor_infos()) } else { Default::default() };
        move || SessionFacts {
            set_config: Some(set_config.clone()),
            send_signal: Some(send_signal.clone()),
            user: user.clone(),
            database: DATABASE.to_string(),
            pid,
            client: Some(peer),
            search_path: variables.search_path(),
            settings: variables.all(),
            server_started: database.started_micros,
            now,
            sessions: database.activity.all(),
            prepared: prepared.clone(),
            cursors: cursors.clone(),
            ..SessionFacts::default()
        }
    }

    fn set_config(&self, variables: &Arc<Variables>) -> SetConfig {
        let (variables, asked) = (variables.clone(), self.asked.clone());
        SetConfig(Arc::new(move |name, value, local| {
            // Checked now, done when the statement ends: what it shows of the session does not change under it.
            let mut changed = Variables::clone(&variables);
            changed.set(name, value, local)?;
            asked.lock().unwrap_or_else(PoisonError::into_inner).settings.push((name.to_string(), value.to_string(), local));
            changed.get(name)
        }))
    }

    fn send_signal(&self) -> SendSignal {
        let (connections, asked) = (self.database.connections.clone(), self.asked.clone());
        SendSignal(Arc::new(move |pid, signal| {
            let there = match signal {
                Signal::Cancel => connections.interrupt(pid),
                Signal::Terminate => connections.terminate(pid),
            };
            if !there {
                let notice = Notice::warning(SqlState::WARNING, format!("PID {pid} is not a PostgreSQL backend process"));
                asked.lock().unwrap_or_else(PoisonError::into_inner).notices.push(notice);
            }
            there
        }))
    }

    fn prepared_infos(&self) -> Vec<PreparedInfo> {
        let infos = self.named.all().map(|(name, statement)| PreparedInfo {
            name: name.clone(),
            statement: statement.text.clone(),
            prepared: statement.prepared_micros,
            parameters: statement.prepared.iter().flat_map(|prepared| prepared.parameters()).map(|ty| ty.oid()).collect(),
            from_sql: statement.from_sql,
        });
        infos.collect()
    }

    fn cursor_infos(&self) -> Vec<CursorInfo> {
        let infos = self.cursors.all().map(|(name, cursor)| CursorInfo {
            name: name.clone(),
            statement: cursor.statement.clone(),
            hold: cursor.hold,
            binary: cursor.binary,
            scroll: cursor.scroll,
            created: cursor.created_micros,
        });
        infos.collect()
    }
}

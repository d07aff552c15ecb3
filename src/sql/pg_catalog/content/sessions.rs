//! Sessions: everybody's in pg_stat_activity, and of the session that asks its prepared statements and cursors.

use super::row;
use crate::pg_catalog::facts::{self, SessionFacts};
use crate::pg_catalog::rows::Rows;
use crate::pg_catalog::types;

pub(super) fn activity(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "application_name",
        "client_addr",
        "client_port",
        "backend_start",
        "xact_start",
        "query_start",
        "state_change",
        "state",
        "backend_type",
        "query",
    ]);
    for session in &facts.sessions {
        let role = facts.roles().iter().find(|(_, name)| *name == session.user).map(|(oid, _)| *oid);
        rows.push(row![
            facts::DATABASE,
            facts.database.as_str(),
            session.pid,
            role,
            session.user.as_str(),
            session.application.as_str(),
            session.client.ip().to_string(),
            session.client.port() as i64,
            session.started,
            session.transaction_started,
            session.query_started,
            session.state_changed,
            session.state,
            "client backend",
            session.query.as_str(),
        ]);
    }
    rows
}

pub(super) fn prepared_statements(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["name", "statement", "prepare_time", "parameter_types", "from_sql", "generic_plans", "custom_plans"]);
    for statement in &facts.prepared {
        let types: Vec<String> = statement.parameters.iter().map(|oid| types::format_type(*oid as i64, None)).collect();
        rows.push(row![statement.name.as_str(), statement.statement.as_str(), statement.prepared, types, statement.from_sql, 0, 0]);
    }
    rows
}

pub(super) fn cursors(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["name", "statement", "is_holdable", "is_binary", "is_scrollable", "creation_time"]);
    for cursor in &facts.cursors {
        let (hold, binary, scroll) = (cursor.hold, cursor.binary, cursor.scroll);
        rows.push(row![cursor.name.as_str(), cursor.statement.as_str(), hold, binary, scroll, cursor.created]);
    }
    rows
}

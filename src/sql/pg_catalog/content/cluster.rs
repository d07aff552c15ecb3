//! What there is one of, or a few: schemas, the database, roles, settings, connectors, the session.

use super::row;
use crate::pg_catalog::facts::{self, OWNER, SCHEMAS, SessionFacts, WRAPPER};
use crate::pg_catalog::rows::Rows;

pub(super) const PUBLIC_SCHEMA: i64 = facts::PUBLIC;
pub(super) const WEIR_SCHEMA: i64 = facts::WEIR;
/// pg_default, the one tablespace.
const TABLESPACE: i64 = 1663;
/// UTF8.
pub(in crate::pg_catalog) const UTF8: i64 = 6;
/// How text is ordered and classified: by code point.
pub(in crate::pg_catalog) const LOCALE: &str = "C.UTF-8";

pub(super) fn namespace() -> Rows {
    let mut rows = Rows::new(&["oid", "nspname", "nspowner"]);
    for (oid, name) in SCHEMAS {
        rows.push(row![oid, name, OWNER]);
    }
    rows
}

pub(super) fn database(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "datcollate",
        "datctype",
    ]);
    rows.push(row![facts::DATABASE, facts.database.as_str(), OWNER, UTF8, "c", true, -1, TABLESPACE, LOCALE, LOCALE]);
    rows
}

pub(super) fn authid(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "rolname",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
        "rolconnlimit",
    ]);
    for (oid, name) in facts.roles() {
        rows.push(row![oid, name, true, true, true, true, true, true, true, -1]);
    }
    rows
}

pub(super) fn roles(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "rolname",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
        "rolconnlimit",
        "rolpassword",
    ]);
    for (oid, name) in facts.roles() {
        rows.push(row![oid, name, true, true, true, true, true, true, true, -1, "********"]);
    }
    rows
}

pub(super) fn user(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["usename", "usesysid", "usecreatedb", "usesuper", "userepl", "usebypassrls", "passwd"]);
    for (oid, name) in facts.roles() {
        rows.push(row![name, oid, true, true, true, true, "********"]);
    }
    rows
}

pub(super) fn tablespace() -> Rows {
    let mut rows = Rows::new(&["oid", "spcname", "spcowner"]);
    rows.push(row![TABLESPACE, "pg_default", OWNER]);
    rows.push(row![1664, "pg_global", OWNER]);
    rows
}

pub(super) fn settings(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "name",
        "setting",
        "unit",
        "category",
        "short_desc",
        "context",
        "vartype",
        "source",
        "enumvals",
        "boot_val",
        "reset_val",
        "pending_restart",
    ]);
    for setting in &facts.settings {
        let source = if setting.value == setting.default { "default" } else { "session" };
        let values: Vec<String> = setting.values.iter().map(|value| value.to_string()).collect();
        rows.push(row![
            setting.name.as_str(),
            setting.value.as_str(),
            setting.unit,
            "Weir",
            setting.description.as_str(),
            setting.context,
            setting.kind,
            source,
            (!values.is_empty()).then_some(values),
            setting.default.as_str(),
            setting.default.as_str(),
            false,
        ]);
    }
    rows
}

pub(super) fn shared_description() -> Rows {
    let mut rows = Rows::new(&["objoid", "classoid", "description"]);
    rows.push(row![facts::DATABASE, 1262, DATABASE_COMMENT]);
    rows
}

/// The comment on the database.
pub(in crate::pg_catalog) const DATABASE_COMMENT: &str = "Weir, a streaming SQL database";

pub(super) fn foreign_data_wrapper(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["oid", "fdwname", "fdwowner"]);
    if !facts.servers().is_empty() {
        rows.push(row![WRAPPER, "weir", OWNER]);
    }
    rows
}

pub(super) fn foreign_server(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["oid", "srvname", "srvowner", "srvfdw"]);
    for (oid, name) in facts.servers() {
        rows.push(row![oid, name, OWNER, WRAPPER]);
    }
    rows
}

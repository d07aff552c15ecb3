//! Who asks, from where and with what settings, and what they may do.

use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use super::function;
use crate::pg_catalog::content::UTF8;
use crate::pg_catalog::facts::{SCHEMAS, SessionFacts};
use crate::pg_catalog::function::{Function, flag, int, text};
use crate::pg_catalog::rows::Value;
use crate::pg_catalog::sessions::Signal;

pub(super) fn add(all: &mut Vec<Function>) {
    for name in ["current_user", "session_user", "user", "current_role"] {
        all.push(function(name, 0..=0, PgType::Name, |facts, _| Ok(facts.user.as_str().into())));
    }
    for name in ["current_database", "current_catalog"] {
        all.push(function(name, 0..=0, PgType::Name, |facts, _| Ok(facts.database.as_str().into())));
    }
    all.extend([
        function("current_schema", 0..=0, PgType::Name, |facts, _| Ok(facts.effective_path().next().into())),
        function("current_schemas", 1..=1, PgType::Array(Box::new(PgType::Name)), |facts, args| {
            let names: Vec<String> = if flag(args.first()) {
                facts.lookup_path().map(str::to_string).collect()
            } else {
                facts.effective_path().map(str::to_string).collect()
            };
            Ok(names.into())
        }),
        function("current_setting", 1..=2, PgType::Text, current_setting),
        Function { volatile: true, ..function("set_config", 3..=3, PgType::Text, set_config) },
        Function {
            volatile: true,
            ..function("pg_cancel_backend", 1..=1, PgType::Bool, |facts, args| signal(facts, args, Signal::Cancel))
        },
        Function {
            volatile: true,
            ..function("pg_terminate_backend", 1..=1, PgType::Bool, |facts, args| signal(facts, args, Signal::Terminate))
        },
        function("version", 0..=0, PgType::Text, |facts, _| Ok(version(facts).into())),
        function("pg_backend_pid", 0..=0, PgType::Int4, |facts, _| Ok(facts.pid.into())),
        function("pg_is_in_recovery", 0..=0, PgType::Bool, |_, _| Ok(false.into())),
        function("pg_jit_available", 0..=0, PgType::Bool, |_, _| Ok(false.into())),
        function("pg_postmaster_start_time", 0..=0, PgType::Timestamptz, |facts, _| Ok(facts.server_started.into())),
        function("pg_conf_load_time", 0..=0, PgType::Timestamptz, |facts, _| Ok(facts.server_started.into())),
        function("pg_my_temp_schema", 0..=0, PgType::Oid, |_, _| Ok(0.into())),
        function("pg_is_other_temp_schema", 1..=1, PgType::Bool, |_, _| Ok(false.into())),
        function("txid_current", 0..=0, PgType::Int8, |facts, _| Ok((facts.commit as i64).into())),
        function("txid_current_if_assigned", 0..=0, PgType::Int8, |_, _| Ok(Value::Null)),
        function("pg_get_userbyid", 1..=1, PgType::Name, userbyid),
        function("pg_encoding_to_char", 1..=1, PgType::Name, |_, args| Ok(if int(&args[0])? == UTF8 { "UTF8" } else { "" }.into())),
        function("pg_char_to_encoding", 1..=1, PgType::Int4, |_, args| {
            let name = text(&args[0]).to_lowercase().replace(['-', '_'], "");
            Ok(if matches!(name.as_str(), "utf8" | "unicode") { UTF8 } else { -1 }.into())
        }),
        function("getdatabaseencoding", 0..=0, PgType::Name, |_, _| Ok("UTF8".into())),
        function("pg_client_encoding", 0..=0, PgType::Name, |_, _| Ok("UTF8".into())),
        function("pg_advisory_unlock_all", 0..=0, PgType::Text, |_, _| Ok("".into())),
        function("pg_stat_get_numscans", 1..=1, PgType::Int8, |_, _| Ok(0.into())),
        function("inet_client_addr", 0..=0, PgType::Text, |facts, _| Ok(facts.client.map(|client| client.ip().to_string()).into())),
        function("inet_client_port", 0..=0, PgType::Int4, |facts, _| Ok(facts.client.map(|client| client.port() as i64).into())),
        function("has_table_privilege", 2..=3, PgType::Bool, on_relation),
        function("has_any_column_privilege", 2..=3, PgType::Bool, on_relation),
        function("has_sequence_privilege", 2..=3, PgType::Bool, on_relation),
        function("has_column_privilege", 3..=4, PgType::Bool, |facts, args| {
            let user = usize::from(args.len() == 4);
            on_relation(facts, &[args[user].clone(), args[user + 2].clone()])
        }),
        function("has_schema_privilege", 2..=3, PgType::Bool, on_schema),
        function("has_database_privilege", 2..=3, PgType::Bool, on_database),
    ]);
    for name in [
        "has_function_privilege",
        "has_type_privilege",
        "has_language_privilege",
        "has_tablespace_privilege",
        "has_server_privilege",
        "has_foreign_data_wrapper_privilege",
        "pg_has_role",
    ] {
        all.push(function(name, 2..=3, PgType::Bool, |_, _| Ok(true.into())));
    }
}

fn unknown_setting(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn current_setting(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let name = text(&args[0]);
    match facts.setting(&name) {
        Some(setting) => Ok(setting.value.as_str().into()),
        None if flag(args.get(1)) => Ok(Value::Null),
        None => Err(unknown_setting(&name)),
    }
}

fn set_config(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    match &facts.set_config {
        Some(set_config) => Ok((set_config.0)(&text(&args[0]), &text(&args[1]), flag(args.get(2)))?.into()),
        None => Err(Error::unsupported("set_config() cannot be called here").with_hint("Use SET.")),
    }
}

fn signal(facts: &SessionFacts, args: &[Value], signal: Signal) -> Result<Value> {
    match &facts.send_signal {
        Some(send) => Ok((send.0)(int(&args[0])? as i32, signal).into()),
        None => Err(Error::unsupported("other sessions cannot be reached here")),
    }
}

/// `PostgreSQL 15.0 (Weir 0.1.0) on x86_64-linux`: drivers read the number.
fn version(facts: &SessionFacts) -> String {
    let reported = facts.setting("server_version").map_or("15.0", |setting| setting.value.as_str());
    let number = reported.split_whitespace().next().unwrap_or(reported);
    let (weir, arch, os) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    format!("PostgreSQL {number} (Weir {weir}) on {arch}-{os}")
}

fn userbyid(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let oid = int(&args[0])?;
    Ok(facts.roles().iter().find(|(of, _)| *of == oid).map_or_else(|| format!("unknown (OID={oid})"), |(_, name)| name.to_string()).into())
}

/// The object and the privilege of `has_x_privilege([user,] object, privilege)`: everybody may do everything to what there is.
fn object(args: &[Value]) -> &Value {
    &args[args.len() - 2]
}

fn on_relation(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    match object(args) {
        Value::Text(name) => facts.require_regclass(name).map(|_| true.into()),
        oid => Ok(facts.named(int(oid)?).map(|_| true).into()),
    }
}

fn on_schema(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    match object(args) {
        Value::Text(name) if SCHEMAS.iter().any(|(_, schema)| schema == name) => Ok(true.into()),
        Value::Text(name) => Err(Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))),
        oid => {
            let oid = int(oid)?;
            Ok(SCHEMAS.iter().any(|(of, _)| *of == oid).then_some(true).into())
        }
    }
}

fn on_database(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    match object(args) {
        Value::Text(name) if *name == facts.database => Ok(true.into()),
        Value::Text(name) => Err(Error::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))),
        oid => Ok((int(oid)? == crate::pg_catalog::facts::DATABASE).then_some(true).into()),
    }
}

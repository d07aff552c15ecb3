//! `regclass` and its kin, in two directions, and the casts that DataFusion has no types for. The rewriter calls these.

use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use super::definitions::regproc;
use super::function;
use crate::pg_catalog::content::proc_by_oid;
use crate::pg_catalog::facts::{SCHEMAS, SessionFacts};
use crate::pg_catalog::function::{Function, int, relation, text};
use crate::pg_catalog::identifier::{identifiers, quote_ident};
use crate::pg_catalog::rows::Value;
use crate::pg_catalog::types;

pub(super) fn add(all: &mut Vec<Function>) {
    all.extend([
        function("weir_oid", 1..=1, PgType::Oid, |_, args| Ok(int(&args[0])?.into())),
        function("weir_name", 1..=1, PgType::Name, |_, args| Ok(text(&args[0]).chars().take(63).collect::<String>().into())),
        function("weir_char", 1..=1, PgType::Char, |_, args| Ok(text(&args[0]).chars().take(1).collect::<String>().into())),
        function("weir_regclass_oid", 1..=1, PgType::Oid, |facts, args| Ok(relation(facts, &args[0])?.into())),
        function("weir_regclass", 1..=1, PgType::Regclass, |facts, args| Ok(facts.regclass_name(relation(facts, &args[0])?).into())),
        function("weir_regtype_oid", 1..=1, PgType::Oid, |_, args| Ok(regtype(&args[0])?.into())),
        function("weir_regtype", 1..=1, PgType::Regtype, |_, args| Ok(types::format_type(regtype(&args[0])?, None).into())),
        function("weir_regproc_oid", 1..=1, PgType::Oid, |_, args| Ok(regproc(&args[0])?.into())),
        function("weir_regproc", 1..=1, PgType::Regproc, regproc_name),
        function("weir_regnamespace_oid", 1..=1, PgType::Oid, |_, args| Ok(namespace(&args[0])?.into())),
        function("weir_regnamespace", 1..=1, PgType::Text, |_, args| {
            let oid = namespace(&args[0])?;
            Ok(SCHEMAS.iter().find(|(of, _)| *of == oid).map_or(oid.to_string(), |(_, name)| quote_ident(name)).into())
        }),
        function("weir_regrole_oid", 1..=1, PgType::Oid, |facts, args| Ok(role(facts, &args[0])?.into())),
        function("weir_regrole", 1..=1, PgType::Text, |facts, args| {
            let oid = role(facts, &args[0])?;
            let roles = facts.roles();
            Ok(roles.iter().find(|(of, _)| *of == oid).map_or(oid.to_string(), |(_, name)| quote_ident(name)).into())
        }),
        function("weir_regtypes", 1..=1, PgType::Array(Box::new(PgType::Text)), |_, args| {
            let Value::Ints(types) = &args[0] else { return Ok(Value::Texts(Vec::new())) };
            Ok(types.iter().map(|ty| types::format_type(*ty, None)).collect::<Vec<_>>().into())
        }),
        function("to_regclass", 1..=1, PgType::Oid, |facts, args| Ok(facts.regclass(&text(&args[0]))?.into())),
        function("to_regtype", 1..=1, PgType::Oid, |_, args| Ok(types::regtype(&text(&args[0]))?.into())),
        function("to_regnamespace", 1..=1, PgType::Oid, |_, args| Ok(namespace(&args[0]).ok().into())),
        function("to_regproc", 1..=1, PgType::Oid, |_, args| Ok(regproc(&args[0]).ok().into())),
        function("to_regrole", 1..=1, PgType::Oid, |facts, args| Ok(role(facts, &args[0]).ok().into())),
    ]);
}

fn regtype(argument: &Value) -> Result<i64> {
    match argument {
        Value::Text(name) => types::require_regtype(name),
        other => int(other),
    }
}

fn regproc_name(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    let oid = regproc(&args[0])?;
    Ok(match proc_by_oid(oid) {
        Some(proc) => proc.name.into(),
        None if oid == 0 => "-".into(),
        None => oid.to_string().into(),
    })
}

fn one_name(argument: &Value) -> Result<Option<String>> {
    let Value::Text(name) = argument else { return Ok(None) };
    if name.trim().parse::<u32>().is_ok() {
        return Ok(None);
    }
    let mut parts = identifiers(name)?;
    if parts.len() > 1 {
        return Err(Error::new(SqlState("42602"), "invalid name syntax"));
    }
    Ok(parts.pop())
}

fn namespace(argument: &Value) -> Result<i64> {
    let Some(name) = one_name(argument)? else { return int(argument) };
    let found = SCHEMAS.iter().find(|(_, schema)| *schema == name).map(|(oid, _)| *oid);
    found.ok_or_else(|| Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist")))
}

fn role(facts: &SessionFacts, argument: &Value) -> Result<i64> {
    let Some(name) = one_name(argument)? else { return int(argument) };
    let found = facts.roles().iter().find(|(_, role)| *role == name).map(|(oid, _)| *oid);
    found.ok_or_else(|| Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist")))
}

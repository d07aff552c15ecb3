//! What an object is made of: the texts of views, defaults, keys and functions, types, comments and visibility.

use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use super::function;
use crate::pg_catalog::content::{
    COMMENTS, DATABASE_COMMENT, check_definition, index_definition, key_columns, proc_by_oid, procs_named, views_definition,
};
use crate::pg_catalog::facts::{self, SessionFacts, check_oid, constraint_oid};
use crate::pg_catalog::function::{Function, flag, int, relation, text};
use crate::pg_catalog::identifier::identifiers;
use crate::pg_catalog::identifier::quote_ident;
use crate::pg_catalog::rows::Value;
use crate::pg_catalog::types;

pub(super) fn add(all: &mut Vec<Function>) {
    let nothing = |_: &SessionFacts, _: &[Value]| Ok(Value::Null);
    all.extend([
        Function { sees_null: true, ..function("format_type", 2..=2, PgType::Text, format_type) },
        function("pg_get_expr", 2..=3, PgType::Text, |_, args| Ok(args[0].clone())),
        function("pg_get_viewdef", 1..=2, PgType::Text, viewdef),
        function("pg_get_indexdef", 1..=3, PgType::Text, indexdef),
        function("pg_get_constraintdef", 1..=2, PgType::Text, constraintdef),
        function("pg_get_ruledef", 1..=2, PgType::Text, nothing),
        function("pg_get_triggerdef", 1..=2, PgType::Text, nothing),
        function("pg_get_partkeydef", 1..=1, PgType::Text, nothing),
        function("pg_get_statisticsobjdef", 1..=1, PgType::Text, nothing),
        function("pg_get_statisticsobjdef_columns", 1..=1, PgType::Text, nothing),
        function("pg_get_serial_sequence", 2..=2, PgType::Text, nothing),
        function("pg_get_functiondef", 1..=1, PgType::Text, nothing),
        function("pg_get_function_sqlbody", 1..=1, PgType::Text, nothing),
        function("pg_get_function_result", 1..=1, PgType::Text, function_result),
        function("pg_get_function_arguments", 1..=1, PgType::Text, function_arguments),
        function("pg_get_function_identity_arguments", 1..=1, PgType::Text, function_arguments),
        function("obj_description", 1..=2, PgType::Text, obj_description),
        function("col_description", 2..=2, PgType::Text, col_description),
        function("shobj_description", 2..=2, PgType::Text, shobj_description),
        function("pg_table_is_visible", 1..=1, PgType::Bool, |facts, args| Ok(facts.is_visible(int(&args[0])?).into())),
        function("pg_type_is_visible", 1..=1, PgType::Bool, |_, args| Ok(types::by_oid(int(&args[0])?).map(|_| true).into())),
        function("pg_function_is_visible", 1..=1, PgType::Bool, |_, args| Ok(proc_by_oid(int(&args[0])?).map(|_| true).into())),
        function("pg_relation_is_publishable", 1..=1, PgType::Bool, |facts, args| {
            let oid = relation(facts, &args[0])?;
            Ok(facts.relation(oid).is_some_and(|relation| relation.kind == facts::Kind::Table).into())
        }),
    ]);
    // Objects of these kinds are the system's own, if there are any: always found by name.
    for name in [
        "pg_collation_is_visible",
        "pg_conversion_is_visible",
        "pg_opclass_is_visible",
        "pg_operator_is_visible",
        "pg_opfamily_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_config_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_template_is_visible",
    ] {
        all.push(function(name, 1..=1, PgType::Bool, |_, _| Ok(true.into())));
    }
}

fn format_type(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    if args[0] == Value::Null {
        return Ok(Value::Null);
    }
    let modifier = match &args[1] {
        Value::Null => None,
        modifier => Some(int(modifier)?),
    };
    Ok(types::format_type(int(&args[0])?, modifier).into())
}

fn viewdef(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let oid = relation(facts, &args[0])?;
    Ok(facts.relation(oid).and_then(views_definition).into())
}

fn indexdef(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let Some((relation, key)) = facts.indexed(int(&args[0])?) else { return Ok(Value::Null) };
    let column = args.get(1).map_or(Ok(0), int)?;
    if column == 0 {
        let full = index_definition(relation, key);
        let pretty = flag(args.get(2)) && facts.is_visible(relation.oid as i64) == Some(true);
        return Ok(if pretty { full.replacen(&format!("ON {}.", quote_ident(&relation.schema)), "ON ", 1) } else { full }.into());
    }
    let found = usize::try_from(column - 1).ok().and_then(|at| key.columns.get(at));
    Ok(found.map_or_else(String::new, |at| quote_ident(&relation.columns[*at].name)).into())
}

fn constraintdef(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let oid = int(&args[0])?;
    for relation in &facts.catalog.relations {
        if let Some(key) = relation.primary_key.as_ref().filter(|_| constraint_oid(relation.oid) == oid) {
            return Ok(format!("PRIMARY KEY ({})", key_columns(relation, key)).into());
        }
        let mut checks = relation.checks.iter().enumerate();
        if let Some((_, check)) = checks.find(|(number, _)| check_oid(relation.oid, *number) == oid) {
            return Ok(check_definition(&check.expr, flag(args.get(1))).into());
        }
    }
    Ok(Value::Null)
}

fn function_result(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    Ok(proc_by_oid(int(&args[0])?).map(|proc| types::format_type(proc.result, None)).into())
}

fn function_arguments(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    let proc = proc_by_oid(int(&args[0])?);
    Ok(proc.map(|proc| proc.arguments.iter().map(|ty| types::format_type(*ty, None)).collect::<Vec<_>>().join(", ")).into())
}

fn obj_description(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let oid = int(&args[0])?;
    let class = match args.get(1) {
        Some(name) => facts.oid_in("pg_catalog", &text(name)).unwrap_or(0),
        None => 0,
    };
    if let Some(relation) = facts.relation(oid).filter(|_| class == 0 || class == 1259) {
        return Ok(relation.comment.clone().into());
    }
    let found = COMMENTS.iter().find(|(of, object, _)| *object == oid && (class == 0 || *of == class));
    Ok(found.map(|(.., comment)| *comment).into())
}

fn col_description(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let relation = facts.relation(relation(facts, &args[0])?);
    let at = usize::try_from(int(&args[1])? - 1).ok();
    Ok(relation.and_then(|relation| relation.columns.get(at?)?.comment.clone()).into())
}

fn shobj_description(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    let is_database = int(&args[0])? == facts::DATABASE && text(&args[1]) == "pg_database";
    Ok(is_database.then_some(DATABASE_COMMENT).into())
}

/// The OID of the function that a `regproc` names, by OID or by name.
pub(super) fn regproc(argument: &Value) -> Result<i64> {
    let Value::Text(name) = argument else { return int(argument) };
    if name == "-" {
        return Ok(0);
    }
    if let Ok(oid) = name.trim().parse::<u32>() {
        return Ok(oid as i64);
    }
    let parts = identifiers(name)?;
    let last = match parts.as_slice() {
        [last] => last,
        [schema, last] if schema == "pg_catalog" => last,
        _ => return Err(missing_function(name)),
    };
    procs_named(last).next().map(|proc| proc.oid).ok_or_else(|| missing_function(name))
}

fn missing_function(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist"))
}

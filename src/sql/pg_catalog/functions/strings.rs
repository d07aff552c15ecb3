//! Quoting, names and the bounds of arrays.

use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use super::function;
use crate::pg_catalog::facts::SessionFacts;
use crate::pg_catalog::function::{Function, int, text};
use crate::pg_catalog::identifier::{identifiers, quote_ident};
use crate::pg_catalog::rows::Value;

pub(super) fn add(all: &mut Vec<Function>) {
    all.extend([
        function("quote_ident", 1..=1, PgType::Text, |_, args| Ok(quote_ident(&text(&args[0])).into())),
        function("quote_literal", 1..=1, PgType::Text, |_, args| Ok(quote_literal(&text(&args[0])).into())),
        Function {
            sees_null: true,
            ..function("quote_nullable", 1..=1, PgType::Text, |_, args| {
                Ok(if args[0] == Value::Null { "NULL".into() } else { quote_literal(&text(&args[0])).into() })
            })
        },
        Function { sees_null: true, ..function("format", 1..=20, PgType::Text, format) },
        Function { sees_null: true, ..function("json_build_object", 0..=60, PgType::Json, json_build_object) },
        function("parse_ident", 1..=2, PgType::Array(Box::new(PgType::Text)), |_, args| Ok(identifiers(&text(&args[0]))?.into())),
        function("array_lower", 2..=2, PgType::Int4, |_, args| Ok(length(args)?.map(|_| 1i64).into())),
        function("array_upper", 2..=2, PgType::Int4, array_upper),
        // The name and the value of `name=value`, which is what pg_options_to_table makes of an options array.
        function("weir_option_name", 1..=1, PgType::Text, |_, args| Ok(option(args).0.into())),
        function("weir_option_value", 1..=1, PgType::Text, |_, args| Ok(option(args).1.into())),
    ]);
}

fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// `json_build_object(name, value, ..)`, spaced as Postgres spaces it.
fn json_build_object(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "argument list must have even number of elements")
            .with_hint("The arguments of json_build_object() must consist of alternating keys and values."));
    }
    let members = args.chunks(2).enumerate().map(|(at, pair)| match &pair[0] {
        Value::Null => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("argument {}: key must not be null", 2 * at + 1))),
        name => Ok(format!("{} : {}", json_string(&text(name)), json(&pair[1]))),
    });
    Ok(format!("{{{}}}", members.collect::<Result<Vec<_>>>()?.join(", ")).into())
}

fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => value.to_string(),
        Value::Float(value) => json_string(&value.to_string()),
        Value::Text(text) => json_string(text),
        Value::Ints(items) => format!("[{}]", items.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        Value::Texts(items) => format!("[{}]", items.iter().map(|item| json_string(item)).collect::<Vec<_>>().join(",")),
    }
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `format('%s %I %L %2$s %%', ..)`; widths are refused.
fn format(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    if args[0] == Value::Null {
        return Ok(Value::Null);
    }
    let pattern = text(&args[0]);
    let (mut out, mut next) = (String::new(), 1);
    let mut rest = pattern.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 && rest[digits..].starts_with('$') {
            next = rest[..digits].parse().unwrap_or(0);
            rest = &rest[digits + 1..];
        }
        let kind = rest
            .chars()
            .next()
            .ok_or_else(|| invalid("unterminated format() type specifier".to_string()).with_hint("For a single \"%\" use \"%%\"."))?;
        rest = &rest[kind.len_utf8()..];
        if kind == '%' {
            out.push('%');
            continue;
        }
        let argument = args.get(next).filter(|_| next > 0).ok_or_else(|| invalid("too few arguments for format()".to_string()))?;
        next += 1;
        match (kind, argument) {
            ('s', argument) => out.push_str(&text(argument)),
            ('I', Value::Null) => return Err(Error::new(SqlState("22004"), "null values cannot be formatted as an SQL identifier")),
            ('I', argument) => out.push_str(&quote_ident(&text(argument))),
            ('L', Value::Null) => out.push_str("NULL"),
            ('L', argument) => out.push_str(&quote_literal(&text(argument))),
            (other, _) => {
                let message = format!("unrecognized format() type specifier \"{other}\"");
                return Err(invalid(message).with_hint("For a single \"%\" use \"%%\"."));
            }
        }
    }
    out.push_str(rest);
    Ok(out.into())
}

/// The length in the first dimension; `None` for an empty array and for other dimensions.
fn length(args: &[Value]) -> Result<Option<usize>> {
    let length = match &args[0] {
        Value::Ints(items) => items.len(),
        Value::Texts(items) => items.len(),
        _ => 0,
    };
    Ok((length > 0 && int(&args[1])? == 1).then_some(length))
}

fn array_upper(_: &SessionFacts, args: &[Value]) -> Result<Value> {
    Ok(length(args)?.map(|length| length as i64).into())
}

fn option(args: &[Value]) -> (String, String) {
    let option = text(&args[0]);
    match option.split_once('=') {
        Some((name, value)) => (name.to_string(), value.to_string()),
        None => (option, String::new()),
    }
}

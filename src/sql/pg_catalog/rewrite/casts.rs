//! Casts to types that DataFusion does not have: `regclass` and its kin, `oid`, `name`, `"char"`, and names in `pg_catalog`.

use datafusion::sql::sqlparser::ast::{Array, ArrayElemTypeDef, DataType, Expr, Ident, ObjectName};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use weir_common::error::{Error, Result, SqlState};

use super::syntax::{call, called, constant, parts, string};

/// What a cast to a type becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// `regclass`, `regtype` ...: the name of the function that shows it; with `_oid`, the one that computes with it.
    Reg(&'static str),
    /// A function with one argument.
    Function(&'static str),
    /// A type that DataFusion has, under another name.
    Type(DataType),
    /// An array of another.
    Array(Box<Target>),
}

/// What a cast to this type becomes; `None` when DataFusion knows the type by this name.
pub(super) fn target(data_type: &DataType) -> Option<Target> {
    match data_type {
        DataType::Custom(name, modifiers) => custom(name, modifiers),
        DataType::Regclass => Some(Target::Reg("weir_regclass")),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => {
            let element = target(element).unwrap_or_else(|| Target::Type(element.as_ref().clone()));
            Some(Target::Array(Box::new(element)))
        }
        _ => None,
    }
}

fn custom(name: &ObjectName, modifiers: &[String]) -> Option<Target> {
    let mut words = parts(name);
    let last = words.pop()?;
    let qualified = match words.as_slice() {
        [] => false,
        [schema] if schema == "pg_catalog" || schema == "information_schema" => true,
        _ => return None,
    };
    let quoted = name.0.last().and_then(|part| part.as_ident()).is_some_and(|ident| ident.quote_style.is_some());
    Some(match last.as_str() {
        "regclass" => Target::Reg("weir_regclass"),
        "regtype" => Target::Reg("weir_regtype"),
        "regproc" | "regprocedure" => Target::Reg("weir_regproc"),
        "regnamespace" => Target::Reg("weir_regnamespace"),
        "regrole" => Target::Reg("weir_regrole"),
        "oid" | "xid" => Target::Function("weir_oid"),
        "name" | "sql_identifier" => Target::Function("weir_name"),
        "char" if quoted || qualified => Target::Function("weir_char"),
        "cstring" | "character_data" | "yes_or_no" => Target::Type(DataType::Text),
        "cardinal_number" => Target::Type(DataType::Integer(None)),
        "int2vector" => Target::Array(Box::new(Target::Type(DataType::SmallInt(None)))),
        "oidvector" => Target::Array(Box::new(Target::Function("weir_oid"))),
        other if qualified => {
            let modifiers = if modifiers.is_empty() { String::new() } else { format!("({})", modifiers.join(",")) };
            let text = format!("{other}{modifiers}");
            let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_data_type());
            match parsed {
                Ok(DataType::Custom(..)) | Err(_) => Target::Type(DataType::Custom(ObjectName::from(Ident::new(other)), Vec::new())),
                Ok(data_type) => Target::Type(data_type),
            }
        }
        _ => return None,
    })
}

/// Whether a type is one of characters.
fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Text
            | DataType::Varchar(_)
            | DataType::CharacterVarying(_)
            | DataType::Char(_)
            | DataType::Character(_)
            | DataType::String(_)
    )
}

/// The cast of an expression, whose parts have been rewritten already.
pub(super) fn cast(expr: Expr, data_type: DataType) -> Result<Expr> {
    let target = target(&data_type).unwrap_or(Target::Type(data_type));
    convert(expr, target)
}

fn convert(expr: Expr, target: Target) -> Result<Expr> {
    Ok(match target {
        Target::Reg(name) => call(&format!("{name}_oid"), vec![inner_of(expr)]),
        // A call of its own even around an OID: `'x'::regclass::oid` is shown as the number.
        Target::Function("weir_oid") => call("weir_oid", vec![expr]),
        Target::Function(name) => call(name, vec![shown(expr)]),
        Target::Type(data_type) if is_text(&data_type) => match reg_name(&expr) {
            Some(_) => shown(expr),
            None => plain(expr, data_type),
        },
        Target::Type(data_type) => plain(expr, data_type),
        Target::Array(element) => match constant(&expr) {
            Some(text) => {
                let items = elements(text)?.into_iter().map(|item| match item {
                    Some(item) => convert(string(item), element.as_ref().clone()),
                    None => convert(null(), element.as_ref().clone()),
                });
                let elem = items.collect::<Result<Vec<_>>>()?;
                Expr::Array(Array { elem, named: true })
            }
            // The names, not the numbers: nothing but showing is done with an array of types.
            None if *element == Target::Reg("weir_regtype") => call("weir_regtypes", vec![expr]),
            None => match array_type(&element) {
                Some(data_type) => plain(expr, data_type),
                None => return Err(Error::unsupported("casts to arrays of this type are not supported")),
            },
        },
    })
}

fn null() -> Expr {
    Expr::Value(datafusion::sql::sqlparser::ast::Value::Null.into())
}

/// The array type whose elements are carried as this; names of OIDs are not, since that takes a function.
fn array_type(element: &Target) -> Option<DataType> {
    let element = match element {
        Target::Type(data_type) => data_type.clone(),
        Target::Function("weir_oid") => DataType::BigInt(None),
        Target::Function(_) => DataType::Text,
        Target::Reg(_) | Target::Array(_) => return None,
    };
    Some(DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None)))
}

fn plain(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: datafusion::sql::sqlparser::ast::CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// The function that shows what this expression computes with: `weir_regclass` for `weir_regclass_oid(x)`.
pub(super) fn reg_name(expr: &Expr) -> Option<String> {
    if let Expr::Nested(inner) = expr {
        return reg_name(inner);
    }
    let (name, _) = called(expr)?;
    match name.as_str() {
        "to_regclass" => Some("weir_regclass".to_string()),
        "to_regtype" => Some("weir_regtype".to_string()),
        "to_regproc" => Some("weir_regproc".to_string()),
        "to_regnamespace" => Some("weir_regnamespace".to_string()),
        "to_regrole" => Some("weir_regrole".to_string()),
        other => other.strip_suffix("_oid").filter(|name| name.starts_with("weir_reg")).map(str::to_string),
    }
}

/// The argument of `weir_regclass_oid(x)` and its kin, the expression itself for anything else.
fn inner_of(expr: Expr) -> Expr {
    match called(&expr) {
        Some((name, arguments)) if name.starts_with("weir_reg") && name.ends_with("_oid") && arguments.len() == 1 => arguments[0].clone(),
        _ => expr,
    }
}

/// The expression as a user sees it: a `regclass` is a name.
pub(super) fn shown(expr: Expr) -> Expr {
    match reg_name(&expr) {
        Some(name) => call(&name, vec![inner_of(expr)]),
        None => expr,
    }
}

/// The elements of an array's text: `{a,"b c",NULL}`.
pub(super) fn elements(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = || {
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""))
            .with_detail("Array value must start with \"{\" or dimension information.")
    };
    let body = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    let mut items = Vec::new();
    let mut chars = body.chars().peekable();
    if body.trim().is_empty() {
        return Ok(items);
    }
    loop {
        let (mut item, mut in_quotes, mut was_quoted) = (String::new(), false, false);
        loop {
            match chars.next() {
                Some('\\') => item.extend(chars.next()),
                Some('"') => {
                    in_quotes = !in_quotes;
                    was_quoted = true;
                }
                Some(',') if !in_quotes => break,
                Some('{' | '}') if !in_quotes => return Err(malformed()),
                Some(c) => item.push(c),
                None if in_quotes => return Err(malformed()),
                None => {
                    items.push(element(item, was_quoted));
                    return Ok(items);
                }
            }
        }
        items.push(element(item, was_quoted));
    }
}

fn element(item: String, was_quoted: bool) -> Option<String> {
    if was_quoted {
        return Some(item);
    }
    let item = item.trim();
    (!item.eq_ignore_ascii_case("null")).then(|| item.to_string())
}

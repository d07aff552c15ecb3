//! Quoting, names and the bounds of arrays.

use weir_common::error::Result;
use weir_common::types::PgType;

use super::function;
use crate::pg_catalog::facts::{SessionFacts, identifiers, quote_ident};
use crate::pg_catalog::function::{Function, int, text};
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

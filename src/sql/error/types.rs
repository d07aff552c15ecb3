//! Arrow's names of types as Postgres' names.

use datafusion::arrow::datatypes::DataType;
use weir_common::types::PgType;

/// `Int32` is `integer`; what is not an Arrow type stays as it is.
pub(super) fn spelling(arrow: &str) -> String {
    match arrow.trim() {
        "Null" => "unknown".to_string(),
        other => match other.parse::<DataType>() {
            Ok(data_type) => PgType::of_arrow(&data_type).spelling(),
            Err(_) => by_prefix(other),
        },
    }
}

/// `Timestamp(µs)`, `List(Int64)` and others whose parser knows other spellings.
fn by_prefix(arrow: &str) -> String {
    let (name, rest) = arrow.split_once('(').unwrap_or((arrow, ""));
    let inner = rest.strip_suffix(')').unwrap_or(rest);
    match name {
        "Timestamp" if inner.contains(',') => "timestamp with time zone".to_string(),
        "Timestamp" => "timestamp without time zone".to_string(),
        "Time32" | "Time64" => "time without time zone".to_string(),
        "Interval" | "Duration" => "interval".to_string(),
        "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => "numeric".to_string(),
        "FixedSizeBinary" => "bytea".to_string(),
        "Struct" => "record".to_string(),
        "List" | "LargeList" | "FixedSizeList" => format!("{}[]", spelling(inner.rsplit_once(" x ").map_or(inner, |(_, item)| item))),
        _ => arrow.to_string(),
    }
}

/// The types of an argument list, `Int32, Timestamp(µs)`, in Postgres' names.
pub(super) fn list(arguments: &str) -> String {
    split(arguments, ',').iter().map(|argument| spelling(argument)).collect::<Vec<_>>().join(", ")
}

/// Splits at a character outside parentheses; nothing for blank text.
pub(super) fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (index, char) in text.char_indices() {
        match char {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            char if char == at && depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

//! What Arrow and DataFusion say about values that do not fit: bad input, out of range, overflow.

use weir_common::error::{Error, SqlState};

use crate::error::message::{between, lower_first};
use crate::error::{Scope, types};

/// A sentence about a value, if it is a known one.
pub(super) fn translate(scope: Scope<'_>, text: &str) -> Option<Error> {
    // Cannot cast string 'abc' to value of Int32 type
    for prefix in ["Cannot cast string '", "Cannot cast value '"] {
        if let Some(rest) = text.split_once(prefix).map(|(_, rest)| rest)
            && let Some((value, target)) = rest.rsplit_once("' to value of ")
        {
            return Some(bad_input(scope, value, target.trim_end_matches(" type")));
        }
    }
    // Can't cast value 99999 to type Int16
    if let Some(rest) = text.split_once("Can't cast value ").map(|(_, rest)| rest)
        && let Some((value, target)) = rest.rsplit_once(" to type ")
    {
        let error = Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{} out of range", types::spelling(target)));
        return Some(scope.placed(error, scope.locate.number(value)));
    }
    // Error parsing timestamp from 'abc': timestamp must contain at least 10 characters
    if let Some(rest) = text.split_once("Error parsing timestamp from '").map(|(_, rest)| rest)
        && let Some((value, _)) = rest.rsplit_once("': ")
    {
        return Some(bad_input(scope, value, "Timestamp(µs)"));
    }
    // Invalid input syntax for type interval: "abc"
    if let Some(value) = between(text, "Invalid input syntax for type interval: \"", "\"") {
        return Some(bad_input(scope, value, "Interval(MonthDayNano)"));
    }
    // 1000 is too large to store in a Decimal128 of precision 3. Max is 999
    if text.contains("too large to store in a Decimal") || text.contains("too small to store in a Decimal") {
        return Some(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(sentence(text)));
    }
    if text.contains("Cannot cast to Decimal") || text.contains("Overflowing on ") {
        return Some(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(sentence(text)));
    }
    if text.contains("Overflow happened on") {
        return Some(overflow(text));
    }
    // Casting from Boolean to Timestamp(µs) not supported
    if let Some(rest) = text.strip_prefix("Casting from ").or_else(|| text.strip_prefix("Unsupported CAST from "))
        && let Some((from, to)) = rest.trim_end_matches(" not supported").split_once(" to ")
    {
        return Some(Error::new(SqlState("42846"), format!("cannot cast type {} to {}", types::spelling(from), types::spelling(to))));
    }
    None
}

/// An arithmetic overflow; Arrow does not say of which type.
pub(super) fn overflow(text: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range").with_detail(sentence(text))
}

/// Text that is no value of a type, or one out of its range.
fn bad_input(scope: Scope<'_>, value: &str, target: &str) -> Error {
    let ty = types::spelling(target);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let integer = digits(value.trim().trim_start_matches(['-', '+']));
    let error = match ty.as_str() {
        "smallint" | "integer" | "bigint" if integer => {
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{value}\" is out of range for type {ty}"))
        }
        "date" | "timestamp without time zone" | "timestamp with time zone" | "time without time zone" | "interval" => {
            // Numbers in the right places, but no such day or hour.
            let fields = value.split(['-', ':', ' ', 'T', '.', '+', 'Z']).filter(|field| !field.is_empty());
            let (mut count, mut numbers) = (0, true);
            fields.for_each(|field| {
                count += 1;
                numbers &= digits(field);
            });
            if numbers && count >= 2 && ty != "interval" {
                Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{value}\""))
            } else {
                let ty = if ty.starts_with("timestamp w") {
                    ty.split(" without").next().unwrap_or(&ty)
                } else {
                    ty.trim_end_matches(" without time zone")
                };
                Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {ty}: \"{value}\""))
            }
        }
        _ => Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {ty}: \"{value}\"")),
    };
    scope.placed(error, scope.locate.string(value))
}

fn sentence(text: &str) -> String {
    let text = lower_first(text.trim_end_matches('.'));
    let mut chars = text.chars();
    chars.next().map(|first| format!("{}{}.", first.to_uppercase(), chars.as_str())).unwrap_or_default()
}

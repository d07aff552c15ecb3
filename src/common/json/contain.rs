//! What one jsonb has of another: `@>` and `?`. Both are in canonical form.

use std::collections::HashMap;

use crate::error::{Error, Result, SqlState};
use crate::json::{Kind, Raw, number};
use crate::limits::JSON_COMPARED_DEPTH_MAX;

/// Whether `part` is contained in `whole`: `whole @> part`.
pub fn contains(whole: Raw<'_>, part: Raw<'_>) -> Result<bool> {
    match (whole.kind(), part.kind()) {
        // At the top an array contains a scalar that is one of its elements, and nothing else mixes.
        (Kind::Array, part_kind) if part_kind.is_scalar() => Ok(whole.elements().any(|element| same_scalar(element, part))),
        _ => within(whole, part, 0),
    }
}

fn within(whole: Raw<'_>, part: Raw<'_>, depth: usize) -> Result<bool> {
    if depth > JSON_COMPARED_DEPTH_MAX {
        let message = format!("jsonb nested more than {JSON_COMPARED_DEPTH_MAX} levels deep cannot be compared with @>");
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    match (whole.kind(), part.kind()) {
        (Kind::Object, Kind::Object) => {
            // In canonical form equal names are equal texts.
            let members: HashMap<&str, Raw<'_>> = whole.members().collect();
            for (name, value) in part.members() {
                match members.get(name) {
                    Some(found) if within(*found, value, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Kind::Array, Kind::Array) => {
            for wanted in part.elements() {
                let mut found = false;
                for element in whole.elements().filter(|element| element.kind() == wanted.kind()) {
                    if within(element, wanted, depth + 1)? {
                        found = true;
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(same_scalar(whole, part)),
    }
}

fn same_scalar(a: Raw<'_>, b: Raw<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Number, Kind::Number) => number::same(a.source(), b.source()),
        (a_kind, b_kind) => a_kind == b_kind && a_kind.is_scalar() && a.source() == b.source(),
    }
}

/// Whether a text is a name of an object, an element of an array, or the string itself: `value ? text`.
pub fn has(value: Raw<'_>, text: &str) -> Result<bool> {
    let is = |string: Raw<'_>| Ok::<_, Error>(string.kind() == Kind::String && string.text()?.as_deref() == Some(text));
    match value.kind() {
        Kind::Object => {
            for (name, _) in value.members() {
                if is(Raw::of(name))? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Kind::Array => {
            for element in value.elements() {
                if is(element)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => is(value),
    }
}

#[cfg(test)]
mod tests {
    use super::{contains, has};
    use crate::json::{Raw, canonical};

    #[test]
    fn containment_as_in_postgres() {
        for (whole, part, expected) in [
            (r#"{"a": 1, "b": {"c": [1, 2]}}"#, r#"{"b": {"c": [2]}}"#, true),
            (r#"{"a": 1}"#, r#"{"a": 1.0}"#, true),
            (r#"{"a": 1}"#, r#"{"b": null}"#, false),
            (r#"["a", "b"]"#, r#""a""#, true),
            (r#""a""#, r#"["a"]"#, false),
            ("[[1]]", "[1]", false),
            ("[[1, 2]]", "[[2]]", true),
            ("[1, 2]", "[2, 2, 1]", true),
            ("{}", "[]", false),
            ("1", "1.0", true),
            (r#"{"a": ["x"]}"#, r#"{"a": "x"}"#, false),
            ("[null]", "[null]", true),
            (r#"[{"a": 1, "b": 2}]"#, r#"[{"b": 2}, {}]"#, true),
        ] {
            let (canonical_whole, canonical_part) = (canonical(whole).unwrap(), canonical(part).unwrap());
            assert_eq!(contains(Raw::of(&canonical_whole), Raw::of(&canonical_part)).unwrap(), expected, "{whole} @> {part}");
        }
    }

    #[test]
    fn depth_is_an_error_and_not_an_overflow() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let error = contains(Raw::of(&deep), Raw::of(&deep)).unwrap_err();
        assert_eq!(error.sqlstate().0, "54000");
    }

    #[test]
    fn existence_as_in_postgres() {
        for (value, text, expected) in [
            (r#"{"a": 1}"#, "a", true),
            (r#"{"a\nb": 1}"#, "a\nb", true),
            (r#"{"a": {"b": 1}}"#, "b", false),
            (r#"["a", 1]"#, "a", true),
            (r#"["a", 1]"#, "1", false),
            (r#""a""#, "a", true),
            ("1", "1", false),
        ] {
            assert_eq!(has(Raw::of(value), text).unwrap(), expected, "{value} ? {text}");
        }
    }
}

//! Strings of JSON: out of their escapes, and into them.

use std::borrow::Cow;
use std::fmt::Write;

use crate::error::{Error, Result, SqlState};

/// untranslatable_character
const UNTRANSLATABLE_CHARACTER: SqlState = SqlState("22P05");

/// What a checked string in quotes says.
pub(super) fn unescape(quoted: &str) -> Result<Cow<'_, str>> {
    let inner = &quoted[1..quoted.len() - 1];
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (c, length) = escaped(&rest[at..])?;
        text.push(c);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// The character that an escape stands for, and the bytes that the escape takes.
fn escaped(text: &str) -> Result<(char, usize)> {
    let c = match text.as_bytes()[1] {
        b'u' => return unicode(text),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(other),
    };
    Ok((c, 2))
}

/// `\u00e4`, or the two halves of a character beyond 16 bits.
fn unicode(text: &str) -> Result<(char, usize)> {
    let unit = |at: usize| match text.get(at..at + 6) {
        Some(escape) if escape.starts_with("\\u") => u32::from_str_radix(&escape[2..], 16).ok(),
        _ => None,
    };
    let first = unit(0).unwrap_or_default();
    match (first, unit(6)) {
        (0, _) => {
            let error = Error::new(UNTRANSLATABLE_CHARACTER, "unsupported Unicode escape sequence");
            Err(error.with_detail("\\u0000 cannot be converted to text."))
        }
        (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Ok((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12))
        }
        (0xd800..0xdc00, Some(0xd800..0xdc00)) => Err(surrogate("Unicode high surrogate must not follow a high surrogate.")),
        (0xd800..0xe000, _) => Err(surrogate("Unicode low surrogate must follow a high surrogate.")),
        (code, _) => Ok((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6)),
    }
}

fn surrogate(detail: &str) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").with_detail(detail)
}

/// A text as a JSON string, with the escapes that Postgres writes.
pub(super) fn quote(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\u{8}' => into.push_str("\\b"),
            '\u{c}' => into.push_str("\\f"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                let _ = write!(into, "\\u{:04x}", c as u32);
            }
            c => into.push(c),
        }
    }
    into.push('"');
}

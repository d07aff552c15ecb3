//! A JSON value into a column.

use std::borrow::Cow;

use weir_common::error::SqlState;
use weir_common::json;
use weir_common::types::PgType;

use crate::json::cursor::{Cursor, Syntax};
use crate::value::column::{Column, Misfit, Values};
use crate::value::number;

/// Why a value was not read.
#[derive(Debug)]
pub(crate) enum Refusal {
    Syntax(Syntax),
    /// Where the value starts, and what is wrong with it.
    Misfit {
        at: usize,
        reason: String,
    },
}

impl From<Syntax> for Refusal {
    fn from(syntax: Syntax) -> Self {
        Refusal::Syntax(syntax)
    }
}

impl Column {
    /// Reads the next value and appends it; `depth` is how many arrays and objects it is in. After an error the column has to be
    /// truncated.
    #[inline]
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>, scratch: &mut Vec<u8>, depth: usize) -> Result<(), Refusal> {
        let at = cursor.at();
        let first = cursor.peek();
        if first == Some(b'n') {
            cursor.word("null")?;
            self.push_null();
            return Ok(());
        }
        let outcome = match (&mut self.values, first) {
            (Values::Json(bytes), _) => {
                let raw = cursor.value(depth)?;
                stored(&self.ty, raw).map(|text| bytes.push(&text))
            }
            (values, Some(b'"')) => {
                let string = cursor.string()?;
                let content = string.content(scratch);
                // Only an escape can put a NUL into a string.
                match values {
                    Values::Text(_) if string.is_escaped() && content.contains(&0) => Err(Misfit::Nul),
                    values => values.push_string(&self.ty, content),
                }
            }
            (Values::Int8(values), Some(b'-' | b'0'..=b'9')) => match cursor.integer() {
                Some(value) => {
                    values.push(value);
                    Ok(())
                }
                None => number::integer(cursor.number()?).map(|value| values.push(value)),
            },
            (values, Some(b'-' | b'0'..=b'9')) => values.push_number(cursor.number()?),
            (Values::Bool(values), Some(b't' | b'f')) => {
                let value = first == Some(b't');
                cursor.word(if value { "true" } else { "false" })?;
                values.append(value);
                Ok(())
            }
            (Values::List(offsets, _, child), Some(b'[')) => {
                cursor.elements(depth, |cursor| child.read(cursor, scratch, depth + 1))?;
                offsets.push(child.nulls.len());
                Ok(())
            }
            _ => cursor.value(depth).map(|_| Err(Misfit::Kind))?,
        };
        match outcome {
            Ok(()) => {
                self.nulls.append_non_null();
                Ok(())
            }
            Err(misfit) => Err(Refusal::Misfit { at, reason: self.reason(misfit) }),
        }
    }
}

/// A JSON text as the type keeps it: `json` as it is, `jsonb` in its one form.
pub(crate) fn stored<'a>(ty: &PgType, raw: &'a [u8]) -> Result<Cow<'a, [u8]>, Misfit> {
    if *ty != PgType::Jsonb {
        return Ok(Cow::Borrowed(raw));
    }
    if has_nul_escape(raw) {
        return Err(Misfit::Nul);
    }
    let text = std::str::from_utf8(raw).map_err(|_| Misfit::Kind)?;
    match json::canonical(text) {
        Ok(text) => Ok(Cow::Owned(text.into_bytes())),
        Err(error) if error.sqlstate() == SqlState::NUMERIC_VALUE_OUT_OF_RANGE => Err(Misfit::Range),
        Err(_) => Err(Misfit::Kind),
    }
}

/// Whether JSON text has the escape `\u0000` in it, and not an escaped backslash before `u0000`.
fn has_nul_escape(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        if rest[at + 1..].starts_with(b"u0000") {
            return true;
        }
        rest = &rest[at + 2..];
    }
    false
}

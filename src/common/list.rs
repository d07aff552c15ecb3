//! The text of arrays, taken apart.

use crate::error::{Error, Result, SqlState};

/// What Postgres passes over around elements.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Takes the text of a one-dimensional array apart: `{a,NULL,"b c"}`; `None` is NULL. `delimiter` is `,` for every type here.
pub fn parse_array(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = |detail: &str| {
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\"")).with_detail(detail.to_string())
    };
    let body = text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    let body = match body.strip_prefix('[') {
        Some(bounds) => {
            plain_bounds(bounds).ok_or_else(|| Error::unsupported("arrays with lower bounds other than 1 are not supported"))?
        }
        None => body,
    };
    let Some(body) = body.strip_prefix('{') else {
        return Err(malformed("Array value must start with \"{\" or dimension information."));
    };
    let mut elements = Vec::new();
    let mut chars = body.chars().peekable();
    let skip_spaces = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        while chars.next_if(|c| c.is_ascii() && is_space(*c as u8)).is_some() {}
    };
    skip_spaces(&mut chars);
    if chars.next_if_eq(&'}').is_some() {
        return if chars.next().is_none() { Ok(elements) } else { Err(malformed("Junk after closing right brace.")) };
    }
    loop {
        skip_spaces(&mut chars);
        match chars.peek() {
            Some('{') => return Err(Error::unsupported("arrays of more than one dimension are not supported as input")),
            Some('"') => {
                chars.next();
                elements.push(Some(quoted(&mut chars).ok_or_else(|| malformed("Unexpected end of input."))?));
                skip_spaces(&mut chars);
            }
            _ => elements.push(unquoted(&mut chars).map_err(|detail| malformed(&detail))?),
        }
        match chars.next() {
            Some(',') => {}
            Some('}') => break,
            Some(_) => return Err(malformed("Unexpected array element.")),
            None => return Err(malformed("Unexpected end of input.")),
        }
    }
    if chars.any(|c| !(c.is_ascii() && is_space(c as u8))) {
        return Err(malformed("Junk after closing right brace."));
    }
    Ok(elements)
}

/// `1:3]=` and what follows.
fn plain_bounds(bounds: &str) -> Option<&str> {
    let (range, rest) = bounds.split_once(']')?;
    let (lower, upper) = range.split_once(':').unwrap_or(("1", range));
    (lower.trim() == "1" && upper.trim().parse::<u32>().is_ok()).then_some(())?;
    rest.trim_start().strip_prefix('=').map(str::trim_start)
}

fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut value = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

fn unquoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<String>, String> {
    let mut value = String::new();
    let mut escaped = false;
    // Blanks at the end are no part of the element, unless escaped.
    let mut kept = 0;
    while let Some(c) = chars.next_if(|c| !matches!(c, ',' | '}')) {
        match c {
            '\\' => {
                value.push(chars.next().ok_or("Unexpected end of input.")?);
                escaped = true;
                kept = value.len();
            }
            '"' => return Err("Unexpected array element.".to_string()),
            '{' => return Err("Unexpected \"{\" character.".to_string()),
            c => {
                value.push(c);
                if !(c.is_ascii() && is_space(c as u8)) {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept);
    match chars.peek() {
        Some(end) if value.is_empty() => Err(format!("Unexpected \"{end}\" character.")),
        _ if !escaped && value.eq_ignore_ascii_case("NULL") => Ok(None),
        _ => Ok(Some(value)),
    }
}

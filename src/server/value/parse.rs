//! What reading any value from text shares: encoding, blanks, and the words of the errors.

use weir_common::error::{Error, Result, SqlState};
pub use weir_common::error::{invalid_datetime, invalid_syntax};

/// The bytes as UTF-8 without NUL, which no value in Postgres' text format holds.
pub fn text_of(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        let len = error.error_len().unwrap_or(bytes.len() - start).max(1);
        invalid_bytes(&bytes[start..start + len])
    })?;
    if text.as_bytes().contains(&0) {
        return Err(invalid_bytes(&[0]));
    }
    Ok(text)
}

fn invalid_bytes(bytes: &[u8]) -> Error {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")))
}

/// Without the blanks that C's `isspace` knows.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b')
}

/// Bytes that are no value of the type.
pub fn invalid_binary(type_name: &str) -> Error {
    Error::new(SqlState::INVALID_BINARY_REPRESENTATION, format!("incorrect binary data format for type {type_name}"))
}

/// Reads a boolean: `t`, `yes`, `on`, `1`, their opposites, and unambiguous beginnings of the words.
pub fn parse_bool(bytes: &[u8]) -> Result<bool> {
    let text = text_of(bytes)?;
    let word = trim(text).to_ascii_lowercase();
    let starts = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if starts("true", 1) || starts("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(invalid_syntax("boolean", text))
    }
}

/// Fits text into `character varying(n)` or pads it for `character(n)`; blanks beyond the end are dropped.
pub fn fit(text: &str, limit: Option<u32>, pad: bool, type_name: &str) -> Result<String> {
    let Some(limit) = limit else { return Ok(text.to_string()) };
    let limit = limit as usize;
    let count = text.chars().count();
    if count <= limit {
        let mut text = text.to_string();
        if pad {
            text.extend(std::iter::repeat_n(' ', limit - count));
        }
        return Ok(text);
    }
    let end = text.char_indices().nth(limit).map_or(text.len(), |(at, _)| at);
    if text[end..].bytes().any(|b| b != b' ') {
        return Err(Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, format!("value too long for type {type_name}({limit})")));
    }
    Ok(text[..end].to_string())
}

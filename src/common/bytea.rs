//! Bytes and UUIDs from text.

use crate::error::{Error, Result, SqlState};

/// Reads bytes: `\x68c3bc`, or text with `\303\274` for what cannot be shown.
pub fn parse(text: &[u8]) -> Result<Vec<u8>> {
    match text.strip_prefix(b"\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escape(text),
    }
}

fn parse_hex(text: &[u8]) -> Result<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len() / 2);
    let mut digits = text.iter().filter(|b| !b.is_ascii_whitespace());
    while let Some(high) = digits.next() {
        let high = hex_digit(*high)?;
        let low =
            digits.next().ok_or_else(|| Error::new(SqlState::INVALID_PARAMETER_VALUE, "invalid hexadecimal data: odd number of digits"))?;
        value.push(high << 4 | hex_digit(*low)?);
    }
    Ok(value)
}

fn hex_digit(byte: u8) -> Result<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8).ok_or_else(|| {
        let shown = if byte.is_ascii() { (byte as char).to_string() } else { format!("\\x{byte:02x}") };
        Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid hexadecimal digit: \"{shown}\""))
    })
}

fn parse_escape(text: &[u8]) -> Result<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                value.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                value.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            (b'\\', _) => return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type bytea")),
            _ => {
                value.push(*byte);
                tail
            }
        };
    }
    Ok(value)
}

/// Reads a UUID: 32 hexadecimal digits, hyphens after any group of four, braces around it.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits = match text.strip_prefix('{') {
        Some(inner) => inner.strip_suffix('}')?,
        None => text,
    };
    let mut value = [0u8; 16];
    let mut bytes = digits.bytes().peekable();
    for (at, byte) in value.iter_mut().enumerate() {
        let high = (bytes.next()? as char).to_digit(16)?;
        let low = (bytes.next()? as char).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
        if at % 2 == 1 && at < 15 && bytes.peek() == Some(&b'-') {
            bytes.next();
        }
    }
    bytes.next().is_none().then_some(value)
}

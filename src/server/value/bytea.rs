//! Bytes as text, and back.

use bytes::{BufMut, BytesMut};
use weir_common::error::{Error, Result, SqlState};

use crate::value::settings::ByteaOutput;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes bytes as `\x68c3bc` or `h\303\274`.
pub fn put(value: &[u8], style: ByteaOutput, out: &mut BytesMut) {
    match style {
        ByteaOutput::Hex => {
            out.put_slice(b"\\x");
            put_hex(value, out);
        }
        ByteaOutput::Escape => {
            for byte in value {
                match byte {
                    b'\\' => out.put_slice(b"\\\\"),
                    0x20..=0x7e => out.put_u8(*byte),
                    _ => out.put_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
                }
            }
        }
    }
}

/// Writes two digits a byte.
pub fn put_hex(value: &[u8], out: &mut BytesMut) {
    out.reserve(value.len() * 2);
    for byte in value {
        out.put_slice(&[HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
    }
}

/// Writes `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`.
pub fn put_uuid(value: &[u8; 16], out: &mut BytesMut) {
    for (at, group) in [(0, 4), (4, 2), (6, 2), (8, 2), (10, 6)] {
        if at > 0 {
            out.put_u8(b'-');
        }
        put_hex(&value[at..at + group], out);
    }
}

/// Reads either form.
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

//! The text of arrays and records: what is quoted.

use bytes::{BufMut, BytesMut};

/// Quotes what was written since `start` if an array's text needs it.
pub fn quote_element(start: usize, out: &mut BytesMut) {
    let value = &out[start..];
    let special = |b: &u8| matches!(b, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*b);
    if value.is_empty() || value.iter().any(special) || value.eq_ignore_ascii_case(b"NULL") {
        requote(start, out, |byte, out| {
            if matches!(byte, b'"' | b'\\') {
                out.put_u8(b'\\');
            }
            out.put_u8(byte);
        });
    }
}

/// Quotes what was written since `start` if a record's text needs it.
pub fn quote_field(start: usize, out: &mut BytesMut) {
    let value = &out[start..];
    let special = |b: &u8| matches!(b, b'"' | b'\\' | b'(' | b')' | b',') || is_space(*b);
    if value.is_empty() || value.iter().any(special) {
        requote(start, out, |byte, out| {
            if matches!(byte, b'"' | b'\\') {
                out.put_u8(byte);
            }
            out.put_u8(byte);
        });
    }
}

fn requote(start: usize, out: &mut BytesMut, put: impl Fn(u8, &mut BytesMut)) {
    let value = out[start..].to_vec();
    out.truncate(start);
    out.put_u8(b'"');
    for byte in value {
        put(byte, out);
    }
    out.put_u8(b'"');
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

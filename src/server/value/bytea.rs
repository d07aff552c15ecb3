//! Bytes as text.

use bytes::{BufMut, BytesMut};

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

//! Bytes from text: `bytea` in hex, and UUIDs.

use crate::value::column::Misfit;

/// Appends the bytes that `\x0aff` stands for. Postgres' other form of a bytea, text as it is, is refused: base64 would pass for it.
pub(crate) fn bytea(text: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let digits = text.strip_prefix(b"\\x").ok_or(Misfit::Kind)?;
    if digits.len() % 2 != 0 {
        return Err(Misfit::Kind);
    }
    let before = out.len();
    for pair in digits.chunks_exact(2) {
        match (hex(pair[0]), hex(pair[1])) {
            (Some(high), Some(low)) => out.push(high << 4 | low),
            _ => {
                out.truncate(before);
                return Err(Misfit::Kind);
            }
        }
    }
    Ok(())
}

/// A UUID in any form that Postgres reads: a hyphen may follow any four digits, and braces may be around it.
pub(crate) fn uuid(text: &[u8]) -> Result<[u8; 16], Misfit> {
    let text = text.trim_ascii();
    let mut rest = text.strip_prefix(b"{").map_or(Some(text), |inner| inner.strip_suffix(b"}")).ok_or(Misfit::Kind)?;
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        if at > 0 && at % 2 == 0 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
        let (pair, behind) = rest.split_first_chunk::<2>().ok_or(Misfit::Kind)?;
        *byte = hex(pair[0]).ok_or(Misfit::Kind)? << 4 | hex(pair[1]).ok_or(Misfit::Kind)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(bytes) } else { Err(Misfit::Kind) }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

//! Integers and floats as text, and back.

use bytes::{BufMut, BytesMut};
use weir_common::error::{Error, Result, SqlState};

use crate::value::parse::{invalid_syntax, text_of, trim};

/// Writes an integer.
pub fn put_int(value: i64, out: &mut BytesMut) {
    if value < 0 {
        out.put_u8(b'-');
    }
    put_uint(value.unsigned_abs(), out);
}

/// Writes an unsigned integer.
pub fn put_uint(mut value: u64, out: &mut BytesMut) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// Writes a number of at least `width` digits.
pub fn put_padded(value: u64, width: usize, out: &mut BytesMut) {
    let mut bound = 10u64;
    for _ in 1..width {
        if value < bound {
            out.put_u8(b'0');
        }
        bound = bound.saturating_mul(10);
    }
    // The zeros above are one for each digit that is missing; they come before the number whatever their order.
    put_uint(value, out);
}

/// Writes a `double precision` with `extra_float_digits`.
pub fn put_float8(value: f64, extra_digits: i8, out: &mut BytesMut) {
    if put_special(value, out) {
        return;
    }
    match extra_digits {
        1.. => put_decimal(&format!("{value:e}"), 15, out),
        less => put_general(&format!("{value:.*e}", significant(15, less) - 1), significant(15, less), out),
    }
}

/// Writes a `real` with `extra_float_digits`.
pub fn put_float4(value: f32, extra_digits: i8, out: &mut BytesMut) {
    if put_special(value as f64, out) {
        return;
    }
    match extra_digits {
        1.. => put_decimal(&format!("{value:e}"), 6, out),
        less => put_general(&format!("{value:.*e}", significant(6, less) - 1), significant(6, less), out),
    }
}

fn significant(digits: i32, extra: i8) -> usize {
    (digits + extra as i32).max(1) as usize
}

fn put_special(value: f64, out: &mut BytesMut) -> bool {
    let text: &[u8] = match value {
        v if v.is_nan() => b"NaN",
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => return false,
    };
    out.put_slice(text);
    true
}

/// `printf`'s `%g` from Rust's `1.50e0`: no zeros at the end.
fn put_general(scientific: &str, digits: usize, out: &mut BytesMut) {
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust's {:e} has an e");
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    put_decimal(&format!("{mantissa}e{exponent}"), digits as i32, out);
}

/// Writes `d.ddde<n>` as Postgres would: plain where the exponent is from -4 up to `plain_below`, else `1e+20`.
fn put_decimal(scientific: &str, plain_below: i32, out: &mut BytesMut) {
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust's {:e} has an e");
    let exponent: i32 = exponent.parse().expect("Rust's {:e} ends in a number");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.put_slice(sign.as_bytes());
    if !(-4..plain_below).contains(&exponent) {
        out.put_slice(mantissa.as_bytes());
        out.put_slice(if exponent < 0 { b"e-" } else { b"e+" });
        put_padded(exponent.unsigned_abs() as u64, 2, out);
        return;
    }
    let digits = mantissa.bytes().filter(|b| *b != b'.');
    if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', (-exponent - 1) as usize);
        out.extend(digits);
        return;
    }
    let whole = exponent as usize + 1;
    let mut written = 0;
    for digit in digits {
        if written == whole {
            out.put_u8(b'.');
        }
        out.put_u8(digit);
        written += 1;
    }
    out.put_bytes(b'0', whole.saturating_sub(written));
}

/// Reads an integer of the named type, within its bounds: decimal, or with `0x`, `0o`, `0b`; `_` between digits.
pub fn parse_int(bytes: &[u8], type_name: &str, min: i64, max: i64) -> Result<i64> {
    let text = text_of(bytes)?;
    let number = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (negative, digits) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ => (10, digits),
    };
    let mut value: Option<i128> = Some(0);
    let mut digit_before = radix != 10;
    let mut any = false;
    for c in digits.chars() {
        match c.to_digit(radix) {
            Some(digit) => {
                value = value.and_then(|v| v.checked_mul(radix as i128)).and_then(|v| v.checked_add(digit as i128));
                digit_before = true;
                any = true;
            }
            None if c == '_' && digit_before => digit_before = false,
            None => return Err(invalid_syntax(type_name, text)),
        }
    }
    if !any || !digit_before {
        return Err(invalid_syntax(type_name, text));
    }
    value
        .map(|v| if negative { -v } else { v })
        .filter(|v| (min as i128..=max as i128).contains(v))
        .map(|v| v as i64)
        .ok_or_else(|| out_of_range(text, type_name))
}

/// Reads a `double precision`.
pub fn parse_float8(bytes: &[u8]) -> Result<f64> {
    let text = text_of(bytes)?;
    let value: f64 = parse_float(text, "double precision")?;
    let zero_from_digits = value == 0.0 && has_nonzero_digit(text);
    if (value.is_infinite() && has_nonzero_digit(text)) || zero_from_digits {
        return Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("\"{}\" is out of range for type double precision", trim(text)),
        ));
    }
    Ok(value)
}

/// Reads a `real`.
pub fn parse_float4(bytes: &[u8]) -> Result<f32> {
    let text = text_of(bytes)?;
    let value: f32 = parse_float(text, "real")?;
    let zero_from_digits = value == 0.0 && has_nonzero_digit(text);
    if (value.is_infinite() && has_nonzero_digit(text)) || zero_from_digits {
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{}\" is out of range for type real", trim(text))));
    }
    Ok(value)
}

fn parse_float<F: std::str::FromStr>(text: &str, type_name: &str) -> Result<F> {
    let number = trim(text);
    // Rust takes the same words as Postgres: nan, inf and infinity, in any case and with a sign.
    number.parse().map_err(|_| invalid_syntax(type_name, text))
}

/// Whether the mantissa is not zero: infinity or zero is then an overflow or an underflow.
fn has_nonzero_digit(text: &str) -> bool {
    text.split(['e', 'E']).next().unwrap_or_default().bytes().any(|b| (b'1'..=b'9').contains(&b))
}

/// `value "99999999999" is out of range for type integer`
pub fn out_of_range(text: &str, type_name: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{text}\" is out of range for type {type_name}"))
}

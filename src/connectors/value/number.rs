//! Numbers from their decimal text, exactly: integers, floats and decimals, each from a JSON number or from a string.
//!
//! What a function for JSON numbers gets has the grammar of one; a function for strings takes what Postgres takes.

use crate::value::column::Misfit;

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

/// The integer that a JSON number is; `1.0` and `1e3` are integers, `1.5` is none.
#[inline]
pub(crate) fn integer(text: &[u8]) -> Result<i64, Misfit> {
    match few_digits(text) {
        Some(value) => Ok(value),
        None => whole(text),
    }
}

/// A sign or none, and so many digits as always fit; `None` for any other text.
#[inline]
fn few_digits(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0;
    let mut plain = true;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        plain &= digit < 10;
        value = value * 10 + (digit & 15) as i64;
    }
    plain.then_some(if negative { -value } else { value })
}

/// The integer that a string is: digits, with a sign before and space around them.
#[inline]
pub(crate) fn integer_of_string(text: &[u8]) -> Result<i64, Misfit> {
    match few_digits(text) {
        Some(value) => Ok(value),
        None => integer_of_any_string(text),
    }
}

#[cold]
fn integer_of_any_string(text: &[u8]) -> Result<i64, Misfit> {
    let text = text.trim_ascii();
    let (_, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Kind);
    }
    whole(text)
}

#[cold]
fn whole(text: &[u8]) -> Result<i64, Misfit> {
    let number = Decimal::parse(text).ok_or(Misfit::Kind)?;
    let (magnitude, rest) = number.scaled(0).ok_or(Misfit::Range)?;
    if rest != Rest::Nothing {
        return Err(Misfit::Kind);
    }
    i64::try_from(number.signed(magnitude)).map_err(|_| Misfit::Range)
}

/// The double nearest to the number that a JSON number or a string is: also `NaN` and `Infinity`.
#[inline]
pub(crate) fn float8(text: &[u8]) -> Result<f64, Misfit> {
    let (negative, digits) = sign(text);
    // At most 15 digits are exact in a double, and so is the power of ten: one division rounds once (Clinger 1990). A point alone
    // is no number.
    if (1..=16).contains(&digits.len()) && (digits[0] != b'.' || digits.len() > 1) {
        let mut mantissa = 0u64;
        let mut plain = true;
        let mut point = digits.len();
        for (at, byte) in digits.iter().enumerate() {
            if *byte == b'.' {
                plain &= point == digits.len();
                point = at + 1;
                continue;
            }
            let digit = byte.wrapping_sub(b'0');
            plain &= digit < 10;
            mantissa = mantissa * 10 + (digit & 15) as u64;
        }
        if plain && mantissa < 1 << 53 {
            let value = mantissa as f64 / POWERS[digits.len() - point];
            return Ok(if negative { -value } else { value });
        }
    }
    float8_of_any(text)
}

#[cold]
fn float8_of_any(text: &[u8]) -> Result<f64, Misfit> {
    let text = text.trim_ascii();
    let value: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Misfit::Kind)?;
    in_range(text, value.is_infinite(), value == 0.0).map(|()| value)
}

/// The float that a JSON number or a string is.
pub(crate) fn float4(text: &[u8]) -> Result<f32, Misfit> {
    let text = text.trim_ascii();
    let value: f32 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Misfit::Kind)?;
    in_range(text, value.is_infinite(), value == 0.0).map(|()| value)
}

/// As in Postgres, a number too large is not infinity and one too small is not zero.
fn in_range(text: &[u8], infinite: bool, zero: bool) -> Result<(), Misfit> {
    let digits = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or(text);
    let infinite = infinite && digits.iter().any(u8::is_ascii_digit);
    let zero = zero && digits.iter().any(|digit| matches!(digit, b'1'..=b'9'));
    if infinite || zero { Err(Misfit::Range) } else { Ok(()) }
}

/// A JSON number or a string as `numeric(precision, scale)`: rounded half away from zero to the scale, as Postgres does;
/// not rounded at all if it must be `exact`.
pub(crate) fn numeric(text: &[u8], precision: u8, scale: i8, exact: bool) -> Result<i128, Misfit> {
    let number = Decimal::parse(text.trim_ascii()).ok_or(Misfit::Kind)?;
    let (mut magnitude, rest) = number.scaled(scale as i64).ok_or(Misfit::Range)?;
    if exact && rest != Rest::Nothing {
        return Err(Misfit::Decimals);
    }
    if rest == Rest::HalfOrMore {
        magnitude = magnitude.checked_add(1).ok_or(Misfit::Range)?;
    }
    let fits = 10i128.checked_pow(precision as u32).is_none_or(|limit| magnitude < limit);
    if fits { Ok(number.signed(magnitude)) } else { Err(Misfit::Range) }
}

/// A decimal number, taken apart: `whole.fraction * 10^exponent`.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// What is behind the digits that were kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Nothing,
    LessThanHalf,
    HalfOrMore,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, text) = sign(text);
        let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &digits[..0]),
        };
        let digits = || whole.iter().chain(fraction);
        (digits().next().is_some() && digits().all(u8::is_ascii_digit)).then_some(Decimal { negative, whole, fraction, exponent })
    }

    /// The magnitude in units of `10^-scale`, cut off, and what was cut; `None` where it does not fit.
    fn scaled(&self, scale: i64) -> Option<(i128, Rest)> {
        let mut digits = self.whole.iter().chain(self.fraction).map(|digit| digit - b'0');
        let count = (self.whole.len() + self.fraction.len()) as i64;
        let keep = self.whole.len() as i64 + self.exponent + scale;
        let mut magnitude: i128 = 0;
        for digit in digits.by_ref().take(keep.clamp(0, count) as usize) {
            magnitude = magnitude.checked_mul(10)?.checked_add(digit as i128)?;
        }
        if magnitude != 0 && keep > count {
            magnitude = magnitude.checked_mul(10i128.checked_pow(u32::try_from(keep - count).ok()?)?)?;
        }
        let half = keep >= 0 && digits.clone().next().is_some_and(|digit| digit >= 5);
        let rest = match digits.all(|digit| digit == 0) {
            true => Rest::Nothing,
            false if half => Rest::HalfOrMore,
            false => Rest::LessThanHalf,
        };
        Some((magnitude, rest))
    }

    fn signed(&self, magnitude: i128) -> i128 {
        if self.negative { -magnitude } else { magnitude }
    }
}

/// An exponent; beyond any that matters it stays where it no longer matters.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits {
        value = (value * 10 + digit.is_ascii_digit().then_some(digit - b'0')? as i64).min(i32::MAX as i64);
    }
    Some(if negative { -value } else { value })
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

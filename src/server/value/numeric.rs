//! Decimals as text and bytes, and back.

use arrow::datatypes::i256;
use bytes::{Buf, BufMut, BytesMut};
use weir_common::error::{Error, Result, SqlState};
use weir_common::numeric::too_many_decimals;
use weir_common::types::NUMERIC_DEFAULT;

use crate::value::parse::{invalid_binary, invalid_syntax, text_of, trim};

/// Digits of `i256`, and a sign.
const DIGITS_MAX: usize = 80;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_MINUS_INFINITY: u16 = 0xF000;

/// A decimal taken apart: sign, digits without the point, and how many of them are behind it.
pub struct Digits {
    negative: bool,
    bytes: [u8; DIGITS_MAX],
    start: usize,
    scale: usize,
}

impl Digits {
    /// Of a Decimal128; with `trim`, zeros at the end of the fraction are no part of the value.
    pub fn of_i128(value: i128, scale: i8, trim: bool) -> Digits {
        let mut digits = Digits { negative: value < 0, bytes: [b'0'; DIGITS_MAX], start: DIGITS_MAX, scale: 0 };
        let mut rest = value.unsigned_abs();
        while rest > u64::MAX as u128 {
            digits.push((rest % 10) as u8);
            rest /= 10;
        }
        let mut rest = rest as u64;
        while rest > 0 {
            digits.push((rest % 10) as u8);
            rest /= 10;
        }
        digits.scaled(scale, trim)
    }

    /// Of a Decimal256.
    pub fn of_i256(value: i256, scale: i8, trim: bool) -> Digits {
        let text = value.to_string();
        let mut digits = Digits { negative: value < i256::ZERO, bytes: [b'0'; DIGITS_MAX], start: DIGITS_MAX, scale: 0 };
        for byte in text.trim_start_matches('-').trim_start_matches('0').bytes().rev() {
            digits.push(byte - b'0');
        }
        digits.scaled(scale, trim)
    }

    fn push(&mut self, digit: u8) {
        self.start -= 1;
        self.bytes[self.start] = b'0' + digit;
    }

    fn scaled(mut self, scale: i8, trim: bool) -> Digits {
        if scale < 0 {
            // Zeros before the point instead: the digits move up.
            let zeros = scale.unsigned_abs() as usize;
            if self.start < DIGITS_MAX && self.start >= zeros {
                self.bytes.copy_within(self.start.., self.start - zeros);
                self.bytes[DIGITS_MAX - zeros..].fill(b'0');
                self.start -= zeros;
            }
            return self;
        }
        self.scale = scale as usize;
        if trim {
            let kept = self.fraction().iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1);
            let dropped = self.scale - kept;
            // Shift right so that the last kept digit is the last one.
            let end = DIGITS_MAX - dropped;
            self.bytes.copy_within(..end, dropped);
            self.bytes[..dropped].fill(b'0');
            self.start = (self.start + dropped).min(DIGITS_MAX);
            self.scale = kept;
        }
        self
    }

    fn fraction(&self) -> &[u8] {
        &self.bytes[DIGITS_MAX - self.scale..]
    }

    fn whole(&self) -> &[u8] {
        let point = DIGITS_MAX - self.scale;
        &self.bytes[self.start.min(point)..point]
    }

    /// Writes `-12345.678`.
    pub fn put_text(&self, out: &mut BytesMut) {
        if self.negative {
            out.put_u8(b'-');
        }
        match self.whole() {
            [] => out.put_u8(b'0'),
            whole => out.put_slice(whole),
        }
        if self.scale > 0 {
            out.put_u8(b'.');
            out.put_slice(self.fraction());
        }
    }

    /// Writes Postgres' groups of four digits.
    pub fn put_binary(&self, out: &mut BytesMut) {
        let (whole, fraction) = (self.whole(), self.fraction());
        let mut groups = [0u16; DIGITS_MAX / 2];
        let mut count = 0;
        let lead = whole.len().div_ceil(4) * 4 - whole.len();
        let mut group = 0u16;
        for (at, digit) in whole.iter().enumerate() {
            group = group * 10 + (digit - b'0') as u16;
            if (at + lead) % 4 == 3 {
                groups[count] = std::mem::take(&mut group);
                count += 1;
            }
        }
        let mut weight = count as i16 - 1;
        for chunk in fraction.chunks(4) {
            groups[count] = (0..4).fold(0, |group, at| group * 10 + chunk.get(at).map_or(0, |digit| (digit - b'0') as u16));
            count += 1;
        }
        let mut groups = &groups[..count];
        while let [0, rest @ ..] = groups {
            groups = rest;
            weight -= 1;
        }
        while let [rest @ .., 0] = groups {
            groups = rest;
        }
        if groups.is_empty() {
            weight = 0;
        }
        out.put_u16(groups.len() as u16);
        out.put_i16(weight);
        out.put_u16(if self.negative { SIGN_NEGATIVE } else { 0 });
        out.put_u16(self.scale as u16);
        for group in groups {
            out.put_u16(*group);
        }
    }
}

/// Precision and scale of the Arrow decimal that carries a NUMERIC.
pub fn carrier(modifier: Option<(u8, i8)>) -> (u8, i8) {
    modifier.unwrap_or(NUMERIC_DEFAULT)
}

/// Reads text into the carrier's unscaled integer: rounded half away from zero to a scale that was declared, refused where
/// none was and digits would be lost.
pub fn parse(bytes: &[u8], modifier: Option<(u8, i8)>) -> Result<i128> {
    let text = text_of(bytes)?;
    let invalid = || invalid_syntax("numeric", text);
    let number = trim(text);
    let (negative, unsigned) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    if number.eq_ignore_ascii_case("nan") || ["inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Err(
            Error::unsupported(format!("numeric cannot hold {number}")).with_hint("Use double precision, which has NaN and infinities.")
        );
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        None => (unsigned, 0),
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            // More than fits is out of any range; the bound keeps the sums below in theirs.
            let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 30);
            (mantissa, if exponent.starts_with('-') { -size } else { size })
        }
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let digits = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0');
    unscaled(negative, digits, whole.len() + fraction.len(), exponent - fraction.len() as i64, modifier)
}

/// Reads Postgres' groups of four digits.
pub fn parse_binary(mut bytes: &[u8], modifier: Option<(u8, i8)>) -> Result<i128> {
    if bytes.len() < 8 {
        return Err(invalid_binary("numeric"));
    }
    let (count, weight, sign, _display_scale) = (bytes.get_u16() as usize, bytes.get_i16(), bytes.get_u16(), bytes.get_u16());
    match sign {
        SIGN_NAN => {
            return Err(Error::unsupported("numeric cannot hold NaN").with_hint("Use double precision, which has NaN and infinities."));
        }
        SIGN_INFINITY | SIGN_MINUS_INFINITY => {
            return Err(Error::unsupported("numeric cannot hold Infinity").with_hint("Use double precision, which has NaN and infinities."));
        }
        0 | SIGN_NEGATIVE => {}
        _ => return Err(Error::new(SqlState::INVALID_BINARY_REPRESENTATION, "invalid sign in external \"numeric\" value")),
    }
    if bytes.len() != count * 2 {
        return Err(invalid_binary("numeric"));
    }
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if groups.iter().any(|group| *group > 9999) {
        return Err(Error::new(SqlState::INVALID_BINARY_REPRESENTATION, "invalid digit in external \"numeric\" value"));
    }
    let digits = groups.iter().flat_map(|group| [1000, 100, 10, 1].map(|unit| (group / unit % 10) as u8));
    unscaled(sign == SIGN_NEGATIVE, digits, count * 4, 4 * (weight as i64 + 1 - count as i64), modifier)
}

/// `digits * 10^exponent` as the carrier's integer.
fn unscaled(negative: bool, digits: impl Iterator<Item = u8>, count: usize, exponent: i64, modifier: Option<(u8, i8)>) -> Result<i128> {
    let (precision, scale) = carrier(modifier);
    let shift = exponent + scale as i64;
    let kept = (count as i64 + shift.min(0)).max(-1);
    let mut value: i128 = 0;
    for (at, digit) in digits.enumerate() {
        let at = at as i64;
        if at >= kept && modifier.is_none() {
            if digit != 0 {
                return Err(too_many_decimals());
            }
        } else if at < kept {
            value = value.checked_mul(10).and_then(|v| v.checked_add(digit as i128)).ok_or_else(|| overflow(modifier))?;
        } else if at == kept {
            value += i128::from(digit >= 5);
        } else {
            break;
        }
    }
    if value != 0 && shift > 0 {
        let factor = u32::try_from(shift).ok().and_then(|shift| 10i128.checked_pow(shift));
        value = factor.and_then(|factor| value.checked_mul(factor)).ok_or_else(|| overflow(modifier))?;
    }
    if value >= 10i128.pow(precision as u32) {
        return Err(overflow(modifier));
    }
    Ok(if negative { -value } else { value })
}

fn overflow(modifier: Option<(u8, i8)>) -> Error {
    let (precision, scale) = carrier(modifier);
    let whole = precision as i32 - scale as i32;
    match modifier {
        Some(_) => {
            let bound = if whole == 0 { "1".to_string() } else { format!("10^{whole}") };
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
            ))
        }
        None => Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
            .with_detail(format!(
                "Numeric without a precision is kept as numeric({precision},{scale}): absolute values less than 10^{whole}."
            ))
            .with_hint(format!("Declare a precision and scale, such as numeric({precision},0).")),
    }
}

//! Numbers of jsonb: Postgres keeps them as `numeric`, exactly and without an exponent.

use crate::error::{Error, Result, SqlState};

/// Digits before the point that a `numeric` can have.
const WHOLE_DIGITS_MAX: i64 = 131_072;
/// Digits behind the point that a `numeric` can have.
const FRACTION_DIGITS_MAX: i64 = 16_383;

/// A checked number as `numeric` shows it: `1.50e1` is `15.0`.
pub(super) fn canonical(number: &str) -> Result<String> {
    let (negative, unsigned) = number.strip_prefix('-').map_or((false, number), |unsigned| (true, unsigned));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let is_zero = digits.bytes().all(|digit| digit == b'0');
    if exponent == "0" && !(negative && is_zero) {
        return match whole.len() as i64 > WHOLE_DIGITS_MAX || fraction.len() as i64 > FRACTION_DIGITS_MAX {
            true => Err(overflow()),
            false => Ok(number[..number.len() - unsigned.len() + mantissa.len()].to_string()),
        };
    }
    let exponent: i64 = exponent.parse().map_err(|_| overflow())?;
    // Where the point comes to stand among the digits.
    let point = (whole.len() as i64).checked_add(exponent).ok_or_else(overflow)?;
    let behind = (digits.len() as i64 - point).max(0);
    let significant = digits.trim_start_matches('0').len() as i64;
    let before = if is_zero { 0 } else { significant - (digits.len() as i64 - point) };
    if before > WHOLE_DIGITS_MAX || behind > FRACTION_DIGITS_MAX {
        return Err(overflow());
    }
    let mut text = String::from(if negative && !is_zero { "-" } else { "" });
    let whole: String = if is_zero { String::new() } else { digits.bytes().map(char::from).take(point.max(0) as usize).collect() };
    let whole = whole.trim_start_matches('0');
    text.push_str(whole);
    text.extend(std::iter::repeat_n('0', if is_zero { 0 } else { (point - digits.len() as i64).max(0) as usize }));
    if whole.is_empty() {
        text.push('0');
    }
    if behind > 0 {
        text.push('.');
        let zeros = (behind - digits.len() as i64).max(0) as usize;
        text.extend(std::iter::repeat_n('0', zeros));
        text.push_str(&digits[digits.len() - (behind as usize - zeros)..]);
    }
    Ok(text)
}

/// Whether two numbers in canonical form are the same: `1.0` is `1`.
pub(super) fn same(a: &str, b: &str) -> bool {
    let short = |number: &str| -> usize {
        match number.contains('.') {
            true => number.trim_end_matches('0').trim_end_matches('.').len(),
            false => number.len(),
        }
    };
    a[..short(a)] == b[..short(b)]
}

fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

#[cfg(test)]
mod tests {
    use super::{canonical, same};

    #[test]
    fn numbers_are_written_out() {
        for (number, expected) in [
            ("1e2", "100"),
            ("1.10", "1.10"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("1e-5", "0.00001"),
            ("-1.5e1", "-15"),
            ("1.500e1", "15.00"),
            ("0e5", "0"),
            ("0.00e-2", "0.0000"),
            ("12E-1", "1.2"),
            ("0.001e2", "0.1"),
            ("0.001e5", "100"),
            ("1E+3", "1000"),
            ("1e0", "1"),
            ("12345678901234567890123456789012345678901234567890.5", "12345678901234567890123456789012345678901234567890.5"),
        ] {
            assert_eq!(canonical(number).unwrap(), expected, "{number}");
        }
        assert_eq!(canonical("1e300").unwrap().len(), 301);
        for number in ["1e140000", "1e-20000", "1e99999999999999999999", "-1e9223372036854775807"] {
            assert_eq!(canonical(number).unwrap_err().sqlstate().0, "22003", "{number}");
        }
    }

    #[test]
    fn zeros_at_the_end_do_not_count() {
        assert!(same("1.0", "1") && same("10", "10") && same("0.50", "0.5"));
        assert!(!same("10", "1") && !same("1.01", "1.0") && !same("-1", "1"));
    }
}

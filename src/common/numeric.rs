//! Decimals as Postgres does them: the one place where an average of integers is rounded.

use crate::error::{Error, SqlState};
use crate::types::NUMERIC_DEFAULT;

/// Scale of `avg` over integers: Postgres gives at least 16 significant digits; Weir always gives 16 decimals.
pub const AVG_SCALE: i8 = 16;
/// Precision of every decimal result.
pub const PRECISION: u8 = 38;

/// The error of a value that numeric without a precision would have to round: Postgres keeps all digits, Weir keeps 38,
/// 16 of them decimals, and does not drop the others in silence.
pub fn too_many_decimals() -> Error {
    let (precision, scale) = NUMERIC_DEFAULT;
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("numeric value has more than {scale} decimals"))
        .with_detail(format!("Numeric without a precision is kept as numeric({precision},{scale}), and would lose the others."))
        .with_hint(format!("Declare a precision and scale, such as numeric({precision},20), or round the value to {scale} decimals."))
}

/// `sum * 10^(result_scale - sum_scale) / count`, rounded half away from zero; `None` where it does not fit 38 digits.
pub fn average(sum: i128, sum_scale: i8, count: i64, result_scale: i8) -> Option<i128> {
    debug_assert!(count > 0 && result_scale >= sum_scale, "an average is of something, and not coarser than its input");
    let factor = 10i128.checked_pow((result_scale - sum_scale) as u32)?;
    let count = count as i128;
    // Whole part and remainder apart, so that the product does not overflow before the division.
    let whole = (sum / count).checked_mul(factor)?;
    let rest = (sum % count).checked_mul(factor)?;
    let fraction = rest / count;
    let remainder = rest % count;
    let up = if remainder.abs() * 2 >= count { remainder.signum() } else { 0 };
    let result = whole.checked_add(fraction)?.checked_add(up)?;
    (result.abs() < 10i128.pow(PRECISION as u32)).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::average;

    #[test]
    fn rounds_half_away_from_zero() {
        assert_eq!(average(5, 0, 2, 0), Some(3));
        assert_eq!(average(-5, 0, 2, 0), Some(-3));
        assert_eq!(average(1, 0, 3, 4), Some(3333));
        assert_eq!(average(2, 0, 3, 4), Some(6667));
        assert_eq!(average(i128::MAX / 2, 0, 1, 16), None);
    }
}

//! Moments of integers and decimals.

use num_bigint::BigInt;

use crate::error::{Error, Result, SqlState};
use crate::moments::Measure;
use crate::numeric::PRECISION;

/// How many values there are, their sum and the sum of their squares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegerMoments {
    count: i64,
    sum: i128,
    squares: i128,
    /// Sum and sum of squares where they do not fit the two above, which are zero then.
    wide: Option<Box<[BigInt; 2]>>,
}

impl IntegerMoments {
    /// Adds a value so many times.
    pub fn add(&mut self, value: i128, weight: i64) {
        self.count += weight;
        if self.wide.is_none()
            && let Some((sum, squares)) = small(value, weight)
            && self.add_small(sum, squares)
        {
            return;
        }
        let (value, weight) = (BigInt::from(value), BigInt::from(weight));
        let sum = &value * weight;
        let squares = &sum * value;
        self.add_wide(&sum, &squares);
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &IntegerMoments) {
        self.count += other.count;
        match &other.wide {
            Some(wide) => self.add_wide(&wide[0], &wide[1]),
            None if self.wide.is_none() && self.add_small(other.sum, other.squares) => {}
            None => self.add_wide(&other.sum.into(), &other.squares.into()),
        }
    }

    fn add_small(&mut self, sum: i128, squares: i128) -> bool {
        let (Some(sum), Some(squares)) = (self.sum.checked_add(sum), self.squares.checked_add(squares)) else { return false };
        (self.sum, self.squares) = (sum, squares);
        true
    }

    #[cold]
    fn add_wide(&mut self, sum: &BigInt, squares: &BigInt) {
        let [all, all_squares] = self.sums();
        let (sum, squares) = (all + sum, all_squares + squares);
        match (i128::try_from(&sum), i128::try_from(&squares)) {
            (Ok(sum), Ok(squares)) => (self.sum, self.squares, self.wide) = (sum, squares, None),
            _ => (self.sum, self.squares, self.wide) = (0, 0, Some(Box::new([sum, squares]))),
        }
    }

    fn sums(&self) -> [BigInt; 2] {
        self.wide.as_deref().cloned().unwrap_or_else(|| [self.sum.into(), self.squares.into()])
    }

    /// The measure with `to` decimals, half away from zero, over values with `from` decimals; `None` where it is NULL.
    pub fn measure(&self, measure: Measure, from: i8, to: i8) -> Result<Option<i128>> {
        let Some(divisor) = measure.divisor(self.count) else { return Ok(None) };
        let [sum, squares] = self.sums();
        // Never below zero, whatever rows a defect elsewhere took back too often.
        let above = (squares * self.count - &sum * &sum).max(BigInt::ZERO);
        let below = BigInt::from(self.count) * divisor;
        // `above / below` has twice the decimals of the values, and its root has as many as they.
        let decimals = if measure.root { 2 * (to - from) as i32 } else { to as i32 - 2 * from as i32 };
        let ten = |power: i32| BigInt::from(10).pow(power as u32);
        let (above, below) = if decimals >= 0 { (above * ten(decimals), below) } else { (above, below * ten(-decimals)) };
        let result = match measure.root {
            false => (2 * above + &below) / (2 * below),
            true => {
                let root = (&above / &below).sqrt();
                // Up, if half a unit more is still not above the root.
                let middle: BigInt = 2 * &root + 1u32;
                let up = 4 * above >= middle.pow(2) * below;
                root + up as u32
            }
        };
        let result = i128::try_from(&result).ok().filter(|result| *result < 10i128.pow(PRECISION as u32));
        result.map(Some).ok_or_else(|| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow"))
    }

    /// Bytes outside of the struct itself.
    pub fn outside_bytes(&self) -> usize {
        let digits = |number: &BigInt| (number.bits() as usize).div_ceil(64) * 8;
        self.wide.as_ref().map_or(0, |wide| size_of::<[BigInt; 2]>() + digits(&wide[0]) + digits(&wide[1]))
    }

    /// As bytes, for [`IntegerMoments::decode`].
    pub fn encode(&self) -> Vec<u8> {
        let [sum, squares] = self.sums().map(|number| number.to_signed_bytes_le());
        [&self.count.to_le_bytes(), &(sum.len() as u64).to_le_bytes()[..], &sum, &squares].concat()
    }

    /// What was encoded.
    pub fn decode(bytes: &[u8]) -> Result<IntegerMoments> {
        let cut = || Error::internal("a partial variance is cut short");
        let (count, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
        let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (sum, squares) = rest.split_at_checked(u64::from_le_bytes(*len) as usize).ok_or_else(cut)?;
        let mut moments = IntegerMoments { count: i64::from_le_bytes(*count), ..IntegerMoments::default() };
        moments.add_wide(&BigInt::from_signed_bytes_le(sum), &BigInt::from_signed_bytes_le(squares));
        Ok(moments)
    }
}

fn small(value: i128, weight: i64) -> Option<(i128, i128)> {
    let sum = value.checked_mul(weight as i128)?;
    Some((sum, sum.checked_mul(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIANCE: Measure = Measure { sample: true, root: false };
    const STDDEV: Measure = Measure { sample: true, root: true };
    const VAR_POP: Measure = Measure { sample: false, root: false };

    fn of(values: &[i128]) -> IntegerMoments {
        let mut moments = IntegerMoments::default();
        values.iter().for_each(|value| moments.add(*value, 1));
        moments
    }

    #[test]
    fn results_are_those_of_postgres() {
        // SELECT variance(x), stddev(x), var_pop(x) FROM (VALUES (1), (2), (4)) v(x)
        let moments = of(&[1, 2, 4]);
        assert_eq!(moments.measure(VARIANCE, 0, 16).unwrap(), Some(23_333_333_333_333_333));
        assert_eq!(moments.measure(STDDEV, 0, 16).unwrap(), Some(15_275_252_316_519_467));
        assert_eq!(moments.measure(VAR_POP, 0, 16).unwrap(), Some(15_555_555_555_555_556));
        // 1.5 and 2.0, with one decimal of their own.
        assert_eq!(of(&[15, 20]).measure(VAR_POP, 1, 16).unwrap(), Some(625_000_000_000_000));
        assert_eq!(of(&[5]).measure(VAR_POP, 0, 16).unwrap(), Some(0));
        assert_eq!(of(&[5]).measure(STDDEV, 0, 16).unwrap(), None);
        assert_eq!(of(&[]).measure(VAR_POP, 0, 16).unwrap(), None);
    }

    #[test]
    fn the_widest_values_leave_no_trace() {
        let mut moments = of(&[1, 2, 4]);
        let before = moments.clone();
        for weight in [1, i64::MAX >> 2, -1, -(i64::MAX >> 2)] {
            moments.add(i128::MAX, weight);
            moments.add(i128::MIN, weight);
            let copy = IntegerMoments::decode(&moments.encode()).unwrap();
            assert_eq!(copy, moments);
        }
        assert_eq!(moments, before);
        assert_eq!(of(&[10i128.pow(37), -(10i128.pow(37))]).measure(VAR_POP, 0, 16).unwrap_err().sqlstate().0, "22003");
        // Far from zero and close to each other.
        let far = 10i128.pow(37);
        assert_eq!(of(&[far + 1, far + 2, far + 4]).measure(VARIANCE, 0, 16).unwrap(), Some(23_333_333_333_333_333));
    }

    #[test]
    fn merging_is_adding() {
        let mut whole = of(&[3, -7, i64::MAX as i128, i64::MIN as i128, i128::MAX]);
        let mut parts = of(&[3, -7, i128::MAX]);
        parts.merge(&of(&[i64::MAX as i128, i64::MIN as i128]));
        assert_eq!(parts, whole);
        parts.add(i128::MAX, -1);
        whole.add(i128::MAX, -1);
        assert_eq!(parts, whole);
        assert!(whole.wide.is_none());
    }
}

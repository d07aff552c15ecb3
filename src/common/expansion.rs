//! Exact sums of floats: a sum kept as several floats that do not overlap (Shewchuk's expansions), so nothing is
//! rounded before the result is read and what is taken back leaves no trace.

/// `a + b` as the rounded sum and what rounding lost, exactly.
#[inline(always)]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// Calls `add` with floats whose sum is exactly `value * weight`; `value` is finite and the product does not overflow.
#[inline(always)]
pub fn terms(value: f64, weight: i64, mut add: impl FnMut(f64)) {
    match weight {
        1 => add(value),
        -1 => add(-value),
        _ => {
            // Halves of 32 bits are exact as floats, and so is each product as two floats.
            for part in [(weight >> 32) as f64 * 4_294_967_296.0, (weight & 0xFFFF_FFFF) as f64] {
                let (product, lost) = two_product(value, part);
                add(product);
                add(lost);
            }
        }
    }
}

/// `a * b` as the rounded product and what rounding lost: exactly, unless the product overflows or is next to nothing.
#[inline(always)]
pub fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

/// A finite sum, exactly: components without zeros that do not overlap, the smallest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expansion(Vec<f64>);

impl Expansion {
    /// Adds a finite value.
    pub fn add(&mut self, value: f64) {
        let mut carry = value;
        let mut kept = 0;
        for index in 0..self.0.len() {
            let (sum, rest) = two_sum(carry, self.0[index]);
            carry = sum;
            if rest != 0.0 {
                self.0[kept] = rest;
                kept += 1;
            }
        }
        self.0.truncate(kept);
        if carry != 0.0 {
            self.0.push(carry);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Expansion) {
        other.0.iter().for_each(|component| self.add(*component));
    }

    /// Bytes outside of the struct itself.
    pub fn outside_bytes(&self) -> usize {
        self.0.capacity() * size_of::<f64>()
    }

    /// Whether the sum is zero.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The components: their sum is the sum.
    pub fn components(&self) -> &[f64] {
        &self.0
    }

    /// The nearest float, ties to even: the same for equal sums, whatever their components.
    pub fn round(&self) -> f64 {
        let mut rest = self.0.iter().rev().copied();
        let Some(mut high) = rest.next() else { return 0.0 };
        let mut low = 0.0;
        while low == 0.0 {
            let Some(component) = rest.next() else { return high };
            (high, low) = two_sum(high, component);
        }
        // Half way between two floats, what follows decides.
        if let Some(next) = rest.next().filter(|next| (*next < 0.0) == (low < 0.0)) {
            debug_assert!(next != 0.0, "components are not zero");
            let twice = low * 2.0;
            let up = high + twice;
            if up - high == twice {
                high = up;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let mut sum = Expansion::default();
        let values = [1e300, 1.0, -1e100, 1e-300, 3.5, f64::MIN_POSITIVE / 8.0];
        values.iter().for_each(|value| sum.add(*value));
        for value in [1e300, -1e100, 1e-300, 3.5, f64::MIN_POSITIVE / 8.0] {
            sum.add(-value);
        }
        assert_eq!(sum, Expansion(vec![1.0]));
        sum.add(-1.0);
        assert!(sum.is_zero());
    }

    #[test]
    fn rounds_to_the_nearest() {
        let of = |values: &[f64]| {
            let mut sum = Expansion::default();
            values.iter().for_each(|value| sum.add(*value));
            sum.round()
        };
        let ulp = f64::EPSILON;
        assert_eq!(of(&[1.0, ulp / 2.0]), 1.0);
        assert_eq!(of(&[1.0, ulp / 2.0, 1e-40]), 1.0 + ulp);
        assert_eq!(of(&[1.0, ulp / 2.0, -1e-40]), 1.0);
        assert_eq!(of(&[1.0 + ulp, ulp / 2.0]), 1.0 + 2.0 * ulp);
    }

    #[test]
    fn products_are_exact() {
        for weight in [0, 1, -1, 3, -7, i64::MAX, i64::MIN] {
            let mut sum = Expansion::default();
            terms(0.1, weight, |term| sum.add(term));
            terms(0.1, weight.wrapping_neg(), |term| sum.add(term));
            assert!(sum.is_zero() || weight == i64::MIN, "{weight}");
        }
    }
}

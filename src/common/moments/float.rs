//! Moments of floats.

use crate::error::{Error, Result};
use crate::expansion::{Expansion, terms, two_product};
use crate::moments::Measure;

/// Values from here on are summed apart and scaled down, so that no square overflows before it is read.
const HUGE: f64 = f64::from_bits((1023 + 450) << 52);
/// 2^-600, and back.
const SCALE: f64 = f64::from_bits((1023 - 600) << 52);
const UNSCALE: f64 = f64::from_bits((1023 + 600) << 52);

/// How many values there are, their sum and the sum of their squares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatMoments {
    count: i64,
    /// How many of them are NaN or infinite.
    endless: i64,
    usual: Sums,
    /// The values from `HUGE` on, times `SCALE`.
    huge: Option<Box<Sums>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    values: Expansion,
    squares: Expansion,
}

impl Sums {
    fn add(&mut self, value: f64, weight: i64) {
        terms(value, weight, |term| self.values.add(term));
        let (square, lost) = two_product(value, value);
        terms(square, weight, |term| self.squares.add(term));
        terms(lost, weight, |term| self.squares.add(term));
    }

    fn merge(&mut self, other: &Sums) {
        self.values.merge(&other.values);
        self.squares.merge(&other.squares);
    }

    fn outside_bytes(&self) -> usize {
        self.values.outside_bytes() + self.squares.outside_bytes()
    }
}

impl FloatMoments {
    /// Adds a value so many times.
    pub fn add(&mut self, value: f64, weight: i64) {
        self.count += weight;
        if !value.is_finite() {
            self.endless += weight;
        } else if value.abs() < HUGE {
            self.usual.add(value, weight);
        } else {
            self.huge.get_or_insert_default().add(value * SCALE, weight);
            self.huge.take_if(|huge| **huge == Sums::default());
        }
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &FloatMoments) {
        self.count += other.count;
        self.endless += other.endless;
        self.usual.merge(&other.usual);
        if let Some(huge) = &other.huge {
            self.huge.get_or_insert_default().merge(huge);
            self.huge.take_if(|huge| **huge == Sums::default());
        }
    }

    /// The measure; `None` where it is NULL.
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        let divisor = measure.divisor(self.count)? as f64;
        if self.endless > 0 {
            return Some(f64::NAN);
        }
        let Some(huge) = &self.huge else {
            let variance = squared_distances(&self.usual, self.count) / divisor;
            return Some(if measure.root { variance.sqrt() } else { variance });
        };
        // Beside the squares of huge values, bits that scaling loses are far beyond what a float shows.
        let mut all = huge.as_ref().clone();
        self.usual.values.components().iter().for_each(|value| all.values.add(value * SCALE));
        self.usual.squares.components().iter().for_each(|square| all.squares.add(square * SCALE * SCALE));
        let variance = squared_distances(&all, self.count) / divisor;
        Some(if measure.root { variance.sqrt() * UNSCALE } else { variance * UNSCALE * UNSCALE })
    }

    /// Bytes outside of the struct itself.
    pub fn outside_bytes(&self) -> usize {
        self.usual.outside_bytes() + self.huge.as_ref().map_or(0, |huge| size_of::<Sums>() + huge.outside_bytes())
    }

    /// As bytes, for [`FloatMoments::decode`]: two counters, then each sum as its length and its components.
    pub fn encode(&self) -> Vec<u8> {
        let nothing = Sums::default();
        let huge = self.huge.as_deref().unwrap_or(&nothing);
        let mut bytes = [self.count.to_le_bytes(), self.endless.to_le_bytes()].concat();
        for sum in [&self.usual.values, &self.usual.squares, &huge.values, &huge.squares] {
            bytes.extend_from_slice(&(sum.components().len() as u64).to_le_bytes());
            sum.components().iter().for_each(|component| bytes.extend_from_slice(&component.to_le_bytes()));
        }
        bytes
    }

    /// What was encoded.
    pub fn decode(bytes: &[u8]) -> Result<FloatMoments> {
        let mut words = bytes.chunks_exact(8).map(|word| <[u8; 8]>::try_from(word).expect("chunks of eight"));
        let mut word = || words.next().ok_or_else(|| Error::internal("a partial variance is cut short"));
        let (count, endless) = (i64::from_le_bytes(word()?), i64::from_le_bytes(word()?));
        let mut sum = || {
            let mut sum = Expansion::default();
            for _ in 0..u64::from_le_bytes(word()?) {
                sum.add(f64::from_le_bytes(word()?));
            }
            Ok::<_, Error>(sum)
        };
        let usual = Sums { values: sum()?, squares: sum()? };
        let huge = Sums { values: sum()?, squares: sum()? };
        let huge = (huge != Sums::default()).then(|| Box::new(huge));
        Ok(FloatMoments { count, endless, usual, huge })
    }
}

/// The sum of `(value - mean)^2`. The squares are taken from a float next to the mean and without rounding; what that float
/// is beside the mean is small, and comes off at the end.
fn squared_distances(sums: &Sums, count: i64) -> f64 {
    let near = sums.values.round() / count as f64;
    let mut squares = sums.squares.clone();
    for value in sums.values.components() {
        let (product, lost) = two_product(-2.0 * near, *value);
        squares.add(product);
        squares.add(lost);
    }
    let (square, lost) = two_product(near, near);
    terms(square, count, |term| squares.add(term));
    terms(lost, count, |term| squares.add(term));
    let mut beside = sums.values.clone();
    terms(near, -count, |term| beside.add(term));
    let beside = beside.round();
    (squares.round() - beside * beside / count as f64).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIANCE: Measure = Measure { sample: true, root: false };
    const VAR_POP: Measure = Measure { sample: false, root: false };
    const STDDEV: Measure = Measure { sample: true, root: true };

    fn of(values: &[f64]) -> FloatMoments {
        let mut moments = FloatMoments::default();
        values.iter().for_each(|value| moments.add(*value, 1));
        moments
    }

    fn near(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() <= 1e-15 * b.abs()), "{a:?} is not {b}");
    }

    #[test]
    fn results_are_those_of_postgres() {
        near(of(&[1.0, 2.0, 4.0]).measure(VARIANCE), 7.0 / 3.0);
        near(of(&[1.0, 2.0, 4.0]).measure(STDDEV), (7f64 / 3.0).sqrt());
        assert_eq!(of(&[0.1; 10]).measure(VAR_POP), Some(0.0));
        assert_eq!(of(&[5.0]).measure(VARIANCE), None);
        assert_eq!(of(&[5.0]).measure(VAR_POP), Some(0.0));
        assert_eq!(of(&[f64::INFINITY]).measure(VARIANCE), None);
        assert!(of(&[f64::INFINITY, 1.0]).measure(VARIANCE).is_some_and(f64::is_nan));
        // Far from zero and close to each other.
        near(of(&[1e15 + 1.0, 1e15 + 2.0, 1e15 + 4.0]).measure(VARIANCE), 7.0 / 3.0);
        near(of(&[3e200, 3e200, 6e200]).measure(STDDEV), 3f64.sqrt() * 1e200);
        assert_eq!(of(&[1e300, -1e300]).measure(VARIANCE), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let values = [0.1, 0.2, -7.5, 1e-3];
        let before = of(&values).measure(VARIANCE);
        let mut moments = of(&values);
        let guests = [1e300, -1e308, 1e170, 1e100, 1e-300, 12345.678, f64::NAN, f64::NEG_INFINITY, 5e-324];
        guests.iter().enumerate().for_each(|(index, guest)| moments.add(*guest, index as i64 + 1));
        let copy = FloatMoments::decode(&moments.encode()).unwrap();
        assert_eq!(copy.measure(VARIANCE).map(f64::to_bits), moments.measure(VARIANCE).map(f64::to_bits));
        moments = copy;
        guests.iter().enumerate().for_each(|(index, guest)| moments.add(*guest, -(index as i64) - 1));
        assert_eq!(moments.measure(VARIANCE), before);
        values.iter().for_each(|value| moments.add(*value, -1));
        assert_eq!(moments, FloatMoments::default());
    }

    #[test]
    fn merging_is_adding() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let values: Vec<f64> = (0..rng.usize(1..40)).map(|_| f64::from_bits(rng.u64(..))).filter(|value| value.is_finite()).collect();
            let (mut parts, at) = (FloatMoments::default(), rng.usize(0..=values.len()));
            parts.merge(&of(&values[at..]));
            parts.merge(&of(&values[..at]));
            assert_eq!(parts.measure(VAR_POP), of(&values).measure(VAR_POP), "{values:?}");
        }
    }
}

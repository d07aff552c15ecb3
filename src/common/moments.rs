//! Count, sum and sum of squares, exactly: what `variance` and `stddev` are made of, for views and for queries.
//!
//! What was added and taken back leaves no trace in a result: integers and decimals are exact, and floats are kept as
//! sums that are not rounded before they are read.

mod float; // of floats
mod integer; // of integers and decimals

pub use float::FloatMoments;
pub use integer::IntegerMoments;

/// Which measure of how far values lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Measure {
    /// Over a sample: divided by one less than there are values, and NULL over a single one.
    pub sample: bool,
    /// The square root: a standard deviation, not a variance.
    pub root: bool,
}

impl Measure {
    /// The name that Postgres lists first.
    pub fn name(self) -> &'static str {
        match (self.root, self.sample) {
            (true, true) => "stddev",
            (true, false) => "stddev_pop",
            (false, true) => "variance",
            (false, false) => "var_pop",
        }
    }

    /// What the sum of squared distances is divided by; `None` where there is no result.
    fn divisor(self, count: i64) -> Option<i64> {
        let divisor = if self.sample { count - 1 } else { count };
        (divisor > 0).then_some(divisor)
    }
}

//! Conditions of a row and of the wall clock: what a temporal filter asks.

use std::fmt;

use crate::expr::ExprRef;
use crate::from_now::{FromNow, Holds};

/// How a time from now is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Before,
    /// `<=`
    NotAfter,
    /// `>=`
    NotBefore,
    /// `>`
    After,
}

/// A time from now compared with a value of the row; not true where that is NULL.
#[derive(Clone, Debug)]
pub struct ClockCondition {
    /// The left side.
    pub from_now: FromNow,
    /// How.
    pub comparison: Comparison,
    /// The right side: a timestamp or a date, which is its midnight.
    pub value: ExprRef,
}

/// A condition of a row and of the wall clock.
///
/// There is no negation: NOT is moved down to the comparisons, where SQL's logic of three values allows it, so only what is
/// true needs to be told from what is not.
#[derive(Clone, Debug)]
pub enum TimeCondition {
    /// A condition of the row alone; NULL counts as false.
    Row(ExprRef),
    /// A condition of the clock.
    Clock(ClockCondition),
    /// All of them are true.
    All(Vec<TimeCondition>),
    /// One of them is true.
    Any(Vec<TimeCondition>),
}

impl Comparison {
    /// How the comparison is at a moment with a value in microseconds.
    #[inline]
    pub fn holds(self, from_now: &FromNow, value: i64, now: i64) -> Holds {
        // Times are whole microseconds, so later than a value is one microsecond later at least.
        match self {
            Comparison::NotBefore => from_now.reaches(value, now),
            Comparison::Before => not(from_now.reaches(value, now)),
            Comparison::After => later(from_now, value, now),
            Comparison::NotAfter => not(later(from_now, value, now)),
        }
    }
}

fn later(from_now: &FromNow, value: i64, now: i64) -> Holds {
    match value.checked_add(1) {
        Some(next) => from_now.reaches(next, now),
        // Nothing is later than the end of time.
        None => Holds { now: false, until: i64::MAX },
    }
}

fn not(holds: Holds) -> Holds {
    Holds { now: !holds.now, ..holds }
}

impl Holds {
    /// What never changes.
    pub fn always(now: bool) -> Holds {
        Holds { now, until: i64::MAX }
    }

    /// Both of two conditions: where one of them is false, the other one does not matter.
    pub fn and(self, other: Holds) -> Holds {
        match (self.now, other.now) {
            (true, true) => Holds { now: true, until: self.until.min(other.until) },
            (false, false) => Holds { now: false, until: self.until.max(other.until) },
            (false, true) => self,
            (true, false) => other,
        }
    }

    /// One of two conditions: where one of them is true, the other one does not matter.
    pub fn or(self, other: Holds) -> Holds {
        not(not(self).and(not(other)))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Comparison::Before => "<",
            Comparison::NotAfter => "<=",
            Comparison::NotBefore => ">=",
            Comparison::After => ">",
        })
    }
}

/// As text, for EXPLAIN.
impl fmt::Display for TimeCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[TimeCondition], word: &str| {
            for (index, part) in parts.iter().enumerate() {
                let between = if index > 0 { word } else { "" };
                match part {
                    TimeCondition::All(_) | TimeCondition::Any(_) => write!(f, "{between}({part})")?,
                    part => write!(f, "{between}{part}")?,
                }
            }
            Ok(())
        };
        match self {
            TimeCondition::Row(expr) => f.write_str(&expr.shown()),
            TimeCondition::Clock(ClockCondition { from_now, comparison, value }) => {
                write!(f, "{from_now} {comparison} {}", value.shown())
            }
            TimeCondition::All(parts) => joined(f, parts, " AND "),
            TimeCondition::Any(parts) => joined(f, parts, " OR "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_as_said_until_they_say_so() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let all = [Comparison::Before, Comparison::NotAfter, Comparison::NotBefore, Comparison::After];
        let is = |comparison, from: i64, value: i64| match comparison {
            Comparison::Before => from < value,
            Comparison::NotAfter => from <= value,
            Comparison::NotBefore => from >= value,
            Comparison::After => from > value,
        };
        for _ in 0..2000 {
            let now = FromNow::default();
            let mut leaf = || (all[random.usize(0..4)], random.i64(0..20));
            let (one, two) = (leaf(), leaf());
            let leaf = |(comparison, value): (Comparison, i64), at: i64| comparison.holds(&now, value, at);
            for at in -1..22 {
                let expected = |at| (is(one.0, at, one.1), is(two.0, at, two.1));
                let both = leaf(one, at).and(leaf(two, at));
                let either = leaf(one, at).or(leaf(two, at));
                for later in at..both.until.min(22) {
                    assert_eq!(both.now, expected(later).0 && expected(later).1, "{one:?} and {two:?} from {at} at {later}");
                }
                for later in at..either.until.min(22) {
                    assert_eq!(either.now, expected(later).0 || expected(later).1, "{one:?} or {two:?} from {at} at {later}");
                }
                assert!(both.until > at && either.until > at);
            }
        }
        assert_eq!(Comparison::After.holds(&FromNow::default(), i64::MAX, 5), Holds::always(false));
    }
}

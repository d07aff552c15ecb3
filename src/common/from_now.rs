//! Times that are computed from `now()`, and when they come to a moment. All times are microseconds since 1970 UTC.

use std::fmt;

use crate::calendar::{DAY, date_of, days_in_month, days_of};
use crate::interval::clock_text;
use crate::window::{MonthWindow, window_start};

/// A step from one time to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NowStep {
    /// Adds microseconds.
    Shift(i64),
    /// Adds calendar months; a day that the month does not have becomes its last one.
    Months(i32),
    /// Goes down to the start of its span: of a day, an hour, a week.
    Floor {
        /// Length of a span; more than 0.
        size: i64,
        /// Where one of them starts.
        offset: i64,
    },
    /// Goes down to the start of its span of calendar months.
    MonthFloor(MonthWindow),
}

/// A time that is computed from `now()`: `now() - INTERVAL '1 hour'`, `CURRENT_DATE`.
///
/// # Invariants
/// - Time goes on, and what is computed from it follows, but not always: with months it goes back at some midnights. March 30 and 31,
///   less a month, are both the last of February, so at midnight it is the first hour of that day again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FromNow {
    /// What is done to `now()`, in order.
    pub steps: Vec<NowStep>,
}

/// A condition that depends on time: how it is at a moment, and how long it stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Whether it is true.
    pub now: bool,
    /// It stays as it is before this moment, perhaps longer; `i64::MAX`: for ever.
    pub until: i64,
}

impl FromNow {
    /// Its value at a moment, saturating at the ends of time.
    pub fn at(&self, now: i64) -> i64 {
        self.steps.iter().fold(now, |time, step| step.apply(time))
    }

    /// Whether its value at a moment is `value` or later.
    pub fn reaches(&self, value: i64, now: i64) -> Holds {
        if self.steps.iter().any(|step| matches!(step, NowStep::Months(_))) {
            let turns = self.turns(value);
            let past = turns.partition_point(|turn| *turn <= now);
            return Holds { now: past % 2 == 1, until: turns.get(past).copied().unwrap_or(i64::MAX) };
        }
        let turn = self.steps.iter().rev().fold(value, |value, step| step.reached_at(value));
        match turn <= now {
            true => Holds { now: true, until: i64::MAX },
            false => Holds { now: false, until: turn },
        }
    }

    /// The moments at which it comes to `value` or later, and those at which it goes back before it, in turns.
    pub fn turns(&self, value: i64) -> Vec<i64> {
        let mut turns = vec![value];
        for step in self.steps.iter().rev() {
            // A set of moments is told by where it begins and ends: what lies between two of these is one without the other.
            turns = match step {
                NowStep::Months(months) => {
                    let mut before = vec![];
                    turns.iter().for_each(|turn| months_reach(*months, *turn, &mut before));
                    before
                }
                step => turns.iter().map(|turn| step.reached_at(*turn)).collect(),
            };
            turns.sort_unstable();
            turns = in_pairs_removed(turns);
        }
        turns
    }
}

/// Sorted moments without those that are there twice: what begins and ends at once.
fn in_pairs_removed(sorted: Vec<i64>) -> Vec<i64> {
    let mut left: Vec<i64> = Vec::with_capacity(sorted.len());
    for moment in sorted {
        match left.last() == Some(&moment) {
            true => _ = left.pop(),
            false => left.push(moment),
        }
    }
    left
}

impl NowStep {
    fn apply(self, time: i64) -> i64 {
        match self {
            NowStep::Shift(micros) => time.saturating_add(micros),
            NowStep::Months(months) => add_months(time, months),
            NowStep::Floor { size, offset } => window_start(time, size, offset),
            NowStep::MonthFloor(window) => window.start(time),
        }
    }

    /// The first time from which on the step gives `value` or later; for steps that never go back.
    fn reached_at(self, value: i64) -> i64 {
        // Both ends of time stay where they are: what is always so, and what never is.
        if value == i64::MIN || value == i64::MAX {
            return value;
        }
        match self {
            NowStep::Shift(micros) => value.saturating_sub(micros),
            NowStep::Months(_) => value,
            NowStep::Floor { size, offset } => window_start(value - 1, size, offset).saturating_add(size),
            NowStep::MonthFloor(window) => window.end(value - 1),
        }
    }
}

/// A time some months later, or earlier.
fn add_months(time: i64, months: i32) -> i64 {
    let (year, month, day) = date_of(time.div_euclid(DAY));
    let (year, month) = month_after(year, month, months);
    let days = days_of(year, month, day.min(days_in_month(year, month)));
    days.saturating_mul(DAY).saturating_add(time.rem_euclid(DAY))
}

fn month_after(year: i64, month: u32, months: i32) -> (i64, u32) {
    let month = year * 12 + i64::from(month) - 1 + i64::from(months);
    (month.div_euclid(12), month.rem_euclid(12) as u32 + 1)
}

/// The moments between which a time plus some months is `value` or later, and the last one, from which on it is.
fn months_reach(months: i32, value: i64, turns: &mut Vec<i64>) {
    if value == i64::MIN || value == i64::MAX {
        turns.push(value);
        return;
    }
    let (day_of_value, time_of_day) = (value.div_euclid(DAY), value.rem_euclid(DAY));
    let (year, month, day) = date_of(day_of_value);
    let last = days_in_month(year, month);
    // The month whose days come to that of the value.
    let (from_year, from_month) = month_after(year, month, -months);
    let days = days_in_month(from_year, from_month);
    // Days that become the day of the value: its own number, and on the last day of a month all later ones too.
    let same = match day < last {
        true => day..=day.min(days),
        false => day..=days,
    };
    let midnight = |day: u32| days_of(from_year, from_month, 1).saturating_add(i64::from(day) - 1).saturating_mul(DAY);
    // All days behind them are later than that of the value.
    let later = if day < last { day.min(days) + 1 } else { days + 1 };
    for day in same.filter(|day| *day <= days) {
        turns.extend([midnight(day).saturating_add(time_of_day), midnight(day + 1)]);
    }
    turns.push(midnight(later));
}

impl fmt::Display for FromNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = "now()".to_string();
        for step in &self.steps {
            text = match step {
                NowStep::Shift(micros) if *micros < 0 => format!("{text} - {}", clock_text(micros.saturating_neg())),
                NowStep::Shift(micros) => format!("{text} + {}", clock_text(*micros)),
                NowStep::Months(months) if *months < 0 => format!("{text} - {} months", months.unsigned_abs()),
                NowStep::Months(months) => format!("{text} + {months} months"),
                NowStep::Floor { size: DAY, offset: 0 } => format!("date({text})"),
                NowStep::Floor { size, .. } => format!("start({text}, {})", clock_text(*size)),
                NowStep::MonthFloor(window) => format!("start({text}, {} months)", window.months),
            };
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::HOUR;

    fn at(year: i64, month: u32, day: u32, hour: i64) -> i64 {
        days_of(year, month, day) * DAY + hour * HOUR
    }

    #[test]
    fn a_shift_is_passed_once() {
        let hour_ago = FromNow { steps: vec![NowStep::Shift(-HOUR)] };
        assert_eq!(hour_ago.reaches(10, HOUR + 9), Holds { now: false, until: HOUR + 10 });
        assert_eq!(hour_ago.reaches(10, HOUR + 10), Holds { now: true, until: i64::MAX });
        assert_eq!(hour_ago.reaches(i64::MAX, i64::MAX - 1), Holds { now: false, until: i64::MAX });
        assert_eq!(hour_ago.reaches(i64::MIN, i64::MIN), Holds { now: true, until: i64::MAX });
        assert_eq!(hour_ago.to_string(), "now() - 01:00:00");
    }

    #[test]
    fn a_month_ago_goes_back_at_the_end_of_march() {
        let month_ago = FromNow { steps: vec![NowStep::Months(-1)] };
        // 10:00 on the last day of February comes four times, once for each of the last days of March.
        let expected = [
            at(2023, 3, 28, 10),
            at(2023, 3, 29, 0),
            at(2023, 3, 29, 10),
            at(2023, 3, 30, 0),
            at(2023, 3, 30, 10),
            at(2023, 3, 31, 0),
            at(2023, 3, 31, 10),
        ];
        assert_eq!(month_ago.turns(at(2023, 2, 28, 10)), expected);
        assert_eq!(month_ago.turns(at(2023, 2, 28, 0)), [at(2023, 3, 28, 0)]);
        // No day of February is a month before these: they are passed with the first of April, which is March 1.
        let ahead = FromNow { steps: vec![NowStep::Months(1)] };
        assert_eq!(ahead.turns(at(2023, 3, 30, 10)), [at(2023, 3, 1, 0)]);
    }

    #[test]
    fn turns_are_where_the_value_is_passed() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let step = |random: &mut fastrand::Rng| match random.u8(0..6) {
                0 | 1 => NowStep::Months(random.i32(-14..14)),
                2 => NowStep::Floor { size: [HOUR, DAY, 7 * DAY][random.usize(0..3)], offset: random.i64(-2..3) * DAY },
                3 => NowStep::MonthFloor(MonthWindow { months: [1, 3, 12][random.usize(0..3)], offset: 0 }),
                _ => NowStep::Shift(random.i64(-60..60) * DAY / 2 + random.i64(-3..3)),
            };
            let from_now = FromNow { steps: (0..random.usize(1..4)).map(|_| step(&mut random)).collect() };
            let now = at(random.i64(1965..1975), random.u32(1..13), random.u32(1..29), 0) + random.i64(0..4 * DAY);
            let value = from_now.at(now) + [0, 1, -1, HOUR, -HOUR, DAY][random.usize(0..6)];
            let turns = from_now.turns(value);
            assert!(turns.is_sorted() && turns.len() % 2 == 1, "{turns:?}");
            let near = turns.iter().flat_map(|turn| [turn - 1, *turn, turn + 1]);
            let others: Vec<i64> = (0..40).map(|_| now + random.i64(-70..70) * HOUR).collect();
            for moment in near.chain([now]).chain(others) {
                let holds = from_now.reaches(value, moment);
                assert_eq!(holds.now, from_now.at(moment) >= value, "{from_now:?} at {moment} of {value}: {turns:?}");
                if holds.until < i64::MAX {
                    assert_ne!(from_now.at(holds.until) >= value, holds.now, "{from_now:?} turns at {}", holds.until);
                    assert_eq!(from_now.at(holds.until - 1) >= value, holds.now, "{from_now:?} stays before {}", holds.until);
                }
            }
        }
    }
}

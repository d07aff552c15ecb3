//! Intervals from text: `1 year 2 mons -3 days 04:05:06.7`, as Postgres writes them, or ISO 8601 `P1Y2M3DT4H5M6.7S`.

use arrow::datatypes::IntervalMonthDayNano;

use crate::json::column::Misfit;

const SECOND: i128 = 1_000_000_000;
const MINUTE: i128 = 60 * SECOND;
const DAY: i128 = 24 * 60 * MINUTE;

/// The interval that a string is. Months and years are whole; of days and weeks a fraction becomes hours, as in Postgres.
pub(crate) fn interval(text: &[u8]) -> Result<IntervalMonthDayNano, Misfit> {
    let text = std::str::from_utf8(text).map_err(|_| Misfit::Kind)?.trim_ascii();
    let mut sum = Sum::default();
    match text.strip_prefix('P') {
        Some(text) => sum.iso(text)?,
        None => sum.words(text)?,
    }
    let months = i32::try_from(sum.months).map_err(|_| Misfit::Range)?;
    let days = i32::try_from(sum.days).map_err(|_| Misfit::Range)?;
    let nanos = i64::try_from(sum.nanos).map_err(|_| Misfit::Range)?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    nanos: i128,
}

impl Sum {
    fn iso(&mut self, text: &str) -> Result<(), Misfit> {
        let (date, time) = match text.split_once('T') {
            Some((_, "")) => return Err(Misfit::Kind),
            Some((date, time)) => (date, time),
            None if text.is_empty() => return Err(Misfit::Kind),
            None => (text, ""),
        };
        for (mut rest, units) in [(date, DATE_UNITS), (time, TIME_UNITS)] {
            while !rest.is_empty() {
                let at = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(Misfit::Kind)?;
                let (_, unit) = units.iter().find(|(letter, _)| rest[at..].starts_with(*letter)).ok_or(Misfit::Kind)?;
                self.add(&rest[..at], *unit)?;
                rest = &rest[at + 1..];
            }
        }
        Ok(())
    }

    fn words(&mut self, text: &str) -> Result<(), Misfit> {
        let mut words = text.split_ascii_whitespace().peekable();
        words.peek().ok_or(Misfit::Kind)?;
        while let Some(word) = words.next() {
            if word.contains(':') {
                self.clock(word)?;
                continue;
            }
            // `5days` or `5 days`
            let at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
            let (amount, attached) = word.split_at(at);
            let unit = if attached.is_empty() { words.next().unwrap_or_default() } else { attached };
            self.add(amount, Unit::named(unit).ok_or(Misfit::Kind)?)?;
        }
        Ok(())
    }

    /// `[-]hours:minutes[:seconds]`
    fn clock(&mut self, word: &str) -> Result<(), Misfit> {
        let (negative, clock) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let fields: Vec<&str> = clock.split(':').collect();
        let (hours, minutes, seconds) = match fields[..] {
            [hours, minutes] => (hours, minutes, "0"),
            [hours, minutes, seconds] => (hours, minutes, seconds),
            _ => return Err(Misfit::Kind),
        };
        let signed = fields.iter().any(|field| field.starts_with(['-', '+']));
        if signed || hours.contains('.') || minutes.contains('.') {
            return Err(Misfit::Kind);
        }
        let nanos = |amount: &str, size: i128| {
            let mut sum = Sum::default();
            sum.add(amount, Unit::Nanos(size)).map(|()| sum.nanos)
        };
        let (hours, minutes, seconds) = (nanos(hours, 60 * MINUTE)?, nanos(minutes, MINUTE)?, nanos(seconds, SECOND)?);
        if minutes >= 60 * MINUTE || seconds >= MINUTE {
            return Err(Misfit::Range);
        }
        let clock = hours + minutes + seconds;
        self.nanos += if negative { -clock } else { clock };
        Ok(())
    }

    fn add(&mut self, amount: &str, unit: Unit) -> Result<(), Misfit> {
        let (negative, digits) = match amount.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, amount.strip_prefix('+').unwrap_or(amount)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return Err(Misfit::Kind);
        }
        let sign = if negative { -1 } else { 1 };
        // More digits than these are out of range in any unit.
        let whole: i64 = whole.parse().map_err(|_| Misfit::Range)?;
        let whole = sign * whole as i128;
        let billionths = sign * format!("{fraction:0<9}").parse::<i128>().map_err(|_| Misfit::Kind)?;
        match unit {
            Unit::Months(_) if billionths != 0 => return Err(Misfit::Kind),
            Unit::Months(months) => self.months += whole * months,
            Unit::Days(days) => {
                self.days += whole * days;
                let nanos = billionths * days * DAY / 1_000_000_000;
                self.days += nanos / DAY;
                self.nanos += nanos % DAY;
            }
            Unit::Nanos(nanos) => self.nanos += whole * nanos + billionths * nanos / 1_000_000_000,
        }
        Ok(())
    }
}

/// A unit, as so many of what an interval holds.
#[derive(Clone, Copy)]
enum Unit {
    Months(i128),
    Days(i128),
    Nanos(i128),
}

const DATE_UNITS: &[(char, Unit)] = &[('Y', Unit::Months(12)), ('M', Unit::Months(1)), ('W', Unit::Days(7)), ('D', Unit::Days(1))];
const TIME_UNITS: &[(char, Unit)] = &[('H', Unit::Nanos(60 * MINUTE)), ('M', Unit::Nanos(MINUTE)), ('S', Unit::Nanos(SECOND))];

impl Unit {
    fn named(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" | "years" | "yr" | "yrs" | "y" => Unit::Months(12),
            "month" | "months" | "mon" | "mons" => Unit::Months(1),
            "week" | "weeks" | "w" => Unit::Days(7),
            "day" | "days" | "d" => Unit::Days(1),
            "hour" | "hours" | "hr" | "hrs" | "h" => Unit::Nanos(60 * MINUTE),
            "minute" | "minutes" | "min" | "mins" | "m" => Unit::Nanos(MINUTE),
            "second" | "seconds" | "sec" | "secs" | "s" => Unit::Nanos(SECOND),
            "millisecond" | "milliseconds" | "msec" | "msecs" | "ms" => Unit::Nanos(SECOND / 1000),
            "microsecond" | "microseconds" | "usec" | "usecs" | "us" => Unit::Nanos(SECOND / 1_000_000),
            _ => return None,
        })
    }
}

//! Intervals: months, days and microseconds, which do not add up to one number; read from text as Postgres reads them.

use arrow::datatypes::IntervalMonthDayNano;

use crate::error::{Error, Result, SqlState};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Microseconds as Postgres prints an interval without days: `01:30:00`.
pub fn clock_text(micros: i64) -> String {
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}").trim_end_matches('0').to_string() };
    format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// An interval as Postgres keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Months; a year is twelve.
    pub months: i32,
    /// Days, however long.
    pub days: i32,
    /// Microseconds, which may be more than a day.
    pub micros: i64,
}

impl Interval {
    /// Of Arrow's, nanoseconds rounded.
    pub fn of_arrow(value: IntervalMonthDayNano) -> Interval {
        Interval { months: value.months, days: value.days, micros: round_nanos(value.nanoseconds) }
    }

    /// Of a length: whole days, and the rest.
    pub fn of_micros(micros: i64) -> Interval {
        Interval { months: 0, days: (micros / DAY) as i32, micros: micros % DAY }
    }

    /// As Arrow's; `None` where the time does not fit its nanoseconds (292 years).
    pub fn to_arrow(self) -> Option<IntervalMonthDayNano> {
        Some(IntervalMonthDayNano::new(self.months, self.days, self.micros.checked_mul(1000)?))
    }
}

/// Nanoseconds to microseconds, halves away from zero.
fn round_nanos(nanos: i64) -> i64 {
    nanos / 1000 + if (nanos % 1000).abs() >= 500 { nanos.signum() } else { 0 }
}

/// Reads `1 day 02:03:04`, `-1 year 2 mons ago`, `1h30m`, `1-2 3 4:05`, `@ 1 min`, `P1Y2M3DT4H5M6.7S`.
pub fn parse(text: &str) -> Result<Interval> {
    let trimmed = text.trim();
    let sum = match trimmed.strip_prefix('P') {
        Some(iso) => parse_iso(iso),
        None => parse_words(trimmed),
    };
    sum.ok_or_else(|| Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type interval: \"{text}\"")))?
        .into_interval()
        .ok_or_else(|| Error::new(SqlState("22015"), format!("interval field value out of range: \"{text}\"")))
}

/// Wide enough that nothing overflows while parts are added up.
#[derive(Default)]
struct Sum {
    months: i128,
    days: i128,
    micros: i128,
}

/// A number as digits before and after its point.
#[derive(Clone, Copy)]
struct Number {
    negative: bool,
    whole: i64,
    /// In millionths of a millionth: exact for all that microseconds need.
    fraction: i64,
}

const FRACTION: i128 = 1_000_000_000_000;

impl Number {
    fn parse(text: &str) -> Option<Number> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once(['.', ',']).unwrap_or((digits, ""));
        let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        if !all_digits || whole.len() + fraction.len() == 0 {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let kept = &fraction[..fraction.len().min(12)];
        let fraction = kept.bytes().fold(0, |value, b| value * 10 + (b - b'0') as i64) * 10i64.pow(12 - kept.len() as u32);
        Some(Number { negative, whole, fraction })
    }

    /// Times an amount of microseconds, rounded.
    fn micros(self, unit: i64) -> i128 {
        // A half is not rounded up here, as in Postgres.
        let fraction = (self.fraction as i128 * unit as i128 + FRACTION / 2 - 1) / FRACTION;
        self.signed(self.whole as i128 * unit as i128 + fraction)
    }

    fn signed(self, value: i128) -> i128 {
        if self.negative { -value } else { value }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    fn parse(word: &str) -> Option<Unit> {
        Some(match word {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" | "usecond" | "useconds" => Unit::Microsecond,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" => Unit::Millisecond,
            "second" | "seconds" | "s" | "sec" | "secs" => Unit::Second,
            "minute" | "minutes" | "m" | "min" | "mins" => Unit::Minute,
            "hour" | "hours" | "h" | "hr" | "hrs" => Unit::Hour,
            "day" | "days" | "d" => Unit::Day,
            "week" | "weeks" | "w" => Unit::Week,
            "month" | "months" | "mon" | "mons" => Unit::Month,
            "year" | "years" | "y" | "yr" | "yrs" => Unit::Year,
            "decade" | "decades" | "dec" | "decs" => Unit::Decade,
            "century" | "centuries" | "c" | "cent" => Unit::Century,
            "millennium" | "millennia" | "mil" | "mils" => Unit::Millennium,
            _ => return None,
        })
    }
}

impl Sum {
    /// Adds `number` of a unit, and returns which; what a fraction of a larger unit is worth goes to the next smaller ones.
    fn add(&mut self, number: Number, unit: &str) -> Option<Unit> {
        let unit = Unit::parse(unit)?;
        match unit {
            Unit::Microsecond => self.micros += number.micros(1),
            Unit::Millisecond => self.micros += number.micros(1000),
            Unit::Second => self.micros += number.micros(SECOND),
            Unit::Minute => self.micros += number.micros(MINUTE),
            Unit::Hour => self.micros += number.micros(HOUR),
            Unit::Day => self.add_days(number, 1),
            Unit::Week => self.add_days(number, 7),
            Unit::Month => {
                self.months += number.signed(number.whole as i128);
                self.add_days(Number { whole: 0, ..number }, 30);
            }
            Unit::Year => self.add_years(number, 12),
            Unit::Decade => self.add_years(number, 120),
            Unit::Century => self.add_years(number, 1200),
            Unit::Millennium => self.add_years(number, 12_000),
        }
        Some(unit)
    }

    fn add_years(&mut self, number: Number, months: i128) {
        let fraction = (number.fraction as i128 * months + FRACTION / 2) / FRACTION;
        self.months += number.signed(number.whole as i128 * months + fraction);
    }

    fn add_days(&mut self, number: Number, days: i128) {
        let fraction = number.fraction as i128 * days;
        self.days += number.signed(number.whole as i128 * days + fraction / FRACTION);
        let rest = Number { whole: 0, fraction: (fraction % FRACTION) as i64, ..number };
        self.micros += rest.micros(DAY);
    }

    fn into_interval(self) -> Option<Interval> {
        let interval =
            Interval { months: self.months.try_into().ok()?, days: self.days.try_into().ok()?, micros: self.micros.try_into().ok()? };
        // What Arrow cannot carry is out of range here already.
        interval.to_arrow().map(|_| interval)
    }
}

/// After the P: `1Y2M3W4DT5H6M7.5S`, or `2W`.
fn parse_iso(text: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    // The other form: `0001-02-03T04:05:06`.
    if let &[years, months, days] = date.split('-').collect::<Vec<_>>().as_slice()
        && let (Some(years), Some(months), Some(days)) = (Number::parse(years), Number::parse(months), Number::parse(days))
    {
        sum.add(years, "year")?;
        sum.add(months, "month")?;
        sum.add(days, "day")?;
        sum.micros = if time.is_empty() { 0 } else { parse_clock(time)? };
        return Some(sum);
    }
    let mut any = text.contains('T');
    for (part, in_time) in [(date, false), (time, true)] {
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let number = Number::parse(&rest[..end])?;
            let unit = match (&rest[end..=end], in_time) {
                ("Y", false) => "year",
                ("M", false) => "month",
                ("W", false) => "week",
                ("D", false) => "day",
                ("H", true) => "hour",
                ("M", true) => "minute",
                ("S", true) => "second",
                _ => return None,
            };
            sum.add(number, unit)?;
            any = true;
            rest = &rest[end + 1..];
        }
    }
    any.then_some(sum)
}

/// Postgres' own form: numbers with units, years-months, a time, a number alone for seconds, `ago` at the end.
fn parse_words(text: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let lower = text.to_ascii_lowercase();
    let mut words = tokens(lower.strip_prefix('@').unwrap_or(&lower)).into_iter().peekable();
    words.peek()?;
    let mut units: Vec<Unit> = Vec::new();
    let mut add = |sum: &mut Sum, number: &str, unit: &str| -> Option<()> {
        let unit = sum.add(Number::parse(number)?, unit)?;
        // `1 day 1 day` is more likely a mistake than a sum.
        (!units.contains(&unit)).then(|| units.push(unit))
    };
    while let Some(word) = words.next() {
        if word == "ago" {
            if words.peek().is_some() {
                return None;
            }
            return Some(Sum { months: -sum.months, days: -sum.days, micros: -sum.micros });
        }
        if let Some(unit) = words.next_if(|next| next.starts_with(|c: char| c.is_ascii_alphabetic()) && *next != "ago") {
            add(&mut sum, word, unit)?;
        } else if word.contains(':') {
            sum.micros += parse_clock(word)?;
        } else if let Some((years, months)) =
            word.get(1..).and_then(|tail| tail.split_once('-')).map(|(_, months)| (&word[..word.len() - months.len() - 1], months))
        {
            let (years, months) = (Number::parse(years)?, Number::parse(months)?);
            if months.whole > 11 || months.fraction + years.fraction != 0 {
                return None;
            }
            sum.months += years.signed(years.whole as i128 * 12 + months.whole as i128);
        } else if words.peek().is_some_and(|next| next.contains(':')) {
            // `3 4:05:06` is days and a time.
            add(&mut sum, word, "day")?;
        } else {
            add(&mut sum, word, "second")?;
        }
    }
    Some(sum)
}

/// Numbers (with sign, point, `:` and `-` inside) and words, blanks between them or not.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for chunk in text.split_ascii_whitespace() {
        let mut start = 0;
        let mut in_word = chunk.starts_with(|c: char| c.is_ascii_alphabetic());
        for (at, c) in chunk.char_indices() {
            if c.is_ascii_alphabetic() != in_word {
                tokens.push(&chunk[start..at]);
                start = at;
                in_word = !in_word;
            }
        }
        tokens.push(&chunk[start..]);
    }
    tokens
}

/// `hh:mm`, `hh:mm:ss.ffffff` or `mm:ss.f`, with a sign for all of it.
fn parse_clock(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let parts: Vec<&str> = digits.split(':').collect();
    if parts.iter().any(|part| part.starts_with(['+', '-'])) {
        return None;
    }
    let whole = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<i64>().ok()).flatten();
    let (hours, minutes, seconds) = match parts.as_slice() {
        [minutes, seconds] if seconds.contains('.') => (0, whole(minutes)?, Number::parse(seconds)?),
        [hours, minutes] => (whole(hours)?, whole(minutes)?, Number { negative: false, whole: 0, fraction: 0 }),
        [hours, minutes, seconds] => (whole(hours)?, whole(minutes)?, Number::parse(seconds)?),
        _ => return None,
    };
    if minutes > 59 || seconds.whole > 60 {
        return None;
    }
    let micros = hours as i128 * HOUR as i128 + minutes as i128 * MINUTE as i128 + seconds.micros(SECOND);
    Some(if negative { -micros } else { micros })
}

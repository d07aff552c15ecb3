//! Dates, times and timestamps from text: ISO 8601 as Postgres reads it, with a fast path for `2013-01-01 05:15:00[.123]`.
//!
//! A timestamp without an offset is UTC, and one with an offset is turned into UTC, for TIMESTAMP and TIMESTAMPTZ alike:
//! Weir keeps wall clocks in UTC. (Postgres ignores the offset where a TIMESTAMP is asked for, and so moves the event.)

use std::ops::RangeInclusive;

use crate::value::column::Misfit;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// The last year that Arrow's kernels can print.
const YEAR_MAX: i64 = 262_142;
/// The dates that there are, days since 1970-01-01.
pub(crate) const DAYS: RangeInclusive<i64> = days(1, 1, 1)..=days(YEAR_MAX, 12, 31);
/// The moments that there are, microseconds since 1970-01-01 UTC.
pub(crate) const MICROS: RangeInclusive<i64> = days(1, 1, 1) * DAY..=days(YEAR_MAX, 12, 31) * DAY + DAY - 1;

/// Microseconds since 1970-01-01 UTC.
#[inline]
pub(crate) fn timestamp(text: &[u8]) -> Result<i64, Misfit> {
    if let Some((head, rest)) = text.split_first_chunk::<19>()
        && let Some(fraction) = fixed_fraction(rest)
        && let Some(micros) = fixed(head)
    {
        return Ok(micros + fraction);
    }
    timestamp_general(text)
}

/// Days since 1970-01-01. A time may follow only if it is midnight: nothing is cut off in silence.
pub(crate) fn date(text: &[u8]) -> Result<i32, Misfit> {
    let mut text = Text(text.trim_ascii());
    let day = text.date()?;
    if text.separator() {
        let time = text.time()?;
        text.offset()?;
        if time != 0 {
            return Err(Misfit::Kind);
        }
    }
    text.end()?;
    i32::try_from(day).map_err(|_| Misfit::Range)
}

/// Microseconds since midnight.
pub(crate) fn time(text: &[u8]) -> Result<i64, Misfit> {
    let mut text = Text(text.trim_ascii());
    let time = text.time()?;
    text.end()?;
    // Postgres knows 24:00:00 as a time, Arrow does not.
    if time < DAY { Ok(time) } else { Err(Misfit::Range) }
}

/// `YYYY-MM-DD HH:MM:SS`, or with a `T`; `None` for any other text, and for what is out of range.
#[inline]
fn fixed(text: &[u8; 19]) -> Option<i64> {
    let mut plain = true;
    let mut two = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        plain &= tens < 10 && ones < 10;
        (tens.wrapping_mul(10).wrapping_add(ones)) as i64
    };
    let (century, year, month, day) = (two(0), two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let marks = text[4] == b'-' && text[7] == b'-' && matches!(text[10], b' ' | b'T') && text[13] == b':' && text[16] == b':';
    let year = century * 100 + year;
    // Days 29 to 31 take the general path's closer look.
    let calm = year > 0 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !(plain && marks && calm && hour < 24 && minute < 60 && second < 60) {
        return None;
    }
    Some(days(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * SECOND)
}

/// Micros of nothing, `.fff` or `.ffffff`, each with a `Z` behind it or none; `None` for any other text.
#[inline]
fn fixed_fraction(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (digits, unit) = match text {
        [] => return Some(0),
        [b'.', digits @ ..] if digits.len() == 3 => (digits, 1000),
        [b'.', digits @ ..] if digits.len() == 6 => (digits, 1),
        _ => return None,
    };
    let mut value = 0;
    let mut plain = true;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        plain &= digit < 10;
        value = value * 10 + digit as i64;
    }
    plain.then_some(value * unit)
}

#[cold]
fn timestamp_general(text: &[u8]) -> Result<i64, Misfit> {
    let mut text = Text(text.trim_ascii());
    let mut micros = text.date()? * DAY;
    if text.separator() {
        micros += text.time()?;
        micros -= text.offset()?;
    }
    text.end()?;
    Ok(micros)
}

/// What is left of a text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn date(&mut self) -> Result<i64, Misfit> {
        let (year, digits) = self.number(6)?;
        self.expect(b'-')?;
        let (month, _) = self.number(2)?;
        self.expect(b'-')?;
        let (day, _) = self.number(2)?;
        // Two digits could be any century.
        if digits < 4 {
            return Err(Misfit::Kind);
        }
        let valid = (1..=YEAR_MAX).contains(&year) && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if valid { Ok(days(year, month, day)) } else { Err(Misfit::Range) }
    }

    /// Goes over what stands between a date and a time.
    fn separator(&mut self) -> bool {
        let rest = self.0.trim_ascii_start();
        let spaced = rest.len() < self.0.len();
        match rest.first() {
            Some(b'T' | b't') if !spaced => self.0 = &rest[1..],
            _ if spaced => self.0 = rest,
            _ => return false,
        }
        true
    }

    fn time(&mut self) -> Result<i64, Misfit> {
        let (hour, _) = self.number(2)?;
        self.expect(b':')?;
        let minute = self.pair()?;
        let mut second = 0;
        let mut micros = 0;
        if self.eat(b':') {
            second = self.pair()?;
            if self.eat(b'.') {
                micros = self.fraction()?;
            }
        }
        let time = hour * HOUR + minute * MINUTE + second * SECOND + micros;
        // 23:59:60 is a leap second, and the next day's first.
        if minute < 60 && second <= 60 && time <= DAY { Ok(time) } else { Err(Misfit::Range) }
    }

    /// Micros of the digits behind a point, the seventh rounded.
    fn fraction(&mut self) -> Result<i64, Misfit> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        if count == 0 {
            return Err(Misfit::Kind);
        }
        self.0 = rest;
        let digit = |at: usize| digits.get(at).map_or(0, |digit| (digit - b'0') as i64);
        let micros = (0..6).fold(0, |micros, at| micros * 10 + digit(at));
        Ok(micros + (digit(6) >= 5) as i64)
    }

    /// Micros east of UTC; 0 where nothing is said.
    fn offset(&mut self) -> Result<i64, Misfit> {
        let rest = self.0.trim_ascii_start();
        for utc in ["utc", "gmt", "z"] {
            if rest.get(..utc.len()).is_some_and(|head| head.eq_ignore_ascii_case(utc.as_bytes())) {
                self.0 = &rest[utc.len()..];
                return Ok(0);
            }
        }
        let sign = match rest.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Ok(0),
        };
        self.0 = &rest[1..];
        let (mut hour, digits) = self.number(4)?;
        let mut minute = 0;
        match digits {
            4 => (hour, minute) = (hour / 100, hour % 100),
            1 | 2 if self.eat(b':') => minute = self.pair()?,
            1 | 2 => {}
            _ => return Err(Misfit::Kind),
        }
        if hour < 16 && minute < 60 { Ok(sign * (hour * HOUR + minute * MINUTE)) } else { Err(Misfit::Range) }
    }

    fn end(&self) -> Result<(), Misfit> {
        if self.0.is_empty() { Ok(()) } else { Err(Misfit::Kind) }
    }

    /// A number and how many digits it has, at most `most`.
    fn number(&mut self, most: usize) -> Result<(i64, usize), Misfit> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 || count > most {
            return Err(Misfit::Kind);
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok((digits.iter().fold(0, |number, digit| number * 10 + (digit - b'0') as i64), count))
    }

    /// A number of two digits.
    fn pair(&mut self) -> Result<i64, Misfit> {
        match self.number(2)? {
            (number, 2) => Ok(number),
            _ => Err(Misfit::Kind),
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let next = self.0.first() == Some(&byte);
        self.0 = &self.0[next as usize..];
        next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Misfit> {
        if self.eat(byte) { Ok(()) } else { Err(Misfit::Kind) }
    }
}

#[inline]
fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, years counted from March so that the leap day is the last.
#[inline]
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - (month <= 2) as i64;
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

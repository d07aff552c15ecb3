//! Dates and times from text, by the rules of Postgres' `datetime.c`.
//!
//! A text is cut into words; each says by its shape what it is: a date (`2026-11-20`, `20 Nov 2026`, `11/20/2026`), a time
//! (`09:25:39.5`, `0925` behind a date), an offset (`+02`, `Z`), a zone, or a word such as `BC`, `PM`, `infinity`.

use crate::calendar::{DATE_INFINITY, DATE_MINUS_INFINITY, DAY, HOUR, INFINITY, MINUS_INFINITY, MINUTE, SECOND, days_in_month, days_of};
use crate::error::{Error, Result, SqlState, invalid_datetime};
use crate::timezone::TimeZone;

/// What a session says about how dates and times are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Customs {
    /// Where a time without an offset is, if it is an instant.
    pub zone: TimeZone,
    /// How `01/02/2003` is read.
    pub order: DateOrder,
}

/// UTC, and the month first.
impl Default for Customs {
    fn default() -> Self {
        Customs { zone: TimeZone::UTC, order: DateOrder::Mdy }
    }
}

/// The order of the parts of a date of three numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateOrder {
    /// month, day, year
    #[default]
    Mdy,
    /// day, month, year
    Dmy,
    /// year, month, day
    Ymd,
}

/// Days of 4714-11-24 BC, Postgres' first day.
const FIRST_DAY: i64 = days_of(-4713, 11, 24);
/// Days of 5874898-01-01, the first that is no date any more.
const DATE_END: i64 = days_of(5_874_898, 1, 1);
/// Days of 294277-01-01, the first that is no timestamp any more.
const TIMESTAMP_END_DAYS: i64 = days_of(294_277, 1, 1);

/// Reads a date, as days since 1970-01-01; a time of day behind it is ignored.
pub fn date(text: &str, customs: &Customs) -> Result<i32> {
    match Fields::read(text, "date", customs)? {
        Read::Infinity => Ok(DATE_INFINITY),
        Read::MinusInfinity => Ok(DATE_MINUS_INFINITY),
        Read::Epoch => Ok(0),
        Read::Fields(fields) => {
            let days = fields.days(text, "date")?;
            if !(FIRST_DAY..DATE_END).contains(&days) {
                return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\"")));
            }
            Ok(days as i32)
        }
    }
}

/// Reads a time of day, as microseconds since midnight; a date before it and an offset behind it are ignored.
pub fn time(text: &str, customs: &Customs) -> Result<i64> {
    match Fields::read(text, "time", customs)? {
        Read::Fields(Fields { time: Some(time), .. }) => Ok(time),
        _ => Err(invalid_datetime("time", text)),
    }
}

/// Reads a timestamp without time zone, as microseconds since 1970-01-01; an offset is ignored.
pub fn timestamp(text: &str, customs: &Customs) -> Result<i64> {
    moment(text, "timestamp", customs, |_, local| local)
}

/// Reads a timestamp with time zone, as microseconds since 1970-01-01 UTC; without an offset in the session's zone.
pub fn timestamptz(text: &str, customs: &Customs) -> Result<i64> {
    moment(text, "timestamp with time zone", customs, |zone, local| {
        let zone = zone.unwrap_or(&customs.zone);
        local - zone.offset_of_local(local) as i64 * SECOND
    })
}

/// The zone that `AT TIME ZONE` means: an abbreviation, a name, or hours west of UTC. `SET TimeZone` counts them east.
pub fn zone(name: &str) -> Option<TimeZone> {
    let lower = name.to_ascii_lowercase();
    let known = if lower == "z" { Some(TimeZone::UTC) } else { abbreviation(&lower).map(TimeZone::fixed) };
    known.or_else(|| TimeZone::named(name)).or_else(|| TimeZone::posix(name))
}

fn moment(text: &str, type_name: &str, customs: &Customs, to_utc: impl Fn(Option<&TimeZone>, i64) -> i64) -> Result<i64> {
    match Fields::read(text, type_name, customs)? {
        Read::Infinity => Ok(INFINITY),
        Read::MinusInfinity => Ok(MINUS_INFINITY),
        Read::Epoch => Ok(0),
        Read::Fields(fields) => {
            let days = fields.days(text, type_name)?;
            let out_of_range = || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""));
            if !(FIRST_DAY..TIMESTAMP_END_DAYS).contains(&days) {
                return Err(out_of_range());
            }
            // Arrow counts from 1970, so its last microsecond is thirty years before Postgres'.
            let local = days.checked_mul(DAY).and_then(|micros| micros.checked_add(fields.time.unwrap_or(0))).ok_or_else(out_of_range)?;
            Ok(to_utc(fields.zone.as_ref(), local))
        }
    }
}

enum Read {
    Infinity,
    MinusInfinity,
    Epoch,
    Fields(Fields),
}

#[derive(Default)]
struct Fields {
    year: Option<Year>,
    month: Option<i64>,
    day: Option<i64>,
    before_christ: bool,
    time: Option<i64>,
    zone: Option<TimeZone>,
}

/// A year as it was written: of two digits, it means one near now.
struct Year {
    value: i64,
    digits: usize,
}

/// What is wrong with a text; the caller knows the type.
enum Flaw {
    /// Not a date or time at all.
    Format,
    /// A field beyond its bounds.
    Field,
    /// A month or day beyond its bounds, perhaps because they are the other way round.
    MonthDay,
    /// An offset beyond a day's worth.
    Offset,
    /// A zone that does not exist.
    Zone(String),
    /// A word that depends on when it is read.
    Relative(String),
}

impl Flaw {
    fn error(self, text: &str, type_name: &str) -> Error {
        match self {
            Flaw::Format => invalid_datetime(type_name, text),
            Flaw::Field => Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\"")),
            Flaw::MonthDay => Flaw::Field.error(text, type_name).with_hint("Perhaps you need a different \"datestyle\" setting."),
            Flaw::Offset => Error::new(SqlState("22009"), format!("time zone displacement out of range: \"{text}\"")),
            Flaw::Zone(zone) => Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{zone}\" not recognized")),
            Flaw::Relative(word) => Error::unsupported(format!("date/time value \"{word}\" is not supported as input"))
                .with_hint("It would depend on when the text is read; use now() or current_date in the statement."),
        }
    }
}

impl Fields {
    fn read(text: &str, type_name: &str, customs: &Customs) -> Result<Read> {
        Self::read_words(text, customs.order, type_name == "time").map_err(|flaw| flaw.error(text, type_name))
    }

    /// `time_only`: digits alone are a time, also without a date before them.
    fn read_words(text: &str, order: DateOrder, time_only: bool) -> Result<Read, Flaw> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "infinity" | "+infinity" => return Ok(Read::Infinity),
            "-infinity" => return Ok(Read::MinusInfinity),
            "epoch" => return Ok(Read::Epoch),
            "now" | "today" | "tomorrow" | "yesterday" => return Err(Flaw::Relative(lower)),
            _ => {}
        }
        let mut fields = Fields::default();
        let mut numbers: Vec<&str> = Vec::new();
        let mut hour_half = None;
        let mut rest = lower.as_str();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            let Some(first) = rest.bytes().next() else { break };
            let word: &str;
            match first {
                b'0'..=b'9' => {
                    (word, rest) = split_number(rest);
                    if word.contains(':') {
                        fields.set_time(clock(word)?)?;
                    } else if word.bytes().all(|b| b.is_ascii_digit()) {
                        fields.number(word, time_only, &mut numbers)?;
                    } else if let (true, Some((digits, _))) = (fields.has_date(), word.split_once('.')) {
                        // `20261120 092539.5`: the time of day without colons.
                        fields.set_time(packed_clock(digits, word)?)?;
                    } else {
                        fields.set_date(word, order)?;
                    }
                }
                b'+' | b'-' => {
                    let end = rest[1..].find(|c: char| !(c.is_ascii_digit() || c == ':')).map_or(rest.len(), |at| at + 1);
                    (word, rest) = rest.split_at(end);
                    if fields.time.is_none() && fields.zone.is_none() && !fields.has_date() {
                        return Err(Flaw::Format);
                    }
                    fields.set_zone(TimeZone::fixed(offset(word)?))?;
                }
                b'a'..=b'z' => {
                    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+'))).unwrap_or(rest.len());
                    rest = fields.word(rest, end, order, time_only, &mut hour_half)?;
                }
                _ => return Err(Flaw::Format),
            }
        }
        fields.take_numbers(&numbers, order)?;
        if let (Some(half), Some(time)) = (hour_half, fields.time) {
            fields.time = Some(to_24_hours(time, half)?);
        } else if hour_half.is_some() {
            return Err(Flaw::Format);
        }
        if !fields.has_date() && fields.time.is_none() {
            return Err(Flaw::Format);
        }
        Ok(Read::Fields(fields))
    }

    fn has_date(&self) -> bool {
        self.year.is_some() && self.month.is_some() && self.day.is_some()
    }

    fn set_time(&mut self, time: i64) -> Result<(), Flaw> {
        if self.time.replace(time).is_some() { Err(Flaw::Format) } else { Ok(()) }
    }

    fn set_zone(&mut self, zone: TimeZone) -> Result<(), Flaw> {
        if self.zone.replace(zone).is_some() { Err(Flaw::Format) } else { Ok(()) }
    }

    /// Digits alone: a packed date or time, or a part of a date beside the name of a month.
    fn number<'a>(&mut self, word: &'a str, time_only: bool, numbers: &mut Vec<&'a str>) -> Result<(), Flaw> {
        if (self.has_date() || time_only) && self.time.is_none() && matches!(word.len(), 4 | 6) {
            return self.set_time(packed_clock(word, word)?);
        }
        if self.year.is_none() && self.month.is_none() && numbers.is_empty() && matches!(word.len(), 6 | 8..) {
            let (year, month_day) = word.split_at(word.len() - 4);
            self.year = Some(Year { value: number(year)?, digits: year.len() });
            self.month = Some(number(&month_day[..2])?);
            self.day = Some(number(&month_day[2..])?);
            return Ok(());
        }
        numbers.push(word);
        Ok(())
    }

    /// Takes a word, or a date that begins with the name of a month (`jan-08-1999`); returns what follows.
    fn word<'a>(&mut self, rest: &'a str, end: usize, order: DateOrder, time_only: bool, half: &mut Option<Half>) -> Result<&'a str, Flaw> {
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..letters];
        if let Some(month) = month_of(word) {
            let delimited = rest[letters..].starts_with(['-', '/', '.']) && rest[letters + 1..].starts_with(|c: char| c.is_ascii_digit());
            if delimited {
                let (date, rest) = split_number(rest);
                self.set_date(date, order)?;
                return Ok(rest);
            }
            if self.month.replace(month).is_some() {
                return Err(Flaw::Format);
            }
            return Ok(&rest[letters..]);
        }
        match word {
            "bc" => self.before_christ = true,
            "ad" | "at" | "on" => {}
            "am" => *half = Some(Half::Morning),
            "pm" => *half = Some(Half::Afternoon),
            "allballs" => {
                self.set_time(0)?;
                self.set_zone(TimeZone::UTC)?;
            }
            // ISO 8601's mark before the time.
            "t" if rest[letters..].starts_with(|c: char| c.is_ascii_digit()) => {
                if !self.has_date() && !time_only {
                    return Err(Flaw::Format);
                }
            }
            "z" | "zulu" => self.set_zone(TimeZone::UTC)?,
            _ if is_day(word) => {}
            _ => {
                let (name, rest) = rest.split_at(end);
                let known = abbreviation(name).map(TimeZone::fixed).or_else(|| TimeZone::named(name));
                match known.or_else(|| posix(name)) {
                    Some(zone) => self.set_zone(zone)?,
                    None if name.contains('/') => return Err(Flaw::Zone(name.to_string())),
                    None => return Err(Flaw::Format),
                }
                return Ok(rest);
            }
        }
        Ok(&rest[letters..])
    }

    /// `2026-11-20`, `11/20/2026`, `20.11.2026`, `20-nov-2026`: three parts.
    fn set_date(&mut self, word: &str, order: DateOrder) -> Result<(), Flaw> {
        if self.year.is_some() || self.day.is_some() {
            return Err(Flaw::Format);
        }
        let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
        let &[a, b, c] = parts.as_slice() else { return Err(Flaw::Format) };
        let (year, month, day) = match (month_of(a), month_of(b)) {
            (Some(month), _) if order == DateOrder::Ymd => (b, month, c),
            (Some(month), _) => (c, month, b),
            (None, Some(month)) if a.len() > 2 || order == DateOrder::Ymd => (a, month, c),
            (None, Some(month)) => (c, month, a),
            (None, None) if a.len() > 2 => (a, number(b)?, c),
            (None, None) => match order {
                DateOrder::Mdy => (c, number(a)?, b),
                DateOrder::Dmy => (c, number(b)?, a),
                DateOrder::Ymd => (a, number(b)?, c),
            },
        };
        self.year = Some(Year { value: number(year)?, digits: year.len() });
        self.day = Some(number(day)?);
        if self.month.replace(month).is_some() {
            return Err(Flaw::Format);
        }
        Ok(())
    }

    /// Numbers beside the name of a month, or three in the session's order.
    fn take_numbers(&mut self, numbers: &[&str], order: DateOrder) -> Result<(), Flaw> {
        match (numbers, self.month) {
            ([], _) => Ok(()),
            (&[a, b], Some(_)) if self.year.is_none() && self.day.is_none() => {
                let (year, day) = if a.len() > 2 || (order == DateOrder::Ymd && b.len() <= 2) { (a, b) } else { (b, a) };
                self.year = Some(Year { value: number(year)?, digits: year.len() });
                self.day = Some(number(day)?);
                Ok(())
            }
            (&[a, b, c], None) if self.year.is_none() => self.set_date(&format!("{a}-{b}-{c}"), order),
            _ => Err(Flaw::Format),
        }
    }

    /// Days since 1970-01-01.
    fn days(&self, text: &str, type_name: &str) -> Result<i64> {
        self.checked_days().map_err(|flaw| flaw.error(text, type_name))
    }

    fn checked_days(&self) -> Result<i64, Flaw> {
        let (Some(year), Some(month), Some(day)) = (&self.year, self.month, self.day) else { return Err(Flaw::Format) };
        let year = match (year.value, self.before_christ) {
            (0, _) if year.digits > 2 || self.before_christ => return Err(Flaw::Field),
            (value, true) => 1 - value,
            (value @ 0..70, false) if year.digits <= 2 => value + 2000,
            (value @ 70..100, false) if year.digits <= 2 => value + 1900,
            (value, false) => value,
        };
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(Flaw::MonthDay);
        }
        if day as u32 > days_in_month(year, month as u32) {
            return Err(Flaw::Field);
        }
        Ok(days_of(year, month as u32, day as u32))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Half {
    Morning,
    Afternoon,
}

fn to_24_hours(time: i64, half: Half) -> Result<i64, Flaw> {
    let hours = time / HOUR;
    match (hours, half) {
        (13.., _) => Err(Flaw::Field),
        (12, Half::Morning) => Ok(time - 12 * HOUR),
        (..12, Half::Afternoon) => Ok(time + 12 * HOUR),
        _ => Ok(time),
    }
}

/// A time, a date or digits, and what follows.
fn split_number(text: &str) -> (&str, &str) {
    let digits = |from: usize| text[from..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |at| from + at);
    let letters = |from: usize| text[from..].find(|c: char| !c.is_ascii_alphabetic()).map_or(text.len(), |at| from + at);
    let part = |from: usize| if text[from..].starts_with(|c: char| c.is_ascii_alphabetic()) { letters(from) } else { digits(from) };
    let mut end = part(0);
    match text[end..].bytes().next() {
        Some(b':') => {
            end = text[end..].find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))).map_or(text.len(), |at| end + at);
        }
        Some(delimiter @ (b'-' | b'/' | b'.')) => {
            for _ in 0..2 {
                if text[end..].bytes().next() == Some(delimiter) {
                    end = part(end + 1);
                }
            }
        }
        _ => {}
    }
    text.split_at(end)
}

fn number(digits: &str) -> Result<i64, Flaw> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Flaw::Format);
    }
    digits.parse::<i64>().ok().filter(|value| *value < 1 << 31).ok_or(Flaw::Field)
}

/// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.ffffff`, `mm:ss.f`
fn clock(word: &str) -> Result<i64, Flaw> {
    let (clock, fraction) = word.split_once('.').map_or((word, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match (parts.as_slice(), fraction) {
        (&[minutes, seconds], Some(_)) => (0, number(minutes)?, number(seconds)?),
        (&[hours, minutes], None) => (number(hours)?, number(minutes)?, 0),
        (&[hours, minutes, seconds], _) => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(Flaw::Format),
    };
    time_of(hours, minutes, seconds, fraction)
}

/// `hhmm`, `hhmmss`, `hhmmss.f`
fn packed_clock(digits: &str, word: &str) -> Result<i64, Flaw> {
    let fraction = word.split_once('.').map(|(_, fraction)| fraction);
    let pair = |at: usize| digits.get(at..at + 2).map_or(Ok(0), number);
    if !matches!(digits.len(), 4 | 6) {
        return Err(Flaw::Format);
    }
    time_of(pair(0)?, pair(2)?, pair(4)?, fraction)
}

fn time_of(hours: i64, minutes: i64, seconds: i64, fraction: Option<&str>) -> Result<i64, Flaw> {
    let micros = fraction.map_or(Ok(0), micros_of)?;
    if minutes > 59 || seconds > 60 || hours > 24 || (hours == 24 && minutes + seconds + micros > 0) {
        return Err(Flaw::Field);
    }
    Ok(hours * HOUR + minutes * MINUTE + seconds * SECOND + micros)
}

/// The digits behind the point of seconds, rounded to microseconds.
fn micros_of(fraction: &str) -> Result<i64, Flaw> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Flaw::Format);
    }
    // In floating point and to the even neighbour, because that is what Postgres does with a half.
    let value: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Flaw::Format)? };
    Ok((value * 1e6).round_ties_even() as i64)
}

/// `+hh`, `+hhmm`, `+hh:mm`, `+hh:mm:ss`, in seconds.
fn offset(word: &str) -> Result<i32, Flaw> {
    let (sign, digits) = word.split_at(1);
    let parts: Vec<&str> = digits.split(':').collect();
    let (hours, minutes, seconds) = match *parts.as_slice() {
        [packed] if packed.len() > 2 => {
            let (hours, minutes) = packed.split_at(packed.len() - 2);
            (number(hours)?, number(minutes)?, 0)
        }
        [hours] => (number(hours)?, 0, 0),
        [hours, minutes] => (number(hours)?, number(minutes)?, 0),
        [hours, minutes, seconds] => (number(hours)?, number(minutes)?, number(seconds)?),
        _ => return Err(Flaw::Format),
    };
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Flaw::Offset);
    }
    let value = (hours * 3600 + minutes * 60 + seconds) as i32;
    Ok(if sign == "-" { -value } else { value })
}

/// `gmt+2`, hours west as POSIX counts them.
fn posix(name: &str) -> Option<TimeZone> {
    let signed = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.contains(['+', '-']);
    if signed { TimeZone::parse(name) } else { None }
}

fn month_of(word: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
    let at = MONTHS.iter().position(|month| *month == word || &month[..3] == word || (word == "sept" && *month == "september"))?;
    Some(at as i64 + 1)
}

fn is_day(word: &str) -> bool {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    const SHORT: [&str; 6] = ["tues", "wednes", "weds", "thur", "thurs", "thu"];
    DAYS.iter().any(|day| *day == word || &day[..3] == word) || SHORT.contains(&word)
}

/// Abbreviations of zones, in seconds east of UTC: the ones of Postgres' default set that are in wide use.
fn abbreviation(name: &str) -> Option<i32> {
    let half_hours = match name {
        "utc" | "gmt" | "uct" | "wet" => 0,
        "bst" | "cet" | "met" | "west" => 2,
        "cest" | "mest" | "eet" | "sast" => 4,
        "eest" | "msk" => 6,
        "jst" | "kst" => 18,
        "aest" => 20,
        "aedt" => 22,
        "nzst" => 24,
        "nzdt" => 26,
        "ast" | "edt" => -8,
        "est" | "cdt" => -10,
        "cst" | "mdt" => -12,
        "mst" | "pdt" => -14,
        "pst" | "akdt" => -16,
        "akst" => -18,
        "hst" => -20,
        _ => return None,
    };
    Some(half_hours * 1800)
}

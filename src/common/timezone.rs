//! Time zones of a session: UTC, fixed offsets and the names of the IANA database.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::{TZ_VARIANTS, Tz};

const HOUR_SECONDS: i32 = 3600;
/// Postgres' bound: a little under a week.
const OFFSET_SECONDS_MAX: i32 = 168 * HOUR_SECONDS;

/// A time zone as `SET TimeZone` takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeZone {
    /// As `SHOW TimeZone` shows it.
    name: String,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// Seconds east of UTC, the same all year.
    Fixed(i32),
    /// With its history.
    Named(Tz),
}

impl TimeZone {
    /// `UTC`
    pub const UTC: TimeZone = TimeZone { name: String::new(), rule: Rule::Fixed(0) };

    /// The zone of this name, in any case: `Europe/Berlin`, `utc`, `+02` or `-5.5` (hours east, as SQL counts), or
    /// `GMT-2`, `<+02>-02` (POSIX, hours west). `None` where there is none.
    pub fn parse(name: &str) -> Option<TimeZone> {
        let name = name.trim();
        if let Ok(hours) = name.parse::<f64>() {
            let seconds = (hours * HOUR_SECONDS as f64).round();
            return (seconds.abs() < OFFSET_SECONDS_MAX as f64).then(|| Self::fixed(seconds as i32));
        }
        if let Some(tz) = Self::named(name) {
            return Some(tz);
        }
        Self::posix(name)
    }

    /// A zone as POSIX writes it, which counts hours west of UTC: `GMT-2`, `<+02>-02`, `-02:00`.
    pub fn posix(name: &str) -> Option<TimeZone> {
        posix(name).map(|seconds| TimeZone { name: name.to_string(), rule: Rule::Fixed(seconds) })
    }

    /// A zone that is always this many seconds east of UTC.
    pub fn fixed(seconds_east: i32) -> TimeZone {
        if seconds_east == 0 {
            return Self::UTC;
        }
        let east = offset_text(seconds_east);
        let west = offset_text(-seconds_east);
        TimeZone { name: format!("<{east}>{west}"), rule: Rule::Fixed(seconds_east) }
    }

    /// A zone of the IANA database, or one of UTC's many names.
    pub fn named(name: &str) -> Option<TimeZone> {
        if ["UTC", "GMT", "UCT", "Zulu"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
            return Some(TimeZone { name: name.to_ascii_uppercase(), rule: Rule::Fixed(0) });
        }
        let tz = name.parse::<Tz>().ok().or_else(|| TZ_VARIANTS.iter().copied().find(|tz| tz.name().eq_ignore_ascii_case(name)))?;
        Some(TimeZone { name: tz.name().to_string(), rule: Rule::Named(tz) })
    }

    /// As `SHOW TimeZone` shows it.
    pub fn name(&self) -> &str {
        if self.name.is_empty() { "UTC" } else { &self.name }
    }

    /// Whether its clocks are always those of UTC.
    pub fn is_utc(&self) -> bool {
        self.rule == Rule::Fixed(0)
    }

    /// Seconds east of UTC at an instant, in microseconds since 1970.
    pub fn offset_at(&self, micros: i64) -> i32 {
        match self.rule {
            Rule::Fixed(seconds) => seconds,
            Rule::Named(tz) => tz.offset_from_utc_datetime(&naive(micros)).fix().local_minus_utc(),
        }
    }

    /// Seconds east of UTC where the clocks show `micros` since 1970. An hour that comes twice is read as its standard
    /// time, one that never comes as if the clocks had not been changed yet: as Postgres does.
    pub fn offset_of_local(&self, micros: i64) -> i32 {
        match self.rule {
            Rule::Fixed(seconds) => seconds,
            Rule::Named(tz) => {
                let local = naive(micros);
                match tz.offset_from_local_datetime(&local) {
                    chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
                    chrono::LocalResult::Ambiguous(first, second) => first.fix().local_minus_utc().min(second.fix().local_minus_utc()),
                    chrono::LocalResult::None => self.offset_at(micros.saturating_sub(86_400_000_000)),
                }
            }
        }
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An offset as ISO 8601 writes it, as short as can be: `+02`, `-03:30`, `+00:19:32`.
pub fn offset_text(seconds_east: i32) -> String {
    let sign = if seconds_east < 0 { '-' } else { '+' };
    let seconds = seconds_east.abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (minutes, seconds) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// Chrono's years end before Postgres'; beyond them the rules of the last year apply.
fn naive(micros: i64) -> NaiveDateTime {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.naive_utc(),
        None if micros < 0 => NaiveDateTime::MIN,
        None => NaiveDateTime::MAX,
    }
}

/// `GMT-2`, `<+02>-02`, `+02:30`: a name or none, then hours west of UTC; rules for daylight saving are not taken.
fn posix(name: &str) -> Option<i32> {
    let rest = match name.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => name.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let (sign, digits) = match rest.as_bytes().first()? {
        b'-' => (1, &rest[1..]),
        b'+' => (-1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut parts = digits.split(':').map(|part| part.parse::<i32>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit())));
    let hours = parts.next()??;
    let minutes = parts.next().map_or(Some(0), |part| part)?;
    let seconds = parts.next().map_or(Some(0), |part| part)?;
    let valid = parts.next().is_none() && hours < 168 && minutes < 60 && seconds < 60;
    valid.then_some(sign * (hours * HOUR_SECONDS + minutes * 60 + seconds))
}

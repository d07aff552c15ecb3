//! Intervals as text, in the styles that Postgres has.

use bytes::{BufMut, BytesMut};
use weir_common::interval::Interval;

use crate::value::datetime::put_seconds;
use crate::value::number::{put_int, put_padded};
use crate::value::settings::IntervalStyle;
use weir_common::calendar::{HOUR, MINUTE, SECOND};

/// Writes an interval in a style.
pub fn put(interval: Interval, style: IntervalStyle, out: &mut BytesMut) {
    match style {
        IntervalStyle::Postgres => put_postgres(interval, out),
        IntervalStyle::PostgresVerbose => put_verbose(interval, out),
        IntervalStyle::Iso8601 => put_iso(interval, out),
    }
}

/// `1 year 2 mons -3 days +04:05:06`: a sign is shown where it is not the one before.
fn put_postgres(interval: Interval, out: &mut BytesMut) {
    let start = out.len();
    let mut negative_before = false;
    for (value, unit) in [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.put_u8(b' ');
        }
        if negative_before && value > 0 {
            out.put_u8(b'+');
        }
        put_count(value as i64, unit, value != 1, out);
        negative_before = value < 0;
    }
    if interval.micros != 0 || out.len() == start {
        if out.len() > start {
            out.put_u8(b' ');
        }
        if interval.micros < 0 {
            out.put_u8(b'-');
        } else if negative_before {
            out.put_u8(b'+');
        }
        let micros = interval.micros.unsigned_abs();
        put_padded(micros / HOUR as u64, 2, out);
        out.put_u8(b':');
        put_padded(micros / MINUTE as u64 % 60, 2, out);
        out.put_u8(b':');
        put_seconds((micros % MINUTE as u64) as i64, 2, out);
    }
}

/// `@ 1 year 2 mons ago`: all signs turned where the first is negative.
fn put_verbose(interval: Interval, out: &mut BytesMut) {
    out.put_u8(b'@');
    let (hours, minutes, seconds) = (interval.micros / HOUR, interval.micros / MINUTE % 60, interval.micros % MINUTE);
    let parts = [
        (interval.months as i64 / 12, "year"),
        (interval.months as i64 % 12, "mon"),
        (interval.days as i64, "day"),
        (hours, "hour"),
        (minutes, "min"),
    ];
    let first = parts.iter().map(|part| part.0).chain([seconds]).find(|value| *value != 0).unwrap_or(0);
    let sign = if first < 0 { -1 } else { 1 };
    for (value, unit) in parts {
        if value != 0 {
            out.put_u8(b' ');
            put_count(value * sign, unit, value * sign != 1, out);
        }
    }
    if seconds != 0 {
        out.put_u8(b' ');
        if seconds * sign < 0 {
            out.put_u8(b'-');
        }
        put_seconds(seconds.abs(), 1, out);
        out.put_slice(if seconds.abs() == SECOND { b" sec" } else { b" secs" });
    }
    if first == 0 {
        out.put_slice(b" 0");
    }
    if first < 0 {
        out.put_slice(b" ago");
    }
}

/// `P1Y2M3DT4H5M6S`
fn put_iso(interval: Interval, out: &mut BytesMut) {
    if interval == Interval::default() {
        return out.put_slice(b"PT0S");
    }
    out.put_u8(b'P');
    let mut part = |value: i64, unit: u8| {
        if value != 0 {
            put_int(value, out);
            out.put_u8(unit);
        }
    };
    part(interval.months as i64 / 12, b'Y');
    part(interval.months as i64 % 12, b'M');
    part(interval.days as i64, b'D');
    if interval.micros == 0 {
        return;
    }
    out.put_u8(b'T');
    let mut part = |value: i64, unit: u8| {
        if value != 0 {
            put_int(value, out);
            out.put_u8(unit);
        }
    };
    part(interval.micros / HOUR, b'H');
    part(interval.micros / MINUTE % 60, b'M');
    let seconds = interval.micros % MINUTE;
    if seconds != 0 {
        if seconds < 0 {
            out.put_u8(b'-');
        }
        put_seconds(seconds.abs(), 1, out);
        out.put_u8(b'S');
    }
}

fn put_count(value: i64, unit: &str, plural: bool, out: &mut BytesMut) {
    put_int(value, out);
    out.put_u8(b' ');
    out.put_slice(unit.as_bytes());
    if plural {
        out.put_u8(b's');
    }
}

//! Dates and times as text: ISO, with ` BC` for years before 1 and `infinity`.

use bytes::{BufMut, BytesMut};

use crate::value::number::put_padded;
use weir_common::calendar::{DATE_INFINITY, DATE_MINUS_INFINITY, DAY, HOUR, INFINITY, MINUS_INFINITY, MINUTE, SECOND, date_of};
use weir_common::timezone::TimeZone;

/// Writes a date, of days since 1970-01-01.
pub fn put_date(days: i32, out: &mut BytesMut) {
    match days {
        DATE_INFINITY => out.put_slice(b"infinity"),
        DATE_MINUS_INFINITY => out.put_slice(b"-infinity"),
        _ => {
            let before_christ = put_day(days as i64, out);
            put_era(before_christ, out);
        }
    }
}

/// Writes a time of day, of microseconds since midnight.
pub fn put_time(micros: i64, out: &mut BytesMut) {
    put_padded((micros / HOUR) as u64, 2, out);
    out.put_u8(b':');
    put_padded((micros / MINUTE % 60) as u64, 2, out);
    out.put_u8(b':');
    put_seconds(micros % MINUTE, 2, out);
}

/// Writes a timestamp, of microseconds since 1970-01-01.
pub fn put_timestamp(micros: i64, out: &mut BytesMut) {
    put_moment(micros, micros, None, out);
}

/// Writes a timestamp with time zone as a zone's clocks show it, with their offset.
pub fn put_timestamptz(micros: i64, zone: &TimeZone, out: &mut BytesMut) {
    let offset = if is_finite(micros) { zone.offset_at(micros) } else { 0 };
    put_moment(micros, micros.saturating_add(offset as i64 * SECOND), Some(offset), out);
}

/// Seconds and their fraction without zeros at its end: `05`, `05.25`.
pub fn put_seconds(micros: i64, width: usize, out: &mut BytesMut) {
    put_padded((micros / SECOND) as u64, width, out);
    let mut fraction = micros % SECOND;
    if fraction > 0 {
        out.put_u8(b'.');
        let mut digits = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        put_padded(fraction as u64, digits, out);
    }
}

fn is_finite(micros: i64) -> bool {
    micros != INFINITY && micros != MINUS_INFINITY
}

fn put_moment(micros: i64, local: i64, offset: Option<i32>, out: &mut BytesMut) {
    match micros {
        INFINITY => return out.put_slice(b"infinity"),
        MINUS_INFINITY => return out.put_slice(b"-infinity"),
        _ => {}
    }
    let before_christ = put_day(local.div_euclid(DAY), out);
    out.put_u8(b' ');
    put_time(local.rem_euclid(DAY), out);
    if let Some(offset) = offset {
        out.put_u8(if offset < 0 { b'-' } else { b'+' });
        let seconds = offset.unsigned_abs() as u64;
        put_padded(seconds / 3600, 2, out);
        if !seconds.is_multiple_of(3600) {
            out.put_u8(b':');
            put_padded(seconds / 60 % 60, 2, out);
            if !seconds.is_multiple_of(60) {
                out.put_u8(b':');
                put_padded(seconds % 60, 2, out);
            }
        }
    }
    put_era(before_christ, out);
}

fn put_day(days: i64, out: &mut BytesMut) -> bool {
    let (year, month, day) = date_of(days);
    let before_christ = year <= 0;
    put_padded((if before_christ { 1 - year } else { year }) as u64, 4, out);
    out.put_u8(b'-');
    put_padded(month as u64, 2, out);
    out.put_u8(b'-');
    put_padded(day as u64, 2, out);
    before_christ
}

fn put_era(before_christ: bool, out: &mut BytesMut) {
    if before_christ {
        out.put_slice(b" BC");
    }
}

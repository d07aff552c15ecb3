//! Values to text, as Postgres writes them.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use weir_common::calendar::{DATE_INFINITY, DATE_MINUS_INFINITY, INFINITY, MINUS_INFINITY, SECOND, date_of};
use weir_common::error::{Error, Result};
use weir_common::timezone::{TimeZone, offset_text};
use weir_common::types::PgType;

use crate::function::calendar::{DAY_MICROS, civil_from_days};
use crate::read::served_type;

/// Every value as text; `field` says what they are.
pub(crate) fn to_text(values: &ArrayRef, field: &Field, zone: &TimeZone) -> Result<ArrayRef> {
    let served = served_type(values.data_type());
    let values = match served == *values.data_type() {
        true => values.clone(),
        false => cast_with_options(values, &served, &CastOptions { safe: false, ..Default::default() })?,
    };
    let rows = values.len();
    let each = |f: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..rows).map(|row| values.is_valid(row).then(|| f(row))).collect::<StringArray>())
    };
    Ok(match &served {
        DataType::Utf8 => values.clone(),
        DataType::Float32 => each(&|row| float(values.as_primitive::<Float32Type>().value(row) as f64, true)),
        DataType::Float64 => each(&|row| float(values.as_primitive::<Float64Type>().value(row), false)),
        DataType::Decimal128(_, scale) => {
            // Without a declared scale, zeros at the end are not part of the value.
            let trim = PgType::of_field(field) == PgType::Numeric(None);
            each(&|row| decimal(values.as_primitive::<Decimal128Type>().value(row), *scale, trim))
        }
        DataType::Timestamp(_, None) => each(&|row| timestamp(values.as_primitive::<TimestampMicrosecondType>().value(row))),
        DataType::Timestamp(_, Some(_)) => each(&|row| {
            let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
            if matches!(micros, INFINITY | MINUS_INFINITY) {
                return timestamp(micros);
            }
            let offset = zone.offset_at(micros);
            timestamp(micros.saturating_add(offset as i64 * SECOND)) + &offset_text(offset)
        }),
        DataType::Time64(_) => each(&|row| time(values.as_primitive::<Time64MicrosecondType>().value(row))),
        DataType::Interval(_) => each(&|row| interval(values.as_primitive::<IntervalMonthDayNanoType>().value(row))),
        DataType::FixedSizeBinary(16) if PgType::of_field(field) == PgType::Uuid => {
            each(&|row| uuid(values.as_fixed_size_binary().value(row)))
        }
        DataType::FixedSizeBinary(_) => each(&|row| bytea(values.as_fixed_size_binary().value(row))),
        DataType::Binary => each(&|row| bytea(values.as_binary::<i32>().value(row))),
        DataType::Date32 => each(&|row| date(values.as_primitive::<Date32Type>().value(row))),
        DataType::Boolean | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            cast_with_options(&values, &DataType::Utf8, &CastOptions { safe: false, ..Default::default() })?
        }
        DataType::List(element) => {
            let lists = values.as_list::<i32>();
            let texts = (0..rows).map(|row| match lists.is_valid(row) {
                true => array(&lists.value(row), element, zone).map(Some),
                false => Ok(None),
            });
            Arc::new(texts.collect::<Result<StringArray>>()?)
        }
        _ => {
            let ty = PgType::of_field(field).spelling();
            return Err(Error::unsupported(format!("cannot cast type {ty} to text yet")));
        }
    })
}

/// The shortest digits that give the number back; with an exponent from 1e15 on (1e6 for `real`) and below 1e-4.
pub(crate) fn float(value: f64, single: bool) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    let text = if single { format!("{:e}", value as f32) } else { format!("{value:e}") };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..if single { 6 } else { 15 }).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    if single { format!("{}", value as f32) } else { format!("{value}") }
}

/// A decimal with its scale, or without the zeros at its end.
pub(crate) fn decimal(value: i128, scale: i8, trim: bool) -> String {
    let (sign, digits) = (if value < 0 { "-" } else { "" }, value.unsigned_abs().to_string());
    if scale <= 0 {
        let zeros = if value == 0 { 0 } else { scale.unsigned_abs() as usize };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let scale = scale as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = if trim { fraction.trim_end_matches('0') } else { fraction };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// `2024-02-29`
pub(crate) fn date(days: i32) -> String {
    match days {
        DATE_INFINITY => return "infinity".to_string(),
        DATE_MINUS_INFINITY => return "-infinity".to_string(),
        _ => {}
    }
    let (year, month, day) = date_of(days as i64);
    if year > 0 { format!("{year:04}-{month:02}-{day:02}") } else { format!("{:04}-{month:02}-{day:02} BC", 1 - year) }
}

/// `2024-02-29 10:00:00.5`
pub(crate) fn timestamp(micros: i64) -> String {
    match micros {
        INFINITY => return "infinity".to_string(),
        MINUS_INFINITY => return "-infinity".to_string(),
        _ => {}
    }
    let (year, month, day) = civil_from_days(micros.div_euclid(DAY_MICROS));
    let time = time(micros.rem_euclid(DAY_MICROS));
    match year > 0 {
        true => format!("{year:04}-{month:02}-{day:02} {time}"),
        false => format!("{:04}-{month:02}-{day:02} {time} BC", 1 - year),
    }
}

/// `10:00:00.5`
pub(crate) fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => text,
        _ => format!("{text}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

/// `1 year 2 mons 3 days 04:05:06`
pub(crate) fn interval(value: IntervalMonthDayNano) -> String {
    let mut text = String::new();
    let mut part = |amount: i32, unit: &str| {
        if amount != 0 {
            let space = if text.is_empty() { "" } else { " " };
            let plural = if amount == 1 { "" } else { "s" };
            let _ = write!(text, "{space}{amount} {unit}{plural}");
        }
    };
    part(value.months / 12, "year");
    part(value.months % 12, "mon");
    part(value.days, "day");
    let micros = value.nanoseconds / 1000;
    if micros != 0 || text.is_empty() {
        let space = if text.is_empty() { "" } else { " " };
        let sign = if micros < 0 { "-" } else { "" };
        let _ = write!(text, "{space}{sign}{}", time(micros.abs()));
    }
    text
}

/// `{1,2,NULL}`, with quotes where an element needs them.
fn array(values: &ArrayRef, element: &Field, zone: &TimeZone) -> Result<String> {
    let nested = matches!(values.data_type(), DataType::List(_));
    let texts = to_text(values, element, zone)?;
    let one = |text: Option<&str>| match text {
        None => "NULL".to_string(),
        Some(text) if nested => text.to_string(),
        Some(text) => {
            let special = |c: char| c.is_whitespace() || "{},\"\\".contains(c);
            match text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
                true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                false => text.to_string(),
            }
        }
    };
    Ok(format!("{{{}}}", texts.as_string::<i32>().iter().map(one).collect::<Vec<_>>().join(",")))
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn bytea(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_string(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

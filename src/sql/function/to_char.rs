//! `to_char(timestamp, format)` with Postgres' patterns (`YYYY-MM-DD HH24:MI:SS`).

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_common::error::{Error, SqlState};

use crate::context::external;
use crate::function::aggregate::no_such;
use crate::function::calendar::{DAY_MICROS, civil_from_days, days_from_civil};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Longer patterns before those that they begin with.
const PATTERNS: [&str; 36] = [
    "YYYY", "YYY", "YY", "Y", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "MI", "MS", "DDD", "DD", "DAY", "Day", "day", "DY",
    "Dy", "dy", "D", "HH24", "HH12", "HH", "SSSS", "SS", "US", "AM", "PM", "am", "pm", "Q", "WW", "TZ", "OF",
];

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ToChar {
    signature: Signature,
}

impl Default for ToChar {
    fn default() -> Self {
        ToChar { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        "to_char"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Timestamp(..) | DataType::Date32 | DataType::Null, DataType::Utf8 | DataType::Null] => Ok(DataType::Utf8),
            [number, _] if number.is_numeric() => {
                let error = Error::unsupported("to_char of a number is not supported yet").with_hint("Use round and a cast to text.");
                Err(external(error))
            }
            _ => Err(external(no_such("to_char", arg_types))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let zone = matches!(args.arg_fields[0].data_type(), DataType::Timestamp(_, Some(_)));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let options = CastOptions { safe: false, ..Default::default() };
        let times = cast_with_options(&args.args[0].to_array(rows)?, &micros, &options)?;
        let formats = cast_with_options(&args.args[1].to_array(rows)?, &DataType::Utf8, &options)?;
        let (times, formats) = (times.as_primitive::<TimestampMicrosecondType>(), formats.as_string::<i32>());
        let format = |row: usize| -> Result<Option<String>> {
            match times.is_valid(row) && formats.is_valid(row) {
                true => format(times.value(row), zone, formats.value(row)).map(Some).map_err(external),
                false => Ok(None),
            }
        };
        let texts = (0..rows).map(format).collect::<Result<StringArray>>()?;
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?)),
            false => Ok(ColumnarValue::Array(Arc::new(texts))),
        }
    }
}

/// One time by a format; text in double quotes stands for itself, `FM` takes the padding off.
fn format(micros: i64, zone: bool, format: &str) -> Result<String, Error> {
    let days = micros.div_euclid(DAY_MICROS);
    let (year, month, day) = civil_from_days(days);
    let of_day = micros.rem_euclid(DAY_MICROS);
    let seconds = of_day / 1_000_000;
    let (hour, minute, second, fraction) = (seconds / 3600, seconds / 60 % 60, seconds % 60, of_day % 1_000_000);
    let weekday = (days + 4).rem_euclid(7);
    let of_year = days - days_from_civil(year, 1, 1) + 1;
    let half_day = if hour % 12 == 0 { 12 } else { hour % 12 };
    let (mut text, mut rest, mut fill) = (String::new(), format, true);
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("FM") {
            (fill, rest) = (false, after);
            continue;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            text.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        let Some(pattern) = PATTERNS.iter().find(|pattern| rest.starts_with(**pattern)) else {
            if first.is_ascii_alphabetic() {
                let message = format!("to_char does not know the pattern at \"{rest}\"");
                let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
                return Err(error.with_hint(
                    "Patterns are YYYY MM DD HH24 MI SS MS US AM Mon Month Dy Day DDD D Q WW TZ; put other text in double quotes.",
                ));
            }
            text.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[pattern.len()..];
        let mut number = |value: i64, width: usize| match fill {
            true => write!(text, "{value:0width$}"),
            false => write!(text, "{value}"),
        };
        // Writing to a string cannot fail.
        let _ = match *pattern {
            "YYYY" => number(year, 4),
            "YYY" => number(year.rem_euclid(1000), 3),
            "YY" => number(year.rem_euclid(100), 2),
            "Y" => number(year.rem_euclid(10), 1),
            "MM" => number(month, 2),
            "DDD" => number(of_year, 3),
            "DD" => number(day, 2),
            "D" => number(weekday + 1, 1),
            "HH24" => number(hour, 2),
            "HH12" | "HH" => number(half_day, 2),
            "MI" => number(minute, 2),
            "SSSS" => number(seconds, 1),
            "SS" => number(second, 2),
            "MS" => number(fraction / 1000, 3),
            "US" => number(fraction, 6),
            "Q" => number((month + 2) / 3, 1),
            "WW" => number((of_year + 6) / 7, 2),
            "AM" | "PM" => write!(text, "{}", if hour < 12 { "AM" } else { "PM" }),
            "am" | "pm" => write!(text, "{}", if hour < 12 { "am" } else { "pm" }),
            "TZ" => write!(text, "{}", if zone { "UTC" } else { "" }),
            "OF" => write!(text, "{}", if zone { "+00" } else { "" }),
            named => {
                let name = if named.to_uppercase().starts_with("MO") { MONTHS[(month - 1) as usize] } else { DAYS[weekday as usize] };
                let name = if matches!(named.to_uppercase().as_str(), "MON" | "DY") { &name[..3] } else { name };
                let name = match named {
                    "MONTH" | "MON" | "DAY" | "DY" => name.to_uppercase(),
                    "month" | "mon" | "day" | "dy" => name.to_lowercase(),
                    _ => name.to_string(),
                };
                match fill && !matches!(named.to_uppercase().as_str(), "MON" | "DY") {
                    true => write!(text, "{name:9}"),
                    false => write!(text, "{name}"),
                }
            }
        };
        fill = true;
    }
    Ok(text)
}

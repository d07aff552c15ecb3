//! Text to values, as Postgres reads them: an error names the type and shows the text.

use arrow::compute::kernels::cast_utils::{IntervalParseConfig, IntervalUnit as Unit, parse_interval_month_day_nano_config};
use arrow::datatypes::IntervalMonthDayNano;
use weir_common::error::{Error, Result, SqlState};

/// The error for text that is no value of a type.
pub(crate) fn invalid(ty: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {ty}: \"{text}\""))
}

/// The error for text that is no date or time.
pub(crate) fn invalid_time(ty: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {ty}: \"{text}\""))
}

/// `1 day`, `01:02:03`, `2 hours 3 minutes` ...; a bare number is seconds.
pub(crate) fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    parse_interval_month_day_nano_config(text.trim(), IntervalParseConfig::new(Unit::Second)).map_err(|_| invalid_time("interval", text))
}

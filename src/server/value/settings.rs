//! What a session says about the text of values: time zone, float digits, styles.

use crate::value::timezone::TimeZone;

/// The session variables that decide how values are written as text and read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSettings {
    /// `TimeZone`: where a `timestamptz` is shown, and where one without an offset is read.
    pub time_zone: TimeZone,
    /// The order half of `DateStyle` (`ISO, MDY`): how `01/02/2003` is read. Output is always ISO.
    pub date_order: DateOrder,
    /// `IntervalStyle`
    pub interval_style: IntervalStyle,
    /// `extra_float_digits`, -15 to 3; above 0 the shortest text that reads back as the same number.
    pub extra_float_digits: i8,
    /// `bytea_output`
    pub bytea_output: ByteaOutput,
}

impl Default for TextSettings {
    fn default() -> Self {
        TextSettings {
            time_zone: TimeZone::UTC,
            date_order: DateOrder::Mdy,
            interval_style: IntervalStyle::Postgres,
            extra_float_digits: 1,
            bytea_output: ByteaOutput::Hex,
        }
    }
}

/// The order of the parts of a date of three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// month, day, year
    Mdy,
    /// day, month, year
    Dmy,
    /// year, month, day
    Ymd,
}

/// How an interval is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalStyle {
    /// `1 mon 2 days 00:00:03`
    Postgres,
    /// `@ 1 mon 2 days 3 secs`
    PostgresVerbose,
    /// `P1M2DT3S`
    Iso8601,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteaOutput {
    /// `\x68c3bc`
    Hex,
    /// `h\303\274`
    Escape,
}

//! What a session says about the text of values: time zone, float digits, styles.

use weir_common::datetime::Customs;

/// The session variables that decide how values are written as text and read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSettings {
    /// `TimeZone`, where a `timestamptz` is shown too, and the order half of `DateStyle` (`ISO, MDY`); output is always ISO.
    pub customs: Customs,
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
            customs: Customs::default(),
            interval_style: IntervalStyle::Postgres,
            extra_float_digits: 1,
            bytea_output: ByteaOutput::Hex,
        }
    }
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

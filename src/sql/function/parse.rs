//! Text to values, as Postgres reads them: an error names the type and shows the text.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use weir_common::error::{Error, Result, SqlState};
use weir_common::numeric::too_many_decimals;
use weir_common::types::PgType;

use crate::function::calendar::{DAY_MICROS, days_from_civil};

/// The error for text that is no value of a type.
pub(crate) fn invalid(ty: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {ty}: \"{text}\""))
}

fn invalid_time(ty: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {ty}: \"{text}\""))
}

/// Why text is no date or time. Of several reasons the last here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unread {
    /// Well-formed, but there is no such month, day, hour ...
    Field,
    /// Well-formed, but no zone is that far away.
    Displacement,
    /// Not well-formed.
    Syntax,
}

impl Unread {
    fn error(self, ty: &str, text: &str) -> Error {
        match self {
            Unread::Field => Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\"")),
            Unread::Displacement => Error::new(SqlState("22009"), format!("time zone displacement out of range: \"{text}\"")),
            Unread::Syntax => invalid_time(ty, text),
        }
    }
}

/// The value that the text is of a type; `data_type` is the Arrow type wanted for it.
pub(crate) fn value(text: &str, ty: &PgType, data_type: &DataType) -> Result<ScalarValue> {
    let word = ty.typname_for_messages();
    let trimmed = text.trim();
    Ok(match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(boolean(trimmed).ok_or_else(|| invalid("boolean", text))?)),
        DataType::Int16 => ScalarValue::Int16(Some(integer(text, &word, i16::MIN as i64, i16::MAX as i64)? as i16)),
        DataType::Int32 => ScalarValue::Int32(Some(integer(text, &word, i32::MIN as i64, i32::MAX as i64)? as i32)),
        DataType::Int64 => ScalarValue::Int64(Some(integer(text, &word, i64::MIN, i64::MAX)?)),
        DataType::Float32 => ScalarValue::Float32(Some(float(trimmed).ok_or_else(|| invalid("real", text))? as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(float(trimmed).ok_or_else(|| invalid("double precision", text))?)),
        DataType::Decimal128(precision, scale) => {
            let exact = *ty == PgType::Numeric(None);
            ScalarValue::Decimal128(Some(decimal(text, *precision, *scale, exact)?), *precision, *scale)
        }
        DataType::Date32 => {
            let (days, _, _) = moment(trimmed).map_err(|unread| unread.error("date", text))?;
            let out = |_| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""));
            ScalarValue::Date32(Some(i32::try_from(days).map_err(out)?))
        }
        DataType::Time64(_) => ScalarValue::Time64Microsecond(Some(time(trimmed).map_err(|unread| unread.error("time", text))?)),
        DataType::Timestamp(_, zone) => {
            let word = if zone.is_some() { "timestamp with time zone" } else { "timestamp" };
            let (days, micros, offset) = moment(trimmed).map_err(|unread| unread.error(word, text))?;
            let shift = if zone.is_some() { offset } else { 0 };
            let moment = days.checked_mul(DAY_MICROS).and_then(|start| start.checked_add(micros - shift));
            let out = || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""));
            ScalarValue::TimestampMicrosecond(Some(moment.ok_or_else(out)?), zone.clone())
        }
        DataType::Interval(_) => ScalarValue::IntervalMonthDayNano(Some(interval(text)?)),
        DataType::FixedSizeBinary(16) => ScalarValue::FixedSizeBinary(16, Some(uuid(trimmed).ok_or_else(|| invalid("uuid", text))?)),
        DataType::Binary => ScalarValue::Binary(Some(bytea(text)?)),
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_string())),
        _ => return Err(Error::unsupported(format!("cannot cast text to type {} yet", ty.spelling()))),
    })
}

/// The types' names in messages.
trait Named {
    fn typname_for_messages(&self) -> String;
}

impl Named for PgType {
    fn typname_for_messages(&self) -> String {
        match self {
            PgType::Numeric(_) => "numeric".to_string(),
            other => other.spelling(),
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.to_lowercase();
    // Any unambiguous beginning of a word.
    let is = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match text.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ if is("true", 1) || is("yes", 1) || is("on", 2) => Some(true),
        _ if is("false", 1) || is("no", 1) || is("off", 2) => Some(false),
        _ => None,
    }
}

fn integer(text: &str, word: &str, min: i64, max: i64) -> Result<i64> {
    let out = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{text}\" is out of range for type {word}"));
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(word, text));
    }
    let value: i64 = trimmed.parse().map_err(|_| out())?;
    if value < min || value > max { Err(out()) } else { Ok(value) }
}

fn float(text: &str) -> Option<f64> {
    match text.to_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" | "+inf" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        other if other.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte)) => other.parse().ok(),
        _ => None,
    }
}

/// Rounded half away from zero to the scale; refused where it would have to be rounded, if it must be `exact`.
fn decimal(text: &str, precision: u8, scale: i8, exact: bool) -> Result<i128> {
    let bad = || invalid("numeric", text);
    let overflow = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
    let trimmed = text.trim();
    let (negative, unsigned) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| bad())?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    // The value is digits * 10^-places; wanted are `scale` places.
    let places = fraction.len() as i64 - exponent;
    let kept = digits.len() as i64 - (places - scale as i64);
    let mut value: i128 = 0;
    for digit in &digits[..kept.clamp(0, digits.len() as i64) as usize] {
        value = value.checked_mul(10).and_then(|value| value.checked_add((digit - b'0') as i128)).ok_or_else(overflow)?;
    }
    for _ in digits.len() as i64..kept {
        if value == 0 {
            break;
        }
        value = value.checked_mul(10).ok_or_else(overflow)?;
    }
    if exact && digits[kept.clamp(0, digits.len() as i64) as usize..].iter().any(|digit| *digit != b'0') {
        return Err(too_many_decimals());
    }
    if (0..digits.len() as i64).contains(&kept) && digits[kept as usize] >= b'5' {
        value += 1;
    }
    if value >= 10i128.pow(precision as u32) {
        let detail = format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{}.",
            precision as i8 - scale
        );
        return Err(overflow().with_detail(detail));
    }
    Ok(if negative { -value } else { value })
}

/// A date, perhaps with a time and a zone: days, microseconds of the day, and the zone's offset in microseconds.
fn moment(text: &str) -> Result<(i64, i64, i64), Unread> {
    if text.eq_ignore_ascii_case("epoch") {
        return Ok((0, 0, 0));
    }
    let (date, rest) = match text.find([' ', 'T', 't']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, ""),
    };
    let days = date_days(date);
    if rest.is_empty() {
        return Ok((days?, 0, 0));
    }
    let zone_at = rest.find(|c: char| c == '+' || c == '-' || c.is_ascii_alphabetic() || c == ' ').unwrap_or(rest.len());
    match (days, time(&rest[..zone_at]), zone(rest[zone_at..].trim())) {
        (Ok(days), Ok(micros), Ok(zone)) => Ok((days, micros, zone)),
        (days, micros, zone) => Err(days.err().max(micros.err()).max(zone.err()).unwrap_or(Unread::Syntax)),
    }
}

/// A field of nothing but digits.
fn field(text: &str) -> Result<i64, Unread> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unread::Syntax);
    }
    text.parse().map_err(|_| Unread::Field)
}

fn date_days(text: &str) -> Result<i64, Unread> {
    let mut parts = text.splitn(3, '-');
    let mut number = |most: usize| field(parts.next().filter(|part| part.len() <= most).ok_or(Unread::Syntax)?);
    let (year, month, day) = (number(6)?, number(2)?, number(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return Err(Unread::Field),
    };
    if year >= 1 && (1..=length).contains(&day) { Ok(days_from_civil(year, month, day)) } else { Err(Unread::Field) }
}

/// `10:00`, `10:00:00`, `10:00:00.123456`
fn time(text: &str) -> Result<i64, Unread> {
    let mut parts = text.split(':');
    let (hour, minute) = (parts.next().ok_or(Unread::Syntax)?, parts.next().ok_or(Unread::Syntax)?);
    let (second, fraction) = parts.next().map_or(("0", ""), |part| part.split_once('.').unwrap_or((part, "")));
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unread::Syntax);
    }
    let (hour, minute, second) = (field(hour)?, field(minute)?, field(second)?);
    let mut micros = 0;
    let digits = fraction.as_bytes();
    for place in 0..6 {
        micros = micros * 10 + digits.get(place).map_or(0, |digit| (digit - b'0') as i64);
    }
    if digits.get(6).is_some_and(|digit| *digit >= b'5') {
        micros += 1;
    }
    if hour > 24 || minute > 59 || second > 60 || (hour == 24 && minute + second + micros > 0) {
        return Err(Unread::Field);
    }
    Ok(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// `Z`, `UTC`, `+02`, `-05:30`: microseconds to take off.
fn zone(text: &str) -> Result<i64, Unread> {
    if text.is_empty() || ["z", "utc", "gmt"].contains(&text.to_lowercase().as_str()) {
        return Ok(0);
    }
    let sign = match text.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return Err(Unread::Syntax),
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 1 | 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unread::Syntax);
    }
    let (hours, minutes) = digits.split_at(digits.len().min(2));
    let (hours, minutes) = (field(hours)?, if minutes.is_empty() { 0 } else { field(minutes)? });
    if hours > 15 || minutes > 59 {
        return Err(Unread::Displacement);
    }
    Ok(sign * (hours * 60 + minutes) * 60_000_000)
}

/// `1 day`, `01:02:03`, `2 hours 3 minutes` ...; a bare number is seconds.
pub(crate) fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    weir_common::interval::parse(text)?.to_arrow().ok_or_else(|| invalid_time("interval", text))
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let hex: Vec<u8> = inner.bytes().filter(|byte| *byte != b'-').collect();
    (hex.len() == 32).then(|| unhex(&hex)).flatten()
}

fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    hex.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// `\x` and hex digits, or plain text with `\\` and octal escapes.
fn bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return unhex(hex.as_bytes()).ok_or_else(|| Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid hexadecimal data"));
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            (b'\\', _) => return Err(invalid("bytea", text)),
            (byte, tail) => {
                bytes.push(*byte);
                tail
            }
        };
    }
    Ok(bytes)
}

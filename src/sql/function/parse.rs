//! Text to values, as Postgres reads them: an error names the type and shows the text.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use weir_common::datetime::{self, Customs, DateOrder};
use weir_common::error::{Error, Result, SqlState, invalid_datetime, invalid_syntax as invalid};
use weir_common::numeric::too_many_decimals;
use weir_common::timezone::TimeZone;
use weir_common::types::PgType;
use weir_common::{bytea, json, list};

/// A value that the text is whoever reads it; `None` where that depends on a session's customs.
pub(crate) fn constant(text: &str, ty: &PgType, data_type: &DataType) -> Result<Option<ScalarValue>> {
    let first = value(text, ty, data_type, &Customs::default());
    if !matches!(data_type, DataType::Date32 | DataType::Timestamp(..)) {
        return first.map(Some);
    }
    let elsewhere = [(1, DateOrder::Dmy), (-1, DateOrder::Ymd)];
    let same = elsewhere.into_iter().all(|(seconds, order)| {
        let other = value(text, ty, data_type, &Customs { zone: TimeZone::fixed(seconds), order });
        matches!((&first, &other), (Ok(first), Ok(other)) if first == other) || first.is_err() && other.is_err()
    });
    if same { first.map(Some) } else { Ok(None) }
}

/// The value that the text is of a type; `data_type` is the Arrow type wanted for it.
pub(crate) fn value(text: &str, ty: &PgType, data_type: &DataType, customs: &Customs) -> Result<ScalarValue> {
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
        DataType::Date32 => ScalarValue::Date32(Some(datetime::date(text, customs)?)),
        DataType::Time64(_) => ScalarValue::Time64Microsecond(Some(datetime::time(text, customs)?)),
        DataType::Timestamp(_, None) => ScalarValue::TimestampMicrosecond(Some(datetime::timestamp(text, customs)?), None),
        DataType::Timestamp(_, zone) => ScalarValue::TimestampMicrosecond(Some(datetime::timestamptz(text, customs)?), zone.clone()),
        DataType::Interval(_) => ScalarValue::IntervalMonthDayNano(Some(interval(text)?)),
        DataType::FixedSizeBinary(16) => {
            let uuid = bytea::parse_uuid(trimmed).ok_or_else(|| invalid("uuid", text))?;
            ScalarValue::FixedSizeBinary(16, Some(uuid.to_vec()))
        }
        DataType::Binary => ScalarValue::Binary(Some(bytea::parse(text.as_bytes())?)),
        DataType::List(item) => {
            let element = match ty {
                PgType::Array(element) => element.as_ref().clone(),
                _ => PgType::of_field(item),
            };
            let null = || ScalarValue::try_from(item.data_type()).map_err(|error| Error::internal(error.to_string()));
            let elements = list::parse_array(text)?;
            let elements = elements.iter().map(|text| match text {
                Some(text) => value(text, &element, item.data_type(), customs),
                None => null(),
            });
            ScalarValue::List(ScalarValue::new_list(&elements.collect::<Result<Vec<_>>>()?, item.data_type(), true))
        }
        DataType::Utf8 if *ty == PgType::Json => {
            json::check(text)?;
            ScalarValue::Utf8(Some(text.to_string()))
        }
        DataType::Utf8 if *ty == PgType::Jsonb => ScalarValue::Utf8(Some(json::canonical(text)?)),
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

/// `1 day`, `01:02:03`, `2 hours 3 minutes` ...; a bare number is seconds.
pub(crate) fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    weir_common::interval::parse(text)?.to_arrow().ok_or_else(|| invalid_datetime("interval", text))
}

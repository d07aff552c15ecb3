//! Arithmetic with dates, times and intervals.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Datum, Int32Array, IntervalMonthDayNanoArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use datafusion::logical_expr::Operator;

use crate::function::arithmetic::{interval, numeric_rank};
use crate::function::calendar::DAY_MICROS;

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

/// The word for a type in a message.
pub(super) fn word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 => "date",
        DataType::Time64(_) => "time",
        _ => "interval",
    }
}

/// The type of a result, for the pairs of types that have one.
pub(super) fn result(operator: Operator, left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Int32, Interval, Time64};
    let number = |data_type: &DataType| numeric_rank(data_type).is_some();
    let integer = |data_type: &DataType| numeric_rank(data_type).is_some_and(|rank| rank <= 2);
    match (operator, left, right) {
        (Operator::Plus | Operator::Minus, time, Interval(_)) if is_timestamp(time) => Some(time.clone()),
        (Operator::Plus, Interval(_), time) if is_timestamp(time) => Some(time.clone()),
        (Operator::Plus, time, Time64(_)) if is_timestamp(time) => Some(time.clone()),
        (Operator::Plus, Time64(_), time) if is_timestamp(time) => Some(time.clone()),
        (Operator::Plus | Operator::Minus, Date32, Interval(_)) | (Operator::Plus, Interval(_), Date32) => Some(TIMESTAMP),
        (Operator::Plus, Date32, Time64(_)) | (Operator::Plus, Time64(_), Date32) => Some(TIMESTAMP),
        (Operator::Plus | Operator::Minus, Date32, days) if integer(days) => Some(Date32),
        (Operator::Plus, days, Date32) if integer(days) => Some(Date32),
        (Operator::Minus, Date32, Date32) => Some(Int32),
        (Operator::Minus, left, right) if (is_timestamp(left) || *left == Date32) && (is_timestamp(right) || *right == Date32) => {
            Some(interval())
        }
        (Operator::Plus | Operator::Minus, Time64(unit), Interval(_)) | (Operator::Plus, Interval(_), Time64(unit)) => Some(Time64(*unit)),
        (Operator::Minus, Time64(_), Time64(_)) => Some(interval()),
        (Operator::Plus | Operator::Minus, Interval(_), Interval(_)) => Some(interval()),
        (Operator::Multiply | Operator::Divide, Interval(_), factor) if number(factor) => Some(interval()),
        (Operator::Multiply, factor, Interval(_)) if number(factor) => Some(interval()),
        _ => None,
    }
}

/// What the operands are cast to.
pub(super) fn operands(left: &DataType, right: &DataType) -> (DataType, DataType) {
    let zone = |data_type: &DataType| match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let side = |this: &DataType, other: &DataType| match this {
        DataType::Date32 if matches!(other, DataType::Interval(_) | DataType::Time64(_)) => TIMESTAMP,
        // Two moments meet as what the other one is.
        DataType::Date32 | DataType::Timestamp(..) if is_timestamp(other) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone(this).or_else(|| zone(other)))
        }
        this if *other == DataType::Date32 && numeric_rank(this).is_some() => DataType::Int32,
        this if matches!(other, DataType::Interval(_)) && numeric_rank(this).is_some() => DataType::Float64,
        this => this.clone(),
    };
    (side(left, right), side(right, left))
}

/// The result, for operands that are cast already.
pub(super) fn compute(operator: Operator, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    let (left_type, right_type) = (left.get().0.data_type().clone(), right.get().0.data_type().clone());
    match (&left_type, &right_type) {
        (DataType::Timestamp(..), DataType::Timestamp(..)) => Ok(Arc::new(between(left, right)?)),
        (DataType::Interval(_), DataType::Timestamp(..)) => numeric::add(right, left),
        (DataType::Timestamp(..), DataType::Interval(_)) | (DataType::Interval(_), DataType::Interval(_)) => match operator {
            Operator::Plus => numeric::add(left, right),
            _ => numeric::sub(left, right),
        },
        (DataType::Date32, DataType::Date32) => {
            let days = binary::<Date32Type, Date32Type, _>(left, right, |a, b| a.checked_sub(b))?;
            Ok(Arc::new(days.into_iter().collect::<Int32Array>()))
        }
        (DataType::Date32, DataType::Int32) => {
            let sign = if operator == Operator::Minus { -1 } else { 1 };
            let days = binary::<Date32Type, Int32Type, _>(left, right, |a, b| a.checked_add(b.checked_mul(sign)?))?;
            Ok(Arc::new(days.into_iter().collect::<Date32Array>()))
        }
        (DataType::Int32, DataType::Date32) => compute(operator, right, left),
        (DataType::Time64(_), DataType::Time64(_)) => {
            let spans = binary::<Time64MicrosecondType, Time64MicrosecondType, _>(left, right, |a, b| {
                Some(IntervalMonthDayNano::new(0, 0, (a - b).checked_mul(1000)?))
            })?;
            Ok(Arc::new(spans.into_iter().collect::<IntervalMonthDayNanoArray>()))
        }
        (DataType::Time64(_), DataType::Interval(_)) => {
            let sign = if operator == Operator::Minus { -1 } else { 1 };
            let times = binary::<Time64MicrosecondType, IntervalMonthDayNanoType, _>(left, right, |time, by| {
                Some((time + sign * (by.nanoseconds / 1000) % DAY_MICROS).rem_euclid(DAY_MICROS))
            })?;
            Ok(Arc::new(times.into_iter().collect::<Time64MicrosecondArray>()))
        }
        (DataType::Interval(_), DataType::Time64(_)) => compute(operator, right, left),
        (DataType::Interval(_), DataType::Float64) => {
            if operator == Operator::Divide {
                let values = right.get().0.as_primitive::<Float64Type>();
                if values.iter().flatten().any(|value| value == 0.0) {
                    return Err(ArrowError::DivideByZero);
                }
            }
            let spans = binary::<IntervalMonthDayNanoType, Float64Type, _>(left, right, |span, by| match operator {
                Operator::Divide => scale(span, |part| part / by),
                _ => scale(span, |part| part * by),
            })?;
            Ok(Arc::new(spans.into_iter().collect::<IntervalMonthDayNanoArray>()))
        }
        (DataType::Float64, DataType::Interval(_)) => compute(operator, right, left),
        // A date, cast to its midnight, and a time of day.
        (DataType::Timestamp(..), DataType::Time64(_)) => {
            let times = binary::<TimestampMicrosecondType, Time64MicrosecondType, _>(left, right, |date, time| date.checked_add(time))?;
            Ok(Arc::new(times.into_iter().collect::<TimestampMicrosecondArray>()))
        }
        (DataType::Time64(_), DataType::Timestamp(..)) => compute(operator, right, left),
        _ => Err(ArrowError::NotYetImplemented(format!("{left_type} {operator} {right_type}"))),
    }
}

/// `f` of each pair of values; NULL where either is, an overflow error where `f` has no result.
fn binary<L, R, T>(left: &dyn Datum, right: &dyn Datum, f: impl Fn(L::Native, R::Native) -> Option<T>) -> Result<Vec<Option<T>>, ArrowError>
where
    L: arrow::datatypes::ArrowPrimitiveType,
    R: arrow::datatypes::ArrowPrimitiveType,
{
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let (left, right) = (left.as_primitive::<L>(), right.as_primitive::<R>());
    let rows = if left_scalar { right.len() } else { left.len() };
    (0..rows)
        .map(|row| {
            let (l, r) = (if left_scalar { 0 } else { row }, if right_scalar { 0 } else { row });
            match left.is_valid(l) && right.is_valid(r) {
                true => f(left.value(l), right.value(r)).map(Some).ok_or_else(|| ArrowError::ArithmeticOverflow(String::new())),
                false => Ok(None),
            }
        })
        .collect()
}

/// From the right moment to the left one: days of 24 hours and the rest, as Postgres has it.
fn between(left: &dyn Datum, right: &dyn Datum) -> Result<IntervalMonthDayNanoArray, ArrowError> {
    let spans = binary::<TimestampMicrosecondType, TimestampMicrosecondType, _>(left, right, |a, b| {
        let micros = a.checked_sub(b)?;
        let days = i32::try_from(micros / DAY_MICROS).ok()?;
        Some(IntervalMonthDayNano::new(0, days, (micros % DAY_MICROS).checked_mul(1000)?))
    })?;
    Ok(spans.into_iter().collect())
}

/// Scales each part; what is left of a month goes to the days (30 a month), what is left of a day to the time.
fn scale(span: IntervalMonthDayNano, by: impl Fn(f64) -> f64) -> Option<IntervalMonthDayNano> {
    let months = by(span.months as f64);
    let days = by(span.days as f64) + (months - months.trunc()) * 30.0;
    let micros = (by(span.nanoseconds as f64 / 1000.0) + (days - days.trunc()) * DAY_MICROS as f64).round();
    let fits = |value: f64, max: f64| value.is_finite() && value.abs() <= max;
    let in_range = fits(months, i32::MAX as f64) && fits(days, i32::MAX as f64) && fits(micros, 9.0e15);
    in_range.then(|| IntervalMonthDayNano::new(months as i32, days as i32, micros as i64 * 1000))
}

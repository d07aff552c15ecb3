//! Arrow's times of all units as Postgres' microseconds.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit};
use weir_common::error::{Error, Result, SqlState};

use weir_common::calendar::{DATE_INFINITY, DATE_MINUS_INFINITY, INFINITY, MINUS_INFINITY, round_div};
use weir_common::interval::Interval;

const DAY_MILLIS: i64 = 86_400_000;

/// Times, timestamps or durations of any unit.
pub struct Times {
    values: Int64Array,
    unit: TimeUnit,
}

impl Times {
    /// Of an array of these types.
    pub fn of(array: &ArrayRef) -> Result<Times> {
        let unit = match array.data_type() {
            DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) | DataType::Duration(unit) => *unit,
            other => return Err(Error::internal(format!("{other} is no time"))),
        };
        let values = cast(array, &DataType::Int64)?;
        Ok(Times { values: values.as_primitive::<Int64Type>().clone(), unit })
    }

    /// A value in microseconds, rounded half away from zero; infinities stay.
    pub fn micros(&self, row: usize) -> Result<i64> {
        let value = self.values.value(row);
        let micros = match self.unit {
            TimeUnit::Microsecond => return Ok(value),
            TimeUnit::Nanosecond => Some(round_div(value, 1000)),
            TimeUnit::Millisecond => value.checked_mul(1000),
            TimeUnit::Second => value.checked_mul(1_000_000),
        };
        match value {
            INFINITY | MINUS_INFINITY => Ok(value),
            _ => micros.ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")),
        }
    }
}

/// A Date64 as days; the ends of its range are the infinities.
pub fn days_of_millis(millis: i64) -> i32 {
    match i32::try_from(millis.div_euclid(DAY_MILLIS)) {
        Ok(days) => days,
        Err(_) if millis > 0 => DATE_INFINITY,
        Err(_) => DATE_MINUS_INFINITY,
    }
}

/// Reads one row of an array of intervals or durations.
pub type Intervals = Box<dyn Fn(usize) -> Result<Interval> + Send + Sync>;

/// Of an array of intervals of any unit, or of durations.
pub fn intervals(array: &ArrayRef) -> Result<Intervals> {
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let array = array.as_primitive::<IntervalMonthDayNanoType>().clone();
            Box::new(move |row| Ok(Interval::of_arrow(array.value(row))))
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let array = array.as_primitive::<IntervalYearMonthType>().clone();
            Box::new(move |row| Ok(Interval { months: array.value(row), ..Interval::default() }))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let array = array.as_primitive::<IntervalDayTimeType>().clone();
            Box::new(move |row| {
                let value = array.value(row);
                Ok(Interval { months: 0, days: value.days, micros: value.milliseconds as i64 * 1000 })
            })
        }
        _ => {
            let times = Times::of(array)?;
            Box::new(move |row| Ok(Interval { micros: times.micros(row)?, ..Interval::default() }))
        }
    })
}

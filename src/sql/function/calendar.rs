//! Days and months, for windows and intervals.

use weir_common::calendar;

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = calendar::DAY;

/// Days from 1970-01-01 to a date; `month` from 1, `day` from 1.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    calendar::days_of(year, month as u32, day as u32)
}

/// Year, month and day of the day that is so many days after 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let (year, month, day) = calendar::date_of(days);
    (year, month.into(), day.into())
}

/// Months from January 1970 to the month that holds a time in microseconds.
pub(crate) fn month_of(micros: i64) -> i64 {
    let (year, month, _) = civil_from_days(micros.div_euclid(DAY_MICROS));
    (year - 1970) * 12 + month - 1
}

/// Microseconds of the first moment of the month that is so many months after January 1970.
pub(crate) fn month_start(month: i64) -> Option<i64> {
    days_from_civil(1970 + month.div_euclid(12), month.rem_euclid(12) + 1, 1).checked_mul(DAY_MICROS)
}

#[cfg(test)]
mod tests {
    use super::{DAY_MICROS, civil_from_days, days_from_civil, month_of, month_start};

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-800_000..800_000).step_by(17) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(19_782), (2024, 2, 29));
    }

    #[test]
    fn months_start_where_they_should() {
        assert_eq!(month_start(1), Some(31 * DAY_MICROS));
        assert_eq!(month_start(-1), Some(-31 * DAY_MICROS));
        assert_eq!(month_of(-1), -1);
        assert_eq!(month_of(31 * DAY_MICROS), 1);
    }
}

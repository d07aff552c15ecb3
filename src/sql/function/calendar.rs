//! Days and months, for windows and intervals: the proleptic Gregorian calendar (after Howard Hinnant's algorithms).

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// Days from 1970-01-01 to a date; `month` from 1, `day` from 1.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of the day that is so many days after 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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

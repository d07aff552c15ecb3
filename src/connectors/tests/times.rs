//! Dates, times and timestamps, held to chrono's calendar through Arrow's parser.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

use crate::value::column::Misfit;
use crate::value::time::{date, time, timestamp};

fn micros(text: &str) -> i64 {
    string_to_timestamp_nanos(text).unwrap().div_euclid(1000)
}

#[test]
fn forms_of_a_timestamp() {
    for (text, same) in [
        ("2013-01-01 05:15:00", "2013-01-01T05:15:00Z"),
        ("2013-01-01T05:15:00", "2013-01-01T05:15:00Z"),
        (" 2013-01-01   5:15 ", "2013-01-01T05:15:00Z"),
        ("2013-01-01", "2013-01-01T00:00:00Z"),
        ("2013-1-2 05:15:00.25", "2013-01-02T05:15:00.25Z"),
        ("2013-01-01T05:15:00Z", "2013-01-01T05:15:00Z"),
        ("2013-01-01t05:15:00.123456789z", "2013-01-01T05:15:00.123457Z"),
        ("2013-01-01 05:15:00 UTC", "2013-01-01T05:15:00Z"),
        // An offset is turned into UTC.
        ("2013-01-01T05:15:00+02:00", "2013-01-01T03:15:00Z"),
        ("2013-01-01 05:15:00-0530", "2013-01-01T10:45:00Z"),
        ("2013-01-01 05:15:00.5 +1", "2013-01-01T04:15:00.5Z"),
        ("2013-12-31 24:00:00", "2014-01-01T00:00:00Z"),
        ("2016-12-31 23:59:60", "2017-01-01T00:00:00Z"),
        ("1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(timestamp(text.as_bytes()), Ok(micros(same)), "{text}");
    }
    assert_eq!(timestamp(b"0001-01-01 00:00:00"), Ok(-62_135_596_800_000_000));
    assert_eq!(timestamp(b"9999-12-31 23:59:59.999999"), Ok(253_402_300_799_999_999));
    assert!(timestamp(b"262142-12-31 23:59:59").is_ok());
}

#[test]
fn what_is_no_timestamp() {
    for text in [
        "",
        "x",
        "2013",
        "2013-01",
        "13-01-01",
        "2013/01/01",
        "2013-01-01 05",
        "2013-01-01 05:15:00x",
        "2013-01-01x05:15:00",
        "2013-01-01 05:5:00",
        "2013-01-01 05:15:",
        "2013-01-01 05:15:00.",
        "2013-01-01 05:15:00+",
        "2013-01-01 05:15:00 America/New_York",
        "2013-01-01T",
        "now",
        "infinity",
        "1357017300",
        "2013-01-01 05:15:00 BC",
        "2013-01-01T05:15:00+02:0",
        "２013-01-01",
    ] {
        assert_eq!(timestamp(text.as_bytes()), Err(Misfit::Kind), "{text}");
    }
    for text in [
        "2013-13-01 00:00:00",
        "2013-00-01 00:00:00",
        "2013-02-29 00:00:00",
        "1900-02-29",
        "2013-04-31",
        "2013-01-00",
        "0000-01-01",
        "2013-01-01 24:00:01",
        "2013-01-01 25:00:00",
        "2013-01-01 05:60:00",
        "2013-01-01 05:15:61",
        "2013-01-01 05:15:00+16:00",
        "262143-01-01",
    ] {
        assert_eq!(timestamp(text.as_bytes()), Err(Misfit::Range), "{text}");
    }
}

#[test]
fn random_moments() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..50_000 {
        // About 1680 to 2260, what Arrow's parser can hold in nanoseconds.
        let (year, month, day) = (random.u32(1680..2260), random.u32(1..14), random.u32(1..33));
        let (hour, minute, second) = (random.u32(..26), random.u32(..62), random.u32(..60));
        let text = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
        // A midnight at the day's end is ours alone.
        if text.ends_with("24:00:00") {
            continue;
        }
        let expected = string_to_timestamp_nanos(&text).ok().map(|nanos| nanos.div_euclid(1000));
        assert_eq!(timestamp(text.as_bytes()).ok(), expected, "seed {seed}: {text}");
        let general = format!(" {text}");
        assert_eq!(timestamp(general.as_bytes()), timestamp(text.as_bytes()), "seed {seed}: {text}");
        let day = date(&text.as_bytes()[..10]).ok();
        if let Some(expected) = expected {
            assert_eq!(day, Some(expected.div_euclid(86_400_000_000) as i32), "seed {seed}: {text}");
        }
    }
}

#[test]
fn dates_and_times() {
    assert_eq!(date(b"1970-01-02"), Ok(1));
    assert_eq!(date(b"2000-02-29"), Ok(11016));
    assert_eq!(date(b"2013-01-01T00:00:00Z"), date(b"2013-01-01"));
    assert_eq!(date(b"2013-01-01 00:00:00+02"), date(b"2013-01-01"));
    assert_eq!(date(b"2013-01-01 05:15:00"), Err(Misfit::Kind), "the time would be lost");
    assert_eq!(date(b"2013-02-30"), Err(Misfit::Range));
    assert_eq!(date(b"20130101"), Err(Misfit::Kind));
    assert_eq!(time(b"05:15"), Ok(18_900_000_000));
    assert_eq!(time(b"23:59:59.999999"), Ok(86_399_999_999));
    assert_eq!(time(b"24:00:00"), Err(Misfit::Range));
    assert_eq!(time(b"05:15:00Z"), Err(Misfit::Kind));
    assert_eq!(time(b"5"), Err(Misfit::Kind));
}

//! Times and sizes as people write them on the command line.

use std::time::Duration;

/// A time such as `15s`, `200ms` or `2m`; seconds without a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or("expected a number and a unit, such as 15s or 2m")?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| format!("{text} is too long"));
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3600),
        unit => Err(format!("unknown unit \"{unit}\": use ms, s, m or h")),
    }
}

/// A size such as `256MB` or `4GB`, in powers of 1024 as Postgres has them; bytes without a unit.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text).ok_or("expected a number and a unit, such as 256MB or 4GB")?;
    let bits = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("unknown unit \"{unit}\": use kB, MB, GB or TB")),
    };
    number.checked_mul(1 << bits).ok_or_else(|| format!("{text} is too large"))
}

/// A size as [`size`] has them that is more than nothing.
pub fn positive_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("expected more than nothing; leave it out for no limit".into()),
        bytes => Ok(bytes),
    }
}

/// A whole number and what stands behind it.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(size("256MB"), Ok(256 << 20));
        assert_eq!(size("1 kB"), Ok(1024));
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("12"), Ok(12));
        assert_eq!(positive_size("512MB"), Ok(512 << 20));
        assert!(positive_size("0").is_err() && positive_size("0GB").is_err() && positive_size("1 mile").is_err());
        for bad in ["", "MB", "5 parsecs", "99999999999TB", "-1"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(duration("1d").is_err() && duration("99999999999999999999s").is_err());
    }
}

//! Wall time as an argument, so that tests and replays decide what "now" is.

/// Tells the time. Everything that is not a benchmark asks one of these.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01 UTC.
    fn wall_micros(&self) -> i64;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn wall_micros(&self) -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
    }
}

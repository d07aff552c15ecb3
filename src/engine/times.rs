//! How long things took: counted by length, so that any number of them take little room.

use std::time::Duration;

/// Lengths up to twice as long have so many counters: each is told a tenth too long at most, never too short.
const STEPS: usize = 8;
/// Counters: from a microsecond to a day.
const COUNTERS: usize = STEPS * 37;

/// How many things took how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// By length: the first has those below a microsecond.
    counts: Vec<u64>,
    longest: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times { counts: vec![0; COUNTERS], longest: Duration::ZERO }
    }
}

impl Times {
    /// One more that took so long.
    pub fn add(&mut self, time: Duration) {
        let micros = time.as_secs_f64() * 1e6;
        let counter = if micros < 1.0 { 0 } else { 1 + (micros.log2() * STEPS as f64) as usize };
        self.counts[counter.min(COUNTERS - 1)] += 1;
        self.longest = self.longest.max(time);
    }

    /// Those that have come since `before`, an earlier state of these. The longest of all is said to be among them.
    pub fn since(&self, before: &Times) -> Times {
        let counts = self.counts.iter().zip(&before.counts).map(|(now, before)| now.saturating_sub(*before)).collect();
        Times { counts, longest: self.longest }
    }

    /// All of both.
    pub fn and(&self, other: &Times) -> Times {
        let counts = self.counts.iter().zip(&other.counts).map(|(one, other)| one + other).collect();
        Times { counts, longest: self.longest.max(other.longest) }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long this part of them took at most, 0 to 1; up to a tenth too long.
    pub fn at_most(&self, part: f64) -> Duration {
        let wanted = (self.count() as f64 * part).ceil() as u64;
        let mut sum = 0;
        for (counter, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= wanted && sum > 0 {
                let end = Duration::from_secs_f64((counter as f64 / STEPS as f64).exp2() / 1e6);
                // Nothing was measured in the first one's length.
                return if counter == 0 { Duration::ZERO } else { end.min(self.longest) };
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_tenth_too_long_at_most() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut times = Times::default();
        assert_eq!((times.at_most(0.99), times.count()), (Duration::ZERO, 0));
        let mut all: Vec<Duration> =
            (0..5000).map(|_| Duration::from_nanos(1000 << random.u32(0..20)) + Duration::from_nanos(random.u64(..900))).collect();
        all.iter().for_each(|time| times.add(*time));
        all.sort_unstable();
        for part in [0.001, 0.1, 0.5, 0.9, 0.99, 1.0] {
            let exact = all[(all.len() as f64 * part).ceil() as usize - 1];
            let told = times.at_most(part);
            assert!(told >= exact && told <= exact.mul_f64(1.1), "{part}: {exact:?} was told as {told:?}");
        }
    }

    #[test]
    fn what_came_since_is_counted_apart() {
        let mut times = Times::default();
        times.add(Duration::from_secs(5));
        let before = times.clone();
        (0..99).for_each(|_| times.add(Duration::ZERO));
        times.add(Duration::from_millis(7));
        let since = times.since(&before);
        assert_eq!((since.count(), since.at_most(0.5), since.at_most(0.99)), (100, Duration::ZERO, Duration::ZERO));
        assert!(since.at_most(1.0) >= Duration::from_millis(7) && since.at_most(1.0) < Duration::from_millis(8));
        assert_eq!(since.and(&before).count(), 101);
    }
}

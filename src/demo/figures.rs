//! Rate and freshness, over what happened lately.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back the rate looks.
const RATE_OVER: Duration = Duration::from_secs(3);
/// Measurements of freshness that are kept.
const FRESHNESS_KEPT: usize = 1000;

/// What was measured.
#[derive(Default)]
pub struct Figures {
    arrivals: VecDeque<(Duration, u64)>,
    freshness: VecDeque<Duration>,
}

/// What is shown of it.
#[derive(Clone, Copy, Default)]
pub struct Summary {
    /// Flights a second.
    pub rate: f64,
    /// From the acknowledged INSERT to having read the view: median.
    pub fresh_p50: Option<Duration>,
    /// The same: 99 of 100 were faster.
    pub fresh_p99: Option<Duration>,
}

impl Figures {
    /// Flights arrived and were seen in the view this much later.
    pub fn note(&mut self, elapsed: Duration, flights: u64, fresh: Duration) {
        self.arrivals.push_back((elapsed, flights));
        self.freshness.push_back(fresh);
        if self.freshness.len() > FRESHNESS_KEPT {
            self.freshness.pop_front();
        }
    }

    /// The figures at this moment.
    pub fn summary(&mut self, elapsed: Duration) -> Summary {
        while self.arrivals.front().is_some_and(|(at, _)| *at + RATE_OVER < elapsed) {
            self.arrivals.pop_front();
        }
        let over = RATE_OVER.min(elapsed).as_secs_f64().max(0.1);
        let flights: u64 = self.arrivals.iter().map(|(_, flights)| flights).sum();
        let mut sorted: Vec<Duration> = self.freshness.iter().copied().collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied();
        Summary { rate: flights as f64 / over, fresh_p50: at(50), fresh_p99: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Figures;

    #[test]
    fn the_rate_forgets_and_the_percentiles_are_in_order() {
        let mut figures = Figures::default();
        assert!(figures.summary(Duration::ZERO).fresh_p50.is_none());
        for second in 0..10 {
            figures.note(Duration::from_secs(second), 30, Duration::from_millis(second + 1));
        }
        let summary = figures.summary(Duration::from_secs(9));
        assert_eq!(summary.rate, 40.0);
        assert_eq!((summary.fresh_p50, summary.fresh_p99), (Some(Duration::from_millis(6)), Some(Duration::from_millis(10))));
        assert_eq!(figures.summary(Duration::from_secs(60)).rate, 0.0);
    }
}

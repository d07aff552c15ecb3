//! When an event is due: a fixed number of them in a second, in ticks, from one moment on for all readers of a source.

use std::time::{Duration, Instant};

/// Ticks in a second: events come in pieces of a fiftieth of a second's.
const TICKS: u64 = 50;

/// The moments at which events are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    /// The event that was due at `start`.
    from: u64,
    /// Events in a second; more than 0.
    rate: u64,
}

impl Schedule {
    /// From event `from`, which is due now, `rate` events in a second.
    pub fn start(from: u64, rate: u64) -> Self {
        Schedule { start: Instant::now(), from, rate }
    }

    /// The end of the events that can be had after `event`, up to `end`; waits until there is a tick's worth.
    /// Readers stop at the same event numbers, wherever they came from, so that one can take another's place.
    pub fn wait(&self, event: u64, end: u64) -> u64 {
        let tick = (self.rate / TICKS).max(1);
        let next = (event / tick + 1).saturating_mul(tick).min(end);
        let due = self.due(next);
        let now = self.start.elapsed();
        if due > now {
            std::thread::sleep(due - now);
        }
        let events = self.from.saturating_add((self.start.elapsed().as_secs_f64() * self.rate as f64) as u64);
        (events / tick * tick).clamp(next, end)
    }

    /// When an event is due, after the start.
    fn due(&self, event: u64) -> Duration {
        Duration::from_secs_f64(event.saturating_sub(self.from) as f64 / self.rate as f64)
    }
}

//! Event times: even steps from a fixed start, and for some events a delay.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};

use crate::nexmark::config::Config;
use crate::nexmark::random::{Draws, Purpose};

/// The time of event 0: 2015-07-15 00:00:00, milliseconds since 1970.
const START_MILLIS: u64 = 1_436_918_400_000;
/// The longest delay of an event that comes late, milliseconds.
pub const DELAY_MILLIS_MAX: u64 = 3000;

/// Tells event times, in whole milliseconds as the original does.
#[derive(Debug)]
pub struct Times {
    /// Events in a second of event time.
    rate: u64,
    /// How many of 2^32 events come late.
    late: u64,
    delays: Draws,
}

impl Times {
    pub fn new(config: &Config) -> Self {
        let late = (config.out_of_order * (1u64 << 32) as f64) as u64;
        Times { rate: config.first_event_rate, late, delays: Draws::new(config.seed, Purpose::Delay) }
    }

    /// When an event is sent, milliseconds since 1970.
    #[inline]
    pub fn sent(&self, event: u64) -> u64 {
        START_MILLIS + event * 1000 / self.rate
    }

    /// What the event says: when it was sent, or up to [`DELAY_MILLIS_MAX`] before; milliseconds since 1970.
    #[inline]
    pub fn said(&self, event: u64) -> u64 {
        let draw = self.delays.at(event);
        let delay = if draw.with_chance(self.late) { 1 + draw.below(DELAY_MILLIS_MAX) } else { 0 };
        self.sent(event) - delay
    }

    /// The column `date_time`.
    pub fn column(&self, events: &[u64]) -> ArrayRef {
        let micros = |millis: u64| (millis * 1000) as i64;
        let values: Vec<i64> = match self.late {
            0 => events.iter().map(|event| micros(self.sent(*event))).collect(),
            _ => events.iter().map(|event| micros(self.said(*event))).collect(),
        };
        Arc::new(TimestampMicrosecondArray::from(values))
    }
}

//! What the options of a CREATE SOURCE ask for.

use weir_common::error::{Error, Result, SqlState, nearest};

use crate::nexmark::table::Table;
use crate::options::Options;

/// Events per second of event time unless the options say otherwise, as in the original.
const FIRST_EVENT_RATE: u64 = 10_000;
/// The highest rate, events per second.
const RATE_MAX: u64 = 1_000_000_000;
/// The number that no event reaches.
const EVENTS_MAX: u64 = 1_000_000_000_000_000;
/// Seconds of event time; later times would not fit a timestamp.
const SECONDS_MAX: u64 = 6_000_000_000_000;

/// A checked set of options.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which of the three tables.
    pub table: Table,
    /// How many events of all kinds there are; `None`: no end.
    pub events: Option<u64>,
    /// Events of all kinds that are due in a second of real time; `None`: all at once.
    pub rate: Option<u64>,
    /// Events of all kinds in a second of event time.
    pub first_event_rate: u64,
    /// The share of events that come late, 0 to 1.
    pub out_of_order: f64,
    /// Other seeds make other events.
    pub seed: u64,
}

impl Config {
    /// Reads and checks the options; which of them exist has been checked before.
    pub fn read(options: &Options<'_>) -> Result<Config> {
        let word = options.required("table")?;
        let table = Table::ALL.into_iter().find(|table| table.name() == word).ok_or_else(|| {
            let near = nearest(word, Table::ALL.into_iter().map(Table::name));
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("connector \"nexmark\" has no table \"{word}\"")).with_hint(match near {
                Some(near) => format!("Perhaps you meant table = '{near}'."),
                None => "The tables are 'person', 'auction' and 'bid'.".to_string(),
            })
        })?;
        let count = |name: &str, max: u64| -> Result<Option<u64>> {
            match options.parsed::<u64>(name, "a whole number")? {
                Some(value) if value == 0 || value > max => {
                    let message = format!("option \"{name}\" must be between 1 and {max}, not {value}");
                    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
                }
                value => Ok(value),
            }
        };
        let events = count("events", EVENTS_MAX).map_err(|error| error.with_hint("Leave it out for a source without an end."))?;
        let rate = count("rate", RATE_MAX).map_err(|error| error.with_hint("Leave it out for as fast as possible."))?;
        let first_event_rate = count("first_event_rate", RATE_MAX)?.or(rate).unwrap_or(FIRST_EVENT_RATE);
        let out_of_order = options.parsed::<f64>("out_of_order", "a number")?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&out_of_order) {
            let message = format!("option \"out_of_order\" must be between 0 and 1, not {out_of_order}");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_hint("It is the share of events that come late: '0.01' is one in a hundred."));
        }
        let seed = options.parsed::<u64>("seed", "a whole number")?.unwrap_or(0);
        let config = Config { table, events, rate, first_event_rate, out_of_order, seed };
        if events.is_some_and(|events| events > config.last()) {
            let message = format!("{} events at {first_event_rate} a second do not fit the range of timestamps", events.unwrap_or(0));
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Raise first_event_rate, or lower events."));
        }
        Ok(config)
    }

    /// The number behind the last event.
    pub fn end(&self) -> u64 {
        self.events.unwrap_or(self.last())
    }

    /// The number behind the last event that could have an event time.
    fn last(&self) -> u64 {
        EVENTS_MAX.min(self.first_event_rate.saturating_mul(SECONDS_MAX))
    }
}

//! The columns of a bid.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use weir_common::error::Result;

use crate::nexmark::channel::{Channels, URL_BYTES_MAX};
use crate::nexmark::config::Config;
use crate::nexmark::model;
use crate::nexmark::price::Prices;
use crate::nexmark::random::{Draws, Purpose};
use crate::nexmark::text::{Pool, TextColumn, extra_length};
use crate::nexmark::time::Times;

/// Bytes that a bid has on average, and those of them that are numbers and times.
const BYTES: (u64, u64) = (100, 32);
/// More than the longest `extra` has.
const EXTRA_BYTES: usize = 96;

/// Makes bids.
#[derive(Debug)]
pub struct Bids {
    seed: u64,
    times: Times,
    prices: Prices,
    channels: Channels,
    letters: Pool,
}

impl Bids {
    pub fn new(config: &Config) -> Self {
        let seed = config.seed;
        Bids { seed, times: Times::new(config), prices: Prices::new(), channels: Channels::new(seed), letters: Pool::letters(seed) }
    }

    /// Column `column` of the table, for the bids with these event numbers.
    pub fn column(&self, column: usize, events: &[u64]) -> Result<ArrayRef> {
        let draws = |purpose| Draws::new(self.seed, purpose);
        Ok(match column {
            0 => {
                let draws = draws(Purpose::BidAuction);
                ints(events, |event| model::auction_of_bid(event, draws.at(event)) as i64)
            }
            1 => {
                let draws = draws(Purpose::BidBidder);
                ints(events, |event| model::bidder_of_bid(event, draws.at(event)) as i64)
            }
            2 => {
                let draws = draws(Purpose::BidPrice);
                ints(events, |event| self.prices.of(draws.at(event)))
            }
            3 => {
                let (draws, mut text) = (draws(Purpose::BidChannel), TextColumn::new(events.len(), 12));
                for event in events {
                    let name = self.channels.name(Channels::of_bid(draws.at(*event)));
                    text.push_head(&name.bytes, usize::from(name.length));
                }
                text.finish()?
            }
            4 => {
                let (draws, mut text) = (draws(Purpose::BidChannel), TextColumn::new(events.len(), URL_BYTES_MAX));
                for event in events {
                    let url = self.channels.url(Channels::of_bid(draws.at(*event)));
                    text.push_head(&url.bytes, usize::from(url.length));
                }
                text.finish()?
            }
            5 => self.times.column(events),
            _ => {
                let (draws, lengths) = (draws(Purpose::BidExtra), draws(Purpose::BidExtraLength));
                let mut text = TextColumn::new(events.len(), EXTRA_BYTES);
                for event in events {
                    let length = extra_length(lengths.at(*event), BYTES.1, BYTES.0);
                    text.push_head(self.letters.piece::<EXTRA_BYTES>(draws.at(*event)), length);
                }
                text.finish()?
            }
        })
    }
}

/// A column of numbers.
pub fn ints(events: &[u64], value: impl Fn(u64) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(events.iter().map(|event| value(*event))))
}

//! The columns of an auction.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use weir_common::error::Result;

use crate::nexmark::bid::ints;
use crate::nexmark::config::Config;
use crate::nexmark::model::{self, AUCTIONS, CATEGORIES, CYCLE, FIRST_AUCTION_ID, FIRST_CATEGORY_ID, OPEN_AUCTIONS};
use crate::nexmark::price::Prices;
use crate::nexmark::random::{Draws, Purpose};
use crate::nexmark::text::{Pool, TextColumn, extra_length};
use crate::nexmark::time::Times;

/// Bytes that an auction has on average, and those of them that are numbers and times.
const BYTES: (u64, u64) = (500, 48);
/// Names are shorter than this.
const NAME_BYTES: u64 = 20;
/// Descriptions are shorter than this.
const DESCRIPTION_BYTES: u64 = 100;
/// Events until as many auctions have begun as are open at a time.
const OPEN_EVENTS: u64 = OPEN_AUCTIONS * CYCLE / AUCTIONS;

/// Makes auctions.
#[derive(Debug)]
pub struct Auctions {
    seed: u64,
    times: Times,
    prices: Prices,
    letters: Pool,
    words: Pool,
}

impl Auctions {
    pub fn new(config: &Config) -> Self {
        let seed = config.seed;
        Auctions { seed, times: Times::new(config), prices: Prices::new(), letters: Pool::letters(seed), words: Pool::words(seed) }
    }

    /// Column `column` of the table, for the auctions with these event numbers.
    pub fn column(&self, column: usize, events: &[u64]) -> Result<ArrayRef> {
        let draws = |purpose| Draws::new(self.seed, purpose);
        Ok(match column {
            0 => ints(events, |event| (FIRST_AUCTION_ID + model::last_auction(event)) as i64),
            1 => self.texts(events, NAME_BYTES as usize, |event| self.name(event))?,
            2 => self.texts(events, DESCRIPTION_BYTES as usize, |event| self.description(event))?,
            3 => ints(events, |event| self.initial_bid(event)),
            4 => {
                let draws = draws(Purpose::AuctionReserve);
                ints(events, |event| self.initial_bid(event) + self.prices.of(draws.at(event)))
            }
            5 => self.times.column(events),
            6 => {
                let draws = draws(Purpose::AuctionExpires);
                let micros = events.iter().map(|event| {
                    let open = self.times.sent(event + OPEN_EVENTS) - self.times.sent(*event);
                    let expires = self.times.said(*event) + 1 + draws.at(*event).below((2 * open).clamp(1, 1 << 32));
                    (expires * 1000) as i64
                });
                Arc::new(TimestampMicrosecondArray::from_iter_values(micros))
            }
            7 => {
                let draws = draws(Purpose::AuctionSeller);
                ints(events, |event| model::seller_of_auction(event, draws.at(event)) as i64)
            }
            8 => {
                let draws = draws(Purpose::AuctionCategory);
                ints(events, |event| (FIRST_CATEGORY_ID + draws.at(event).below(CATEGORIES)) as i64)
            }
            _ => {
                let (draws, lengths) = (draws(Purpose::AuctionExtra), draws(Purpose::AuctionExtraLength));
                self.texts(events, BYTES.0 as usize, |event| {
                    let current = BYTES.1 + (self.name(event).len() + self.description(event).len()) as u64;
                    self.letters.cut(draws.at(event), extra_length(lengths.at(event), current, BYTES.0))
                })?
            }
        })
    }

    fn name(&self, event: u64) -> &[u8] {
        self.words.short(Draws::new(self.seed, Purpose::AuctionName).at(event), NAME_BYTES)
    }

    fn description(&self, event: u64) -> &[u8] {
        self.words.short(Draws::new(self.seed, Purpose::AuctionDescription).at(event), DESCRIPTION_BYTES)
    }

    fn initial_bid(&self, event: u64) -> i64 {
        self.prices.of(Draws::new(self.seed, Purpose::AuctionInitialBid).at(event))
    }

    fn texts<'a>(&self, events: &[u64], row_bytes: usize, text: impl Fn(u64) -> &'a [u8]) -> Result<ArrayRef> {
        let mut column = TextColumn::new(events.len(), row_bytes);
        events.iter().for_each(|event| column.push(&[text(*event)]));
        column.finish()
    }
}

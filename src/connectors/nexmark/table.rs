//! The three tables: their columns, and which events are theirs.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use weir_common::types::PgType;
use weir_common::types::PgType::{Int8, Text, Timestamp};

use crate::nexmark::model::{AUCTIONS, BIDS, CYCLE, PERSONS};

/// A table of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Person,
    Auction,
    Bid,
}

const PERSON: &[(&str, PgType)] = &[
    ("id", Int8),
    ("name", Text),
    ("email_address", Text),
    ("credit_card", Text),
    ("city", Text),
    ("state", Text),
    ("date_time", Timestamp),
    ("extra", Text),
];

const AUCTION: &[(&str, PgType)] = &[
    ("id", Int8),
    ("item_name", Text),
    ("description", Text),
    ("initial_bid", Int8),
    ("reserve", Int8),
    ("date_time", Timestamp),
    ("expires", Timestamp),
    ("seller", Int8),
    ("category", Int8),
    ("extra", Text),
];

const BID: &[(&str, PgType)] =
    &[("auction", Int8), ("bidder", Int8), ("price", Int8), ("channel", Text), ("url", Text), ("date_time", Timestamp), ("extra", Text)];

impl Table {
    /// Every table.
    pub const ALL: [Table; 3] = [Table::Person, Table::Auction, Table::Bid];

    /// The word in `table = '..'`.
    pub fn name(self) -> &'static str {
        match self {
            Table::Person => "person",
            Table::Auction => "auction",
            Table::Bid => "bid",
        }
    }

    /// Names and types, in order.
    pub fn columns(self) -> &'static [(&'static str, PgType)] {
        match self {
            Table::Person => PERSON,
            Table::Auction => AUCTION,
            Table::Bid => BID,
        }
    }

    /// All its columns.
    pub fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(self.columns().iter().map(|(name, ty)| ty.field(*name)).collect::<Vec<_>>()))
    }

    /// Its first event in a cycle, and how many follow each other.
    fn place(self) -> (u64, u64) {
        match self {
            Table::Person => (0, PERSONS),
            Table::Auction => (PERSONS, AUCTIONS),
            Table::Bid => (PERSONS + AUCTIONS, BIDS),
        }
    }

    /// Its first events from `from` on and before `end`, at most `max`.
    pub fn events(self, from: u64, end: u64, max: usize, events: &mut Vec<u64>) {
        let (first, count) = self.place();
        let mut cycle = from / CYCLE * CYCLE;
        while cycle < end && events.len() < max {
            let start = (cycle + first).max(from);
            let room = (max - events.len()) as u64;
            events.extend(start..(cycle + first + count).min(end).min(start + room));
            cycle += CYCLE;
        }
    }
}

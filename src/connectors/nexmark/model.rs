//! Which event makes what. Of each 50 events one is a person, three are auctions and 46 are bids, in this order; an id tells
//! how many of its kind were there before. The figures and formulas are those of the original generator.

use crate::nexmark::random::Draw;

/// Events after which kinds repeat.
pub const CYCLE: u64 = 50;
/// Persons in a cycle, its first events.
pub const PERSONS: u64 = 1;
/// Auctions in a cycle, after the person.
pub const AUCTIONS: u64 = 3;
/// Bids in a cycle, its last events.
pub const BIDS: u64 = CYCLE - PERSONS - AUCTIONS;

/// The id of the first person.
pub const FIRST_PERSON_ID: u64 = 1000;
/// The id of the first auction.
pub const FIRST_AUCTION_ID: u64 = 1000;
/// The first category.
pub const FIRST_CATEGORY_ID: u64 = 10;
/// How many categories there are.
pub const CATEGORIES: u64 = 5;

/// One auction, bidder or seller of so many in a row is hot.
const HOT_EVERY: u64 = 100;
/// Bids for auctions that are not hot: one in so many.
const COLD_AUCTION: u32 = 2;
/// Bids of bidders who are not hot: one in so many.
const COLD_BIDDER: u32 = 4;
/// Auctions of sellers who are not hot: one in so many.
const COLD_SELLER: u32 = 4;
/// Auctions that are open at a time.
pub const OPEN_AUCTIONS: u64 = 100;
/// The latest persons, who bid and sell.
const ACTIVE_PERSONS: u64 = 1000;
/// Ids that may be used before their event, as if both had been swapped in time.
const AHEAD: u64 = 10;

/// How many persons have come before or with this event, less one.
#[inline]
pub fn last_person(event: u64) -> u64 {
    event / CYCLE
}

/// How many auctions have come before or with this event, less one. For an auction or a bid; a person has none of its cycle.
#[inline]
pub fn last_auction(event: u64) -> u64 {
    let offset = event % CYCLE;
    event / CYCLE * AUCTIONS + offset.clamp(PERSONS, PERSONS + AUCTIONS - 1) - PERSONS
}

/// The auction of a bid.
#[inline]
pub fn auction_of_bid(event: u64, draw: Draw) -> u64 {
    let last = last_auction(event);
    let auction = if draw.one_in(COLD_AUCTION) {
        let first = last.saturating_sub(OPEN_AUCTIONS);
        first + draw.below(last - first + 1 + AHEAD)
    } else {
        last / HOT_EVERY * HOT_EVERY
    };
    FIRST_AUCTION_ID + auction
}

/// The bidder of a bid. The second of each hundred is hot, so that hot bidders are no hot sellers.
#[inline]
pub fn bidder_of_bid(event: u64, draw: Draw) -> u64 {
    let last = last_person(event);
    let bidder = if draw.one_in(COLD_BIDDER) { active(last, draw) } else { last / HOT_EVERY * HOT_EVERY + 1 };
    FIRST_PERSON_ID + bidder
}

/// The seller of an auction: the first of a hundred, or any who is active.
#[inline]
pub fn seller_of_auction(event: u64, draw: Draw) -> u64 {
    let last = last_person(event);
    let seller = if draw.one_in(COLD_SELLER) { active(last, draw) } else { last / HOT_EVERY * HOT_EVERY };
    FIRST_PERSON_ID + seller
}

/// One of the latest persons, or one who is about to come.
#[inline]
fn active(last: u64, draw: Draw) -> u64 {
    let persons = last + 1;
    let active = persons.min(ACTIVE_PERSONS);
    persons - active + draw.below(active + AHEAD)
}

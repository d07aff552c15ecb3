//! Draws that depend on nothing but the seed, the event and the column: any event can be made alone, in any order.

use weir_common::hash::mix;

/// Steps through the numbers of a column as SplitMix64 does, so that neighbouring events have nothing in common.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// What is drawn for. The numbers are part of what a seed means, and never change.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Delay = 1,
    Pool = 2,
    SpacedPool = 3,
    Urls = 4,
    BidAuction = 11,
    BidBidder = 12,
    BidPrice = 13,
    BidChannel = 14,
    BidExtra = 15,
    BidExtraLength = 16,
    AuctionName = 21,
    AuctionDescription = 22,
    AuctionInitialBid = 23,
    AuctionReserve = 24,
    AuctionExpires = 25,
    AuctionSeller = 26,
    AuctionCategory = 27,
    AuctionExtra = 28,
    AuctionExtraLength = 29,
    PersonFirstName = 41,
    PersonLastName = 42,
    PersonUser = 43,
    PersonHost = 44,
    PersonCard = 45,
    PersonCity = 46,
    PersonState = 47,
    PersonExtra = 48,
    PersonExtraLength = 49,
}

/// All draws of one purpose.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    key: u64,
}

impl Draws {
    /// The draws that this seed has for a purpose.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Draws { key: mix(mix(seed ^ STEP) ^ (purpose as u64).wrapping_mul(STEP)) }
    }

    /// The draw of an event.
    #[inline]
    pub fn at(self, event: u64) -> Draw {
        Draw(mix(self.key.wrapping_add(event.wrapping_mul(STEP))))
    }
}

/// 64 random bits. [`Draw::one_in`] and [`Draw::below`] look at different halves, so one draw decides both whether and which.
#[derive(Clone, Copy, Debug)]
pub struct Draw(u64);

impl Draw {
    /// True once in `n` times.
    #[inline]
    pub fn one_in(self, n: u32) -> bool {
        self.low_below(u64::from(n)) == 0
    }

    /// True this often, out of 2^32 times.
    #[inline]
    pub fn with_chance(self, chance: u64) -> bool {
        u64::from(self.0 as u32) < chance
    }

    /// A number from 0 to `n - 1`; `n` is at most 2^32.
    #[inline]
    pub fn below(self, n: u64) -> u64 {
        ((self.0 >> 32) * n) >> 32
    }

    /// As [`Draw::below`], from the other half.
    #[inline]
    pub fn low_below(self, n: u64) -> u64 {
        (u64::from(self.0 as u32) * n) >> 32
    }

    /// A number from 0 to just below 1.
    #[inline]
    pub fn unit(self) -> f64 {
        (self.0 >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

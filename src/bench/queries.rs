//! The queries that are measured: those of Nexmark that are about bids alone, and parts of others.

use clap::ValueEnum;

/// A query over the source `bids`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Query {
    /// Every bid as it is; result rows are counted and dropped
    Q0,
    /// Every bid with its price in another currency; result rows are counted and dropped
    Q1,
    /// The bids for one auction in 123; result rows are counted and dropped
    Q2,
    /// Bids of each auction in windows of 10 seconds, kept as a view
    Tumble,
    /// Bids of each auction in windows of 10 seconds, one every 2 seconds (the inner part of q5), kept as a view
    #[value(name = "q5_count")]
    Q5Count,
    /// The highest price in windows of 10 seconds (the inner part of q7), kept as a view
    #[value(name = "q7_max")]
    Q7Max,
}

impl Query {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Query::Q0 => "q0",
            Query::Q1 => "q1",
            Query::Q2 => "q2",
            Query::Tumble => "tumble",
            Query::Q5Count => "q5_count",
            Query::Q7Max => "q7_max",
        }
    }

    /// Whether result rows are kept as a view that can be read, or counted and dropped as a sink would.
    pub fn kept(self) -> bool {
        matches!(self, Query::Tumble | Query::Q5Count | Query::Q7Max)
    }

    /// Its text.
    pub fn sql(self) -> &'static str {
        match self {
            Query::Q0 => "SELECT auction, bidder, price, date_time, extra FROM bids",
            Query::Q1 => "SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bids",
            Query::Q2 => "SELECT auction, price FROM bids WHERE mod(auction, 123) = 0",
            Query::Tumble => {
                "SELECT window_start, auction, count(*) AS bids
                 FROM TUMBLE(bids, date_time, INTERVAL '10 seconds') GROUP BY window_start, auction"
            }
            Query::Q5Count => {
                "SELECT window_start, auction, count(*) AS bids
                 FROM HOP(bids, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds') GROUP BY window_start, auction"
            }
            Query::Q7Max => {
                "SELECT window_start, max(price) AS price
                 FROM TUMBLE(bids, date_time, INTERVAL '10 seconds') GROUP BY window_start"
            }
        }
    }
}

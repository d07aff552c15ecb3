//! Values from text into Arrow columns: what the formats share.

pub(crate) mod binary; // bytea and UUIDs
pub(crate) mod column; // a column of a batch as it grows
pub(crate) mod number; // integers, floats and decimals
pub(crate) mod time; // dates, times and timestamps

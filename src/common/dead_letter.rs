//! Dead letters: rows that could not be used, each with its reason, so that nothing vanishes.

use serde::{Deserialize, Serialize};

use crate::limits::DEAD_LETTER_PAYLOAD_BYTES_MAX;

/// Why a row became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The bytes are not a row of the declared columns.
    Decode,
    /// The record is longer than [`crate::limits::LINE_BYTES_MAX`].
    TooLong,
    /// The event time is NULL, so the row is in no window.
    NullEventTime,
    /// An expression of a view failed on this row.
    Expression,
    /// The source itself broke off, such as a truncated gzip member; what came before it was used.
    Truncated,
    /// The event time is too far ahead of the wall clock.
    FutureEventTime,
}

impl Reason {
    /// Every reason, for metrics and documentation.
    pub const ALL: [Reason; 6] =
        [Reason::Decode, Reason::TooLong, Reason::NullEventTime, Reason::Expression, Reason::Truncated, Reason::FutureEventTime];

    /// The word in `weir.dead_letters.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Decode => "decode",
            Reason::TooLong => "too_long",
            Reason::NullEventTime => "null_event_time",
            Reason::Expression => "expression",
            Reason::Truncated => "truncated",
            Reason::FutureEventTime => "future_event_time",
        }
    }
}

/// One row of `weir.dead_letters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Name of the relation where the row was stopped: the source, or the view whose expression failed.
    pub relation: String,
    /// Why.
    pub reason: Reason,
    /// What exactly, for a person.
    pub error: String,
    /// The record, or the row as text; cut to [`DEAD_LETTER_PAYLOAD_BYTES_MAX`] bytes.
    pub payload: String,
    /// The source's partition, where known (a file's path).
    pub partition: Option<String>,
    /// Position inside the partition, where known (a line number, from 1).
    pub offset: Option<i64>,
    /// Wall clock, microseconds since 1970 UTC, when the row was stopped; 0 until the engine stamps it.
    pub time_micros: i64,
}

impl DeadLetter {
    /// A letter about bytes; what is not UTF-8 is replaced, and what is long is cut.
    pub fn of_bytes(relation: &str, reason: Reason, error: impl Into<String>, payload: &[u8]) -> Self {
        let cut = &payload[..payload.len().min(DEAD_LETTER_PAYLOAD_BYTES_MAX)];
        // A NUL cannot be sent in a Postgres text value.
        let payload = String::from_utf8_lossy(cut).replace('\0', "\u{FFFD}");
        let error = error.into().replace('\0', "\u{FFFD}");
        DeadLetter { relation: relation.to_string(), reason, error, payload, partition: None, offset: None, time_micros: 0 }
    }
}

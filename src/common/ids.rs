//! Names for numbers that could be swapped.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A relation of the catalog: table, source, view or materialized view. It is the relation's Postgres OID too, so it is
/// at least [`RelationId::FIRST_USER`] for what users create, and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelationId(pub u32);

impl RelationId {
    /// The first OID that Postgres gives to objects of users.
    pub const FIRST_USER: RelationId = RelationId(16384);
}

impl fmt::Display for RelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an epoch: the timely timestamp. Epochs are opened, closed and committed strictly in order.
pub type Epoch = u64;

/// A stream of deltas inside the engine: a table, a view's output, a shared source reader or a view's own reader of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u64);

impl From<RelationId> for StreamId {
    /// The stream of a relation that has one of its own carries the relation's number.
    fn from(id: RelationId) -> Self {
        StreamId(id.0 as u64)
    }
}

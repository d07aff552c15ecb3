//! Records of the epoch log as version 1 of data directories has them: definitions did not say of which relation they are.

use serde::Deserialize;
use weir_common::epoch_log::{Definition, EpochRecord, Progress, Reading, Written};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId, StreamId};

use crate::durable::words;

/// As [`EpochRecord`].
#[derive(Deserialize)]
struct Record {
    epoch: Epoch,
    wall_micros: i64,
    joins: Vec<StreamId>,
    definitions: Vec<Change>,
    readings: Vec<Reading>,
    progress: Vec<Progress>,
    writes: Vec<Written>,
    lives: Vec<RelationId>,
}

/// As [`Definition`].
#[derive(Deserialize)]
enum Change {
    Made(Vec<u8>),
    Dropped(Vec<RelationId>),
}

/// Reads a record, without its first byte.
pub fn decode(bytes: &[u8]) -> Result<EpochRecord> {
    let damaged = |error| Error::new(SqlState::DATA_CORRUPTED, format!("a record of the epoch log cannot be read: {error}"));
    let Record { epoch, wall_micros, joins, definitions, readings, progress, writes, lives } =
        postcard::from_bytes(bytes).map_err(damaged)?;
    let definition = |change| {
        Ok(match change {
            Change::Made(words) => Definition::Made { relation: words::id(&words)?, words },
            Change::Dropped(relations) => Definition::Dropped(relations),
        })
    };
    let definitions = definitions.into_iter().map(definition).collect::<Result<_>>()?;
    Ok(EpochRecord {
        epoch,
        wall_micros,
        joins,
        definitions,
        readings,
        progress,
        writes,
        lives,
        admitted: Vec::new(),
        marks: Vec::new(),
        conditions: Vec::new(),
        partitions: Vec::new(),
        discarded: Vec::new(),
        full: Vec::new(),
    })
}

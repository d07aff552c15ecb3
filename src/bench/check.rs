//! The view against its query, asked as a batch: as many rows, and the same ones.

use futures::StreamExt;
use weir_common::error::{Error, Result};
use weir_common::hash::{self, mix};
use weir_server::local::{Batches, Local};

use crate::bench::queries::Query;

/// Rows, whatever their order: how many, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest {
    rows: u64,
    hashes: u64,
}

impl Digest {
    async fn of(mut batches: Batches) -> Result<Digest> {
        let mut digest = Digest::default();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let columns: Vec<usize> = (0..batch.num_columns()).collect();
            for hash in hash::rows(&batch, &columns)? {
                digest.hashes = digest.hashes.wrapping_add(mix(hash));
            }
            digest.rows += batch.num_rows() as u64;
        }
        Ok(digest)
    }
}

/// Fails unless the view `result` is what its query answers; where rows were counted only, unless there are as many.
pub async fn check(local: &mut Local, query: Query, counted: u64) -> Result<()> {
    let batch = Digest::of(local.query(query.sql()).await?).await?;
    let (what, view) = match query.kept() {
        true => ("the view", Digest::of(local.query("SELECT * FROM result").await?).await?),
        // Dropped rows cannot be compared any more.
        false => ("the count", Digest { rows: counted, ..batch }),
    };
    if view != batch {
        return Err(Error::internal(format!(
            "{what} of {} has {} rows (hash {:016x}), its query as a batch {} (hash {:016x})",
            query.name(),
            view.rows,
            view.hashes,
            batch.rows,
            batch.hashes
        )));
    }
    Ok(())
}

//! What a restart takes back from a checkpoint: each worker its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use weir_common::codec;
use weir_common::error::{Error, Result, SqlState};
use weir_common::hash;
use weir_common::ids::RelationId;
use weir_common::row_codec::RowCodec;
use weir_common::snapshot::Run;
use weir_common::state_store::{Space, StateStore};
use weir_dataflow::state::StateSpec;

use crate::checkpoint::layout::{self, STATE_PREFIX};

/// Rows of state that are taken back in one piece.
const PIECE_ROWS: usize = 32 * 1024;

/// Where things are taken back from.
#[derive(Clone)]
pub(crate) struct Loader {
    pub(crate) store: Arc<dyn StateStore>,
    /// How many workers the runs are of.
    pub(crate) stored_workers: usize,
}

impl Loader {
    /// Hands out the rows of a part of a view's state that a worker owns, in pieces: the columns of the part, and how many rows.
    pub(crate) fn state(
        &self,
        view: RelationId,
        spec: &StateSpec,
        (worker, workers): (usize, usize),
        mut take: impl FnMut(&[ArrayRef], usize) -> Result<()>,
    ) -> Result<()> {
        let types: Vec<DataType> = spec.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let (keys, values) = (RowCodec::new(&types[..spec.keys])?, RowCodec::new(&types[spec.keys..])?);
        let (mut keys, mut values) = (keys.decoder(PIECE_ROWS), values.decoder(PIECE_ROWS));
        let mut rows = 0;
        let range = layout::state_of(view, spec, worker, workers);
        self.store.scan(Space::State, &range.start, &range.end, &mut |key, value| {
            keys.push(key.get(STATE_PREFIX..).ok_or_else(damaged)?)?;
            values.push(value)?;
            rows += 1;
            if rows == PIECE_ROWS {
                let columns = [keys.finish()?, values.finish()?].concat();
                take(&columns, std::mem::take(&mut rows))?;
            }
            Ok(())
        })?;
        if rows > 0 {
            take(&[keys.finish()?, values.finish()?].concat(), rows)?;
        }
        Ok(())
    }

    /// Hands out the runs of a relation that a worker serves. Those that are as they were have a number. `placement` are the columns
    /// that decide on which worker a row is; without, any will do.
    pub(crate) fn runs(
        &self,
        relation: RelationId,
        schema: &SchemaRef,
        placement: Option<&[usize]>,
        (worker, workers): (usize, usize),
        mut take: impl FnMut(Option<u64>, Run) -> Result<()>,
    ) -> Result<()> {
        let as_before = self.stored_workers == workers;
        self.all_runs(relation, schema, |of, number, run| match (as_before, placement) {
            (true, _) if of == worker => take(Some(number), run),
            (true, _) => Ok(()),
            // As good as any other rule.
            (false, None) if number as usize % workers == worker => take(None, run),
            (false, None) => Ok(()),
            (false, Some(placement)) => take(None, Run { rows: Arc::new(mine(&run.batch()?, placement, worker, workers)?), live: None }),
        })
    }

    /// Hands out all runs of a relation, with their workers and numbers.
    pub(crate) fn all_runs(
        &self,
        relation: RelationId,
        schema: &SchemaRef,
        mut take: impl FnMut(usize, u64, Run) -> Result<()>,
    ) -> Result<()> {
        let range = layout::relation(relation);
        // A mask comes right behind its run.
        let mut waiting: Option<(usize, u64, Arc<RecordBatch>)> = None;
        self.store.scan(Space::Runs, &range.start, &range.end, &mut |key, value| {
            let (worker, number, is_mask) = layout::run_of(key)?;
            if is_mask {
                let (of, run, rows) = waiting.take().ok_or_else(damaged)?;
                if (of, run) != (worker, number) || value.len() != rows.num_rows().div_ceil(8) {
                    return Err(damaged());
                }
                let live = BooleanBuffer::new(Buffer::from(value), 0, rows.num_rows());
                return take(of, run, Run { rows, live: Some(live) });
            }
            let rows = Arc::new(codec::decode(value, schema)?.rows);
            if let Some((of, run, rows)) = waiting.replace((worker, number, rows)) {
                take(of, run, Run { rows, live: None })?;
            }
            Ok(())
        })?;
        if let Some((of, run, rows)) = waiting {
            take(of, run, Run { rows, live: None })?;
        }
        Ok(())
    }
}

/// The rows that a worker owns.
fn mine(rows: &RecordBatch, placement: &[usize], worker: usize, workers: usize) -> Result<RecordBatch> {
    let hashes = hash::rows(rows, placement)?;
    let own: BooleanArray = hashes.iter().map(|hash| Some(hash::owner(*hash, workers) == worker)).collect();
    Ok(filter_record_batch(rows, &own)?)
}

fn damaged() -> Error {
    Error::new(SqlState::DATA_CORRUPTED, "entries of the checkpoint store do not fit each other")
}

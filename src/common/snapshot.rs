//! Snapshots: a relation at one commit, immutable and cheap to hold.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::ids::{Epoch, RelationId};

/// An immutable piece of a served relation, and which of its rows are live.
#[derive(Clone, Debug)]
pub struct Run {
    /// The rows, dead ones included.
    pub rows: Arc<RecordBatch>,
    /// A set bit for each live row; `None` when all are.
    pub live: Option<BooleanBuffer>,
}

impl Run {
    /// The live rows.
    pub fn batch(&self) -> Result<RecordBatch> {
        match &self.live {
            None => Ok(self.rows.as_ref().clone()),
            Some(live) => Ok(filter_record_batch(&self.rows, &BooleanArray::new(live.clone(), None))?),
        }
    }

    /// How many rows are live.
    pub fn live_rows(&self) -> usize {
        self.live.as_ref().map_or(self.rows.num_rows(), BooleanBuffer::count_set_bits)
    }
}

/// A relation as of one commit, over all workers.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The rows' schema.
    pub schema: SchemaRef,
    /// The commit that it shows.
    pub epoch: Epoch,
    /// The pieces, in no order that means anything.
    pub runs: Vec<Run>,
    /// Of a materialized view: the watermarks of the sources and tables that its rows come from, as of the commit, microseconds since
    /// 1970 UTC; `i64::MAX` where a source has ended.
    pub watermarks: Vec<(RelationId, Option<i64>)>,
}

impl Snapshot {
    /// The live rows, a batch a run, empty ones left out.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let batch = run.batch()?;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    /// How many rows there are.
    pub fn num_rows(&self) -> usize {
        self.runs.iter().map(Run::live_rows).sum()
    }
}

//! Deltas: rows with weights, what flows through a dataflow (Z-sets, after DBSP).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::Result;
use crate::origins::Origins;

/// How often each row counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// Every row once: an append-only stream, without a column and without a branch.
    Ones,
    /// One weight a row; negative takes back. Never zero after consolidation.
    Each(ScalarBuffer<i64>),
}

impl Weights {
    /// The weight of a row.
    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        match self {
            Weights::Ones => 1,
            Weights::Each(weights) => weights[row],
        }
    }
}

/// Rows and their weights.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The rows; all columns nullable.
    pub rows: RecordBatch,
    /// One weight for each.
    pub weights: Weights,
    /// Where each comes from in a source. `None` behind any step that makes rows of several, and wherever nobody asks; no rows are
    /// other rows for it.
    pub origins: Option<Arc<Origins>>,
}

impl Delta {
    /// Rows that are added once each.
    pub fn insert(rows: RecordBatch) -> Self {
        Delta { rows, weights: Weights::Ones, origins: None }
    }

    /// Rows of a source, which are added once each.
    pub fn of_source(rows: RecordBatch, origins: Option<Arc<Origins>>) -> Self {
        debug_assert!(origins.as_ref().is_none_or(|origins| origins.len() == rows.num_rows()), "one origin a row");
        Delta { origins, ..Delta::insert(rows) }
    }

    /// Rows that are taken back once each.
    pub fn retract(rows: RecordBatch) -> Self {
        let weights = vec![-1i64; rows.num_rows()];
        Delta { rows, weights: Weights::Each(weights.into()), origins: None }
    }

    /// Rows with explicit weights; `weights.len()` is the number of rows.
    pub fn weighted(rows: RecordBatch, weights: Vec<i64>) -> Self {
        assert_eq!(rows.num_rows(), weights.len(), "one weight a row");
        Delta { rows, weights: Weights::Each(weights.into()), origins: None }
    }

    /// How many rows, whatever their weights.
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// All weights added up.
    pub fn weight(&self) -> i64 {
        match &self.weights {
            Weights::Ones => self.num_rows() as i64,
            Weights::Each(weights) => weights.iter().sum(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }

    /// Whether every weight is +1 by construction.
    pub fn is_append_only(&self) -> bool {
        matches!(self.weights, Weights::Ones)
    }

    /// The rows where `mask` is true (NULL counts as false), with their weights.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Delta> {
        let rows = filter_record_batch(&self.rows, mask)?;
        let weights = match &self.weights {
            Weights::Ones => Weights::Ones,
            Weights::Each(weights) => Weights::Each(
                weights.iter().enumerate().filter(|(row, _)| mask.is_valid(*row) && mask.value(*row)).map(|(_, weight)| *weight).collect(),
            ),
        };
        Ok(Delta { rows, weights, origins: self.moved(|origins| origins.filter(mask))? })
    }

    /// The rows with these indices, in this order, with their weights.
    pub fn take(&self, indices: &UInt32Array) -> Result<Delta> {
        let rows = take_record_batch(&self.rows, indices)?;
        let weights = match &self.weights {
            Weights::Ones => Weights::Ones,
            Weights::Each(weights) => Weights::Each(indices.values().iter().map(|row| weights[*row as usize]).collect()),
        };
        Ok(Delta { rows, weights, origins: self.moved(|origins| origins.take(indices))? })
    }

    /// `len` rows from `offset` on, without a copy of the columns.
    pub fn slice(&self, offset: usize, len: usize) -> Delta {
        let weights = match &self.weights {
            Weights::Ones => Weights::Ones,
            Weights::Each(weights) => Weights::Each(weights.slice(offset, len)),
        };
        let origins = self.origins.as_ref().map(|origins| Arc::new(origins.slice(offset, len)));
        Delta { rows: self.rows.slice(offset, len), weights, origins }
    }

    /// The same weights and origins on other columns: the projection of a delta.
    pub fn with_rows(&self, rows: RecordBatch) -> Delta {
        debug_assert_eq!(rows.num_rows(), self.rows.num_rows(), "a projection keeps its rows");
        Delta { rows, weights: self.weights.clone(), origins: self.origins.clone() }
    }

    /// The same where nobody asks any more where rows come from.
    pub fn without_origins(self) -> Delta {
        Delta { origins: None, ..self }
    }

    fn moved(&self, moved: impl FnOnce(&Origins) -> Result<Origins>) -> Result<Option<Arc<Origins>>> {
        self.origins.as_ref().map(|origins| moved(origins).map(Arc::new)).transpose()
    }

    /// All of them in one; `schema` decides where there is none.
    pub fn concat(schema: &SchemaRef, deltas: &[Delta]) -> Result<Delta> {
        let rows = concat_batches(schema, deltas.iter().map(|delta| &delta.rows))?;
        let origins = match deltas.iter().any(|delta| delta.origins.is_some()) {
            true => {
                let each = deltas.iter().map(|delta| delta.origins.clone().unwrap_or_else(|| Arc::new(Origins::unknown(delta.num_rows()))));
                Some(Arc::new(Origins::concat(each.collect::<Vec<_>>().iter().map(Arc::as_ref))?))
            }
            false => None,
        };
        if deltas.iter().all(Delta::is_append_only) {
            return Ok(Delta { origins, ..Delta::insert(rows) });
        }
        let mut weights = Vec::with_capacity(rows.num_rows());
        for delta in deltas {
            match &delta.weights {
                Weights::Ones => weights.extend(std::iter::repeat_n(1, delta.num_rows())),
                Weights::Each(each) => weights.extend_from_slice(each),
            }
        }
        Ok(Delta { origins, ..Delta::weighted(rows, weights) })
    }
}

/// Builds a batch that may have no columns at all (`SELECT count(*)` reads none), with `rows` rows.
pub fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))?)
}

/// The schema with every field nullable: the one form that streams, state and snapshots use.
pub fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

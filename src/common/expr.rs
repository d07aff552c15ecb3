//! Expressions over batches, as operators see them: whoever compiles them (the `sql` crate, with DataFusion) stays outside.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use crate::error::Result;

/// A compiled expression.
///
/// # Contract
/// - `evaluate` returns an array of `batch.num_rows()` values of `data_type()`.
/// - The same row always gives the same value: a retraction must reproduce what it takes back.
/// - An error may concern a single row; the caller finds it by halving the batch.
pub trait BatchExpr: fmt::Debug + Send + Sync {
    /// Evaluates it on every row.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef>;
    /// The type of its values.
    fn data_type(&self) -> &DataType;
    /// The input column that it merely passes on, if that is all it does.
    fn as_column(&self) -> Option<usize> {
        None
    }
    /// The input columns that its value depends on.
    fn columns(&self) -> Vec<usize>;
    /// Its text, by which state is known: the same for ever.
    fn describe(&self) -> String;
    /// Its text for people, as in EXPLAIN.
    fn shown(&self) -> String {
        self.describe()
    }
}

/// Expressions are shared by the workers.
pub type ExprRef = Arc<dyn BatchExpr>;

/// A plain reference to an input column: the one expression that needs no compiler.
#[derive(Debug)]
pub struct Column {
    /// Index into the input's columns.
    pub index: usize,
    /// Its name, for EXPLAIN.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

impl BatchExpr for Column {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        Ok(batch.column(self.index).clone())
    }
    fn data_type(&self) -> &DataType {
        &self.data_type
    }
    fn as_column(&self) -> Option<usize> {
        Some(self.index)
    }
    fn columns(&self) -> Vec<usize> {
        vec![self.index]
    }
    fn describe(&self) -> String {
        self.name.clone()
    }
}

//! Rows as text for dead letters, and as bytes to find equal ones.

use arrow::array::{ArrayRef, BinaryArray};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use weir_common::error::{Error, Result};

/// Writes rows of a batch as `name = value` pairs.
pub(crate) struct RowText<'a> {
    columns: Vec<(&'a str, Option<ArrayFormatter<'a>>)>,
}

impl<'a> RowText<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Self {
        Self::of_columns(batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, column)| (field.name().as_str(), column)))
    }

    pub(crate) fn of_columns(columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>) -> Self {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(true).with_null("NULL");
        RowText { columns: columns.map(|(name, column)| (name, ArrayFormatter::try_new(column.as_ref(), &OPTIONS).ok())).collect() }
    }

    pub(crate) fn row(&self, row: usize) -> String {
        let value = |formatter: &Option<ArrayFormatter>| formatter.as_ref().map_or("?".to_string(), |formatter| formatter.value(row).to_string());
        let pairs: Vec<String> = self.columns.iter().map(|(name, formatter)| format!("{name} = {}", value(formatter))).collect();
        pairs.join(", ")
    }
}

/// A converter of these columns to bytes that are equal exactly where the rows are.
pub(crate) fn converter<'a>(types: impl IntoIterator<Item = &'a arrow::datatypes::DataType>) -> Result<RowConverter> {
    Ok(RowConverter::new(types.into_iter().map(|data_type| SortField::new(data_type.clone())).collect())?)
}

/// The rows as bytes: equal bytes, equal rows.
pub(crate) fn encode(converter: &RowConverter, columns: &[ArrayRef]) -> Result<BinaryArray> {
    let rows = converter.convert_columns(columns)?;
    // Beyond 2 GiB of keys in one batch: the caller's batches are far smaller.
    rows.try_into_binary().map_err(|error| Error::internal(format!("rows of a batch do not fit: {error}")))
}

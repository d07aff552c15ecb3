//! Rows as text for dead letters, and as bytes to find equal ones.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, PrimitiveArray, TimestampMicrosecondArray, downcast_primitive_array,
    make_array,
};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use weir_common::error::{Error, Result};

/// Writes rows as `name = value` pairs.
pub struct RowText {
    names: Vec<String>,
    columns: Vec<ArrayRef>,
}

impl RowText {
    /// Of a batch.
    pub fn new(batch: &RecordBatch) -> Self {
        Self::of_columns(batch.schema_ref(), batch.columns())
    }

    /// The first columns of a relation.
    pub(crate) fn of_columns(schema: &SchemaRef, columns: &[ArrayRef]) -> Self {
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        RowText { names, columns: columns.iter().map(printable).collect() }
    }

    /// A row of it.
    pub fn row(&self, row: usize) -> String {
        let pairs: Vec<String> =
            self.names.iter().zip(&self.columns).map(|(name, column)| format!("{name} = {}", value(column, row))).collect();
        pairs.join(", ")
    }
}

/// A value as text; one that has none says why.
fn value(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_display_error(true).with_null("NULL");
    ArrayFormatter::try_new(column.as_ref(), &options).map_or_else(|error| error.to_string(), |formatter| formatter.value(row).to_string())
}

/// The column in a type that Arrow can print: it knows no time zones by name, and all of ours are UTC.
pub(crate) fn printable(column: &ArrayRef) -> ArrayRef {
    let DataType::Timestamp(unit, Some(_)) = column.data_type() else { return column.clone() };
    let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
    column.to_data().into_builder().data_type(utc).build().map_or_else(|_| column.clone(), make_array)
}

/// A converter of columns of these types to bytes that are equal exactly where the rows are.
pub(crate) fn converter<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<RowConverter> {
    Ok(RowConverter::new(types.into_iter().map(|data_type| SortField::new(data_type.clone())).collect())?)
}

/// The rows as bytes: equal bytes, equal rows.
pub(crate) fn encode(converter: &RowConverter, columns: &[ArrayRef]) -> Result<BinaryArray> {
    let rows = converter.convert_columns(columns)?;
    rows.try_into_binary().map_err(|error| Error::internal(format!("the rows of one batch take more than 2 GiB: {error}")))
}

/// The columns of rows as bytes. What is under a NULL is zero: the bytes would give the least value of the type, on which an
/// expression that computes before it looks for NULL can overflow.
pub(crate) fn decode<'a>(converter: &RowConverter, rows: impl IntoIterator<Item = Row<'a>>) -> Result<Vec<ArrayRef>> {
    Ok(converter.convert_rows(rows)?.into_iter().map(zero_under_null).collect())
}

fn zero_under_null(column: ArrayRef) -> ArrayRef {
    if column.null_count() == 0 {
        return column;
    }
    let array = column.as_ref();
    downcast_primitive_array!(
        array => zeroed(array),
        _ => column,
    )
}

fn zeroed<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> ArrayRef {
    Arc::new(array.iter().collect::<PrimitiveArray<T>>().with_data_type(array.data_type().clone()))
}

/// A column of moments that are never NULL.
pub(crate) fn times(rows: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray> {
    moments(rows.columns(), column)
}

/// The event times in one of some columns; none is NULL.
pub(crate) fn moments(columns: &[ArrayRef], column: usize) -> Result<&TimestampMicrosecondArray> {
    let times = columns[column].as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or_else(|| Error::internal(format!("column {column} holds no event time")))?;
    if times.null_count() > 0 {
        return Err(Error::internal("a row without an event time reached its windows"));
    }
    Ok(times)
}

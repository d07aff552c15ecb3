//! Single values as DataFusion has them: what parameters become.

use arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use weir_common::error::{Error, Result};
use weir_common::types::PgType;

/// The value of an array of one row.
pub fn of(array: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(array, 0).map_err(|error| Error::internal(format!("a parameter has no value: {error}")))
}

/// NULL of a type.
pub fn null(ty: &PgType) -> Result<ScalarValue> {
    ScalarValue::try_from(&ty.arrow()).map_err(|error| Error::internal(format!("type {} has no NULL: {error}", ty.spelling())))
}

/// An array of a value, so many times.
pub fn repeat(value: &ScalarValue, times: usize) -> Result<ArrayRef> {
    value.to_array_of_size(times).map_err(|error| Error::internal(format!("a value that cannot be repeated: {error}")))
}

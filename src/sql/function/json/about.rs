//! What a document is.

use weir_common::error::{Error, Result, SqlState};
use weir_common::json::{Kind, Raw};

/// How many elements an array has; anything else is an error.
pub(super) fn array_length(document: Raw<'_>) -> Result<i32> {
    let what = match document.kind() {
        Kind::Array => return Ok(document.elements().count() as i32),
        Kind::Object => "non-array",
        _ => "scalar",
    };
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot get array length of a {what}")))
}

//! error
use datafusion::error::DataFusionError;
use weir_common::error::Error;

/// DataFusion's error in Postgres words.
pub fn from_datafusion(error: DataFusionError, sql: &str) -> Error {
    let _ = sql;
    Error::internal(error.to_string())
}

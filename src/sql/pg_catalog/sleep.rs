//! `pg_sleep`: waits without holding a thread, so that a cancel ends it at once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use async_trait::async_trait;
use datafusion::error::Result;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use weir_common::error::Error;

use super::function::external;

/// The function's name.
pub(super) const NAME: &str = "pg_sleep";
/// Seconds in a hundred years; nobody sleeps longer.
const SECONDS_MAX: f64 = 3.2e9;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

/// `pg_sleep(seconds)`: once for each row.
pub(super) fn function() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Volatile);
    AsyncScalarUDF::new(Arc::new(Sleep { signature })).into_scalar_udf()
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(external(Error::unsupported("pg_sleep() is supported in the SELECT list and in WHERE only")))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = args.args[0].to_array(args.number_rows)?;
        let seconds = seconds.as_primitive::<Float64Type>();
        let all: f64 = seconds.iter().flatten().filter(|seconds| *seconds > 0.0).sum();
        // A wait that is not a number is none.
        tokio::time::sleep(Duration::from_secs_f64(if all.is_nan() { 0.0 } else { all.min(SECONDS_MAX) })).await;
        let nothing: StringArray = (0..seconds.len()).map(|row| (!seconds.is_null(row)).then_some("")).collect();
        Ok(ColumnarValue::Array(Arc::new(nothing)))
    }
}

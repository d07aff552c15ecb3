//! `weir_compared_with_now(x)`: a comparison of `now()` with x, as the optimizer sees it. No user can call it.

use arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use weir_common::from_now::FromNow;
use weir_common::temporal::Comparison;

/// The comparison; in a view it becomes part of a [`weir_common::temporal::TimeCondition`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ComparedWithNow {
    from_now: FromNow,
    comparison: Comparison,
    signature: Signature,
}

impl ComparedWithNow {
    /// `from_now comparison value`.
    pub(crate) fn call(from_now: FromNow, comparison: Comparison, value: Expr) -> Expr {
        // It is another one at each moment: no rule computes it, or puts it anywhere but into a condition.
        let signature = Signature::any(1, Volatility::Volatile);
        ScalarUDF::from(ComparedWithNow { from_now, comparison, signature }).call(vec![value])
    }

    /// Its parts, if the expression is such a comparison.
    pub(crate) fn of(expr: &Expr) -> Option<(&FromNow, Comparison, &Expr)> {
        let Expr::ScalarFunction(call) = expr else { return None };
        let compared = call.func.inner().downcast_ref::<ComparedWithNow>()?;
        Some((&compared.from_now, compared.comparison, call.args.first()?))
    }
}

impl ScalarUDFImpl for ComparedWithNow {
    fn name(&self) -> &str {
        "weir_compared_with_now"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("{} {} {}", self.from_now, self.comparison, Expr::schema_name(&args[0])))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a comparison with now() is asked by a temporal filter only")
    }
}

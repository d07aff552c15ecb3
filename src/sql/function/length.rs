//! `weir_length(i)`: how long an interval is, in microseconds. Postgres compares intervals so: a month has 30 days, a day 24 hours.

use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::function::calendar::DAY_MICROS;

/// The longest lengths are more than 64 bits of microseconds.
const LENGTH: DataType = DataType::Decimal128(38, 0);

/// The function; no user can call it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Length {
    signature: Signature,
}

impl Length {
    /// What takes the place of an interval in a comparison.
    pub(crate) fn call(interval: Expr) -> Expr {
        ScalarUDF::from(Length { signature: Signature::any(1, Volatility::Immutable) }).call(vec![interval])
    }

    /// The interval in whose place it is, if the expression is such a call.
    pub(crate) fn of(expr: &Expr) -> Option<&Expr> {
        match expr {
            Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<Length>().is_some() => call.args.first(),
            _ => None,
        }
    }
}

/// Whether it is what values of the type interval are.
pub(crate) fn is_interval(data_type: &DataType) -> bool {
    *data_type == DataType::Interval(IntervalUnit::MonthDayNano)
}

fn micros(IntervalMonthDayNano { months, days, nanoseconds }: IntervalMonthDayNano) -> i128 {
    (i128::from(months) * 30 + i128::from(days)) * i128::from(DAY_MICROS) + i128::from(nanoseconds / 1000)
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        "weir_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(LENGTH)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let intervals = args.args[0].to_array(args.number_rows)?;
        let Some(intervals) = intervals.as_primitive_opt::<IntervalMonthDayNanoType>() else {
            return exec_err!("the length of what is no interval");
        };
        let lengths: Decimal128Array = intervals.iter().map(|interval| interval.map(micros)).collect();
        Ok(ColumnarValue::Array(Arc::new(lengths.with_data_type(LENGTH))))
    }
}

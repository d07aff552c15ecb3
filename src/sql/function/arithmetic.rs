//! `+ - * / %` as Postgres does them: overflow and division by zero are errors, decimals keep their digits, and dates,
//! times and intervals take part.

mod decimal; // products and quotients of decimals
mod time; // dates, times and intervals

use arrow::array::{Array, ArrayRef, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_common::error::{Error, SqlState};
use weir_common::types::PgType;

use crate::context::external;

/// One operator.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Arithmetic {
    operator: Operator,
    signature: Signature,
}

impl Arithmetic {
    /// `Plus`, `Minus`, `Multiply`, `Divide` or `Modulo`.
    pub(crate) fn new(operator: Operator) -> Self {
        Arithmetic { operator, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(crate) fn operator(&self) -> Operator {
        self.operator
    }

    fn undefined(&self, left: &DataType, right: &DataType) -> DataFusionError {
        let name = |data_type: &DataType| PgType::of_arrow(data_type).spelling();
        let message = format!("operator does not exist: {} {} {}", name(left), self.operator, name(right));
        external(
            Error::new(SqlState::UNDEFINED_FUNCTION, message)
                .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts."),
        )
    }

    /// What the operands are cast to.
    fn operands(&self, left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
        let (left, right) = (plain(left), plain(right));
        match (&left, &right) {
            (DataType::Null, DataType::Null) => Some((DataType::Int32, DataType::Int32)),
            (DataType::Null, other) if numeric_rank(other).is_some() => Some((other.clone(), right.clone())),
            (other, DataType::Null) if numeric_rank(other).is_some() => Some((left.clone(), other.clone())),
            // An unknown NULL beside a time is what makes sense there: an interval.
            (DataType::Null, other) if is_time(other) => Some((interval(), right.clone())),
            (other, DataType::Null) if is_time(other) => Some((left.clone(), interval())),
            _ => match numbers(&left, &right) {
                Some(operands) => Some(operands),
                None => time::result(self.operator, &left, &right).map(|_| time::operands(&left, &right)),
            },
        }
    }

    fn result(&self, left: &DataType, right: &DataType) -> Option<DataType> {
        match (left, right) {
            (DataType::Decimal128(..), DataType::Decimal128(..)) => Some(decimal::result(self.operator, left, right)),
            _ if numeric_rank(left).is_some() && left == right => Some(left.clone()),
            _ => time::result(self.operator, left, right),
        }
    }
}

fn interval() -> DataType {
    PgType::Interval.arrow()
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Time64(_) | DataType::Interval(_))
}

/// The types that Weir computes with, for those that DataFusion's functions give.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(_, s) => DataType::Decimal128(38, *s),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Interval(_) | DataType::Duration(_) => interval(),
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}

fn numeric_rank(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int16 => Some(0),
        DataType::Int32 => Some(1),
        DataType::Int64 => Some(2),
        DataType::Decimal128(..) => Some(3),
        DataType::Float32 => Some(4),
        DataType::Float64 => Some(5),
        _ => None,
    }
}

/// Postgres' preferred types: integers widen, a decimal wins over integers, `double precision` over everything.
fn numbers(left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    let (left_rank, right_rank) = (numeric_rank(left)?, numeric_rank(right)?);
    if left_rank == right_rank {
        return Some((left.clone(), right.clone()));
    }
    if left_rank.max(right_rank) >= 4 {
        return Some((DataType::Float64, DataType::Float64));
    }
    if left_rank.max(right_rank) == 3 {
        return Some((as_decimal(left), as_decimal(right)));
    }
    let wider = if left_rank > right_rank { left } else { right };
    Some((wider.clone(), wider.clone()))
}

fn as_decimal(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::Int32 => DataType::Decimal128(10, 0),
        DataType::Int64 => DataType::Decimal128(19, 0),
        other => other.clone(),
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Plus => "weir_plus",
            Operator::Minus => "weir_minus",
            Operator::Multiply => "weir_multiply",
            Operator::Divide => "weir_divide",
            _ => "weir_modulo",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("({left} {} {right})", self.operator)),
            _ => internal_err!("{} takes two arguments", self.name()),
        }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("({} {} {})", left.schema_name(), self.operator, right.schema_name())),
            _ => internal_err!("{} takes two arguments", self.name()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = arg_types else {
            return internal_err!("{} takes two arguments", self.name());
        };
        // A pair that does not go together is refused by `return_type`: DataFusion would bury an error from here in its own.
        let (left_to, right_to) = self.operands(left, right).unwrap_or_else(|| (left.clone(), right.clone()));
        Ok(vec![left_to, right_to])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [left, right] = arg_types else {
            return internal_err!("{} takes two arguments", self.name());
        };
        self.result(left, right).ok_or_else(|| self.undefined(left, right))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return internal_err!("{} takes two arguments", self.name());
        };
        let rows = args.number_rows;
        let result = args.return_field.data_type();
        match (left, right) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let value = self.compute(&left.to_scalar()?, &right.to_scalar()?, result)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?))
            }
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => self.broadcast(left, &right.to_scalar()?, result, rows),
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => self.broadcast(&left.to_scalar()?, right, result, rows),
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => self.broadcast(left, right, result, rows),
        }
    }
}

impl Arithmetic {
    fn broadcast(&self, left: &dyn Datum, right: &dyn Datum, result: &DataType, rows: usize) -> Result<ColumnarValue> {
        let value = self.compute(left, right, result)?;
        debug_assert_eq!(value.len(), rows, "one value a row");
        Ok(ColumnarValue::Array(value))
    }

    fn compute(&self, left: &dyn Datum, right: &dyn Datum, result: &DataType) -> Result<ArrayRef> {
        let (left_type, right_type) = (left.get().0.data_type().clone(), right.get().0.data_type().clone());
        let failed = |error: ArrowError| external(self.failure(error, result));
        match (&left_type, &right_type) {
            (DataType::Decimal128(..), DataType::Decimal128(..)) if matches!(self.operator, Operator::Multiply | Operator::Divide) => {
                decimal::compute(self.operator, left, right, result).map_err(external)
            }
            (DataType::Decimal128(..), DataType::Decimal128(..)) => self.kernel(left, right).map_err(failed),
            _ if numeric_rank(&left_type).is_some() && left_type == right_type => {
                if matches!(self.operator, Operator::Divide | Operator::Modulo) && has_float_zero(left, right) {
                    return Err(failed(ArrowError::DivideByZero));
                }
                self.kernel(left, right).map_err(failed)
            }
            _ => time::compute(self.operator, left, right).map_err(failed),
        }
    }

    fn kernel(&self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self.operator {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        }
    }

    fn failure(&self, error: ArrowError, result: &DataType) -> Error {
        match error {
            ArrowError::DivideByZero => division_by_zero(),
            ArrowError::ArithmeticOverflow(_) | ArrowError::ComputeError(_) if is_time(result) => {
                Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{} out of range", time::word(result)))
            }
            ArrowError::ArithmeticOverflow(_) => out_of_range(result),
            other => Error::from(other),
        }
    }
}

/// The error of a division by zero.
pub(crate) fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// The error for a number that its type cannot hold.
pub(crate) fn out_of_range(data_type: &DataType) -> Error {
    let word = match data_type {
        DataType::Decimal128(..) => "value overflows numeric format".to_string(),
        other => format!("{} out of range", PgType::of_arrow(other).spelling()),
    };
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, word)
}

/// Floats divide by zero in silence; Postgres does not let them. A NULL on either side is no division.
fn has_float_zero(left: &dyn Datum, right: &dyn Datum) -> bool {
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let zero: Box<dyn Fn(usize) -> bool> = match right.data_type() {
        DataType::Float32 => {
            let values = right.as_primitive::<Float32Type>();
            Box::new(|row| values.is_valid(row) && values.value(row) == 0.0)
        }
        DataType::Float64 => {
            let values = right.as_primitive::<Float64Type>();
            Box::new(|row| values.is_valid(row) && values.value(row) == 0.0)
        }
        _ => return false,
    };
    let rows = if left_scalar { right.len() } else { left.len() };
    (0..rows).any(|row| zero(if right_scalar { 0 } else { row }) && left.is_valid(if left_scalar { 0 } else { row }))
}

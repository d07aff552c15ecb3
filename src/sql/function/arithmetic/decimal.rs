//! Products and quotients of decimals.
//!
//! Postgres' numeric has no bound worth the name; ours has 38 digits. A product is exact where 38 digits hold any; else it
//! keeps as many decimals as either side had, 16 at least. A quotient has 16 decimals, or as many as either side. What is
//! cut is rounded half away from zero.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, i256};
use datafusion::logical_expr::Operator;
use weir_common::error::Result;
use weir_common::numeric::{AVG_SCALE, PRECISION};

use crate::function::arithmetic::{division_by_zero, out_of_range};

fn parts(data_type: &DataType) -> (u8, i8) {
    match data_type {
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => (PRECISION, 0),
    }
}

/// The type of a result.
pub(super) fn result(operator: Operator, left: &DataType, right: &DataType) -> DataType {
    let ((p1, s1), (p2, s2)) = (parts(left), parts(right));
    let scale = s1.max(s2);
    match operator {
        Operator::Multiply if p1 + p2 < PRECISION => DataType::Decimal128(p1 + p2 + 1, s1 + s2),
        Operator::Multiply => DataType::Decimal128(PRECISION, (s1 + s2).min(scale.max(AVG_SCALE))),
        Operator::Divide => DataType::Decimal128(PRECISION, scale.max(AVG_SCALE)),
        // As Arrow's kernels have it.
        Operator::Modulo => DataType::Decimal128(scale as u8 + (p1 as i8 - s1).min(p2 as i8 - s2) as u8, scale),
        _ => DataType::Decimal128(PRECISION.min(scale as u8 + (p1 as i8 - s1).max(p2 as i8 - s2) as u8 + 1), scale),
    }
}

/// A product or a quotient.
pub(super) fn compute(operator: Operator, left: &dyn Datum, right: &dyn Datum, to: &DataType) -> Result<ArrayRef> {
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let ((_, s1), (_, s2), (precision, scale)) = (parts(left.data_type()), parts(right.data_type()), parts(to));
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let rows = if left_scalar { right.len() } else { left.len() };
    let limit = i256::from_i128(10i128.pow(precision as u32));
    let overflow = || out_of_range(to);
    let power = |exponent: u32| i256::from_i128(10).checked_pow(exponent).ok_or_else(overflow);
    // Either side is scaled up before the division that rounds.
    let (up, down) = match operator {
        Operator::Multiply => (power(0)?, power((s1 + s2 - scale) as u32)?),
        _ => (power((scale + s2 - s1) as u32)?, power(0)?),
    };
    let value = |a: i128, b: i128| {
        let (a, b) = (i256::from_i128(a), i256::from_i128(b));
        let quotient = match operator {
            Operator::Multiply => divide(a.checked_mul(b).ok_or_else(overflow)?, down),
            _ if b == i256::ZERO => return Err(division_by_zero()),
            _ => divide(a.checked_mul(up).ok_or_else(overflow)?, b),
        };
        match quotient.wrapping_abs() < limit {
            true => quotient.to_i128().ok_or_else(overflow),
            false => Err(overflow()),
        }
    };
    let mut builder = Decimal128Array::builder(rows);
    for row in 0..rows {
        let (l, r) = (if left_scalar { 0 } else { row }, if right_scalar { 0 } else { row });
        match left.is_valid(l) && right.is_valid(r) {
            true => builder.append_value(value(left.value(l), right.value(r))?),
            false => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish().with_precision_and_scale(precision, scale)?))
}

/// Rounded half away from zero; `divisor` is not 0.
fn divide(value: i256, divisor: i256) -> i256 {
    let quotient = value.wrapping_div(divisor);
    let rest = value.wrapping_rem(divisor).wrapping_abs();
    let divisor_size = divisor.wrapping_abs();
    if rest < divisor_size.wrapping_sub(rest) || rest == i256::ZERO {
        return quotient;
    }
    let negative = (value < i256::ZERO) != (divisor < i256::ZERO);
    quotient.wrapping_add(if negative { i256::MINUS_ONE } else { i256::ONE })
}

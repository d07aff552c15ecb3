//! Which rows of a batch an expression fails on: they become dead letters, the others go on.

use arrow::array::{Array, ArrayRef};
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::expr::ExprRef;

use crate::rows::RowText;

/// Rows that evaluated, and one array of values for each expression.
pub(crate) struct Evaluated {
    pub(crate) delta: Delta,
    pub(crate) values: Vec<ArrayRef>,
}

/// Evaluates all expressions on every row. A row on which any fails is left out and becomes a dead letter of `view`,
/// unless it is being taken back: then its letter was written when it came. Usually there is one part with all rows.
pub(crate) fn evaluate(exprs: &[ExprRef], delta: Delta, view: &str, dead: &mut Vec<DeadLetter>) -> Vec<Evaluated> {
    let mut parts = Vec::new();
    let mut pending = vec![delta];
    while let Some(delta) = pending.pop() {
        match attempt(exprs, &delta) {
            Ok(values) => parts.push(Evaluated { delta, values }),
            Err(error) if delta.num_rows() == 1 => {
                if delta.weights.get(0) > 0 {
                    let text = RowText::new(&delta.rows).row(0);
                    dead.push(DeadLetter::of_bytes(view, Reason::Expression, error.message(), text.as_bytes()));
                }
            }
            Err(_) => {
                let half = delta.num_rows() / 2;
                pending.push(delta.slice(half, delta.num_rows() - half));
                pending.push(delta.slice(0, half));
            }
        }
    }
    parts
}

fn attempt(exprs: &[ExprRef], delta: &Delta) -> Result<Vec<ArrayRef>> {
    if delta.is_empty() {
        return Ok(exprs.iter().map(|expr| arrow::array::new_empty_array(expr.data_type())).collect());
    }
    let mut values = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let array = expr.evaluate(&delta.rows)?;
        if array.len() != delta.num_rows() || array.data_type() != expr.data_type() {
            return Err(Error::internal(format!(
                "expression {} gave {} values of {} for {} rows of {}",
                expr.describe(),
                array.len(),
                array.data_type(),
                delta.num_rows(),
                expr.data_type()
            )));
        }
        values.push(array);
    }
    Ok(values)
}

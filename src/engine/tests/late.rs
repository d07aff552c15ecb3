//! Conditions on late rows: which entries they mean.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::{BatchExpr, ExprRef};

use crate::late::meant;

/// `10 / column 0 > 1`, which fails for 0.
#[derive(Debug)]
struct Divides;

impl BatchExpr for Divides {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        if numbers.iter().any(|number| number == Some(0)) {
            return Err(Error::new(SqlState("22012"), "division by zero"));
        }
        Ok(Arc::new(numbers.iter().map(|number| Some(10 / number? > 1)).collect::<BooleanArray>()))
    }
    fn data_type(&self) -> &DataType {
        &DataType::Boolean
    }
    fn columns(&self) -> Vec<usize> {
        vec![0]
    }
    fn describe(&self) -> String {
        "10 / n > 1".into()
    }
}

#[test]
fn entries_for_which_the_condition_fails_or_is_null_are_not_meant() {
    let condition: ExprRef = Arc::new(Divides);
    let numbers = [Some(0), Some(3), None, Some(20), Some(0), Some(0), Some(5), Some(4)];
    for from in 0..numbers.len() {
        for to in from..=numbers.len() {
            let all: ArrayRef = Arc::new(Int64Array::from(numbers[from..to].to_vec()));
            let entries = RecordBatch::try_from_iter_with_nullable([("n", all, true)]).unwrap();
            let found = meant(&entries, &condition).unwrap();
            let expected: Vec<i64> = numbers[from..to].iter().flatten().copied().filter(|number| [3, 5, 4].contains(number)).collect();
            assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &expected, "{from}..{to}");
            assert_eq!(found.column(0).null_count(), 0);
        }
    }
}

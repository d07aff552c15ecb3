//! Rows that fail: each becomes one dead letter, the others go on.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use weir_common::dead_letter::Reason;
use weir_common::delta::Delta;
use weir_common::error::{Error, SqlState};
use weir_common::expr::ExprRef;
use weir_common::plan::{Facts, Node, Op};

use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::{column, expr, filter, import, project};

/// `100 / a`, which fails on the whole batch when one `a` is zero.
fn hundred_over() -> ExprRef {
    expr("100 / a", DataType::Int64, |batch| {
        let values = batch.column(0).as_primitive::<Int64Type>();
        if values.iter().any(|value| value == Some(0)) {
            return Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"));
        }
        Ok(Arc::new(values.unary::<_, Int64Type>(|value| if value == 0 { 0 } else { 100 / value })))
    })
}

fn numbers(input: &Node, values: impl IntoIterator<Item = Option<i64>>) -> RecordBatch {
    RecordBatch::try_new(input.schema.clone(), vec![Arc::new(values.into_iter().collect::<Int64Array>())]).unwrap()
}

#[test]
fn a_failing_row_is_found_among_many() {
    let input = import("t", &[("a", DataType::Int64)], Facts::default());
    let view = project(input.clone(), vec![("a", column(0, "a", DataType::Int64)), ("b", hundred_over())], Facts::default());
    let mut simulator = Simulator::new(&lower(&view, "v", 1).unwrap(), 1);
    let mut integral = Integral::new();
    let rows = || numbers(&input, (0..1000).map(|value| Some(value % 400)));
    simulator.push(0, Delta::insert(rows()), 0);
    simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
    assert_eq!(integral.rows().len(), 997);
    let dead = simulator.take_dead_letters();
    assert_eq!(dead.len(), 3);
    assert_eq!((dead[0].reason, dead[0].error.as_str(), dead[0].payload.as_str()), (Reason::Expression, "division by zero", "a = 0"));
    // What is taken back makes no second letter.
    simulator.push(0, Delta::retract(rows()), 0);
    simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
    assert!(integral.is_empty() && simulator.take_dead_letters().is_empty());
}

#[test]
fn a_filter_keeps_what_is_true() {
    let input = import("t", &[("a", DataType::Int64)], Facts::default());
    let predicate = expr("a > 1", DataType::Boolean, |batch| {
        Ok(Arc::new(batch.column(0).as_primitive::<Int64Type>().iter().map(|value| value.map(|value| value > 1)).collect::<BooleanArray>()))
    });
    let view = filter(input.clone(), predicate);
    let mut simulator = Simulator::new(&lower(&view, "v", 2).unwrap(), 2);
    simulator.push(0, Delta::insert(numbers(&input, [Some(1), None, Some(2), Some(3)])), 1);
    let mut integral = Integral::new();
    simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
    assert_eq!(integral.rows(), vec![vec![Some("2".to_string())], vec![Some("3".to_string())]]);
}

#[test]
fn a_row_without_event_time_is_in_no_window() {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let input = import("t", &[("name", DataType::Utf8), ("ts", time)], Facts::default());
    let view =
        Node { schema: input.schema.clone(), facts: Facts::default(), op: Op::RequireEventTime { column: 1 }, inputs: vec![input.clone()] };
    let mut simulator = Simulator::new(&lower(&view, "v", 1).unwrap(), 1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, None])),
    ];
    let rows = RecordBatch::try_new(input.schema.clone(), columns).unwrap();
    simulator.push(0, Delta::insert(rows.clone()), 0);
    let mut integral = Integral::new();
    simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
    assert_eq!(integral.rows().len(), 1);
    let payloads: Vec<_> = simulator.take_dead_letters().into_iter().map(|letter| (letter.reason, letter.payload)).collect();
    assert_eq!(
        payloads,
        vec![(Reason::NullEventTime, "name = NULL, ts = NULL".into()), (Reason::NullEventTime, "name = c, ts = NULL".into())]
    );
    simulator.push(0, Delta::retract(rows), 0);
    simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
    assert!(integral.is_empty() && simulator.take_dead_letters().is_empty());
}

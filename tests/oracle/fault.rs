//! Deliberate mistakes, each of which the comparison has to find.

use arrow::datatypes::DataType;
use weir_common::delta::{Delta, Weights};
use weir_common::plan::{AggregateFunction, Node, Op};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// The first row that the last view puts out has the opposite weight.
    Flip,
    /// The first row that comes in is never seen by any view.
    Lose,
    /// `min` for `max`, and the other way round.
    Swap,
    /// Aggregates forget their FILTER.
    Unfilter,
    /// A WHERE or HAVING lets everything through.
    Pass,
}

impl Fault {
    /// Works on the plan of a view; whether there was anything to spoil.
    pub fn plan(self, node: &mut Node) -> bool {
        let mut done = false;
        for input in &mut node.inputs {
            done |= self.plan(input);
        }
        match &mut node.op {
            Op::Aggregate { calls, .. } => {
                for call in calls {
                    match (self, call.function) {
                        (Fault::Swap, AggregateFunction::Min) => call.function = AggregateFunction::Max,
                        (Fault::Swap, AggregateFunction::Max) => call.function = AggregateFunction::Min,
                        (Fault::Unfilter, _) if call.filter.is_some() => call.filter = None,
                        _ => continue,
                    }
                    done = true;
                }
            }
            Op::Filter { predicate } if self == Fault::Pass => {
                debug_assert_eq!(*predicate.data_type(), DataType::Boolean);
                *node = node.inputs.remove(0);
                done = true;
            }
            _ => {}
        }
        done
    }
}

/// The first row with the opposite weight.
pub fn flipped(delta: &Delta) -> Delta {
    let mut weights: Vec<i64> = (0..delta.num_rows()).map(|row| delta.weights.get(row)).collect();
    weights[0] = -weights[0];
    Delta { weights: Weights::Each(weights.into()), ..delta.clone() }
}

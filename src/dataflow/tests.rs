//! Tests of whole dataflows in the simulator: plans by hand, rows by chance, results recomputed from scratch.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use weir_common::error::Result;
use weir_common::expr::{BatchExpr, Column, ExprRef};
use weir_common::ids::RelationId;
use weir_common::plan::{AggregateCall, AggregateFunction, Facts, Node, Op};

use crate::lower::{DataflowPlan, lower};
use crate::simulator::{Interruption, Simulator};

mod aggregates; // every aggregate over every type, against a recomputation
mod dead_letters; // rows that fail
mod deviations; // variances of floats, and what DISTINCT aggregates keep
mod distinct; // each row once
mod hold_back; // rows that wait until they are final
mod nested; // groups of groups, of a union, behind a filter
mod plans; // where exchanges are, and what EXPLAIN says
mod promises; // the checker, scatter and consolidate
mod sessions; // sessions
mod sliding; // windows that overlap and close
mod temporal; // rows that come and go with the wall clock
mod windows; // windows that overlap

/// A simulator of a view whose state is kept now and then, and which begins anew from that on another number of workers.
fn interrupted(view: &Node, workers: usize, seed: u64) -> Simulator {
    let plans: Vec<DataflowPlan> = (1..=4).map(|workers| lower(view, "v", workers).unwrap()).collect();
    let simulator = Simulator::new(&plans[workers - 1], workers);
    let mut rng = fastrand::Rng::with_seed(seed);
    simulator.interrupted(Box::new(move || match rng.u8(0..8) {
        0..3 => Interruption::None,
        3..6 => Interruption::Checkpoint,
        _ => Interruption::Restart(Box::new(plans[rng.usize(..plans.len())].clone())),
    }))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>()))
}

fn import(name: &str, columns: &[(&str, DataType)], facts: Facts) -> Node {
    let id = RelationId(RelationId::FIRST_USER.0 + name.bytes().map(u32::from).sum::<u32>());
    let op = Op::Import { relation: id, name: name.to_string(), columns: (0..columns.len()).collect() };
    Node { op, inputs: vec![], schema: schema(columns), facts }
}

fn append_only() -> Facts {
    Facts { append_only: true, ..Facts::default() }
}

fn filter(input: Node, predicate: ExprRef) -> Node {
    Node { schema: input.schema.clone(), facts: input.facts.clone(), op: Op::Filter { predicate }, inputs: vec![input] }
}

fn project(input: Node, exprs: Vec<(&str, ExprRef)>, facts: Facts) -> Node {
    let columns: Vec<_> = exprs.iter().map(|(name, expr)| (*name, expr.data_type().clone())).collect();
    let exprs = exprs.into_iter().map(|(_, expr)| expr).collect();
    Node { schema: schema(&columns), facts, op: Op::Project { exprs }, inputs: vec![input] }
}

fn aggregate(input: Node, keys: usize, calls: Vec<AggregateCall>) -> Node {
    let key_columns = (0..keys).map(|key| input.schema.field(key).as_ref_pair());
    let columns: Vec<_> = key_columns.chain(calls.iter().map(|call| (call.name.clone(), call.output.clone()))).collect();
    let columns: Vec<_> = columns.iter().map(|(name, data_type)| (name.as_str(), data_type.clone())).collect();
    let facts = Facts { key: Some((0..keys).collect()), ..Facts::default() };
    Node { schema: schema(&columns), facts, op: Op::Aggregate { keys, calls, life: None }, inputs: vec![input] }
}

trait Pair {
    fn as_ref_pair(&self) -> (String, DataType);
}

impl Pair for Field {
    fn as_ref_pair(&self) -> (String, DataType) {
        (self.name().clone(), self.data_type().clone())
    }
}

fn column(index: usize, name: &str, data_type: DataType) -> ExprRef {
    Arc::new(Column { index, name: name.to_string(), data_type })
}

/// A call as the planner would make it, with Postgres's result type.
fn call(function: AggregateFunction, argument: Option<(usize, DataType)>, filter: Option<usize>) -> AggregateCall {
    use AggregateFunction::*;
    let input = argument.as_ref().map_or(DataType::Null, |(_, data_type)| data_type.clone());
    let output = match (function, &input) {
        (Count, _) => DataType::Int64,
        (Min | Max, input) => input.clone(),
        (Sum, DataType::Int64) => DataType::Decimal128(38, 0),
        (Sum, DataType::Decimal128(_, scale)) => DataType::Decimal128(38, *scale),
        (Sum, DataType::Float32) => DataType::Float32,
        (_, DataType::Float32 | DataType::Float64) => DataType::Float64,
        (Sum, _) => DataType::Int64,
        (BoolAnd | BoolOr, _) => DataType::Boolean,
        (Avg | Deviation(_), DataType::Decimal128(_, scale)) => DataType::Decimal128(38, (*scale).max(16)),
        (Avg | Deviation(_), _) => DataType::Decimal128(38, 16),
    };
    let argument = argument.map(|(column, _)| column);
    let name = match argument {
        None => "count(*)".to_string(),
        Some(column) => format!("{}(#{column})", format!("{function:?}").to_lowercase()),
    };
    let name = filter.map_or(name.clone(), |filter| format!("{name} filter (#{filter})"));
    AggregateCall { function, argument, distinct: false, filter, input, output, name }
}

/// An expression by a closure.
struct Closure<F> {
    data_type: DataType,
    text: &'static str,
    evaluate: F,
}

impl<F> std::fmt::Debug for Closure<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

impl<F: Fn(&RecordBatch) -> Result<ArrayRef> + Send + Sync> BatchExpr for Closure<F> {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        (self.evaluate)(batch)
    }
    fn data_type(&self) -> &DataType {
        &self.data_type
    }
    fn columns(&self) -> Vec<usize> {
        // Whatever there may be: nobody looks into a closure.
        (0..64).collect()
    }
    fn describe(&self) -> String {
        self.text.to_string()
    }
}

fn expr(text: &'static str, data_type: DataType, evaluate: impl Fn(&RecordBatch) -> Result<ArrayRef> + Send + Sync + 'static) -> ExprRef {
    Arc::new(Closure { data_type, text, evaluate })
}

//! What decides about the state of a plan, as text: who loads state compares it with that of the one who kept it.
//!
//! It is written down with the state, so its words never change where the meaning does not; those of EXPLAIN may.

use std::fmt::Write;

use arrow::datatypes::{DataType, Schema};
use weir_common::from_now::FromNow;
use weir_common::plan::AggregateCall;
use weir_common::temporal::{ClockCondition, TimeCondition};
use weir_common::window::{CumulateWindow, HopWindow, Windows};

use crate::lower::{DataflowPlan, From, Place, Route, StepOp, StepSpec};
use crate::operator::aggregate::session::SessionSpec;
use crate::operator::aggregate::session::gate::GateSpec;
use crate::operator::aggregate::session::rows::SessionRowsSpec;
use crate::operator::aggregate::sliding::SlidingSpec;
use crate::operator::aggregate::{AggregateSpec, Stage};
use crate::operator::temporal::TemporalSpec;

/// The identity of a plan that was cut for two workers: the number of workers is not part of it.
pub(crate) fn identity(plan: &DataflowPlan) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
    for (number, import) in plan.imports.iter().enumerate() {
        let kind = if import.append_only { " append-only" } else { "" };
        line(format!("import {number}: relation {}{kind}, columns {:?} of {}", import.relation, import.columns, types(&import.schema)));
    }
    for (number, fragment) in plan.fragments.iter().enumerate() {
        for (input, spec) in fragment.inputs.iter().enumerate() {
            let from = match spec.from {
                From::Import(import) => format!("import {import}"),
                From::Fragment(fragment) => format!("fragment {fragment}"),
            };
            let route = match &spec.route {
                Route::Local => "local".to_string(),
                Route::Hash(columns) => format!("by {columns:?}"),
            };
            line(format!("fragment {number} input {input}: {from}, {route}"));
        }
        for (step, spec) in fragment.steps.iter().enumerate() {
            let inputs: Vec<String> = spec.inputs.iter().map(place).collect();
            line(format!("fragment {number} step {step} of {}: {} gives {}", inputs.join(", "), operator(spec), types(&spec.schema)));
        }
        line(format!("fragment {number} output: {}", place(&fragment.output)));
    }
    for spec in &plan.states {
        line(format!(
            "state {}.{}: {} of {} are the key, placed by {:?}",
            spec.state,
            spec.part,
            spec.keys,
            types(&spec.schema),
            spec.placement
        ));
    }
    line(format!("view: {}, placed by {:?}", types(&plan.schema), plan.placement));
    text
}

fn place(place: &Place) -> String {
    match place {
        Place::Input(input) => format!("input {input}"),
        Place::Step(step) => format!("step {step}"),
    }
}

fn operator(spec: &StepSpec) -> String {
    match &spec.op {
        StepOp::Filter(predicate) => format!("filter {}", predicate.describe()),
        StepOp::TemporalFilter(TemporalSpec { condition, state }) => format!("temporal filter state {state} {}", time_condition(condition)),
        StepOp::RequireEventTime(column) => format!("require event time {column}"),
        StepOp::Project(exprs) => format!("project {}", list(exprs.iter().map(|expr| expr.describe()))),
        StepOp::TakeLate(late) => format!("take late {} of {:?}", late.column, late.closed),
        StepOp::HoldBack(rule) => format!("hold back by {rule:?}"),
        StepOp::Windows(column, windows, closed) => {
            let open = closed.as_ref().map_or(String::new(), |closed| format!(" but {closed:?}"));
            format!("{}{open}", windows_text(*column, *windows))
        }
        StepOp::SessionRows(SessionRowsSpec { partition, time, gap, state, life }) => {
            let life = life.as_ref().map_or(String::new(), |life| format!(" windows {:?}", life.windows));
            format!("session rows state {state} by {partition:?} time {time} gap {gap}{life}")
        }
        StepOp::Session(SessionSpec { moments: AggregateSpec { keys, calls, stage, append_only, state, life: _ }, gap, gate }) => {
            let kept = if *append_only { " append-only" } else { "" };
            let (stage, calls) = (stage_word(*stage), list(calls.iter().map(call)));
            let gate = gate.as_ref().map_or(String::new(), |GateSpec { life, input: _, partition, time, exprs, rows: _ }| {
                let exprs = list(exprs.iter().map(|expr| expr.describe()));
                format!(" by {partition:?} time {time} of {exprs} windows {:?}", life.windows)
            });
            format!("session {stage}{kept} state {state} keys {keys} gap {gap} calls {calls}{gate}")
        }
        StepOp::Union => "union".to_string(),
        StepOp::Distinct(stage, state) => format!("distinct {} state {state}", stage_word(*stage)),
        StepOp::Aggregate(AggregateSpec { keys, calls, stage, append_only, state, life }) => {
            let kept = if *append_only { " append-only" } else { "" };
            let life = life.as_ref().map_or(String::new(), |life| format!(" windows {life:?}"));
            format!("aggregate {}{kept} state {state} keys {keys} calls {}{life}", stage_word(*stage), list(calls.iter().map(call)))
        }
        StepOp::Address(sliding) => format!("address {}", windows_text(sliding.column(), sliding.windows)),
        StepOp::Sliding(SlidingSpec { slices: AggregateSpec { keys, calls, stage: _, append_only: _, state, life: _ }, windows, life }) => {
            let (windows, calls) = (windows_text(life.closing.column, *windows), list(calls.iter().map(call)));
            format!("sliding {windows} state {state} keys {keys} calls {calls} windows {life:?}")
        }
    }
}

fn windows_text(column: usize, windows: Windows) -> String {
    match windows {
        Windows::Hop(HopWindow { slide, size, offset }) => format!("hop {column} size {size} slide {slide} offset {offset}"),
        Windows::Cumulate(CumulateWindow { step, size, offset }) => format!("cumulate {column} size {size} step {step} offset {offset}"),
    }
}

fn time_condition(condition: &TimeCondition) -> String {
    let each = |parts: &[TimeCondition]| list(parts.iter().map(time_condition));
    match condition {
        TimeCondition::Row(expr) => format!("row {}", expr.describe()),
        TimeCondition::Clock(ClockCondition { from_now: FromNow { steps }, comparison, value }) => {
            format!("now {steps:?} {comparison:?} {}", value.describe())
        }
        TimeCondition::All(parts) => format!("all {}", each(parts)),
        TimeCondition::Any(parts) => format!("any {}", each(parts)),
    }
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Whole => "whole",
        Stage::Partial => "partial",
        Stage::Final => "final",
        Stage::Complete => "complete",
    }
}

fn call(call: &AggregateCall) -> String {
    let AggregateCall { function, argument, distinct, filter, input, output, name: _ } = call;
    let column = |column: &Option<usize>| column.map_or("none".to_string(), |column| column.to_string());
    let distinct = if *distinct { " distinct" } else { "" };
    format!("{function:?}{distinct} of {} {input} where {} gives {output}", column(argument), column(filter))
}

fn types(schema: &Schema) -> String {
    list(schema.fields().iter().map(|field| DataType::to_string(field.data_type())))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("({})", items.collect::<Vec<_>>().join(", "))
}

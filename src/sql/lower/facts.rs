//! What is known about each step: append-only, key, event times, and what will close its state.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, Operator};
use weir_common::expr::ExprRef;
use weir_common::plan::{Closing, EventTime, Facts, Node, TimeStep, WindowEnd};
use weir_common::source::Watermark;
use weir_common::window::{MonthWindow, Windows};

use crate::catalog::{Relation, RelationKind};
use crate::function::arithmetic::Arithmetic;
use crate::function::same::Same;
use crate::function::window::{Window, WindowEdge};

/// What an expression is of one input column: the column, and monotone steps from it; `None` when it is not that.
pub(super) type Step = Option<(usize, Vec<TimeStep>)>;

/// Of a scan of some columns of a relation.
pub(super) fn of_relation(relation: &Relation, columns: &[usize]) -> Facts {
    let event_times = |watermark: Option<Watermark>| {
        watermark.iter().map(|of| EventTime { column: of.column, source: relation.id, steps: Vec::new() }).collect()
    };
    let whole = match &relation.kind {
        RelationKind::Table(table) => Facts { key: table.key.clone(), event_times: event_times(table.watermark), ..Facts::default() },
        RelationKind::Source(source) => Facts { append_only: true, event_times: event_times(source.watermark), ..Facts::default() },
        RelationKind::MaterializedView(view) => view.facts.clone(),
        RelationKind::View(_) | RelationKind::LateRows(_) => Facts::default(),
    };
    pick(&whole, &|column| columns.iter().position(|kept| *kept == column))
}

/// The facts of a step that keeps some columns: `to` says where a column went.
fn pick(facts: &Facts, to: &dyn Fn(usize) -> Option<usize>) -> Facts {
    let times = facts.event_times.iter().filter_map(|time| Some(EventTime { column: to(time.column)?, ..time.clone() }));
    let event_times: Vec<EventTime> = times.collect();
    let closes = facts.closes.as_ref().and_then(|closes| Some(Closing { column: to(closes.column)?, ..closes.clone() }));
    Facts {
        append_only: facts.append_only,
        key: facts.key.as_ref().and_then(|key| key.iter().map(|column| to(*column)).collect()),
        closes: closes.or_else(|| by_another_edge(facts, &event_times)),
        event_times,
    }
}

/// What closes a group, told by a time of its window that is still there, where the column that told it is not.
fn by_another_edge(facts: &Facts, times: &[EventTime]) -> Option<Closing> {
    let closes = facts.closes.as_ref()?;
    let named = facts.event_times.iter().find(|time| time.column == closes.column && time.source == closes.source)?;
    let window = window_step(named)?;
    let same = |one: TimeStep, other: TimeStep| match (one, other) {
        (TimeStep::Months(one) | TimeStep::MonthsEnd(one), TimeStep::Months(other) | TimeStep::MonthsEnd(other)) => one == other,
        (one, other) => one == other,
    };
    times.iter().filter(|time| time.source == closes.source).find_map(|time| {
        let of_time = window_step(time)?;
        let is_same = time.steps[..of_time] == named.steps[..window] && same(time.steps[of_time], named.steps[window]);
        is_same.then_some(())?;
        // When it closes is told by what was put into windows, and that is the same.
        Some(Closing { source: closes.source, steps: closes.steps.clone(), ..closing(time)? })
    })
}

/// Of a projection: plain columns keep their facts, and times stay times under monotone steps.
pub(super) fn of_projection(input: &Facts, exprs: &[ExprRef], steps: &[Step]) -> Facts {
    let place = |column: usize| exprs.iter().position(|expr| expr.as_column() == Some(column));
    let mut facts = pick(input, &place);
    facts.event_times.clear();
    for (column, step) in steps.iter().enumerate() {
        let Some((from, steps)) = step else { continue };
        for time in input.event_times.iter().filter(|time| time.column == *from) {
            let steps = time.steps.iter().chain(steps).copied().collect();
            facts.event_times.push(EventTime { column, source: time.source, steps });
        }
    }
    facts.closes = facts.closes.or_else(|| by_another_edge(input, &facts.event_times));
    facts
}

/// Of HOP and CUMULATE: an edge of each window in the place of an event time.
pub(super) fn of_windows(input: &Facts, column: usize, windows: Windows) -> Facts {
    let mut facts = input.clone();
    // Rows that only their event times told apart may now be in the same window.
    facts.key = facts.key.filter(|key| !key.contains(&column));
    if let Some(key) = &mut facts.key {
        key.push(column);
    }
    let step = match windows {
        Windows::Hop(window) => TimeStep::Hop(window),
        Windows::Cumulate(window) => TimeStep::Cumulate(window),
    };
    facts.event_times.iter_mut().filter(|time| time.column == column).for_each(|time| time.steps.push(step));
    facts.closes = facts.closes.filter(|closes| closes.column != column);
    facts
}

/// Of SESSION, whose two columns follow those of its input: what comes later changes no session that has ended before. Other times
/// come again, whenever they are, while their session grows.
pub(super) fn of_session(input: &Facts, width: usize, column: usize) -> Facts {
    let end = |time: &EventTime| {
        let steps = time.steps.iter().copied().chain([TimeStep::SessionEnd]).collect();
        EventTime { column: width + 1, source: time.source, steps }
    };
    let event_times: Vec<EventTime> = input.event_times.iter().filter(|time| time.column == column).map(end).collect();
    Facts { append_only: false, key: input.key.clone(), event_times, closes: None }
}

/// Of UNION ALL: what holds of every input. A time stays one only where all inputs agree on what it is.
pub(super) fn of_union(inputs: &[Node]) -> Facts {
    let Some((first, rest)) = inputs.split_first() else {
        return Facts::default();
    };
    if rest.is_empty() {
        return first.facts.clone();
    }
    Facts {
        append_only: inputs.iter().all(|input| input.facts.append_only),
        key: None,
        event_times: first
            .facts
            .event_times
            .iter()
            .filter(|time| rest.iter().all(|input| input.facts.event_times.contains(time)))
            .cloned()
            .collect(),
        closes: None,
    }
}

/// Of DISTINCT: every column is part of the key.
pub(super) fn of_distinct(input: &Node) -> Facts {
    let Facts { append_only, event_times, .. } = input.facts.clone();
    let closes = event_times.iter().find_map(closing);
    Facts { append_only, key: Some((0..input.schema.fields().len()).collect()), event_times, closes }
}

/// Of an aggregate whose keys are the first columns of its input.
pub(super) fn of_aggregate(input: &Facts, keys: usize) -> Facts {
    let event_times: Vec<EventTime> = input.event_times.iter().filter(|time| time.column < keys).cloned().collect();
    let closes = event_times.iter().find_map(closing);
    Facts { append_only: false, key: Some((0..keys).collect()), event_times, closes }
}

/// What closes a group that has this time among its keys: the end of its window.
fn closing(time: &EventTime) -> Option<Closing> {
    let floor = window_step(time)?;
    // A start is the floor alone; an end is one size later.
    let shift: i64 = time.steps[floor + 1..].iter().map(|step| if let TimeStep::Shift(by) = step { *by } else { 0 }).sum();
    let end = match time.steps[floor] {
        TimeStep::Floor { size, .. } => WindowEnd::After(size.checked_sub(shift)?),
        TimeStep::Hop(window) => WindowEnd::After(window.size.checked_sub(shift)?),
        TimeStep::Months(window) if shift == 0 => WindowEnd::Months(window),
        TimeStep::MonthsEnd(_) => WindowEnd::After(shift.checked_neg()?),
        TimeStep::Cumulate(_) | TimeStep::SessionEnd => WindowEnd::After(shift.checked_neg()?),
        TimeStep::Months(_) | TimeStep::Shift(_) => return None,
    };
    Some(Closing { source: time.source, steps: time.steps[..floor].to_vec(), column: time.column, end })
}

/// Which of the steps to a time puts it into windows.
pub(super) fn window_step(time: &EventTime) -> Option<usize> {
    time.steps.iter().rposition(|step| !matches!(step, TimeStep::Shift(_)))
}

/// For each expression: the column that it is a monotone function of, and how.
pub(super) fn steps(exprs: &[Expr], schema: &DFSchema) -> Vec<Step> {
    exprs.iter().map(|expr| step(expr, schema)).collect()
}

fn step(expr: &Expr, schema: &DFSchema) -> Step {
    match expr {
        Expr::Alias(alias) => step(&alias.expr, schema),
        Expr::Column(column) => Some((schema.index_of_column(column).ok()?, Vec::new())),
        Expr::ScalarFunction(call) => {
            if let Some(same) = Same::of(expr) {
                return step(same, schema);
            }
            if let Some(edge) = call.func.inner().downcast_ref::<WindowEdge>() {
                let [time, arguments @ ..] = call.args.as_slice() else { return None };
                let (column, mut steps) = step(time, schema)?;
                let [micros, months, offset] = arguments else { return None };
                match Window::of([literal(micros)?, literal(months)?, literal(offset)?])? {
                    Window::Micros { size, offset } => {
                        steps.push(TimeStep::Floor { size, offset });
                        if edge.is_end() {
                            steps.push(TimeStep::Shift(size));
                        }
                    }
                    Window::Months { months, offset } => {
                        let window = MonthWindow { months, offset };
                        steps.push(if edge.is_end() { TimeStep::MonthsEnd(window) } else { TimeStep::Months(window) });
                    }
                }
                return Some((column, steps));
            }
            let arithmetic = call.func.inner().downcast_ref::<Arithmetic>()?;
            let [left, right] = call.args.as_slice() else { return None };
            let (time, by) = match (arithmetic.operator(), literal(left), literal(right)) {
                (Operator::Plus, None, Some(by)) => (left, micros(by)?),
                (Operator::Plus, Some(by), None) => (right, micros(by)?),
                (Operator::Minus, None, Some(by)) => (left, micros(by)?.checked_neg()?),
                _ => return None,
            };
            let (column, mut steps) = step(time, schema)?;
            if !matches!(schema.field(column).data_type(), DataType::Timestamp(..)) {
                return None;
            }
            steps.push(TimeStep::Shift(by));
            Some((column, steps))
        }
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// An interval of a fixed length, in microseconds.
pub(super) fn micros(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            (interval.days as i64).checked_mul(86_400_000_000)?.checked_add(interval.nanoseconds / 1000)
        }
        _ => None,
    }
}

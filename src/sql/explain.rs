//! EXPLAIN: the physical plan of a query, the steps of a view.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_plan::displayable;
use weir_common::error::Result;
use weir_common::plan::{EventTime, Node, Op, TimeStep, WindowEnd};
use weir_common::window::Windows;

use crate::context::{Context, SnapshotSource};
use crate::read::QueryPlan;

impl Context {
    /// The lines of EXPLAIN for a query.
    pub async fn explain(&self, query: &QueryPlan, parameters: &[ScalarValue], snapshots: Arc<dyn SnapshotSource>) -> Result<Vec<String>> {
        let (plan, _) = self.physical(query, parameters, snapshots).await?;
        Ok(displayable(plan.as_ref()).indent(false).to_string().lines().map(str::to_string).collect())
    }
}

/// The lines of EXPLAIN for a view: its steps, each with what is known about it.
pub fn describe(root: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    walk(root, 0, &mut lines);
    lines
}

fn walk(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let known = facts(node);
    let known = if known.is_empty() { String::new() } else { format!("  [{known}]") };
    lines.push(format!("{}{}{known}", "  ".repeat(depth), step(node)));
    for input in &node.inputs {
        walk(input, depth + 1, lines);
    }
}

fn step(node: &Node) -> String {
    let names = |node: &Node| node.schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let input = |column: usize| node.inputs.first().and_then(|input| input.schema.fields().get(column)).map_or("?", |field| field.name());
    match &node.op {
        Op::Import { name, .. } => format!("Import {name} ({})", names(node).join(", ")),
        Op::Filter { predicate } => format!("Filter {}", predicate.shown()),
        Op::TemporalFilter(condition) => format!("TemporalFilter {condition}"),
        Op::RequireEventTime { column } => format!("RequireEventTime {}", input(*column)),
        Op::TakeLate(late) => {
            format!("TakeLate by {}, {} µs after the end of its window", input(late.column), late.closed.lateness)
        }
        Op::HoldBack(rule) => format!("HoldBack by {}, until {} µs after the end of its window", input(rule.closing.column), rule.lateness),
        Op::Windows { column, windows: Windows::Hop(window), .. } => {
            format!("Hop {} into windows of {} µs, one every {} µs", input(*column), window.size, window.slide)
        }
        Op::Windows { column, windows: Windows::Cumulate(window), .. } => {
            format!("Cumulate {} into windows of up to {} µs, one longer every {} µs", input(*column), window.size, window.step)
        }
        Op::Session { partition, column, gap, life } => {
            let partition: Vec<&str> = partition.iter().map(|column| input(*column)).collect();
            let closed = life.as_ref().map_or(String::new(), |life| format!(", closed {} µs after their ends", life.windows.lateness));
            format!("Session of ({}): {} with gaps of less than {gap} µs{closed}", partition.join(", "), input(*column))
        }
        Op::Project { exprs } => format!("Project {}", exprs.iter().map(|expr| expr.shown()).collect::<Vec<_>>().join(", ")),
        Op::UnionAll => "UnionAll".to_string(),
        Op::Distinct => "Distinct".to_string(),
        Op::Aggregate { keys, calls, life } => {
            let keys: Vec<&str> = (0..*keys).map(input).collect();
            let calls: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
            let life = life.as_ref().map_or(String::new(), |life| {
                let removed = life.retention.map_or(String::new(), |retention| format!(", removed {retention} µs after its end"));
                format!(", window shown {:?}, closed {} µs after its end{removed}", life.emit, life.lateness)
            });
            format!("Aggregate by ({}): {}{life}", keys.join(", "), calls.join(", "))
        }
    }
}

fn facts(node: &Node) -> String {
    let name = |column: usize| node.schema.fields().get(column).map_or("?", |field| field.name().as_str());
    let mut known = Vec::new();
    if node.facts.append_only {
        known.push("append-only".to_string());
    }
    match node.facts.key.as_deref() {
        None => {}
        Some([]) => known.push("one row".to_string()),
        Some(key) => known.push(format!("key ({})", key.iter().map(|column| name(*column)).collect::<Vec<_>>().join(", "))),
    }
    for time in &node.facts.event_times {
        known.push(format!("{} follows the watermark of {}{}", name(time.column), time.source, steps(time)));
    }
    if let Some(closes) = &node.facts.closes {
        known.push(match closes.end {
            WindowEnd::After(micros) => format!("closes at {} + {micros} µs", name(closes.column)),
            WindowEnd::Months(window) => format!("closes at {} + {} months", name(closes.column), window.months),
        });
    }
    known.join("; ")
}

fn steps(time: &EventTime) -> String {
    let step = |step: &TimeStep| match step {
        TimeStep::Shift(by) => format!(", shift {by} µs"),
        TimeStep::Floor { size, offset: 0 } => format!(", floor to {size} µs"),
        TimeStep::Months(window) => format!(", floor to {} months", window.months),
        TimeStep::MonthsEnd(window) => format!(", end of {} months", window.months),
        TimeStep::Hop(window) => format!(", first of windows of {} µs, one every {} µs", window.size, window.slide),
        TimeStep::Cumulate(window) => format!(", first end of windows of up to {} µs, one longer every {} µs", window.size, window.step),
        TimeStep::SessionEnd => ", ends of sessions".to_string(),
        TimeStep::Floor { size, offset } => format!(", floor to {size} µs from {offset} µs"),
    };
    time.steps.iter().map(step).collect()
}

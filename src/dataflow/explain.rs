//! A plan as text, the view first and what feeds it below, as Postgres prints plans.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use weir_common::expr::ExprRef;
use weir_common::ids::RelationId;
use weir_common::interval::clock_text;
use weir_common::lateness::{Emit, WindowLife};
use weir_common::plan::{Closing, Facts, WindowEnd};
use weir_common::window::{CumulateWindow, HopWindow, Windows};

use crate::lower::{DataflowPlan, FragmentSpec, From, Place, Route, StepOp, StepSpec};
use crate::operator::aggregate::session::SessionSpec;
use crate::operator::aggregate::session::rows::SessionRowsSpec;
use crate::operator::aggregate::sliding::SlidingSpec;
use crate::operator::aggregate::{AggregateSpec, Keeps, Stage};

/// The fragments, exchanges and state of a plan, for EXPLAIN.
pub fn explain(plan: &DataflowPlan) -> String {
    let mut text = Text { plan, out: String::new() };
    let workers = if plan.workers == 1 { "1 worker".to_string() } else { format!("{} workers", plan.workers) };
    text.line(0, format!("View {} on {workers}: {}", plan.view, list(plan.schema.fields().iter().map(|field| field.name().clone()))));
    // Where windows close, or rows leave by themselves, the state says when.
    let ends = |step: &StepSpec| match &step.op {
        StepOp::Aggregate(spec) => spec.life.is_some(),
        StepOp::Session(spec) => spec.gate.is_some(),
        StepOp::TemporalFilter(_) => true,
        _ => false,
    };
    let closes = match plan.fragments.iter().flat_map(|fragment| &fragment.steps).any(ends) {
        true => String::new(),
        false => format!("; {}", text.closes(plan.facts.closes.as_ref(), &plan.schema)),
    };
    text.line(1, format!("{}{closes}", text.facts(&plan.facts, &plan.schema)));
    for fragment in plan.fragments.iter().rev() {
        text.fragment(fragment);
    }
    text.out
}

/// The operators of each fragment in words, as [`explain`] has them, in the order of [`crate::fragment::Fragment::sizes`].
pub fn operators(plan: &DataflowPlan) -> Vec<Vec<String>> {
    let text = Text { plan, out: String::new() };
    plan.fragments.iter().map(|fragment| fragment.steps.iter().map(|step| text.operator(fragment, step)).collect()).collect()
}

struct Text<'a> {
    plan: &'a DataflowPlan,
    out: String,
}

impl Text<'_> {
    fn line(&mut self, depth: usize, line: impl AsRef<str>) {
        writeln!(self.out, "{:width$}{}", "", line.as_ref(), width = depth * 2).expect("writing to a string");
    }

    fn fragment(&mut self, fragment: &FragmentSpec) {
        self.line(0, format!("Fragment {}", fragment.name));
        self.place(fragment, fragment.output, 1);
    }

    fn place(&mut self, fragment: &FragmentSpec, place: Place, depth: usize) {
        match place {
            Place::Input(input) => self.input(fragment, input, depth),
            Place::Step(step) => {
                self.step(fragment, &fragment.steps[step], depth);
                for input in &fragment.steps[step].inputs {
                    self.place(fragment, *input, depth + 1);
                }
            }
        }
    }

    fn input(&mut self, fragment: &FragmentSpec, input: usize, depth: usize) {
        let plan = self.plan;
        let input = &fragment.inputs[input];
        let (what, schema) = match input.from {
            From::Import(import) => {
                let import = &plan.imports[import];
                let changes = if import.append_only { "append-only" } else { "with retractions" };
                (format!("{} ({}), {changes}", import.name, names(&import.schema, 0..import.columns.len())), &import.schema)
            }
            From::Fragment(from) => (format!("fragment {}", plan.fragments[from].name), &plan.fragments[from].schema),
        };
        let line = match &input.route {
            Route::Local => format!("Read {what}"),
            Route::Hash(columns) if columns.is_empty() => format!("Exchange, all rows to one worker: {what}"),
            Route::Hash(columns) => {
                let by = columns.iter().map(|column| match input.from {
                    From::Import(_) => schema.field(*column).name().clone(),
                    From::Fragment(from) => self.column(&plan.fragments[from], plan.fragments[from].output, *column),
                });
                format!("Exchange by ({}): {what}", list(by))
            }
        };
        self.line(depth, line);
    }

    fn operator(&self, fragment: &FragmentSpec, step: &StepSpec) -> String {
        let schema = &self.schema(fragment, step);
        match &step.op {
            StepOp::Filter(predicate) => format!("Filter: {}", predicate.shown()),
            StepOp::TemporalFilter(spec) => format!("Temporal filter: {}", spec.condition),
            StepOp::RequireEventTime(column) => format!("Require event time: {} is not null", schema.field(*column).name()),
            StepOp::Project(exprs) => {
                let shown = |expr: &ExprRef| expr.as_column().map_or_else(|| expr.shown(), |of| self.column(fragment, step.inputs[0], of));
                format!("Project: {}", list(exprs.iter().map(shown)))
            }
            StepOp::TakeLate(late) => {
                let after = if late.closed.lateness == 0 { String::new() } else { format!(" for {}", clock_text(late.closed.lateness)) };
                format!("Take late rows: those whose window by {} is over{after}", schema.field(late.column).name())
            }
            StepOp::HoldBack(rule) => {
                let (end, plus) = (self.end(&rule.closing, schema), plus(rule.lateness));
                format!("Hold back: until the watermark of {} reaches {end}{plus}", self.relation(rule.closing.source))
            }
            StepOp::Windows(column, windows, _) => {
                let name = schema.field(*column).name();
                match windows {
                    Windows::Hop(_) => format!("Hop: {name} of each {}", window_text(*windows)),
                    Windows::Cumulate(_) => format!("Cumulate: {name} of each {}", window_text(*windows)),
                }
            }
            StepOp::Address(_) => "Address: all windows of the slice, or the one that late rows are admitted to".to_string(),
            StepOp::Sliding(sliding) => {
                let name = schema.field(sliding.column()).name();
                format!("Sliding windows: {name} of each {}, put together of slices", window_text(sliding.windows))
            }
            StepOp::SessionRows(SessionRowsSpec { partition, time, gap, .. }) => {
                let (time, gap) = (schema.field(*time).name(), clock_text(*gap));
                format!("Session of ({}): {time} with gaps of less than {gap}", names(schema, partition.iter().copied()))
            }
            StepOp::Session(SessionSpec { moments, gap, .. }) => {
                let partition = names(schema, 0..moments.keys - 1);
                let calls = list(moments.calls.iter().map(|call| call.name.clone()));
                format!("Session aggregate of ({partition}), with gaps of less than {}: {calls}", clock_text(*gap))
            }
            StepOp::Union => "Union all".to_string(),
            StepOp::Distinct(..) => "Distinct".to_string(),
            StepOp::Aggregate(spec) => aggregate(spec, schema),
        }
    }

    fn step(&mut self, fragment: &FragmentSpec, step: &StepSpec, depth: usize) {
        let schema = self.schema(fragment, step);
        self.line(depth, self.operator(fragment, step));
        match &step.op {
            StepOp::Aggregate(spec) => self.line(depth + 1, format!("State: {}", self.state(spec, &step.facts, &schema))),
            StepOp::Sliding(SlidingSpec { life, .. }) => {
                let after = if life.emit == Emit::Final { life.lateness } else { 0 };
                let (window, watermark) = (self.end(&life.closing, &schema), self.relation(life.closing.source));
                let due = format!("the watermark of {watermark} reaches {window}{}", plus(after));
                self.line(
                    depth + 1,
                    format!(
                        "State: a group for each slice and key; a window is put together when {due}, and a slice freed after its last one"
                    ),
                );
            }
            StepOp::Session(SessionSpec { moments, gate, .. }) => {
                let closes = match gate {
                    None => self.closes(step.facts.closes.as_ref(), &schema),
                    Some(gate) => {
                        // The end is behind the columns of the partition and the start.
                        let mut life = gate.life.windows.clone();
                        life.closing.column = moments.keys;
                        self.life(&life, Keeps::Nothing, &schema)
                    }
                };
                let groups = if moments.append_only { "a group for each session" } else { "a group for each moment" };
                self.line(depth + 1, format!("State: {groups}; {closes}"));
                if gate.is_some() {
                    self.line(depth + 1, "Late: rows of no session that is open");
                }
            }
            StepOp::SessionRows(SessionRowsSpec { life: Some(life), .. }) => {
                // When its sessions are shown is up to who reads them.
                let (keeps, retention) = match life.windows.keeps_closed {
                    true => (Keeps::Groups, life.windows.retention),
                    false => (Keeps::Nothing, None),
                };
                let life = WindowLife { emit: Emit::Update, retention, ..life.windows.clone() };
                let mut fields: Vec<FieldRef> = schema.fields().to_vec();
                fields[life.closing.column] = Arc::new(schema.field(life.closing.column).clone().with_name("window_end"));
                self.line(depth + 1, format!("State: every row and its count; {}", self.life(&life, keeps, &Schema::new(fields))));
                self.line(depth + 1, "Late: rows of no session that is open");
            }
            StepOp::Distinct(..) | StepOp::SessionRows(_) => {
                let closes = self.closes(step.facts.closes.as_ref(), &schema);
                self.line(depth + 1, format!("State: every row and its count; {closes}"));
            }
            StepOp::TemporalFilter(_) => {
                let state =
                    "State: every row that is still to come or go as time passes, and its count; freed when its last moment has come";
                self.line(depth + 1, state);
            }
            _ => {}
        }
        let facts = self.facts(&step.facts, &schema);
        if step.inputs.iter().all(|input| self.facts_of(fragment, *input).as_ref() != Some(&facts)) {
            self.line(depth + 1, format!("Output: {facts}"));
        }
    }

    /// The columns that a step gives, by the names that they have, or what they are where nobody gave them one.
    fn schema(&self, fragment: &FragmentSpec, step: &StepSpec) -> Schema {
        let fields = step.schema.fields().iter().enumerate();
        Schema::new(fields.map(|(column, field)| field.as_ref().clone().with_name(self.output(fragment, step, column))).collect::<Vec<_>>())
    }

    /// One of them.
    fn output(&self, fragment: &FragmentSpec, step: &StepSpec, column: usize) -> String {
        let name = step.schema.field(column).name();
        // The text of an expression, which nobody writes as a name.
        if !name.contains('(') {
            return name.clone();
        }
        match &step.op {
            StepOp::Project(exprs) => match exprs[column].as_column() {
                Some(of) => self.column(fragment, step.inputs[0], of),
                None => exprs[column].shown(),
            },
            StepOp::Aggregate(spec) => match column.checked_sub(spec.keys) {
                None => self.column(fragment, step.inputs[0], column),
                Some(call) => spec.calls.get(call).map_or_else(|| name.clone(), |call| call.name.clone()),
            },
            StepOp::Filter(_) => self.column(fragment, step.inputs[0], column),
            _ => name.clone(),
        }
    }

    /// A column of what a step reads.
    fn column(&self, fragment: &FragmentSpec, place: Place, column: usize) -> String {
        match place {
            Place::Step(step) => self.output(fragment, &fragment.steps[step], column),
            Place::Input(input) => match fragment.inputs[input].from {
                From::Import(import) => self.plan.imports[import].schema.field(column).name().clone(),
                From::Fragment(from) => self.column(&self.plan.fragments[from], self.plan.fragments[from].output, column),
            },
        }
    }

    fn facts_of(&self, fragment: &FragmentSpec, place: Place) -> Option<String> {
        match place {
            Place::Input(_) => None,
            Place::Step(step) => {
                let step = &fragment.steps[step];
                Some(self.facts(&step.facts, &self.schema(fragment, step)))
            }
        }
    }

    fn state(&self, spec: &AggregateSpec, facts: &Facts, schema: &Schema) -> String {
        let groups = match spec.stage {
            Stage::Complete => "groups come complete",
            _ if spec.keys == 0 => "one group",
            _ => "a group for each key",
        };
        let lists: Vec<String> = spec.calls.iter().filter(|call| spec.keeps_values(call)).map(|call| call.name.clone()).collect();
        let values = match lists.is_empty() {
            true => String::new(),
            false => format!(", with every value of {} and its count", list(lists.into_iter())),
        };
        match spec.stage {
            Stage::Partial => format!("{groups} of the current epoch, sent on at its end"),
            _ => {
                let closes = match &spec.life {
                    None => self.closes(facts.closes.as_ref(), schema),
                    Some(life) => self.life(life, spec.keeps(), schema),
                };
                format!("{groups}{values}; {closes}")
            }
        }
    }

    /// When windows are shown, closed and removed, and what stays of them.
    fn life(&self, life: &WindowLife, keeps: Keeps, schema: &Schema) -> String {
        let window = self.end(&life.closing, schema);
        let watermark = format!("the watermark of {}", self.relation(life.closing.source));
        let mut text = match life.emit {
            Emit::Update => String::new(),
            Emit::WindowClose => format!("shown when {watermark} reaches {window}; "),
            Emit::Final => "shown when closed; ".to_string(),
        };
        text += &format!("closed when {watermark} reaches {window}{}", plus(life.lateness));
        text += match keeps {
            Keeps::Nothing => ", and then freed",
            Keeps::Sums if life.retention.is_none() => ", and then only its sums are kept, on disk",
            Keeps::Sums => ", and then only its sums are kept",
            Keeps::Groups => ", and then kept",
        };
        if let Some(retention) = life.retention {
            text += &format!("; removed at {window}{}", plus(retention));
        }
        text
    }

    fn end(&self, closing: &Closing, schema: &Schema) -> String {
        let column = schema.field(closing.column).name();
        match closing.end {
            WindowEnd::After(0) => column.clone(),
            WindowEnd::After(micros) => format!("{column} + {}", clock_text(micros)),
            WindowEnd::Months(window) => format!("{column} + {} months", window.months),
        }
    }

    fn facts(&self, facts: &Facts, schema: &Schema) -> String {
        let mut parts = vec![if facts.append_only { "append-only".to_string() } else { "with retractions".to_string() }];
        match &facts.key {
            Some(key) if key.is_empty() => parts.push("one row".to_string()),
            Some(key) => parts.push(format!("key ({})", names(schema, key.iter().copied()))),
            None => {}
        }
        for time in &facts.event_times {
            parts.push(format!("event time {} from {}", schema.field(time.column).name(), self.relation(time.source)));
        }
        parts.join(", ")
    }

    fn closes(&self, closes: Option<&Closing>, schema: &Schema) -> String {
        match closes {
            None => "never closes".to_string(),
            Some(closing) => {
                format!("never closes: the watermark of {} could close {}", self.relation(closing.source), self.end(closing, schema))
            }
        }
    }

    fn relation(&self, id: RelationId) -> String {
        self.plan.imports.iter().find(|import| import.relation == id).map_or_else(|| format!("relation {id}"), |import| import.name.clone())
    }
}

/// What is added to a moment.
fn plus(micros: i64) -> String {
    if micros == 0 { String::new() } else { format!(" + {}", clock_text(micros)) }
}

/// A window, and how the next ones follow.
fn window_text(windows: Windows) -> String {
    match windows {
        Windows::Hop(HopWindow { slide, size, .. }) => format!("window of {}, one every {}", clock_text(size), clock_text(slide)),
        Windows::Cumulate(CumulateWindow { step, size, .. }) => {
            format!("window of up to {}, one longer every {}", clock_text(size), clock_text(step))
        }
    }
}

fn aggregate(spec: &AggregateSpec, schema: &Schema) -> String {
    let stage = match spec.stage {
        Stage::Whole => "Aggregate",
        Stage::Partial => "Partial aggregate",
        Stage::Final | Stage::Complete => "Final aggregate",
    };
    let by = match spec.keys {
        0 => String::new(),
        keys => format!(" by ({})", names(schema, 0..keys)),
    };
    match spec.calls.is_empty() {
        true => format!("{stage}{by}"),
        false => format!("{stage}{by}: {}", list(spec.calls.iter().map(|call| call.name.clone()))),
    }
}

fn names(schema: &Schema, columns: impl Iterator<Item = usize>) -> String {
    list(columns.map(|column| schema.field(column).name().clone()))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

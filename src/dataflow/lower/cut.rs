//! Cuts a plan at its exchanges: everything between two of them becomes one fragment.
//!
//! A tree is lowered from its leaves. Each subtree gives an [`Open`] fragment, to which the step above is added; where
//! rows must change workers it is sealed, and a new one opens behind an exchange.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use weir_common::error::{Error, Result};
use weir_common::expr::{Column, ExprRef};
use weir_common::hash;
use weir_common::lateness::{Closed, WindowLife, late_schema};
use weir_common::plan::{AggregateCall, Facts, Node, Op};
use weir_common::window::Windows;

use crate::identity::identity;
use crate::lower::{DataflowPlan, FragmentSpec, From, ImportSpec, InputSpec, LateSpec, Place, Route, StepOp, StepSpec};
use crate::operator::aggregate::sliding::SlidingSpec;
use crate::operator::aggregate::{AggregateSpec, Stage};
use crate::operator::temporal::TemporalSpec;
use crate::operator::windows::SliceStart;
use crate::state::StateSpec;

mod distinct; // SELECT DISTINCT
mod session; // SESSION

pub(super) fn cut(plan: &Node, view: &str, workers: usize) -> Result<DataflowPlan> {
    assert!(workers > 0, "a dataflow runs on one worker or more");
    let cut = cut_for(plan, view, workers)?;
    // Where one worker has everything nothing says how it is spread over several, as it may be after the next start.
    let spread = if workers == 2 { cut.clone() } else { cut_for(plan, view, 2)? };
    let identity = identity(&spread);
    let DataflowPlan { states, placement, late: spread_late, .. } = spread;
    let placed = |late: LateSpec| LateSpec { placement: spread_late.and_then(|late| late.placement), ..late };
    Ok(DataflowPlan { states, placement, identity, late: cut.late.map(placed), ..cut })
}

fn cut_for(plan: &Node, view: &str, workers: usize) -> Result<DataflowPlan> {
    let mut lowering =
        Lowering { view: view.into(), workers, imports: Vec::new(), fragments: Vec::new(), states: Vec::new(), next_state: 0, late: None };
    let mut last = lowering.node(plan)?.windowed();
    if !plan.facts.append_only && !last.settles(&plan.facts) {
        last = lowering.settle(last, &plan.facts);
    }
    let placement = match &last.spread {
        Spread::By(columns) => Some(columns.clone()),
        Spread::Anywhere => None,
    };
    lowering.seal(last);
    let Lowering { imports, fragments, states, mut late, .. } = lowering;
    if let Some(late) = &mut late {
        let takes_late = |fragment: &FragmentSpec| fragment.steps.iter().any(|step| step.op.takes_late());
        late.fragment = fragments.iter().position(takes_late).unwrap_or_default();
    }
    let (view, schema, facts) = (view.to_string(), plan.schema.clone(), plan.facts.clone());
    Ok(DataflowPlan { view, workers, imports, fragments, schema, facts, states, late, placement, identity: String::new() })
}

struct Lowering {
    view: Arc<str>,
    workers: usize,
    imports: Vec<ImportSpec>,
    fragments: Vec<FragmentSpec>,
    states: Vec<StateSpec>,
    /// The number of the next operator with state: they are met in an order that the number of workers does not change.
    next_state: u16,
    late: Option<LateSpec>,
}

/// A fragment to which steps are still added.
struct Open {
    inputs: Vec<InputSpec>,
    steps: Vec<StepSpec>,
    output: Place,
    schema: SchemaRef,
    facts: Facts,
    spread: Spread,
    /// Event times that the edges of their windows are still to take the place of: it is put off as long as it can be,
    /// so that few and narrow rows are copied, best of all the sums of slices.
    windows: Option<PendingWindows>,
}

#[derive(Clone, Debug, PartialEq)]
struct PendingWindows {
    column: usize,
    windows: Windows,
    closed: Option<Closed>,
}

/// Which worker has which row.
#[derive(Clone, Debug, PartialEq)]
enum Spread {
    /// Nothing is known.
    Anywhere,
    /// The owner of the hash of these columns; without columns all rows are on one worker.
    By(Vec<usize>),
}

impl Spread {
    /// The columns that decide; none also where nothing is known.
    fn columns(&self) -> &[usize] {
        match self {
            Spread::Anywhere => &[],
            Spread::By(columns) => columns,
        }
    }

    /// The same behind a projection.
    fn projected(&self, exprs: &[ExprRef]) -> Spread {
        let place = |by: &usize| exprs.iter().position(|expr| expr.as_column() == Some(*by));
        match self {
            Spread::By(by) => by.iter().map(place).collect::<Option<Vec<_>>>().map_or(Spread::Anywhere, Spread::By),
            Spread::Anywhere => Spread::Anywhere,
        }
    }
}

impl Open {
    fn add(mut self, op: StepOp, schema: SchemaRef, facts: Facts, spread: Spread) -> Open {
        self.steps.push(StepSpec { op, inputs: vec![self.output], schema: schema.clone(), facts: facts.clone() });
        let output = Place::Step(self.steps.len() - 1);
        debug_assert!(self.windows.is_none(), "who adds a step says what becomes of pending windows");
        Open { output, schema, facts, spread, ..self }
    }

    /// Puts the windows in the place of event times, where that is still to be done.
    fn windowed(mut self) -> Open {
        let Some(PendingWindows { column, windows, closed }) = self.windows.take() else { return self };
        let (schema, facts) = (self.schema.clone(), self.facts.clone());
        // Rows that differ in the event time only may now be on several workers.
        let spread = match &self.spread {
            Spread::By(by) if !by.contains(&column) => self.spread.clone(),
            _ => Spread::Anywhere,
        };
        self.add(StepOp::Windows(column, windows, closed), schema, facts, spread)
    }

    /// Whether rows that are equal in `columns` are all on one worker.
    fn gathers(&self, columns: impl Fn(usize) -> bool) -> bool {
        matches!(&self.spread, Spread::By(by) if by.iter().all(|column| columns(*column)))
    }

    /// Whether the delete of a row comes to where the row is.
    fn settles(&self, facts: &Facts) -> bool {
        self.gathers(|column| facts.key.as_ref().is_none_or(|key| key.contains(&column)))
    }
}

impl Lowering {
    fn node(&mut self, node: &Node) -> Result<Open> {
        let (schema, facts) = (node.schema.clone(), node.facts.clone());
        match &node.op {
            Op::Import { relation, name, columns } => {
                let known = self.imports.iter().position(|import| import.relation == *relation && import.columns == *columns);
                let import = known.unwrap_or(self.imports.len());
                if known.is_none() {
                    let (name, columns, append_only) = (name.clone(), columns.clone(), facts.append_only);
                    self.imports.push(ImportSpec { relation: *relation, name, columns, schema: schema.clone(), append_only });
                }
                let spread = if self.workers == 1 { Spread::By(vec![]) } else { Spread::Anywhere };
                let inputs = vec![InputSpec { from: From::Import(import), route: Route::Local }];
                Ok(Open { inputs, steps: vec![], output: Place::Input(0), schema, facts, spread, windows: None })
            }
            Op::Filter { predicate } => {
                let input = self.input(node)?.windowed();
                if *predicate.data_type() != DataType::Boolean {
                    return Err(Error::internal(format!("filter {} is not a condition", predicate.describe())));
                }
                let spread = input.spread.clone();
                Ok(input.add(StepOp::Filter(predicate.clone()), schema, facts, spread))
            }
            Op::TemporalFilter(condition) => {
                let input = self.input(node)?.windowed();
                let spec = TemporalSpec { condition: Arc::new(condition.clone()), state: self.state_number()? };
                spec.check(&input.schema)?;
                let input = match &input.spread {
                    Spread::By(_) => input,
                    // Equal rows come together: they are kept once, with a count, and a delete has to find them.
                    Spread::Anywhere => {
                        let of_input = input.facts.clone();
                        self.settle(input, &of_input)
                    }
                };
                let spread = input.spread.clone();
                self.states.push(spec.state_spec(&input.schema, spread.columns()));
                Ok(input.add(StepOp::TemporalFilter(spec), schema, facts, spread))
            }
            Op::RequireEventTime { column } => {
                let input = self.input(node)?.windowed();
                if *column >= input.schema.fields().len() {
                    return Err(Error::internal(format!("there is no column {column} to take the event time from")));
                }
                let spread = input.spread.clone();
                Ok(input.add(StepOp::RequireEventTime(*column), schema, facts, spread))
            }
            Op::TakeLate(late) => {
                let input = self.input(node)?.windowed();
                let moment = input.schema.fields().get(late.column).map(|field| field.data_type());
                if !matches!(moment, Some(DataType::Timestamp(TimeUnit::Microsecond, _))) {
                    return Err(Error::internal(format!("column {} has no moment by which a row is late", late.column)));
                }
                let input = match &input.spread {
                    // A row that is taken back finds what was said of it, also after a restart with other workers.
                    Spread::Anywhere if !facts.append_only => {
                        let of_input = input.facts.clone();
                        self.settle(input, &of_input)
                    }
                    _ => input,
                };
                let placement = (input.spread != Spread::Anywhere).then(|| input.spread.columns().to_vec());
                self.take_late(&input.schema, late.column, late.positions, facts.append_only, placement)?;
                let spread = input.spread.clone();
                Ok(input.add(StepOp::TakeLate(late.clone()), schema, facts, spread))
            }
            Op::HoldBack(rule) => {
                let mut input = self.input(node)?.windowed();
                let named = input.schema.fields().get(rule.closing.column).map(|field| field.data_type());
                if !matches!(named, Some(DataType::Timestamp(TimeUnit::Microsecond, _))) {
                    return Err(Error::internal(format!("column {} names no window", rule.closing.column)));
                }
                if !input.facts.append_only && !input.settles(&input.facts) {
                    let of_input = input.facts.clone();
                    input = self.settle(input, &of_input);
                }
                let spread = input.spread.clone();
                Ok(input.add(StepOp::HoldBack(rule.clone()), schema, facts, spread))
            }
            Op::Windows { column, windows, closed } => {
                let input = self.input(node)?.windowed();
                let time = input.schema.fields().get(*column).map(|field| field.data_type());
                if !matches!(time, Some(DataType::Timestamp(TimeUnit::Microsecond, _))) || !windows.are_whole() {
                    return Err(Error::internal(format!("column {column} cannot be put into windows {windows:?}")));
                }
                Ok(Open { facts, windows: Some(PendingWindows { column: *column, windows: *windows, closed: closed.clone() }), ..input })
            }
            Op::Project { exprs } => {
                let mut input = self.input(node)?;
                let moved = input.windows.clone().and_then(|windows| moved(windows, exprs));
                if moved.is_none() {
                    input = input.windowed();
                }
                input.windows = None;
                if !exprs.iter().map(|expr| expr.data_type()).eq(schema.fields().iter().map(|field| field.data_type())) {
                    return Err(Error::internal("a projection's columns are not what the plan says"));
                }
                let spread = input.spread.projected(exprs);
                Ok(Open { windows: moved, ..input.add(StepOp::Project(exprs.clone()), schema, facts, spread) })
            }
            Op::UnionAll => {
                let inputs = node.inputs.iter().map(|input| Ok(self.node(input)?.windowed())).collect::<Result<Vec<_>>>()?;
                union(inputs, schema, facts)
            }
            Op::Distinct => {
                let input = self.input(node)?;
                self.distinct(input, schema, facts)
            }
            Op::Session { partition, column, gap, life } => {
                let input = self.input(node)?.windowed();
                self.session_rows(input, partition, *column, *gap, life.as_ref(), schema, facts)
            }
            Op::Aggregate { keys, calls, life } => {
                if let Some(grouped) = session::grouped(node, *keys, calls) {
                    return self.session(grouped, *keys, calls, schema, facts);
                }
                let input = self.input(node)?;
                self.aggregate(input, *keys, calls, life.as_ref(), schema, facts)
            }
        }
    }

    /// Rows with this schema are taken out where they are late by a column. `placement`: the columns whose hash decides on which worker.
    fn take_late(
        &mut self,
        rows: &SchemaRef,
        column: usize,
        positions: bool,
        append_only: bool,
        placement: Option<Vec<usize>>,
    ) -> Result<()> {
        if self.late.is_some() {
            return Err(Error::unsupported("a view can close the windows of one GROUP BY only")
                .with_hint("Create the inner query as a materialized view of its own, and read that."));
        }
        // Which fragment it is in turns out when all are sealed.
        self.late = Some(LateSpec { fragment: 0, schema: late_schema(rows, column, positions), positions, append_only, placement });
        Ok(())
    }

    fn input(&mut self, node: &Node) -> Result<Open> {
        match node.inputs.as_slice() {
            [input] => self.node(input),
            inputs => Err(Error::internal(format!("a plan step has {} inputs where it takes one", inputs.len()))),
        }
    }

    fn aggregate(
        &mut self,
        input: Open,
        keys: usize,
        calls: &[AggregateCall],
        life: Option<&WindowLife>,
        schema: SchemaRef,
        facts: Facts,
    ) -> Result<Open> {
        let append_only = input.facts.append_only;
        let state = self.state_number()?;
        let spec = |stage| AggregateSpec { keys, calls: calls.to_vec(), stage, append_only, state, life: life.cloned() };
        let whole = spec(Stage::Whole);
        whole.check(&input.schema, &schema)?;
        if let Some(field) = (0..keys).map(|key| input.schema.field(key)).find(|field| !hashable(field.data_type())) {
            return Err(Error::unsupported(format!("grouping by values of type {} cannot be maintained yet", field.data_type()))
                .with_hint("Group by a cast of it, such as to text."));
        }
        let key: Vec<usize> = (0..keys).collect();
        let partial = |input: Open| -> Result<Open> {
            // Messages to the final step: they are never taken back, whatever the rows that they sum up.
            let messages = Facts { append_only: true, ..Facts::default() };
            let schema = spec(Stage::Partial).partial_schema(&input.schema)?;
            Ok(input.add(StepOp::Aggregate(spec(Stage::Partial)), schema, messages, Spread::Anywhere))
        };
        let has_partial = !calls.iter().any(|call| whole.keeps_values(call));
        if let Some(windows) = input.windows.clone().filter(|windows| has_partial && windows.column < keys) {
            // Each slice is summed up once, and its sums go into every window that it is part of.
            let (together, before) = (input.gathers(|column| column < keys && column != windows.column), input.spread.clone());
            let sums = partial(sliced(input, &windows))?;
            if let Some(sliding) = SlidingSpec::of(&whole, windows.column, windows.windows, self.next_state) {
                self.state_number()?;
                let stage = if sliding.gives_complete() { Stage::Complete } else { Stage::Final };
                let gathered = self.sliding(sums, sliding, together.then_some(before))?;
                let spread = gathered.spread.clone();
                self.states.extend(whole.state_specs(&schema, spread.columns())?);
                return Ok(gathered.add(StepOp::Aggregate(spec(stage)), schema, facts, spread));
            }
            let sums = Open { windows: Some(windows), ..sums }.windowed();
            let gathered = if together { Open { spread: before, ..sums } } else { self.exchange(sums, key) };
            let spread = gathered.spread.clone();
            self.states.extend(whole.state_specs(&schema, spread.columns())?);
            return Ok(gathered.add(StepOp::Aggregate(spec(Stage::Final)), schema, facts, spread));
        }
        let input = input.windowed();
        if input.gathers(|column| column < keys) {
            let spread = input.spread.clone();
            self.states.extend(whole.state_specs(&schema, spread.columns())?);
            return Ok(input.add(StepOp::Aggregate(whole), schema, facts, spread));
        }
        let (input, stage) =
            if has_partial { (self.exchange(partial(input)?, key), Stage::Final) } else { (self.exchange(input, key), Stage::Whole) };
        let spread = input.spread.clone();
        self.states.extend(whole.state_specs(&schema, spread.columns())?);
        Ok(input.add(StepOp::Aggregate(spec(stage)), schema, facts, spread))
    }

    /// Sums of slices become sums of windows when these are due; `together`: how they are spread, if all of a key are on one worker.
    fn sliding(&mut self, sums: Open, sliding: SlidingSpec, together: Option<Spread>) -> Result<Open> {
        let (schema, messages) = (sums.schema.clone(), sums.facts.clone());
        let addressed = sums.add(
            StepOp::Address(sliding.clone()),
            sliding.input_schema(&schema),
            messages.clone(),
            together.clone().unwrap_or(Spread::Anywhere),
        );
        let gathered = match together {
            Some(_) => addressed,
            // One slice is in several windows: whoever has a key has all of its slices.
            None => self.exchange(addressed, (0..sliding.slices.keys).filter(|key| *key != sliding.column()).collect()),
        };
        let spread = gathered.spread.clone();
        self.states.extend(sliding.state_specs(&schema, spread.columns())?);
        Ok(gathered.add(StepOp::Sliding(sliding), schema, messages, spread))
    }

    /// A number for the state of an operator.
    fn state_number(&mut self) -> Result<u16> {
        let number = self.next_state;
        self.next_state = number.checked_add(1).ok_or_else(|| Error::unsupported("a view has more than 65535 operators with state"))?;
        Ok(number)
    }

    /// Brings rows that are equal in `columns` together. Columns that cannot be hashed are left out: the rest gathers
    /// these rows too, only on fewer workers.
    fn exchange(&mut self, open: Open, columns: Vec<usize>) -> Open {
        let columns: Vec<usize> = columns.into_iter().filter(|column| hashable(open.schema.field(*column).data_type())).collect();
        let (schema, facts, spread) = (open.schema.clone(), open.facts.clone(), Spread::By(columns.clone()));
        let from = match open.inputs.as_slice() {
            [InputSpec { from, route: Route::Local }] if open.steps.is_empty() => *from,
            _ => From::Fragment(self.seal(open)),
        };
        Open {
            inputs: vec![InputSpec { from, route: Route::Hash(columns) }],
            steps: vec![],
            output: Place::Input(0),
            schema,
            facts,
            spread,
            windows: None,
        }
    }

    /// The same where the delete of a row finds it, also when the number of workers has changed in between.
    fn settle(&mut self, open: Open, facts: &Facts) -> Open {
        let columns = facts.key.clone().unwrap_or_else(|| (0..open.schema.fields().len()).collect());
        self.exchange(open, columns)
    }

    fn seal(&mut self, open: Open) -> usize {
        let index = self.fragments.len();
        let settled = matches!(open.spread, Spread::By(_)) || open.facts.append_only;
        let Open { inputs, steps, output, schema, facts, .. } = open;
        let name = format!("{}.{index}", self.view);
        self.fragments.push(FragmentSpec { name, inputs, schema, view: self.view.clone(), steps, output, facts, settled });
        index
    }
}

/// All inputs in one fragment, under one step.
fn union(inputs: Vec<Open>, schema: SchemaRef, facts: Facts) -> Result<Open> {
    let Some(first) = inputs.first() else { return Err(Error::internal("a union of nothing")) };
    let spread = if inputs.iter().all(|input| input.spread == first.spread) { first.spread.clone() } else { Spread::Anywhere };
    let mut merged = Open { inputs: vec![], steps: vec![], output: Place::Input(0), schema, facts, spread, windows: None };
    let mut outputs = Vec::with_capacity(inputs.len());
    for open in inputs {
        let types = |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(&open.schema) != types(&merged.schema) {
            return Err(Error::internal("the inputs of a union differ in their types"));
        }
        let places: Vec<usize> = open
            .inputs
            .into_iter()
            .map(|input| {
                merged.inputs.iter().position(|known| *known == input).unwrap_or_else(|| {
                    merged.inputs.push(input);
                    merged.inputs.len() - 1
                })
            })
            .collect();
        let before = merged.steps.len();
        let moved = |place: Place| match place {
            Place::Input(input) => Place::Input(places[input]),
            Place::Step(step) => Place::Step(before + step),
        };
        merged.steps.extend(open.steps.into_iter().map(|step| StepSpec { inputs: step.inputs.into_iter().map(moved).collect(), ..step }));
        outputs.push(moved(open.output));
    }
    let (schema, facts) = (merged.schema.clone(), merged.facts.clone());
    merged.steps.push(StepSpec { op: StepOp::Union, inputs: outputs, schema, facts });
    merged.output = Place::Step(merged.steps.len() - 1);
    Ok(merged)
}

/// Where a projection puts the event times of pending windows, if it only passes them on, once.
fn moved(windows: PendingWindows, exprs: &[ExprRef]) -> Option<PendingWindows> {
    let mut users = exprs.iter().enumerate().filter(|(_, expr)| expr.columns().contains(&windows.column));
    match (users.next(), users.next()) {
        (Some((column, expr)), None) if expr.as_column() == Some(windows.column) => Some(PendingWindows { column, ..windows }),
        _ => None,
    }
}

/// The starts of slices in the place of event times.
fn sliced(input: Open, windows: &PendingWindows) -> Open {
    let fields = input.schema.fields().iter().enumerate();
    let exprs = fields.map(|(index, field)| -> ExprRef {
        let (name, data_type) = (field.name().clone(), field.data_type().clone());
        match index == windows.column {
            true => Arc::new(SliceStart::new(index, &name, data_type, windows.windows)),
            false => Arc::new(Column { index, name, data_type }),
        }
    });
    let exprs = exprs.collect();
    let (schema, facts) = (input.schema.clone(), Facts { append_only: input.facts.append_only, ..Facts::default() });
    Open { windows: None, ..input }.add(StepOp::Project(exprs), schema, facts, Spread::Anywhere)
}

/// Whether the stable hash takes values of this type.
fn hashable(data_type: &DataType) -> bool {
    let schema = Arc::new(Schema::new(vec![Field::new("key", data_type.clone(), true)]));
    hash::rows(&RecordBatch::new_empty(schema), &[0]).is_ok()
}

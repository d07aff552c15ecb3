//! Plans cut into fragments at their exchanges: what the engine builds on every worker.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_common::error::Result;
use weir_common::expr::ExprRef;
use weir_common::hash::{NULL_HASH, owner};
use weir_common::ids::RelationId;
use weir_common::lateness::{Closed, Final, LateRows};
use weir_common::plan::{Facts, Node};
use weir_common::window::Windows;

use crate::checker::Checker;
use crate::fragment::{Fragment, Step, Target};
use crate::operator::Operator;
use crate::operator::aggregate::distinct::Distinct;
use crate::operator::aggregate::session::SessionSpec;
use crate::operator::aggregate::session::rows::SessionRowsSpec;
use crate::operator::aggregate::sliding::SlidingSpec;
use crate::operator::aggregate::sliding::address::Address;
use crate::operator::aggregate::{AggregateSpec, Stage};
use crate::operator::filter::Filter;
use crate::operator::hold_back::HoldBack;
use crate::operator::late::TakeLate;
use crate::operator::project::Project;
use crate::operator::require_event_time::RequireEventTime;
use crate::operator::temporal::TemporalSpec;
use crate::operator::union::Union;
use crate::operator::windows::ToWindows;
use crate::state::StateSpec;

mod cut;

/// Cuts the plan of `view` for this number of workers. What cannot be maintained is refused here.
pub fn lower(plan: &Node, view: &str, workers: usize) -> Result<DataflowPlan> {
    cut::cut(plan, view, workers)
}

/// A view as fragments, with exchanges between them.
#[derive(Clone, Debug)]
pub struct DataflowPlan {
    /// Name of the view.
    pub view: String,
    /// How many workers it was cut for.
    pub workers: usize,
    /// What it reads: one for each distinct (relation, columns); the index is the import's number.
    pub imports: Vec<ImportSpec>,
    /// In topological order; the last one feeds the view.
    pub fragments: Vec<FragmentSpec>,
    /// Of the view's rows.
    pub schema: SchemaRef,
    /// Of the view.
    pub facts: Facts,
    /// What its operators keep.
    pub states: Vec<StateSpec>,
    /// The rows that it takes out because they come too late, if it does.
    pub late: Option<LateSpec>,
    /// The columns whose hash decides on which of several workers a row of the view is; `None` where any will do, because no row is
    /// ever taken back.
    pub placement: Option<Vec<usize>>,
    /// All of the above as text, the same for any number of workers: who loads state compares it with that of the one who kept it.
    pub identity: String,
}

/// Where late rows come from.
#[derive(Clone, Debug)]
pub struct LateSpec {
    /// The fragment that takes them out.
    pub fragment: usize,
    /// Their columns: see [`weir_common::lateness::late_schema`].
    pub schema: SchemaRef,
    /// Whether they tell where in a source they come from.
    pub positions: bool,
    /// Whether the input is only ever added to, so that no late row cancels another.
    pub append_only: bool,
    /// The columns whose hash decides on which of several workers a late row is; `None` where any will do.
    pub placement: Option<Vec<usize>>,
}

/// A relation that is read.
#[derive(Clone, Debug)]
pub struct ImportSpec {
    /// Which.
    pub relation: RelationId,
    /// Its name, for EXPLAIN.
    pub name: String,
    /// The columns that are read of it, in this order.
    pub columns: Vec<usize>,
    /// Of the deltas that are to be pushed.
    pub schema: SchemaRef,
    /// Whether its rows are only ever added.
    pub append_only: bool,
}

/// Everything between two exchanges.
#[derive(Clone, Debug)]
pub struct FragmentSpec {
    /// For logs and metrics.
    pub name: String,
    /// Where its rows come from.
    pub inputs: Vec<InputSpec>,
    /// Of its output.
    pub schema: SchemaRef,
    pub(crate) view: Arc<str>,
    /// In topological order.
    pub(crate) steps: Vec<StepSpec>,
    pub(crate) output: Place,
    pub(crate) facts: Facts,
    /// Whether the delete of a row comes to the worker where the row is.
    pub(crate) settled: bool,
}

/// An input of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// What it reads.
    pub from: From,
    /// Which worker gets which row.
    pub route: Route,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// An import, by its number.
    Import(usize),
    /// The output of an earlier fragment.
    Fragment(usize),
}

/// Which worker gets which row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Rows stay where they are.
    Local,
    /// [`owner`] of the hash of these columns; without columns one worker owns all.
    Hash(Vec<usize>),
}

/// An operator of a fragment.
#[derive(Clone, Debug)]
pub(crate) struct StepSpec {
    pub(crate) op: StepOp,
    pub(crate) inputs: Vec<Place>,
    pub(crate) schema: SchemaRef,
    pub(crate) facts: Facts,
}

/// Inside a fragment: what an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Input(usize),
    Step(usize),
}

#[derive(Clone, Debug)]
pub(crate) enum StepOp {
    Filter(ExprRef),
    /// Rows come and go with the wall clock.
    TemporalFilter(TemporalSpec),
    RequireEventTime(usize),
    Project(Vec<ExprRef>),
    /// Late rows are taken out.
    TakeLate(LateRows),
    /// Rows wait until their window is closed.
    HoldBack(Final),
    /// An edge of each window in the place of the event time in this column, but for closed ones.
    Windows(usize, Windows, Option<Closed>),
    Union,
    /// The rows with their sessions.
    SessionRows(SessionRowsSpec),
    /// The sessions of each partition and their results.
    Session(SessionSpec),
    /// With the number of its state.
    Distinct(Stage, u16),
    Aggregate(AggregateSpec),
    /// The one window that sums of slices go to, in a column more.
    Address(SlidingSpec),
    /// Sums of slices in, sums of windows out.
    Sliding(SlidingSpec),
}

impl DataflowPlan {
    /// Whether what it shows depends on the times of epochs, besides its rows.
    pub fn is_timed(&self) -> bool {
        self.fragments.iter().flat_map(|fragment| &fragment.steps).any(|step| match &step.op {
            StepOp::TakeLate(_) | StepOp::HoldBack(_) | StepOp::TemporalFilter(_) | StepOp::Address(_) | StepOp::Sliding(_) => true,
            StepOp::Windows(_, _, closed) => closed.is_some(),
            StepOp::Aggregate(aggregate) => aggregate.life.is_some(),
            StepOp::Filter(_) | StepOp::RequireEventTime(_) | StepOp::Project(_) | StepOp::Union | StepOp::Distinct(..) => false,
            StepOp::SessionRows(session) => session.life.is_some(),
            StepOp::Session(session) => session.gate.is_some(),
        })
    }

    /// Whether what it shows depends on the wall clock, besides its rows.
    pub fn reads_clock(&self) -> bool {
        self.fragments.iter().flat_map(|fragment| &fragment.steps).any(|step| matches!(step.op, StepOp::TemporalFilter(_)))
    }
}

impl StepOp {
    /// Whether it takes out late rows.
    pub(crate) fn takes_late(&self) -> bool {
        match self {
            StepOp::TakeLate(_) => true,
            StepOp::SessionRows(session) => session.life.is_some(),
            StepOp::Session(session) => session.gate.is_some(),
            _ => false,
        }
    }
}

impl FragmentSpec {
    /// Builds the fragment for one of `workers` workers; every worker builds its own. `checkpoints`: whether anybody will ask what
    /// changed in its state.
    pub fn build(&self, worker: usize, workers: usize, checkpoints: bool) -> Fragment {
        let mut inputs = vec![Vec::new(); self.inputs.len()];
        let mut targets = vec![Target::Out; self.steps.len()];
        let mut wire = |place: Place, target: Target| match place {
            Place::Input(input) => inputs[input].push(target),
            Place::Step(step) => targets[step] = target,
        };
        for (step, spec) in self.steps.iter().enumerate() {
            for (port, place) in spec.inputs.iter().enumerate() {
                wire(*place, Target::Step { step, port });
            }
        }
        wire(self.output, Target::Out);
        let owns_global = owner(NULL_HASH, workers) == worker;
        let steps =
            self.steps.iter().zip(targets).map(|(spec, target)| Step { operator: self.operator(spec, owns_global, checkpoints), target });
        let checker = cfg!(debug_assertions).then(|| Checker::new(&self.name, &self.schema, &self.facts, self.settled));
        Fragment::new(inputs, steps.collect(), checker)
    }

    fn operator(&self, spec: &StepSpec, owns_global: bool, checkpoints: bool) -> Box<dyn Operator> {
        let view = self.view.clone();
        match &spec.op {
            StepOp::Filter(predicate) => Box::new(Filter::new(predicate.clone(), view)),
            StepOp::TemporalFilter(temporal) => temporal.build(spec.schema.clone(), view, checkpoints),
            StepOp::RequireEventTime(column) => Box::new(RequireEventTime::new(*column, view)),
            StepOp::Project(exprs) => Box::new(Project::new(exprs.clone(), spec.schema.clone(), view)),
            StepOp::TakeLate(late) => Box::new(TakeLate::new(late.clone(), spec.schema.clone())),
            StepOp::HoldBack(rule) => Box::new(HoldBack::new(rule.clone(), spec.schema.clone())),
            StepOp::Windows(column, windows, closed) => Box::new(ToWindows::new(*column, *windows, closed.clone())),
            StepOp::SessionRows(session) => session.build(spec.schema.clone(), checkpoints),
            StepOp::Session(session) => session.build(spec.schema.clone(), view, checkpoints),
            StepOp::Union => Box::new(Union::new(spec.schema.clone())),
            StepOp::Distinct(stage, state) => Box::new(Distinct::new(*stage, spec.schema.clone(), *state, checkpoints)),
            StepOp::Aggregate(aggregate) => aggregate.build(spec.schema.clone(), view, owns_global, checkpoints),
            StepOp::Address(sliding) => Box::new(Address::new(sliding, spec.schema.clone())),
            StepOp::Sliding(sliding) => sliding.build(spec.schema.clone(), checkpoints),
        }
    }
}

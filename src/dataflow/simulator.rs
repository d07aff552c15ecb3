//! A dataflow of several workers on one thread: the first runtime of a plan, and the one that tests use.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::hash;
use weir_common::ids::Epoch;

use crate::fragment::{Context, Fragment};
use crate::lower::{DataflowPlan, FragmentSpec, From, Route};
use crate::rows::printable;
use crate::scatter::scatter;
use crate::simulator::kept::Kept;
use crate::times::EpochTimes;

mod kept; // what checkpoints have kept

/// Runs a plan on simulated workers, one epoch after the other.
///
/// A fragment that fails is a defect of Weir, so the simulator panics with its error.
pub struct Simulator {
    plan: DataflowPlan,
    /// By fragment, then by worker.
    fragments: Vec<Vec<Fragment>>,
    epoch: Epoch,
    times: EpochTimes,
    out: Vec<Delta>,
    dead: Vec<DeadLetter>,
    late: Vec<Delta>,
    kept: Kept,
    interrupt: Option<Interrupt>,
}

/// What happens after an epoch besides the next one.
pub enum Interruption {
    /// Nothing.
    None,
    /// The state is kept.
    Checkpoint,
    /// The state is kept, and everything begins anew from it with this plan, which may be for another number of workers.
    Restart(Box<DataflowPlan>),
}

/// Says after each epoch what happens.
pub type Interrupt = Box<dyn FnMut() -> Interruption>;

impl Simulator {
    /// Builds the plan's fragments for each worker; `workers` is what the plan was cut for.
    pub fn new(plan: &DataflowPlan, workers: usize) -> Self {
        assert_eq!(plan.workers, workers, "a plan is cut for a number of workers");
        let (fragments, kept) = (build(plan), Kept::default());
        let (times, out, dead, late) = (EpochTimes::NONE, Vec::new(), Vec::new(), Vec::new());
        Simulator { plan: plan.clone(), fragments, epoch: 1, times, out, dead, late, kept, interrupt: None }
    }

    /// Interrupts it from time to time.
    pub fn interrupted(self, interrupt: Interrupt) -> Self {
        Simulator { interrupt: Some(interrupt), ..self }
    }

    /// Rows of the current epoch that reach an import on this worker.
    pub fn push(&mut self, import: usize, delta: Delta, worker: usize) {
        let worker = worker % self.plan.workers;
        self.route(From::Import(import), worker, vec![delta]).unwrap_or_else(|error| panic!("{}: {error:?}", self.plan.view));
    }

    /// Ends the epoch and begins the next one: what all workers put out for the view in it.
    pub fn close_epoch(&mut self) -> Vec<Delta> {
        for fragment in 0..self.fragments.len() {
            for worker in 0..self.plan.workers {
                let mut out = Vec::new();
                let mut cx = Context {
                    epoch: self.epoch,
                    times: &self.times,
                    admitted: None,
                    out: &mut out,
                    dead: &mut self.dead,
                    late: &mut self.late,
                };
                let closed = self.fragments[fragment][worker].close(&mut cx);
                closed.and_then(|()| self.route(From::Fragment(fragment), worker, out)).unwrap_or_else(|error| {
                    panic!("{} on worker {worker}, closing epoch {}: {error:?}", self.plan.fragments[fragment].name, self.epoch)
                });
            }
        }
        self.epoch += 1;
        match self.interrupt.as_mut().map_or(Interruption::None, |interrupt| interrupt()) {
            Interruption::None => {}
            Interruption::Checkpoint => self.checkpoint(),
            Interruption::Restart(plan) => {
                self.checkpoint();
                self.restart(*plan);
            }
        }
        std::mem::take(&mut self.out)
    }

    fn checkpoint(&mut self) {
        for fragment in self.fragments.iter_mut().flatten() {
            let changes = fragment.changes().unwrap_or_else(|error| panic!("{}, checkpoint: {error:?}", self.plan.view));
            changes.into_iter().for_each(|changes| self.kept.apply(&self.plan.states, changes));
        }
    }

    fn restart(&mut self, plan: DataflowPlan) {
        assert_eq!(plan.states, self.plan.states, "state is the same for any number of workers");
        self.fragments = build(&plan);
        for spec in &plan.states {
            let rows = self.kept.rows(spec);
            let hashes = hash::rows(&rows, &spec.placement).expect("keys can be hashed");
            let fragments = self.fragments.iter_mut().find(|workers| workers[0].has_state(spec.state)).expect("each state is somewhere");
            for (row, hash) in hashes.into_iter().enumerate() {
                let row = rows.slice(row, 1);
                let loaded = fragments[hash::owner(hash, plan.workers)].load(spec.state, spec.part, row.columns(), 1);
                loaded.unwrap_or_else(|error| panic!("{}, restart: {error:?}", plan.view));
            }
        }
        self.fragments.iter_mut().flatten().for_each(Fragment::resume);
        self.plan = plan;
    }

    /// The times of the current epoch; before its first row. They hold until others are given.
    pub fn at(&mut self, times: EpochTimes) {
        self.times = times;
    }

    /// Admits late rows on a worker, in the form in which they were given out, before the current epoch has other rows.
    pub fn admit(&mut self, late: &RecordBatch, worker: usize) -> Result<()> {
        let fragment = self.plan.late.as_ref().map_or(0, |late| late.fragment);
        let worker = worker % self.plan.workers;
        let mut out = Vec::new();
        let mut cx =
            Context { epoch: self.epoch, times: &self.times, admitted: None, out: &mut out, dead: &mut self.dead, late: &mut self.late };
        self.fragments[fragment][worker].admit(late, &mut cx)?;
        self.route(From::Fragment(fragment), worker, out)
    }

    /// Late rows since the last call.
    pub fn take_late(&mut self) -> Vec<Delta> {
        std::mem::take(&mut self.late)
    }

    /// Dead letters since the last call.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead)
    }

    /// Bytes of state, over all workers.
    pub fn memory_bytes(&self) -> usize {
        self.fragments.iter().flatten().map(Fragment::memory_bytes).sum()
    }

    /// Groups in the state, over all workers.
    pub fn groups(&self) -> usize {
        self.fragments.iter().flatten().map(Fragment::groups).sum()
    }

    /// Hands deltas to every fragment that reads `from`, and what these put out to the next ones.
    fn route(&mut self, from: From, worker: usize, deltas: Vec<Delta>) -> Result<()> {
        if from == From::Fragment(self.fragments.len() - 1) {
            self.out.extend(deltas);
            return Ok(());
        }
        for fragment in 0..self.fragments.len() {
            for input in 0..self.plan.fragments[fragment].inputs.len() {
                let spec = self.plan.fragments[fragment].inputs[input].clone();
                if spec.from != from {
                    continue;
                }
                for delta in deltas.iter().cloned() {
                    let parts = match &spec.route {
                        Route::Local => vec![(worker, delta)],
                        Route::Hash(columns) => scatter(delta, columns, self.plan.workers)?,
                    };
                    for (target, part) in parts {
                        let mut out = Vec::new();
                        let mut cx = Context {
                            epoch: self.epoch,
                            times: &self.times,
                            admitted: None,
                            out: &mut out,
                            dead: &mut self.dead,
                            late: &mut self.late,
                        };
                        self.fragments[fragment][target].push(input, part, &mut cx)?;
                        self.route(From::Fragment(fragment), target, out)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The fragments of a plan, by fragment, then by worker.
fn build(plan: &DataflowPlan) -> Vec<Vec<Fragment>> {
    let of = |spec: &FragmentSpec| (0..plan.workers).map(|worker| spec.build(worker, plan.workers, true)).collect();
    plan.fragments.iter().map(of).collect()
}

/// The rows of a relation, summed up from its deltas: each row as text, with how often it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integral {
    rows: BTreeMap<Vec<Option<String>>, i64>,
}

impl Integral {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a delta.
    pub fn add(&mut self, delta: &Delta) {
        for (row, values) in text(delta).into_iter().enumerate() {
            let weight = delta.weights.get(row);
            let count = self.rows.entry(values.clone()).or_insert(0);
            *count += weight;
            if *count == 0 {
                self.rows.remove(&values);
            }
        }
    }

    /// Every row as often as it is there, in order. A negative multiplicity panics: no relation has that.
    pub fn rows(&self) -> Vec<Vec<Option<String>>> {
        let times = |row: &Vec<Option<String>>, count: i64| {
            assert!(count > 0, "row {row:?} is there {count} times");
            vec![row.clone(); count as usize]
        };
        self.rows.iter().flat_map(|(row, count)| times(row, *count)).collect()
    }

    /// Every distinct row with its multiplicity, negative ones included.
    pub fn counts(&self) -> &BTreeMap<Vec<Option<String>>, i64> {
        &self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Each row as text, NULL as `None`.
fn text(delta: &Delta) -> Vec<Vec<Option<String>>> {
    let options = FormatOptions::new();
    let columns: Vec<ArrayRef> = delta.rows.columns().iter().map(printable).collect();
    let formatters: Vec<ArrayFormatter> =
        columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("a type that Arrow prints")).collect();
    let value = |column: usize, row: usize| (!columns[column].is_null(row)).then(|| formatters[column].value(row).to_string());
    (0..delta.num_rows()).map(|row| (0..columns.len()).map(|column| value(column, row)).collect()).collect()
}

//! A dataflow of several workers on one thread: the first runtime of a plan, and the one that tests use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

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
use crate::simulator::kept::{Kept, KeptPart};
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
    /// What the last checkpoint that was finished has.
    kept: Arc<Mutex<Kept>>,
    checkpoint: Option<Checkpoint>,
    /// What came since the epoch of the last checkpoint that was finished.
    since: Vec<(Epoch, Input)>,
    /// Checkpoints and slices so far: the next slice's size follows from them.
    slices: u64,
    interrupt: Option<Interrupt>,
}

/// What comes in an epoch.
enum Input {
    At(EpochTimes),
    Admitted { late: RecordBatch, worker: usize },
    Rows { import: usize, delta: Delta, worker: usize },
    End,
}

/// A checkpoint that is being copied.
struct Checkpoint {
    epoch: Epoch,
    /// Whether all fragments have been told to freeze, at the latest.
    frozen: bool,
}

/// Rows of a slice of a checkpoint at most, most of the time: a few slices for what tests change in an epoch.
const SLICE_ROWS: u64 = 5;

/// What happens after an epoch besides the next one.
pub enum Interruption {
    /// Nothing.
    None,
    /// A checkpoint of the next epoch is begun, unless one is under way: it is copied in slices while epochs go on.
    Checkpoint,
    /// Everything breaks off, and begins anew from the last checkpoint that was finished with this plan, which may be for another
    /// number of workers: all epochs since then are done again.
    Restart(Box<DataflowPlan>),
}

/// Says after each epoch what happens.
pub type Interrupt = Box<dyn FnMut() -> Interruption>;

impl Simulator {
    /// Builds the plan's fragments for each worker; `workers` is what the plan was cut for.
    pub fn new(plan: &DataflowPlan, workers: usize) -> Self {
        assert_eq!(plan.workers, workers, "a plan is cut for a number of workers");
        let kept = Arc::default();
        let fragments = build(plan, &kept);
        let (times, out, dead, late) = (EpochTimes::NONE, Vec::new(), Vec::new(), Vec::new());
        let (plan, since) = (plan.clone(), Vec::new());
        Simulator { plan, fragments, epoch: 1, times, out, dead, late, kept, checkpoint: None, since, slices: 0, interrupt: None }
    }

    /// Interrupts it from time to time.
    pub fn interrupted(self, interrupt: Interrupt) -> Self {
        Simulator { interrupt: Some(interrupt), ..self }
    }

    /// Rows of the current epoch that reach an import on this worker.
    pub fn push(&mut self, import: usize, delta: Delta, worker: usize) {
        if self.interrupt.is_some() {
            self.since.push((self.epoch, Input::Rows { import, delta: delta.clone(), worker }));
        }
        self.take_in(import, delta, worker);
        self.copy_slice();
    }

    fn take_in(&mut self, import: usize, delta: Delta, worker: usize) {
        let worker = worker % self.plan.workers;
        self.route(From::Import(import), worker, vec![delta]).unwrap_or_else(|error| panic!("{}: {error:?}", self.plan.view));
    }

    /// Ends the epoch and begins the next one: what all workers put out for the view in it.
    pub fn close_epoch(&mut self) -> Vec<Delta> {
        self.end_epoch();
        if self.interrupt.is_some() {
            self.since.push((self.epoch - 1, Input::End));
        }
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(|checkpoint| checkpoint.epoch < self.epoch && !checkpoint.frozen) {
            // As where all workers are told that the epoch is over; fragments that are further have frozen by themselves.
            checkpoint.frozen = self.slices.is_multiple_of(2) || checkpoint.epoch + 1 < self.epoch;
            if checkpoint.frozen {
                self.fragments.iter_mut().flatten().for_each(Fragment::freeze);
            }
        }
        self.copy_slice();
        match self.interrupt.as_mut().map_or(Interruption::None, |interrupt| interrupt()) {
            Interruption::Checkpoint if self.checkpoint.is_none() => {
                self.slices += 1;
                self.checkpoint = Some(Checkpoint { epoch: self.epoch, frozen: false });
                self.fragments.iter_mut().flatten().for_each(|fragment| fragment.freeze_after(self.epoch));
            }
            Interruption::None | Interruption::Checkpoint => {}
            Interruption::Restart(plan) => self.restart(*plan),
        }
        std::mem::take(&mut self.out)
    }

    fn end_epoch(&mut self) {
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
    }

    /// Copies some more rows of the checkpoint that is under way; when all are copied, it is finished.
    fn copy_slice(&mut self) {
        let Some(Checkpoint { epoch, frozen: true }) = self.checkpoint else { return };
        self.slices += 1;
        let size = hash::mix(self.slices);
        let mut budget = if size.is_multiple_of(64) { usize::MAX } else { (size % SLICE_ROWS) as usize };
        for fragment in self.fragments.iter_mut().flatten() {
            fragment.copy(&mut budget).unwrap_or_else(|error| panic!("{}, checkpoint: {error:?}", self.plan.view));
            if budget == 0 {
                return;
            }
        }
        let changes: Vec<_> = self.fragments.iter_mut().flatten().flat_map(Fragment::take_copied).collect();
        changes.into_iter().for_each(|changes| self.kept().apply(&self.plan.states, changes));
        self.since.retain(|(of, _)| *of > epoch);
        self.checkpoint = None;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panics with it")
    }

    fn restart(&mut self, plan: DataflowPlan) {
        assert_eq!(plan.states, self.plan.states, "state is the same for any number of workers");
        self.fragments = build(&plan, &self.kept);
        for spec in plan.states.iter().filter(|spec| !spec.left_in_store) {
            let rows = self.kept().rows(spec);
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
        // What these epochs put out was seen the first time.
        self.checkpoint = None;
        let (out, dead, late) = (std::mem::take(&mut self.out), std::mem::take(&mut self.dead), std::mem::take(&mut self.late));
        let (times, now) = (std::mem::replace(&mut self.times, EpochTimes::NONE), self.epoch);
        let since = std::mem::take(&mut self.since);
        self.epoch = since.first().map_or(now, |(epoch, _)| *epoch);
        for (_, input) in &since {
            match input {
                Input::At(times) => self.times = times.clone(),
                Input::Admitted { late, worker } => self.take_back(late, *worker),
                Input::Rows { import, delta, worker } => self.take_in(*import, delta.clone(), *worker),
                Input::End => self.end_epoch(),
            }
        }
        assert_eq!(self.epoch, now, "every epoch is done again");
        (self.out, self.dead, self.late, self.times, self.since) = (out, dead, late, times, since);
    }

    /// The times of the current epoch; before its first row. They hold until others are given.
    pub fn at(&mut self, times: EpochTimes) {
        if self.interrupt.is_some() {
            self.since.push((self.epoch, Input::At(times.clone())));
        }
        self.times = times;
    }

    /// Admits late rows on a worker, in the form in which they were given out, before the current epoch has other rows.
    pub fn admit(&mut self, late: &RecordBatch, worker: usize) {
        if self.interrupt.is_some() {
            self.since.push((self.epoch, Input::Admitted { late: late.clone(), worker }));
        }
        self.take_back(late, worker);
        self.copy_slice();
    }

    fn take_back(&mut self, late: &RecordBatch, worker: usize) {
        let (fragment, placement) = self.plan.late.as_ref().map_or((0, None), |late| (late.fragment, late.placement.clone()));
        let parts = match placement {
            None => vec![(worker % self.plan.workers, Delta::insert(late.clone()))],
            Some(columns) => scatter(Delta::insert(late.clone()), &columns, self.plan.workers)
                .unwrap_or_else(|error| panic!("{}, late rows: {error:?}", self.plan.view)),
        };
        parts.into_iter().for_each(|(worker, part)| self.take_back_on(fragment, &part.rows, worker));
    }

    fn take_back_on(&mut self, fragment: usize, late: &RecordBatch, worker: usize) {
        let mut out = Vec::new();
        let mut cx =
            Context { epoch: self.epoch, times: &self.times, admitted: None, out: &mut out, dead: &mut self.dead, late: &mut self.late };
        let admitted = self.fragments[fragment][worker].admit(late, &mut cx);
        let routed = admitted.and_then(|()| self.route(From::Fragment(fragment), worker, out));
        routed.unwrap_or_else(|error| panic!("{}, admitting late rows: {error:?}", self.plan.view));
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

/// The fragments of a plan, by fragment, then by worker; some state they leave with what checkpoints keep.
fn build(plan: &DataflowPlan, kept: &Arc<Mutex<Kept>>) -> Vec<Vec<Fragment>> {
    let of = |spec: &FragmentSpec| (0..plan.workers).map(|worker| spec.build(worker, plan.workers, true)).collect();
    let mut fragments: Vec<Vec<Fragment>> = plan.fragments.iter().map(of).collect();
    for spec in plan.states.iter().filter(|spec| spec.left_in_store) {
        for fragment in fragments.iter_mut().flatten().filter(|fragment| fragment.has_state(spec.state)) {
            let rows = Arc::new(KeptPart { kept: kept.clone(), spec: spec.clone() });
            fragment.look_up(spec.state, spec.part, rows).unwrap_or_else(|error| panic!("{}: {error:?}", plan.view));
        }
    }
    fragments
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

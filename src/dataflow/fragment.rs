//! Fragments: the operators between two exchanges, run as one.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::ids::Epoch;

use crate::checker::Checker;
use crate::operator::Operator;
use crate::state::{StateChanges, StateSize, StoredRows};
use crate::times::{EpochTimes, TimeOf};

/// What an operator or a fragment is given with every call.
pub struct Context<'a> {
    /// The current epoch.
    pub epoch: Epoch,
    /// Its times.
    pub times: &'a EpochTimes,
    /// Set while late rows are admitted: the end of the one window that they go to.
    pub admitted: Option<i64>,
    /// Where output goes.
    pub out: &'a mut Vec<Delta>,
    /// Where rows go that could not be used.
    pub dead: &'a mut Vec<DeadLetter>,
    /// Where rows go that came too late.
    pub late: &'a mut Vec<Delta>,
}

impl Context<'_> {
    /// The same, with the output going elsewhere.
    pub(crate) fn into<'b>(&'b mut self, out: &'b mut Vec<Delta>) -> Context<'b> {
        Context { epoch: self.epoch, times: self.times, admitted: self.admitted, out, dead: self.dead, late: self.late }
    }
}

/// A small DAG of operators on one worker. Deltas pass down it within the call that brought them.
pub struct Fragment {
    inputs: Vec<Vec<Target>>,
    steps: Vec<Step>,
    checker: Option<Checker>,
    /// The epoch whose state is to be copied, until it is frozen.
    cut: Option<Epoch>,
}

/// Where a delta goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A port of a later operator.
    Step { step: usize, port: usize },
    /// Out of the fragment.
    Out,
}

/// An operator and where its output goes.
pub(crate) struct Step {
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) target: Target,
}

impl Fragment {
    /// `steps` are in topological order; `inputs` has the targets of each input.
    pub(crate) fn new(inputs: Vec<Vec<Target>>, steps: Vec<Step>, checker: Option<Checker>) -> Self {
        Fragment { inputs, steps, checker, cut: None }
    }

    /// Rows of the current epoch on one input; any number of calls.
    pub fn push(&mut self, input: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        if delta.is_empty() {
            return Ok(());
        }
        self.freeze_before(cx.epoch);
        let Fragment { inputs, steps, checker, .. } = self;
        let (last, others) = inputs[input].split_last().expect("lowering wires every input");
        for target in others {
            deliver(steps, checker, *target, delta.clone(), cx)?;
        }
        deliver(steps, checker, *last, delta, cx)
    }

    /// Late rows, in the form in which they were given out, that are now to be used. The current epoch has no other rows yet.
    pub fn admit(&mut self, late: &RecordBatch, cx: &mut Context) -> Result<()> {
        self.freeze_before(cx.epoch);
        let gate = self.steps.iter().position(|step| step.operator.takes_late());
        let gate = gate.ok_or_else(|| Error::internal("no rows of the fragment are late"))?;
        let target = self.steps[gate].target;
        for (end, delta) in self.steps[gate].operator.admitted(late)? {
            let Context { epoch, times, .. } = *cx;
            let mut cx = Context { epoch, times, admitted: Some(end), out: cx.out, dead: cx.dead, late: cx.late };
            deliver(&mut self.steps, &mut self.checker, target, delta, &mut cx)?;
        }
        Ok(())
    }

    /// The current epoch is complete on all inputs: emits what depends on completeness.
    /// The state is then the state as of the epoch.
    pub fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.freeze_before(cx.epoch);
        for step in 0..self.steps.len() {
            let mut out = Vec::new();
            let Step { operator, target } = &mut self.steps[step];
            operator.close(&mut cx.into(&mut out))?;
            let target = *target;
            for delta in out {
                deliver(&mut self.steps, &mut self.checker, target, delta, cx)?;
            }
        }
        if let Some(checker) = &mut self.checker {
            checker.close(cx.epoch);
        }
        Ok(())
    }

    /// What has changed in its state is to be copied as of the end of an epoch, which is not closed yet or just was: it freezes by
    /// itself before it takes anything of a later one. All that was frozen before has been copied.
    pub fn freeze_after(&mut self, epoch: Epoch) {
        self.cut = Some(epoch);
    }

    /// Nothing of the epoch, or before it, will come any more: freezes now, if it has not.
    pub fn freeze(&mut self) {
        if self.cut.take().is_some() {
            self.steps.iter_mut().for_each(|step| step.operator.freeze());
        }
    }

    #[inline(always)]
    fn freeze_before(&mut self, epoch: Epoch) {
        if self.cut.is_some_and(|cut| epoch > cut) {
            self.freeze();
        }
    }

    /// Copies more of what is frozen, about as many rows as the budget has, which it takes them from. What has changed since the
    /// freeze was copied before it did. All is copied when it leaves some of the budget.
    pub fn copy(&mut self, budget: &mut usize) -> Result<()> {
        debug_assert!(self.cut.is_none(), "what is not frozen is not copied");
        self.steps.iter_mut().filter(|step| step.operator.state().is_some()).try_for_each(|step| match *budget {
            0 => Ok(()),
            _ => step.operator.copy(budget),
        })
    }

    /// Frozen rows that were copied since the freeze because they were about to change.
    pub fn kept_rows(&self) -> usize {
        self.steps.iter().map(|step| step.operator.kept_rows()).sum()
    }

    /// All that was copied since the freeze: what had changed in the state since the freeze before.
    pub fn take_copied(&mut self) -> Vec<StateChanges> {
        self.steps.iter_mut().flat_map(|step| step.operator.take_copied()).collect()
    }

    /// Whether the state of this number is in it.
    pub fn has_state(&self, state: u16) -> bool {
        self.steps.iter().any(|step| step.operator.state() == Some(state))
    }

    /// Takes back rows of a part of an operator's state before the first epoch; part 0 comes first.
    pub fn load(&mut self, state: u16, part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.of_state(state)?.operator.load(part, columns, rows)
    }

    /// Where the operator of this state finds rows of a part of it that is left in the store.
    pub fn look_up(&mut self, state: u16, part: u16, rows: Arc<dyn StoredRows>) -> Result<()> {
        self.of_state(state)?.operator.look_up(part, rows)
    }

    fn of_state(&mut self, state: u16) -> Result<&mut Step> {
        let step = self.steps.iter_mut().find(|step| step.operator.state() == Some(state));
        step.ok_or_else(|| Error::internal(format!("there is no state {state} in the fragment")))
    }

    /// Its output has begun before: what comes may take back rows that are not known here, and windows are as the watermark before
    /// the next epoch left them.
    pub fn resume(&mut self) {
        self.steps.iter_mut().for_each(|step| step.operator.resume());
        if let Some(checker) = &mut self.checker {
            checker.resume();
        }
    }

    /// Lets go of its operators and all that they hold; nothing may be pushed or closed any more.
    pub fn clear(&mut self) {
        (self.inputs, self.steps, self.checker, self.cut) = (Vec::new(), Vec::new(), None, None);
    }

    /// Bytes of state.
    pub fn memory_bytes(&self) -> usize {
        self.steps.iter().map(|step| step.operator.memory_bytes()).sum()
    }

    /// The size of each operator's state, in the order of [`crate::explain::operators`].
    pub fn sizes(&self) -> impl Iterator<Item = StateSize> {
        self.steps.iter().map(|Step { operator, .. }| StateSize {
            bytes: operator.memory_bytes(),
            groups: operator.groups(),
            dirty_bytes: operator.dirty_bytes(),
        })
    }

    /// What will happen next although no row comes: at which times, and a moment of each before which it does not.
    pub fn due(&self) -> impl Iterator<Item = (TimeOf, i64)> {
        self.steps.iter().filter_map(|step| step.operator.due())
    }

    /// Groups in the state of all operators.
    pub fn groups(&self) -> usize {
        self.steps.iter().map(|step| step.operator.groups()).sum()
    }
}

fn deliver(steps: &mut [Step], checker: &mut Option<Checker>, target: Target, delta: Delta, cx: &mut Context) -> Result<()> {
    match target {
        Target::Out => {
            if let Some(checker) = checker {
                checker.observe(&delta);
            }
            cx.out.push(delta);
        }
        Target::Step { step, port } => {
            let mut out = Vec::new();
            steps[step].operator.push(port, delta, &mut cx.into(&mut out))?;
            let target = steps[step].target;
            for delta in out {
                deliver(steps, checker, target, delta, cx)?;
            }
        }
    }
    Ok(())
}

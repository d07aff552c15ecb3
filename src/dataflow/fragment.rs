//! Fragments: the operators between two exchanges, run as one.

use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::ids::Epoch;

use crate::checker::Checker;
use crate::operator::Operator;

/// What an operator or a fragment is given with every call.
pub struct Context<'a> {
    /// The current epoch.
    pub epoch: Epoch,
    /// Where output goes.
    pub out: &'a mut Vec<Delta>,
    /// Where rows go that could not be used.
    pub dead: &'a mut Vec<DeadLetter>,
}

/// A small DAG of operators on one worker. Deltas pass down it within the call that brought them.
pub struct Fragment {
    inputs: Vec<Vec<Target>>,
    steps: Vec<Step>,
    checker: Option<Checker>,
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
        Fragment { inputs, steps, checker }
    }

    /// Rows of the current epoch on one input; any number of calls.
    pub fn push(&mut self, input: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        if delta.is_empty() {
            return Ok(());
        }
        let Fragment { inputs, steps, checker } = self;
        let (last, others) = inputs[input].split_last().expect("lowering wires every input");
        for target in others {
            deliver(steps, checker, *target, delta.clone(), cx)?;
        }
        deliver(steps, checker, *last, delta, cx)
    }

    /// The current epoch is complete on all inputs: emits what depends on completeness.
    /// The state is then the state as of the epoch.
    pub fn close(&mut self, cx: &mut Context) -> Result<()> {
        for step in 0..self.steps.len() {
            let mut out = Vec::new();
            let Step { operator, target } = &mut self.steps[step];
            operator.close(&mut Context { epoch: cx.epoch, out: &mut out, dead: cx.dead })?;
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

    /// Bytes of state.
    pub fn memory_bytes(&self) -> usize {
        self.steps.iter().map(|step| step.operator.memory_bytes()).sum()
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
            steps[step].operator.push(port, delta, &mut Context { epoch: cx.epoch, out: &mut out, dead: cx.dead })?;
            let target = steps[step].target;
            for delta in out {
                deliver(steps, checker, target, delta, cx)?;
            }
        }
    }
    Ok(())
}

//! When the leader takes checkpoints: between two epochs, with none in flight and no view being filled.

use std::collections::{BTreeMap, VecDeque};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::sync::oneshot;
use weir_common::epoch_log::Reading;
use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::CHECKPOINTS_TOLD_MAX;

use crate::checkpoint::standing::{ReaderStanding, Standing};
use crate::checkpoint::writer::{Job, Written};
use crate::lane::LaneMessage;
use crate::leader::{Leader, answer};
use crate::status::{CheckpointStatus, CheckpointWhy};

/// The leader's side of checkpoints.
pub(super) struct Checkpoints {
    pub(super) jobs: Sender<Job>,
    pub(super) thread: JoinHandle<()>,
    /// The epoch of the last one that was begun.
    pub(super) at: Epoch,
    /// The epoch of the last one that is in the store.
    pub(super) saved: Option<Epoch>,
    /// Why the next one is to be taken, and since when it is.
    due: Option<(CheckpointWhy, Instant)>,
    running: Option<Running>,
    /// Who waits for the next one.
    asked: Vec<oneshot::Sender<Result<()>>>,
    /// Relations that are gone since the last one.
    pub(super) dropped: Vec<RelationId>,
    /// Whether a view has been stopped since the last one: that is no epoch.
    pub(super) stopped: bool,
    /// The numbers of the dead letters in the last one.
    pub(super) letters: (u64, u64),
    /// Whether the runs in the store are of another number of workers.
    pub(super) all_runs: bool,
    past: VecDeque<CheckpointStatus>,
    /// How many there were, by reason.
    pub(super) counts: BTreeMap<CheckpointWhy, u64>,
}

/// A checkpoint that is being written.
struct Running {
    status: CheckpointStatus,
    started: Instant,
    /// How long no epoch could be opened before the workers got to it.
    drained: std::time::Duration,
    asked: Vec<oneshot::Sender<Result<()>>>,
}

impl Checkpoints {
    pub(super) fn new(jobs: Sender<Job>, thread: JoinHandle<()>) -> Self {
        Checkpoints {
            jobs,
            thread,
            at: 0,
            saved: None,
            due: None,
            running: None,
            asked: vec![],
            dropped: vec![],
            stopped: false,
            letters: (0, 0),
            all_runs: false,
            past: VecDeque::new(),
            counts: BTreeMap::new(),
        }
    }
}

impl Leader {
    /// A checkpoint is to be taken as soon as it can be.
    pub(super) fn checkpoint_due(&mut self, why: CheckpointWhy) {
        let committed = self.next - 1;
        if let Some(checkpoints) = &mut self.checkpoints
            && (committed > checkpoints.at || checkpoints.stopped || why == CheckpointWhy::Asked)
            && checkpoints.due.is_none()
        {
            checkpoints.due = Some((why, Instant::now()));
        }
    }

    /// Somebody wants a checkpoint, and waits for it.
    pub(super) fn checkpoint_asked(&mut self, reply: oneshot::Sender<Result<()>>) {
        match &mut self.checkpoints {
            // What is not kept need not be kept any better.
            None => answer(reply, Ok(())),
            Some(checkpoints) => {
                checkpoints.asked.push(reply);
                self.checkpoint_due(CheckpointWhy::Asked);
            }
        }
    }

    /// Whether the next epoch has to wait: a checkpoint can be taken as soon as the epochs in flight have landed.
    pub(super) fn checkpoint_waits(&self) -> bool {
        let Some(checkpoints) = &self.checkpoints else { return false };
        // What was carried out and not logged yet is in no epoch.
        let pending = !self.definitions.is_empty() || !self.joins.is_empty() || !self.first_rows.is_empty();
        let filling = self.views.values().any(|view| view.filling.is_some());
        checkpoints.due.is_some() && checkpoints.running.is_none() && !pending && !filling
    }

    /// Whether somebody waits for a checkpoint that has to wait for an epoch.
    pub(super) fn checkpoint_wants_epoch(&self) -> bool {
        self.open.is_empty() && !self.joins.is_empty() && self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.due.is_some())
    }

    /// Begins a checkpoint of the last epoch; nothing is in flight.
    pub(super) fn begin_checkpoint(&mut self) {
        let standing = self.standing();
        let letters = self.letters_to_keep();
        let plans = self.views.iter().map(|(id, view)| (*id, view.plan.clone())).collect();
        let wall_micros = self.clock.wall_micros();
        let checkpoints = self.checkpoints.as_mut().expect("only then one is due");
        let (why, since) = checkpoints.due.take().expect("only then one is begun");
        let asked = std::mem::take(&mut checkpoints.asked);
        if !std::mem::take(&mut checkpoints.stopped) && standing.epoch == checkpoints.at {
            // Nothing has happened since the last one.
            asked.into_iter().for_each(|reply| answer(reply, Ok(())));
            return;
        }
        let (parts, of_workers) = crossbeam_channel::bounded(self.lane.workers());
        self.lane.send(LaneMessage::Checkpoint(parts));
        let status = CheckpointStatus { epoch: standing.epoch, wall_micros, why, ..CheckpointStatus::default() };
        checkpoints.at = standing.epoch;
        let job = Job {
            parts: of_workers,
            plans,
            dropped: std::mem::take(&mut checkpoints.dropped),
            letters,
            letters_before: checkpoints.letters.0,
            all_runs: std::mem::take(&mut checkpoints.all_runs),
            standing,
        };
        checkpoints.letters = job.standing.letters;
        checkpoints.running = Some(Running { status, started: Instant::now(), drained: since.elapsed(), asked });
        // One that cannot take it has told why.
        let _ = checkpoints.jobs.send(job);
    }

    /// A checkpoint is in the store: the log is not needed before it.
    pub(super) fn checkpointed(&mut self, written: Written) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let Some(Running { status, started, drained, asked }) = checkpoints.running.take() else { return };
        let status = CheckpointStatus {
            duration: started.elapsed(),
            pause: drained + written.gathering,
            landing: drained,
            keys: written.keys,
            bytes: written.bytes,
            ..status
        };
        tracing::debug!(?status, "checkpoint");
        if checkpoints.past.len() == CHECKPOINTS_TOLD_MAX {
            checkpoints.past.pop_front();
        }
        checkpoints.past.push_back(status);
        *checkpoints.counts.entry(status.why).or_insert(0) += 1;
        checkpoints.saved = Some(status.epoch);
        asked.into_iter().for_each(|reply| answer(reply, Ok(())));
        if !checkpoints.asked.is_empty() {
            self.checkpoint_due(CheckpointWhy::Asked);
        }
        self.log.drop_before(status.epoch + 1);
    }

    /// The checkpoints of this run, the oldest first.
    pub(super) fn past_checkpoints(&self) -> Vec<CheckpointStatus> {
        self.checkpoints.iter().flat_map(|checkpoints| checkpoints.past.iter().copied()).collect()
    }

    /// Dead letters that the last checkpoint does not have.
    fn letters_to_keep(&self) -> Vec<(u64, weir_common::dead_letter::DeadLetter)> {
        let kept = self.checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.letters.1);
        let numbered = (self.letters_from..).zip(self.dead_letters.iter().cloned());
        numbered.filter(|(number, _)| *number >= kept).collect()
    }

    fn standing(&self) -> Standing {
        let reading = |(id, view): (&RelationId, &crate::leader::View)| {
            let of = *id;
            let own = move |stream: &StreamId| {
                self.readers.get(stream).map(|reader| Reading { view: of, source: reader.source, stream: *stream })
            };
            view.inputs.iter().filter_map(own).collect::<Vec<_>>()
        };
        let reader = |(stream, reader): (&StreamId, &crate::leader::readers::ReaderState)| ReaderStanding {
            progress: reader.progress(*stream),
            caught_up: reader.caught_up_in.is_some(),
        };
        let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Standing {
            epoch: self.next - 1,
            wall_micros: self.last_wall_micros,
            workers: self.lane.workers() as u32,
            next_own_reader: self.next_own_reader,
            relations_below: self.relations_below,
            definitions: self.words.clone(),
            plans: self.views.iter().map(|(id, view)| (*id, view.plan.identity.clone())).collect(),
            readings: self.views.iter().flat_map(reading).collect(),
            readers: self.readers.iter().map(reader).collect(),
            letters_told: self.letters_told.clone(),
            letters: (self.letters_from, self.letters_from + self.dead_letters.len() as u64),
            letter_counts: self.dead_letter_counts.iter().map(|((relation, reason), count)| (relation.clone(), *reason, *count)).collect(),
            failures: failures.iter().map(|(view, error)| (*view, (error.sqlstate().0.to_string(), error.message().to_string()))).collect(),
            counted: Default::default(),
        }
    }
}

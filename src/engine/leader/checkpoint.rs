//! When the leader takes checkpoints: of an epoch that it opens while no view is being filled. Nothing waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;
use weir_common::epoch_log::Reading;
use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::CHECKPOINTS_TOLD_MAX;

use crate::checkpoint::part::Part;
use crate::checkpoint::standing::{self, LateLost, ReaderStanding, Standing};
use crate::checkpoint::writer::{Job, Written};
use crate::lane::LaneMessage;
use crate::leader::{Leader, answer};
use crate::status::{CheckpointStatus, CheckpointWhy};

/// The leader's side of checkpoints.
pub(super) struct Checkpoints {
    pub(super) jobs: Sender<Job>,
    pub(super) thread: JoinHandle<()>,
    /// The last epoch of the last one that was begun.
    pub(super) at: Epoch,
    /// The last epoch of the last one that is in the store.
    pub(super) saved: Option<Epoch>,
    /// Why the next one is to be taken.
    due: Option<CheckpointWhy>,
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

/// A checkpoint that is being copied or written.
struct Running {
    status: CheckpointStatus,
    started: Instant,
    asked: Vec<oneshot::Sender<Result<()>>>,
    /// What the thread is to write, until its last epoch is committed.
    job: Option<Job>,
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
            checkpoints.due = Some(why);
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

    /// Whether the next epoch is to be the last one of a checkpoint.
    pub(super) fn cuts(&self) -> bool {
        let Some(checkpoints) = &self.checkpoints else { return false };
        let filling = self.views.values().any(|view| view.filling.is_some());
        checkpoints.due.is_some() && checkpoints.running.is_none() && !filling
    }

    /// Nothing has happened since the last checkpoint: it is the one that is due.
    pub(super) fn skip_checkpoint(&mut self) {
        // What was carried out and not logged yet is in no epoch.
        let pending = !self.definitions.is_empty() || !self.joins.is_empty() || !self.first_rows.is_empty();
        let committed = self.next - 1;
        if let Some(checkpoints) = self.checkpoints.as_mut().filter(|checkpoints| checkpoints.running.is_none())
            && checkpoints.at == committed
            && !checkpoints.stopped
            && !pending
        {
            checkpoints.due = None;
            std::mem::take(&mut checkpoints.asked).into_iter().for_each(|reply| answer(reply, Ok(())));
        }
    }

    /// Tells the workers that the next epoch is the last one of a checkpoint: before they hear of that epoch, so that none of them
    /// can have taken anything of a later one. Their parts will come here.
    pub(super) fn announce_cut(&self) -> Receiver<Result<Part>> {
        let (parts, of_workers) = crossbeam_channel::bounded(self.lane.workers());
        self.lane.send(LaneMessage::Checkpoint { cut: self.next, parts });
        of_workers
    }

    /// Notes where everything stands as the last epoch of a checkpoint has just been opened.
    pub(super) fn begin_checkpoint(&mut self, parts: Receiver<Result<Part>>) {
        let standing = self.standing();
        let plans = self.views.iter().filter(|(_, view)| !view.temporary).map(|(id, view)| (*id, view.plan.clone())).collect();
        let wall_micros = self.clock.wall_micros();
        let checkpoints = self.checkpoints.as_mut().expect("only then one is due");
        let why = checkpoints.due.take().expect("only then one is begun");
        let status = CheckpointStatus { epoch: standing.epoch, wall_micros, why, ..CheckpointStatus::default() };
        (checkpoints.at, checkpoints.stopped) = (standing.epoch, false);
        let job = Job {
            parts,
            plans,
            dropped: std::mem::take(&mut checkpoints.dropped),
            letters: vec![],
            letters_before: checkpoints.letters.0,
            all_runs: std::mem::take(&mut checkpoints.all_runs),
            standing,
        };
        let asked = std::mem::take(&mut checkpoints.asked);
        checkpoints.running = Some(Running { status, started: Instant::now(), asked, job: Some(job) });
    }

    /// If the epoch that was just committed is the last one of a checkpoint: what came of it is known now, and the rest is up to the
    /// workers and the thread that writes.
    pub(super) fn cut_committed(&mut self, epoch: Epoch) {
        let Some(Checkpoints { running: Some(running), .. }) = &mut self.checkpoints else { return };
        let Some(mut job) = running.job.take_if(|job| job.standing.epoch == epoch) else { return };
        job.letters = self.letters_to_keep();
        job.standing.letters = (self.letters_from, self.letters_from + self.dead_letters.len() as u64);
        let counts = self.dead_letter_counts.iter();
        job.standing.letter_counts = counts.map(|((relation, reason), count)| (relation.clone(), *reason, *count)).collect();
        {
            let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let kept = failures.iter().filter(|(view, _)| self.views.get(view).is_none_or(|view| !view.temporary));
            job.standing.failures = kept.map(|(view, error)| (*view, standing::failure(error))).collect();
        }
        let lost = self.views.iter().filter(|(_, view)| !view.temporary && view.late_kept.lost != LateLost::default());
        job.standing.late_lost = lost.map(|(id, view)| (*id, view.late_kept.lost)).collect();
        let checkpoints = self.checkpoints.as_mut().expect("just seen");
        checkpoints.letters = job.standing.letters;
        // One that cannot take it has told why.
        let _ = checkpoints.jobs.send(job);
    }

    /// A checkpoint is in the store: the log is not needed before it.
    pub(super) fn checkpointed(&mut self, written: Written) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        let Some(Running { status, started, asked, .. }) = checkpoints.running.take() else { return };
        let status = CheckpointStatus {
            duration: started.elapsed(),
            pause: written.longest,
            copying: written.copying,
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

    /// Where everything stands as the last epoch has just been opened.
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
        Standing {
            epoch: self.next - 1,
            wall_micros: self.last_wall_micros,
            workers: self.lane.workers() as u32,
            next_own_reader: self.next_own_reader,
            relations_below: self.relations_below,
            definitions: self.words.clone(),
            plans: self.views.iter().filter(|(_, view)| !view.temporary).map(|(id, view)| (*id, view.plan.identity.clone())).collect(),
            readings: self.views.iter().filter(|(_, view)| !view.temporary).flat_map(reading).collect(),
            readers: self.readers.iter().map(reader).collect(),
            letters_told: self.letters_told.clone(),
            // Of these more is known when the epoch is committed.
            letters: Default::default(),
            letter_counts: vec![],
            failures: Default::default(),
            counted: Default::default(),
            marks: self.standing_marks(),
            rows_met: self.rows_met.clone(),
            latest: self.latest_of_tables(),
            partitions: self.readers.iter().filter_map(|(stream, reader)| reader.partitions(*stream)).collect(),
            late_lost: Default::default(),
        }
    }
}

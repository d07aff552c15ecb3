//! What a worker hands out for a checkpoint: frozen as of one epoch, copied a slice at a time while later epochs go on.

use std::time::{Duration, Instant};

use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId};

use crate::adapter::Frozen;
use crate::checkpoint::part::{Part, Parts};
use crate::lane::ShardStats;
use crate::worker::{WorkerState, lock};

/// A checkpoint that this worker takes part in.
///
/// # Invariants
/// - Until its epoch is committed, fragments freeze by themselves before they take anything of a later one; then the rest do.
/// - Temporary views are not in it, nor those that come later; those that go stay until they are copied.
pub(super) struct Copying {
    /// The last epoch that is in it.
    cut: Epoch,
    parts: Parts,
    /// What is handed out in the end.
    part: Part,
    /// The views that there were, once the epoch is committed.
    views: Vec<(RelationId, Frozen)>,
    frozen: bool,
    /// The view and its fragment that is copied next; all before them are.
    next: (usize, usize),
    /// Rows that were copied in slices: what others take that had to be copied at once is reckoned from the time of these.
    rows: usize,
    /// Rows that fragments had to copy at once, as far as they are in `copied_for`.
    kept: usize,
}

impl WorkerState {
    /// The next epoch is the last one of a checkpoint.
    pub(super) fn begin_checkpoint(&mut self, cut: Epoch, parts: Parts) {
        debug_assert!(self.copying.is_none() && self.filling.is_empty(), "one checkpoint at a time, and none while a view is filled");
        let kept = self.views.iter().filter(|(view, _)| !self.temporary.contains(view));
        kept.for_each(|(_, dataflow)| dataflow.freeze_after(cut));
        let part = Part { worker: self.index, ..Part::default() };
        self.copying = Some(Copying { cut, parts, part, views: vec![], frozen: false, next: (0, 0), rows: 0, kept: 0 });
    }

    /// If the epoch that was just committed is the last one of a checkpoint: what is to be copied stands still from here on. Runs are
    /// handed out as they are, for they never change.
    pub(super) fn freeze_committed(&mut self) {
        let Some(copying) = self.copying.as_mut().filter(|copying| copying.cut == self.committed) else { return };
        let started = Instant::now();
        copying.frozen = true;
        copying.views = self
            .views
            .iter()
            .filter(|(view, _)| !self.temporary.contains(view))
            .map(|(view, dataflow)| (*view, dataflow.frozen()))
            .collect();
        for (id, stream) in self.hub.streams() {
            let mut stream = stream.borrow_mut();
            let Ok(relation) = u32::try_from(id.0).map(RelationId) else { continue };
            if self.temporary.contains(&relation) {
                continue;
            }
            if let Some(shard) = &mut stream.shard {
                let changes = shard.take_changes();
                if !changes.is_empty() {
                    copying.part.runs.push((relation, changes));
                }
            }
            copying.part.counted.extend(stream.counted.map(|rows| (relation, rows)));
        }
        lock(&self.seat.stats[self.index].shards).values_mut().for_each(ShardStats::saved);
        self.dirty = false;
        let took = started.elapsed();
        (copying.part.longest, copying.part.copying) = (took, took);
        self.copied_for += took;
    }

    /// Copies more of what is frozen, and hands it out when that was all; says whether there is more.
    pub(super) fn copy_slice(&mut self) -> bool {
        let Some(copying) = self.copying.as_mut().filter(|copying| copying.frozen) else { return false };
        let started = Instant::now();
        let done = copying.slice(self.seat.slice_rows);
        let took = started.elapsed();
        let at_once = copying.time_of_kept(took);
        copying.part.longest = copying.part.longest.max(took);
        copying.part.copying += took + at_once;
        self.copied_for += took + at_once;
        let result = match done {
            Ok(false) => return true,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        if let Some(copying) = self.copying.take() {
            // Nobody waits for it any more only when the process ends.
            let _ = copying.parts.send(result.map(|()| copying.part));
        }
        false
    }
}

impl Copying {
    /// One slice of so many rows; whether it was the last.
    fn slice(&mut self, rows: usize) -> Result<bool> {
        let mut budget = rows;
        while let Some((_, view)) = self.views.get(self.next.0) {
            let Some(fragment) = view.fragments.get(self.next.1) else {
                self.next = (self.next.0 + 1, 0);
                continue;
            };
            fragment.borrow_mut().copy(&mut budget)?;
            if budget == 0 {
                self.rows += rows;
                return Ok(false);
            }
            self.next.1 += 1;
        }
        self.rows += rows - budget;
        for (view, frozen) in &self.views {
            let changes: Vec<_> = frozen.fragments.iter().flat_map(|fragment| fragment.borrow_mut().take_copied()).collect();
            if !changes.is_empty() {
                self.part.states.push((*view, changes));
            }
            self.part.stopped.extend(frozen.failure.borrow().as_ref().map(|error| (*view, error.clone())));
        }
        Ok(true)
    }

    /// How long fragments took since the last slice to copy what was about to change, when each row took as long as in slices.
    /// Nothing is measured there: it is done among the rows of an epoch.
    fn time_of_kept(&mut self, slice: Duration) -> Duration {
        let kept: usize = self.views.iter().flat_map(|(_, view)| &view.fragments).map(|fragment| fragment.borrow().kept_rows()).sum();
        let new = kept.saturating_sub(self.kept);
        self.kept = kept.max(self.kept);
        let in_slices = self.part.copying + slice;
        match self.rows {
            0 => Duration::ZERO,
            rows => in_slices.mul_f64(new as f64 / (rows + self.kept - new) as f64),
        }
    }
}

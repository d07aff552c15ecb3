//! The memory limit: what tables and views take is held against it. Above it the view that grew most is stopped, or tables take no
//! more rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use weir_common::delta::Weights;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::limits::{MEMORY_CHECKPOINT_MILLIS, MEMORY_CHECKPOINT_PERCENT, MEMORY_GROWTH_MILLIS};

use crate::engine::TableWrite;
use crate::lane::{LaneMessage, ShardStats};
use crate::leader::Leader;
use crate::status::CheckpointWhy;

/// What to do about a view that was stopped.
pub(super) const HINT: &str = "Drop the view, or start the server with a larger --memory-limit; then create it again.";

/// What the leader knows about memory.
pub(super) struct Memory {
    limit: u64,
    /// What each table and view took a while ago, and when that was: their growth is counted from there.
    before: BTreeMap<RelationId, u64>,
    before_at: Option<Instant>,
    /// Views that were stopped: they let go of what they hold, even if that is not published yet.
    stopped: BTreeSet<RelationId>,
    /// Whether tables take no more rows.
    full: bool,
    /// When a checkpoint was forced last.
    forced: Option<Instant>,
}

impl Memory {
    /// A limit of so many bytes.
    pub(super) fn new(limit: u64) -> Self {
        Memory { limit, before: BTreeMap::new(), before_at: None, stopped: BTreeSet::new(), full: false, forced: None }
    }

    /// Bytes that tables and views may take together.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }
}

/// Whether so much time has passed since then.
fn passed(since: Option<Instant>, millis: u64) -> bool {
    since.is_none_or(|since| since.elapsed() >= Duration::from_millis(millis))
}

impl Leader {
    /// Holds what tables and views take against the limit.
    pub(super) fn look_at_memory(&mut self) {
        let held = self.bytes_by_relation();
        let Some(memory) = &mut self.memory else { return };
        let (limit, total) = (memory.limit, held.values().sum::<u64>());
        memory.full &= total > limit;
        let near = u128::from(total) * 100 >= u128::from(limit) * u128::from(MEMORY_CHECKPOINT_PERCENT);
        if near && passed(memory.forced, MEMORY_CHECKPOINT_MILLIS) {
            memory.forced = Some(Instant::now());
            self.checkpoint_due(CheckpointWhy::Memory);
        }
        let Some(memory) = &mut self.memory else { return };
        if total > limit {
            let growth =
                |(id, bytes): (&RelationId, &u64)| (*bytes as i64 - memory.before.get(id).map_or(0, |before| *before as i64), *bytes, *id);
            match held.iter().map(growth).max() {
                // Rows of tables are not let go: there is nothing to do but to wait.
                Some((growth, ..)) if memory.full && growth <= 0 => {}
                Some((_, bytes, most)) if self.views.contains_key(&most) => self.stop_view(most, bytes, total),
                _ if !memory.full => {
                    tracing::warn!(total, limit, "tables and views take more than the memory limit: tables take no more rows");
                    memory.full = true;
                }
                _ => {}
            }
        }
        let Some(memory) = &mut self.memory else { return };
        if passed(memory.before_at, MEMORY_GROWTH_MILLIS) {
            (memory.before, memory.before_at) = (held, Some(Instant::now()));
        }
    }

    /// Refuses writes that add rows, while tables take none.
    pub(super) fn check_room(&mut self, writes: &[TableWrite]) -> Result<()> {
        let full = |leader: &Leader| leader.memory.as_ref().is_some_and(|memory| memory.full);
        if !full(self) || !writes.iter().any(adds) {
            return Ok(());
        }
        // Rows may have gone, or relations.
        self.look_at_memory();
        let Some(memory) = self.memory.as_ref().filter(|memory| memory.full) else { return Ok(()) };
        let limit = memory.limit;
        let total: u64 = self.bytes_by_relation().values().sum();
        Err(Error::new(
            SqlState::OUT_OF_MEMORY,
            format!("tables and views take {total} bytes, more than the memory limit of {limit} bytes"),
        )
        .with_hint("Delete rows or drop relations (see weir.operators), or start the server with a larger --memory-limit."))
    }

    /// Bytes of each table and view that has not been stopped, over all workers.
    fn bytes_by_relation(&self) -> BTreeMap<RelationId, u64> {
        let mut held = BTreeMap::new();
        let Some(memory) = &self.memory else { return held };
        for worker in self.stats.iter() {
            for (stream, stats) in worker.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).iter() {
                if let Some(relation) = u32::try_from(stream.0).ok().map(RelationId).filter(|id| !memory.stopped.contains(id)) {
                    *held.entry(relation).or_insert(0) += ShardStats::bytes(stats) as u64;
                }
            }
        }
        held
    }

    /// A view computes no more, and lets go of what it holds; a checkpoint is taken, so that a restart knows.
    fn stop_view(&mut self, view: RelationId, bytes: u64, total: u64) {
        let (Some(memory), Some(name)) = (&mut self.memory, self.views.get(&view).map(|view| &view.plan.view)) else { return };
        let limit = memory.limit;
        memory.stopped.insert(view);
        let message = format!(
            "materialized view \"{name}\" took {bytes} of {total} bytes of all tables and views, more than the memory limit of {limit} bytes"
        );
        tracing::error!(view = name, bytes, total, limit, "a view was stopped: tables and views take more than the memory limit");
        let error = Error::new(SqlState::OUT_OF_MEMORY, message).with_hint(HINT);
        self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).entry(view).or_insert_with(|| error.clone());
        self.end_failed_feeds();
        self.lane.send(LaneMessage::Stop { view, error });
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.dropped.push(view);
            checkpoints.stopped = true;
        }
        self.checkpoint_due(CheckpointWhy::Memory);
    }
}

/// Whether a write adds rows.
fn adds(write: &TableWrite) -> bool {
    match &write.delta.weights {
        Weights::Ones => !write.delta.is_empty(),
        Weights::Each(weights) => weights.iter().any(|weight| *weight > 0),
    }
}

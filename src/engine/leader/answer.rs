//! What the leader answers when it is asked how things stand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_dataflow::state::StateSize;

use crate::event_clock::EventClock;
use crate::lane::ShardStats;
use crate::leader::epoch::InFlight;
use crate::leader::marks::{Marks, least};
use crate::leader::memory::Memory;
use crate::leader::readers::ReaderState;
use crate::leader::{Leader, Table, View};
use crate::status::{OperatorStatus, PartitionStatus, SourceStatus, Status, TableStatus, ViewStatus};

/// What stands in the place of an operator for rows that can be read.
const SERVED_ROWS: &str = "served rows";

impl Leader {
    pub(super) fn status(&self) -> Status {
        let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let wall_micros = self.clock.wall_micros().max(self.last_wall_micros);
        let sources = self.readers.values().map(|reader| SourceStatus {
            partitions: self.partitions_status(reader, wall_micros),
            source: reader.source,
            view: reader.own,
            rows: reader.rows - reader.future,
            bytes: reader.bytes,
            dead_letters: reader.dead + reader.future,
            position: reader.position.0.clone(),
            at_end: reader.is_at_end(self.committed()),
            watermark: reader.watermark(),
            watermark_moved: reader.clock.moved_at(),
            idle_since: reader.going_on().and_then(|of| reader.clock.idle_since(&of, reader.heard(wall_micros))),
            held_up: reader.reader.as_ref().map_or(0, |thread| thread.held_up(wall_micros)),
            error: reader.error.as_ref().map(|error| error.message().to_string()),
        });
        let marks = self.marks();
        let views = self.views.iter().map(|(id, view)| {
            let total = self.held((*id).into());
            let state = total.state();
            let behind = |stream: &StreamId| {
                self.readers.get(stream).is_some_and(|reader| {
                    !reader.has_caught_up(self.committed()) && reader.error.is_none() && reader.spec.source.catches_up()
                })
            };
            let (watermark, held_back_by) = self.view_watermark(view, &marks);
            ViewStatus {
                view: *id,
                filling: view.filling.is_some() || view.readers.values().flatten().any(behind),
                rows: total.rows as u64,
                served_bytes: total.served.bytes as u64,
                state_bytes: state.bytes as u64,
                groups: state.groups as u64,
                turns: total.turns.load(Ordering::Relaxed),
                watermark,
                held_back_by,
                late_rows: total.late_rows.load(Ordering::Relaxed),
                late_dropped: view.late_kept.lost.dropped,
                error: failures.get(id).map(|error| error.message().to_string()),
            }
        });
        Status {
            wall_micros,
            committed: self.committed(),
            processing_lag: self.open.front().map(InFlight::age).unwrap_or_default(),
            in_flight: self.open.len(),
            epochs: self.epochs,
            epoch_times: self.epoch_times.clone(),
            epoch_waits: self.epoch_waits.clone(),
            pauses: self.pauses,
            worker_turns: self.stats.iter().map(|worker| worker.turns.load(Ordering::Relaxed)).sum(),
            sources: sources.collect(),
            views: views.collect(),
            operators: self.operators(),
            memory_limit: self.memory.as_ref().map(Memory::limit),
            tables: self.tables.iter().map(|(id, table)| self.table_status(*id, table)).collect(),
            dead_letters: self.dead_letters.iter().cloned().collect(),
            dead_letter_counts: self.dead_letter_counts.clone(),
            checkpoints: self.past_checkpoints(),
            checkpoint_counts: self.checkpoints.as_ref().map(|checkpoints| checkpoints.counts.clone()).unwrap_or_default(),
            subscriptions: self.subscriptions(),
            subscription_parts: self.feed_counters.parts.load(Ordering::Relaxed),
            subscriptions_cut: self.feed_counters.cut.load(Ordering::Relaxed),
            checkpointed: self.checkpoints.as_ref().and_then(|checkpoints| checkpoints.saved),
        }
    }

    /// The partitions of a reader that has several, with a watermark.
    fn partitions_status(&self, reader: &ReaderState, wall_micros: i64) -> Vec<PartitionStatus> {
        let Some(of) = reader.going_on().filter(|_| reader.known().partitions > 1) else { return vec![] };
        let heard = reader.heard(wall_micros);
        let holder = reader.clock.held_back_by(&of, heard);
        let of_each = reader.clock.of_each(&of, heard).enumerate();
        let status = |(partition, (watermark, idle_since))| PartitionStatus {
            partition: partition as u32,
            watermark,
            idle_since,
            holds_back: holder == Some(partition),
        };
        of_each.map(status).collect()
    }

    fn table_status(&self, id: RelationId, table: &Table) -> TableStatus {
        let clock = table.watermark.as_ref().map(|(_, clock)| clock);
        TableStatus {
            table: id,
            rows: self.held(id.into()).rows as u64,
            watermark: clock.map(EventClock::at),
            watermark_moved: clock.and_then(EventClock::moved_at),
        }
    }

    /// What a table or view holds, over all workers.
    pub(super) fn held(&self, stream: StreamId) -> ShardStats {
        let mut total = ShardStats::default();
        for worker in self.stats.iter() {
            if let Some(stats) = worker.shards.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&stream) {
                total.rows += stats.rows;
                total.served += stats.served;
                total.late_rows.fetch_add(stats.late_rows.load(Ordering::Relaxed), Ordering::Relaxed);
                total.turns.fetch_add(stats.turns.load(Ordering::Relaxed), Ordering::Relaxed);
                let operators = total.operators.len().max(stats.operators.len());
                total.operators.resize(operators, StateSize::default());
                total.operators.iter_mut().zip(&stats.operators).for_each(|(total, operator)| *total += *operator);
            }
        }
        total
    }

    /// Every operator with what it holds, and the served rows.
    fn operators(&self) -> Vec<OperatorStatus> {
        let served_rows: Arc<str> = SERVED_ROWS.into();
        let mut operators = vec![];
        let relations: BTreeSet<RelationId> = self.tables.keys().chain(self.views.keys()).copied().collect();
        for relation in relations {
            let held = self.held(relation.into());
            let named = self.views.get(&relation).map(|view| view.operators.iter()).unwrap_or_default();
            for ((fragment, operator), size) in named.zip(held.operators) {
                operators.push(OperatorStatus { relation, fragment: Some(*fragment), operator: operator.clone(), size });
            }
            operators.push(OperatorStatus { relation, fragment: None, operator: served_rows.clone(), size: held.served });
        }
        operators
    }

    /// The latest committed epoch.
    pub(super) fn committed(&self) -> Epoch {
        self.next - 1 - self.open.len() as Epoch
    }

    /// The watermark of a view's first event-time column, the least over what feeds it; and who that is.
    fn view_watermark(&self, view: &View, marks: &Marks) -> (Option<i64>, Option<(RelationId, Option<i64>)>) {
        let Some(first) = view.event_times.first() else { return (None, None) };
        let of_column = view.event_times.iter().filter(|event_time| event_time.column == first.column);
        let watermarks = of_column.map(|event_time| {
            let source = view.readers.get(&event_time.source).and_then(|streams| least(streams, marks));
            let watermark = source.map(|source| if source == i64::MAX { source } else { event_time.watermark(source) });
            (watermark, event_time.source)
        });
        let Some((watermark, source)) = watermarks.min() else { return (None, None) };
        // At the end of time nothing is waited for.
        let holder = (watermark != Some(i64::MAX)).then(|| (source, self.moved_at(view, source)));
        (watermark, holder)
    }

    /// The wall clock since which the watermark of a source or table stands where a view sees it.
    fn moved_at(&self, view: &View, source: RelationId) -> Option<i64> {
        if let Some(table) = self.tables.get(&source) {
            return table.watermark.as_ref().and_then(|(_, clock)| clock.moved_at());
        }
        let readers = view.readers.get(&source)?.iter().filter_map(|stream| self.readers.get(stream));
        readers.min_by_key(|reader| reader.watermark()).and_then(|reader| reader.clock.moved_at())
    }
}

//! Every metric of the server in one place, in Prometheus text.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use weir_engine::status::Status;
use weir_sql::catalog::Catalog;
use weir_storage::group_commit::Counters;

use crate::system::event_time_lag_seconds;

#[cfg(test)]
mod tests;

/// Counters that sessions move.
#[derive(Default)]
pub struct Metrics {
    /// Open connections.
    pub connections: Gauge,
    /// Statements executed.
    pub statements: Counter,
    /// Statements that ended in an error.
    pub errors: Counter,
}

/// Counters by a label.
type Counts<L> = Family<L, Counter<u64, AtomicU64>>;

/// What a database has on disk.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// What the epoch log has done so far.
    pub log: Counters,
    /// Bytes that the checkpoint takes, about.
    pub checkpoint_bytes: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RelationLabel {
    relation: String,
}

/// A source, or one of its partitions.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct SourceLabel {
    relation: String,
    partition: Option<u32>,
}

impl EncodeLabelSet for SourceLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        ("relation", self.relation.as_str()).encode(encoder.encode_label())?;
        // No label is something else than an empty one.
        if let Some(partition) = self.partition {
            ("partition", partition).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ViewLabel {
    view: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeadLetterLabel {
    relation: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WhyLabel {
    why: &'static str,
}

impl Metrics {
    /// Everything there is to say now, which is `now_micros` since 1970 UTC, in the text format of Prometheus.
    pub fn text(&self, catalog: &Catalog, status: &Status, disk: Option<Disk>, now_micros: i64) -> String {
        let mut registry = Registry::default();
        registry.register("weir_connections", "Open client connections", self.connections.clone());
        registry.register("weir_statements", "Statements executed", self.statements.clone());
        registry.register("weir_statement_errors", "Statements that ended in an error", self.errors.clone());
        registry.register("weir_epochs", "Epochs committed", ConstCounter::new(status.epochs));
        registry.register("weir_committed_epoch", "The latest committed epoch", ConstGauge::new(status.committed));
        registry.register(
            "weir_clock_pauses",
            "Times the epoch clock has waited for views that were being filled",
            ConstCounter::new(status.pauses),
        );
        registry.register(
            "weir_worker_turns",
            "Times that workers have looked for something to do; idle, they do not",
            ConstCounter::new(status.worker_turns),
        );
        registry.register("weir_epochs_in_flight", "Epochs opened and not committed", ConstGauge::new(status.in_flight as u64));
        if let Some(Disk { log, checkpoint_bytes }) = disk {
            registry.register("weir_checkpoint_disk_bytes", "Bytes of the last checkpoint on disk", ConstGauge::new(checkpoint_bytes));
            let seconds = |nanos: u64| nanos as f64 / 1e9;
            registry.register("weir_log_records", "Commits in the epoch log, synced", ConstCounter::new(log.records));
            registry.register("weir_log_written_bytes", "Bytes of these commits", ConstCounter::new(log.bytes));
            registry.register("weir_log_syncs", "Times the epoch log was synced", ConstCounter::new(log.syncs));
            registry.register(
                "weir_log_sync_seconds",
                "Time that writing and syncing the epoch log took",
                ConstCounter::new(seconds(log.sync_nanos_sum)),
            );
            registry.register("weir_log_sync_max_seconds", "The longest of them", ConstGauge::new(seconds(log.sync_nanos_max)));
            registry.register("weir_log_disk_bytes", "Bytes of the epoch log on disk", ConstGauge::new(log.log_bytes));
            registry.register("weir_log_files", "Files of the epoch log on disk", ConstGauge::new(log.log_segments));
            registry.register("weir_log_waiting", "Commits that wait to be written", ConstGauge::new(log.waiting_records));
        }
        checkpoints(&mut registry, status, now_micros);
        if let Some((cpu_seconds, resident_bytes)) = process() {
            registry.register("process_cpu_seconds", "CPU time used by the process", ConstCounter::new(cpu_seconds));
            registry.register("process_resident_memory_bytes", "Resident memory", ConstGauge::new(resident_bytes));
        }
        let name = |id| catalog.by_id(id).map(|relation| RelationLabel { relation: relation.name.clone() });
        type Gauges = Family<RelationLabel, Gauge<i64>>;
        let (turns, late_rows) = (Counts::<RelationLabel>::default(), Counts::<ViewLabel>::default());
        let late_dropped = Counts::<ViewLabel>::default();
        let (view_watermark, lag) = (Gauges::default(), Family::<ViewLabel, Gauge<f64, AtomicU64>>::default());
        let (rows, state, served, filling) = (Gauges::default(), Gauges::default(), Gauges::default(), Gauges::default());
        for view in &status.views {
            let Some(label) = name(view.view) else { continue };
            rows.get_or_create(&label).set(view.rows as i64);
            state.get_or_create(&label).set(view.state_bytes as i64);
            served.get_or_create(&label).set(view.served_bytes as i64);
            filling.get_or_create(&label).set(i64::from(view.filling));
            turns.get_or_create(&label).inc_by(view.turns);
            let of_view = ViewLabel { view: label.relation.clone() };
            late_rows.get_or_create(&of_view).inc_by(view.late_rows);
            late_dropped.get_or_create(&of_view).inc_by(view.late_dropped);
            if let Some(micros) = view.watermark.filter(|micros| *micros != i64::MAX) {
                view_watermark.get_or_create(&label).set(micros.div_euclid(1_000_000));
            }
            if let Some(seconds) = event_time_lag_seconds(view, status.wall_micros) {
                lag.get_or_create(&of_view).set(seconds);
            }
        }
        let table_watermark = Gauges::default();
        for table in &status.tables {
            let Some(label) = name(table.table) else { continue };
            rows.get_or_create(&label).set(table.rows as i64);
            if let Some(micros) = table.watermark.flatten() {
                table_watermark.get_or_create(&label).set(micros.div_euclid(1_000_000));
            }
        }
        registry.register("weir_memory_bytes", "Bytes that tables and materialized views take", ConstGauge::new(status.memory_bytes()));
        if let Some(limit) = status.memory_limit {
            registry.register("weir_memory_limit_bytes", "Bytes that they may take", ConstGauge::new(limit));
        }
        registry.register("weir_relation_rows", "Rows of tables and materialized views", rows);
        registry.register("weir_view_state_bytes", "Operator state of materialized views", state);
        registry.register("weir_view_served_bytes", "Served rows of materialized views and their index", served);
        registry.register("weir_view_turns", "Times that operators of materialized views were given the chance to work", turns);
        registry.register("weir_late_rows", "Rows that came too late for windows of a materialized view", late_rows);
        registry.register("weir_late_rows_dropped", "Late rows that were not kept, because there were as many as are kept", late_dropped);
        registry.register("weir_view_watermark_seconds", "Watermark of a materialized view, seconds since 1970 UTC", view_watermark);
        registry.register("weir_table_watermark_seconds", "Watermark of a table, seconds since 1970 UTC", table_watermark);
        registry.register("weir_event_time_lag_seconds", "How far the watermark of a materialized view is behind the wall clock", lag);
        registry.register(
            "weir_processing_lag_seconds",
            "How long the oldest epoch that is not committed has been open",
            ConstGauge::new(status.processing_lag.as_secs_f64()),
        );
        registry.register("weir_view_filling", "1 while a materialized view takes in what was there before it", filling);
        let (read, bytes) = (Counts::<RelationLabel>::default(), Counts::<RelationLabel>::default());
        let watermark = Family::<SourceLabel, Gauge<i64>>::default();
        let held_up = Family::<RelationLabel, Counter<f64, AtomicU64>>::default();
        for reader in status.sources.iter().filter(|reader| reader.view.is_none()) {
            let Some(label) = name(reader.source) else { continue };
            read.get_or_create(&label).inc_by(reader.rows);
            bytes.get_or_create(&label).inc_by(reader.bytes);
            held_up.get_or_create(&label).inc_by(reader.held_up as f64 / 1e6);
            let of_each = reader.partitions.iter().map(|partition| (Some(partition.partition), partition.watermark));
            for (partition, at) in [(None, reader.watermark.filter(|micros| *micros != i64::MAX))].into_iter().chain(of_each) {
                if let Some(micros) = at {
                    let label = SourceLabel { relation: label.relation.clone(), partition };
                    watermark.get_or_create(&label).set(micros.div_euclid(1_000_000));
                }
            }
        }
        registry.register("weir_source_rows", "Rows read from a source", read);
        registry.register("weir_source_bytes", "Bytes read from a source, decompressed", bytes);
        registry.register(
            "weir_source_watermark_seconds",
            "Watermark of a source, and of each of its partitions where it has several, seconds since 1970 UTC",
            watermark,
        );
        registry.register(
            "weir_source_held_up_seconds",
            "Time that a source has waited because Weir did not take what it had read",
            held_up,
        );
        let dead = Counts::<DeadLetterLabel>::default();
        for ((relation, reason), count) in &status.dead_letter_counts {
            dead.get_or_create(&DeadLetterLabel { relation: relation.clone(), reason: reason.as_str() }).inc_by(*count);
        }
        registry.register("weir_dead_letters", "Rows that could not be used", dead);
        registry.register("weir_subscriptions", "Subscriptions that are going on", ConstGauge::new(status.subscriptions.len() as u64));
        registry.register(
            "weir_subscription_parts",
            "Parts of commits that workers left for subscribers",
            ConstCounter::new(status.subscription_parts),
        );
        registry.register(
            "weir_subscriptions_cut",
            "Subscriptions that ended because the client was too slow",
            ConstCounter::new(status.subscriptions_cut),
        );
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// What there is to say of checkpoints; of the last one nothing before there is one.
fn checkpoints(registry: &mut Registry, status: &Status, now_micros: i64) {
    let counts = Counts::<WhyLabel>::default();
    for (why, count) in &status.checkpoint_counts {
        counts.get_or_create(&WhyLabel { why: why.as_str() }).inc_by(*count);
    }
    registry.register("weir_checkpoints", "Checkpoints of this run", counts);
    if let Some(epoch) = status.checkpointed {
        registry.register("weir_checkpoint_epoch", "The epoch of the last checkpoint, where a restart begins", ConstGauge::new(epoch));
    }
    let Some(last) = status.checkpoints.last() else { return };
    let age = (now_micros - last.wall_micros).max(0) as f64 / 1e6;
    registry.register("weir_checkpoint_age_seconds", "Time since the last checkpoint of this run began", ConstGauge::new(age));
    let seconds = last.duration.as_secs_f64();
    registry.register("weir_checkpoint_last_seconds", "Time that the last checkpoint took until it was durable", ConstGauge::new(seconds));
    let pause = last.pause.as_secs_f64();
    registry.register(
        "weir_checkpoint_last_pause_seconds",
        "Longest time that a worker did nothing but copy state for the last checkpoint",
        ConstGauge::new(pause),
    );
    registry.register("weir_checkpoint_last_bytes", "Bytes that the last checkpoint wrote", ConstGauge::new(last.bytes));
    registry.register("weir_checkpoint_last_keys", "Entries that the last checkpoint changed", ConstGauge::new(last.keys));
}

/// CPU seconds and resident bytes of this process, from the kernel.
fn process() -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let pages: u64 = fields.get(21)?.parse().ok()?;
    // Linux reports ticks of 1/100 s and pages of 4 KiB on every platform that Weir runs on.
    Some((ticks as f64 / 100.0, pages * 4096))
}

//! What the leader answers when it is asked how things stand.

use weir_common::ids::{Epoch, StreamId};

use crate::leader::{Leader, View};
use crate::status::{SourceStatus, Status, ViewStatus};

impl Leader {
    pub(super) fn status(&self) -> Status {
        let sum = |stream: StreamId| {
            let mut total = crate::lane::ShardStats::default();
            for worker in self.stats.iter() {
                if let Some(stats) = worker.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&stream) {
                    total.rows += stats.rows;
                    total.served_bytes += stats.served_bytes;
                    total.state_bytes += stats.state_bytes;
                    total.groups += stats.groups;
                }
            }
            total
        };
        let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let sources = self.readers.values().map(|reader| SourceStatus {
            source: reader.source,
            view: reader.own,
            rows: reader.rows,
            bytes: reader.bytes,
            dead_letters: reader.dead,
            position: reader.position.0.clone(),
            at_end: reader.is_at_end(self.committed()),
            watermark: reader.watermark(),
            error: reader.error.as_ref().map(|error| error.message().to_string()),
        });
        let views = self.views.iter().map(|(id, view)| {
            let total = sum((*id).into());
            let behind = |stream: &StreamId| {
                self.readers.get(stream).is_some_and(|reader| {
                    !reader.has_caught_up(self.committed()) && reader.error.is_none() && reader.spec.source.catches_up()
                })
            };
            ViewStatus {
                view: *id,
                filling: view.filling.is_some() || view.readers.values().flatten().any(behind),
                rows: total.rows as u64,
                served_bytes: total.served_bytes as u64,
                state_bytes: total.state_bytes as u64,
                groups: total.groups as u64,
                watermark: self.view_watermark(view),
                error: failures.get(id).map(|error| error.message().to_string()),
            }
        });
        Status {
            committed: self.committed(),
            in_flight: self.open.len(),
            epochs: self.epochs,
            pauses: self.pauses,
            sources: sources.collect(),
            views: views.collect(),
            tables: self.tables.keys().map(|id| (*id, sum((*id).into()).rows as u64)).collect(),
            dead_letters: self.dead_letters.iter().cloned().collect(),
            dead_letter_counts: self.dead_letter_counts.clone(),
        }
    }

    /// The latest committed epoch.
    pub(super) fn committed(&self) -> Epoch {
        self.next - 1 - self.open.len() as Epoch
    }

    /// The watermark of a view's first event-time column: the least over the readers that feed it.
    fn view_watermark(&self, view: &View) -> Option<i64> {
        let first = view.event_times.first()?.column;
        let of_column = view.event_times.iter().filter(|event_time| event_time.column == first);
        let watermarks = of_column.map(|event_time| {
            let streams = view.readers.get(&event_time.source)?;
            let source = streams.iter().map(|stream| self.readers.get(stream)?.watermark()).min()??;
            Some(if source == i64::MAX { source } else { event_time.watermark(source) })
        });
        watermarks.min().flatten()
    }
}

//! What a worker's tables and views take, for the memory limit, and how a view lets go of it.

use weir_common::error::Error;
use weir_common::ids::RelationId;

use crate::lane::Report;
use crate::worker::{WorkerState, lock};

impl WorkerState {
    /// A view computes no more, and lets go of its state and its rows. Views that read it get nothing more.
    pub(super) fn stop_view(&mut self, view: RelationId, error: &Error) {
        let Some(dataflow) = self.views.get(&view) else { return };
        dataflow.stop(error);
        let stream = self.hub.get(view.into());
        let mut stream = stream.borrow_mut();
        stream.pending.clear();
        if let Some(shard) = &mut stream.shard {
            shard.clear();
        }
        self.publish_stats(view.into(), stream.shard.as_ref(), stream.counted, Some(dataflow));
        self.report_resized();
    }

    /// Tells the leader when tables and views have grown or shrunk by much.
    pub(super) fn report_resized(&mut self) {
        let Some(step) = self.seat.resized_bytes else { return };
        if self.bytes.get().abs_diff(self.bytes_told) > step {
            self.bytes_told = self.bytes.get();
            self.send(Report::Resized);
        }
    }

    /// Counts the state of views that are being filled, which may grow for long without a commit.
    pub(super) fn report_filling(&mut self) {
        let Some(step) = self.seat.resized_bytes.filter(|_| !self.filling.is_empty()) else { return };
        for (view, dataflow) in self.filling.iter().filter_map(|view| Some((*view, self.views.get(view)?))) {
            let published = lock(&self.seat.stats[self.index].shards).get(&view.into()).map_or(0, |stats| stats.state().bytes);
            if dataflow.state_bytes().abs_diff(published) > step {
                let stream = self.hub.get(view.into());
                let stream = stream.borrow();
                self.publish_stats(view.into(), stream.shard.as_ref(), stream.counted, Some(dataflow));
            }
        }
        self.report_resized();
    }
}

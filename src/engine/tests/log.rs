//! An epoch log in memory that outlives its engine, and syncs when the test lets it.

use std::sync::{Arc, Mutex};

use weir_common::epoch_log::{EpochLog, EpochRecord, Synced};
use weir_common::ids::Epoch;

/// The records so far.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: Vec<EpochRecord>,
    /// Those who wait for a sync, while none comes.
    held: Option<Vec<Synced>>,
}

impl Log {
    pub(super) fn of(records: Vec<EpochRecord>) -> Self {
        Log(Arc::new(Mutex::new(State { records, held: None })))
    }

    pub(super) fn records(&self) -> Vec<EpochRecord> {
        self.0.lock().unwrap().records.clone()
    }

    /// From now on nothing is durable.
    pub(super) fn hold(&self) {
        self.0.lock().unwrap().held = Some(vec![]);
    }

    /// Whether somebody waits for a sync.
    pub(super) fn is_waited_for(&self) -> bool {
        self.0.lock().unwrap().held.as_ref().is_some_and(|held| !held.is_empty())
    }

    /// All is durable, and what comes is so at once.
    pub(super) fn release(&self) {
        let held = self.0.lock().unwrap().held.take();
        held.into_iter().flatten().for_each(|synced| synced(Ok(())));
    }
}

impl EpochLog for Log {
    fn append(&mut self, record: EpochRecord, synced: Synced) {
        let mut state = self.0.lock().unwrap();
        state.records.push(record);
        match &mut state.held {
            Some(held) => held.push(synced),
            None => synced(Ok(())),
        }
    }

    // A crash can come before it is done.
    fn drop_before(&mut self, epoch: Epoch) {
        let records = &self.0.lock().unwrap().records;
        assert!(records.last().is_some_and(|record| record.epoch + 1 >= epoch), "only what is there can be needed no more");
    }
}

//! The thread that commits checkpoints, one after the other, and says when the next one is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::mpsc::UnboundedSender;
use weir_common::codec;
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::hash;
use weir_common::ids::RelationId;
use weir_common::row_codec::{EncodedRows, RowCodec};
use weir_common::snapshot::Run;
use weir_common::state_store::{Space, StateBatch, StateStore};
use weir_dataflow::lower::DataflowPlan;
use weir_dataflow::state::{StateChanges, StateSpec};

use crate::checkpoint::layout;
use crate::checkpoint::part::Part;
use crate::checkpoint::standing::{self, Standing, encode_letter};
use crate::leader::Message;
use crate::shard::stored::RunChanges;

/// A checkpoint to be committed.
pub(crate) struct Job {
    /// Where the leader stands; without the rows of counted views and the views that stopped since, which the parts tell.
    pub(crate) standing: Standing,
    /// From each worker its part.
    pub(crate) parts: Receiver<Result<Part>>,
    /// Of all views.
    pub(crate) plans: BTreeMap<RelationId, Arc<DataflowPlan>>,
    /// Relations that are gone since the last one.
    pub(crate) dropped: Vec<RelationId>,
    /// Dead letters since the last one, with their numbers.
    pub(crate) letters: Vec<(u64, DeadLetter)>,
    /// The least number of a dead letter in the last one.
    pub(crate) letters_before: u64,
    /// Whether the runs in the store are of another number of workers: all that are needed come again.
    pub(crate) all_runs: bool,
}

/// What a checkpoint was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Entries that were put or removed.
    pub(crate) keys: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How long a worker copied state for it, at most.
    pub(crate) copying: Duration,
    /// How long a worker did nothing else at a time, at most.
    pub(crate) longest: Duration,
}

/// Starts the thread; it ends when nobody can send it jobs any more.
pub(crate) fn start(
    store: Arc<dyn StateStore>,
    interval: Duration,
    leader: UnboundedSender<Message>,
) -> Result<(Sender<Job>, JoinHandle<()>)> {
    let (jobs, inbox) = crossbeam_channel::bounded(1);
    let run = move || run(&*store, interval, &inbox, &leader);
    let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(run);
    Ok((jobs, thread.map_err(|error| Error::internal(format!("no thread for checkpoints: {error}")))?))
}

fn run(store: &dyn StateStore, interval: Duration, jobs: &Receiver<Job>, leader: &UnboundedSender<Message>) {
    let mut due = Instant::now() + interval;
    loop {
        let message = match jobs.recv_deadline(due) {
            Ok(job) => {
                let written = commit(store, job);
                due = Instant::now() + interval;
                Message::Checkpointed(written)
            }
            Err(RecvTimeoutError::Timeout) => {
                due = Instant::now() + interval;
                Message::CheckpointDue
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if leader.send(message).is_err() {
            return;
        }
    }
}

fn commit(store: &dyn StateStore, job: Job) -> Result<Written> {
    let mut standing = job.standing;
    let mut parts = vec![];
    let mut written = Written::default();
    for _ in 0..standing.workers {
        let part = job.parts.recv().map_err(|_| Error::internal("a worker ended during a checkpoint"))??;
        written.copying = written.copying.max(part.copying);
        written.longest = written.longest.max(part.longest);
        parts.push(part);
    }
    let mut entries =
        Entries { batch: store.begin(), keys: 0, key: vec![], keys_of_rows: EncodedRows::default(), values: EncodedRows::default() };
    if job.all_runs {
        let range = layout::everything();
        entries.batch.delete_range(Space::Runs, &range.start, &range.end);
    }
    for relation in job.dropped {
        let range = layout::relation(relation);
        entries.batch.delete_range(Space::State, &range.start, &range.end);
        entries.batch.delete_range(Space::Runs, &range.start, &range.end);
    }
    for part in parts {
        for (view, states) in part.states {
            let plan = job.plans.get(&view).ok_or_else(|| Error::internal(format!("view {view} has state and no plan")))?;
            for changes in states {
                let is_it = |spec: &&StateSpec| (spec.state, spec.part) == (changes.state, changes.part);
                let spec = plan.states.iter().find(is_it);
                entries.state(view, spec.ok_or_else(|| Error::internal(format!("the plan of view {view} lacks a state")))?, changes)?;
            }
        }
        for (relation, runs) in part.runs {
            entries.runs(relation, part.worker, runs)?;
        }
        for (view, rows) in part.counted {
            *standing.counted.entry(view).or_insert(0) += rows;
        }
        for (view, error) in part.stopped {
            standing.failures.entry(view).or_insert_with(|| standing::failure(&error));
        }
    }
    if job.letters_before < standing.letters.0 {
        let (from, to) = (layout::letter(job.letters_before), layout::letter(standing.letters.0));
        entries.batch.delete_range(Space::Meta, &from, &to);
    }
    for (number, letter) in &job.letters {
        entries.put(Space::Meta, &layout::letter(*number), &encode_letter(letter)?);
    }
    entries.put(Space::Meta, layout::STANDING, &standing.encode()?);
    let (keys, bytes) = (entries.keys, entries.batch.bytes() as u64);
    entries.batch.commit()?;
    Ok(Written { keys, bytes, ..written })
}

/// The entries of a checkpoint, as they come.
struct Entries {
    batch: Box<dyn StateBatch>,
    keys: u64,
    /// The key of the current entry.
    key: Vec<u8>,
    keys_of_rows: EncodedRows,
    values: EncodedRows,
}

impl Entries {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.keys += 1;
        self.batch.put(space, key, value);
    }

    /// What went of a part of a state, then what came.
    fn state(&mut self, view: RelationId, spec: &StateSpec, changes: StateChanges) -> Result<()> {
        let types: Vec<_> = spec.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let (keys, values) = (RowCodec::new(&types[..spec.keys])?, RowCodec::new(&types[spec.keys..])?);
        let prefix = layout::state_prefix(view, spec.state, spec.part);
        for (batches, put) in [(&changes.gone, false), (&changes.put, true)] {
            self.keys_of_rows.clear();
            self.values.clear();
            let mut order: Vec<(u128, u32)> = vec![];
            for rows in batches {
                let first = order.len();
                keys.encode(&rows.columns()[..spec.keys], rows.num_rows(), &mut self.keys_of_rows)?;
                if put {
                    values.encode(&rows.columns()[spec.keys..], rows.num_rows(), &mut self.values)?;
                }
                for (row, hash) in hash::rows(rows, &spec.placement)?.into_iter().enumerate() {
                    let row = first + row;
                    order.push((beginning(hash::virtual_group(hash) as u16, self.keys_of_rows.get(row)), row as u32));
                }
            }
            let encoded = &self.keys_of_rows;
            // The store finds the place of an entry quickly from that of the one before: both now, and when it reads its log again.
            let key = |row: u32| encoded.get(row as usize);
            order.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| key(one.1).cmp(key(other.1))).then(one.1.cmp(&other.1)));
            for (beginning, row) in &order {
                let row = *row as usize;
                self.key.clear();
                self.key.extend_from_slice(&prefix);
                self.key.extend_from_slice(&((beginning >> 112) as u16).to_be_bytes());
                self.key.extend_from_slice(self.keys_of_rows.get(row));
                match put {
                    true => self.batch.put(Space::State, &self.key, self.values.get(row)),
                    false => self.batch.delete(Space::State, &self.key),
                }
            }
            self.keys += order.len() as u64;
        }
        Ok(())
    }

    fn runs(&mut self, relation: RelationId, worker: usize, changes: RunChanges) -> Result<()> {
        for number in changes.removed {
            self.batch.delete(Space::Runs, &layout::run(relation, worker, number));
            self.batch.delete(Space::Runs, &layout::mask(relation, worker, number));
            self.keys += 1;
        }
        for (number, live) in changes.masks {
            self.put(Space::Runs, &layout::mask(relation, worker, number), live.values());
        }
        for (number, Run { rows, live }) in changes.added {
            let rows = RecordBatch::clone(&rows);
            self.put(Space::Runs, &layout::run(relation, worker, number), &codec::encode(&Delta::insert(rows))?);
            if let Some(live) = live {
                self.put(Space::Runs, &layout::mask(relation, worker, number), live.values());
            }
        }
        Ok(())
    }
}

/// A virtual group and the first bytes of a key behind it, in the order of entries.
fn beginning(group: u16, key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&group.to_be_bytes());
    let length = key.len().min(14);
    bytes[2..2 + length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

//! The hub: the streams of one worker. Each has its deltas that are not committed yet, its served shard, and its readers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use timely::scheduling::Activator;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::ids::{Epoch, StreamId};

use crate::feed::Feed;
use crate::shard::Shard;

/// Deltas on their way to one dataflow, with their epochs, oldest first.
#[derive(Default)]
pub struct Queue {
    deltas: RefCell<VecDeque<(Epoch, Delta)>>,
    rows: Cell<usize>,
}

impl Queue {
    fn push(&self, epoch: Epoch, delta: Delta) {
        self.rows.set(self.rows.get() + delta.num_rows());
        self.deltas.borrow_mut().push_back((epoch, delta));
    }

    /// Takes all that waits.
    pub fn take(&self) -> VecDeque<(Epoch, Delta)> {
        self.rows.set(0);
        self.deltas.take()
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.rows.get()
    }
}

/// A dataflow's subscription to a stream.
#[derive(Clone)]
pub struct Subscription {
    /// Where the stream's deltas are left.
    pub queue: Rc<Queue>,
    /// Wakes the dataflow's head.
    pub head: Rc<Activator>,
}

/// One stream on one worker.
pub struct Stream {
    /// The served rows; `None` for a stream that keeps nothing: a source reader's, or a view's that is only counted.
    pub shard: Option<Shard>,
    /// The rows of a view that is only counted, weights added up, as far as they are committed.
    pub counted: Option<i64>,
    /// What later epochs add to `counted`.
    counts: BTreeMap<Epoch, i64>,
    /// Columns that decide where a row lives; `None` where rows come already placed.
    pub placement: Option<Vec<usize>>,
    /// Deltas by epoch, until the epoch commits.
    pub pending: BTreeMap<Epoch, Vec<Delta>>,
    /// Who reads it.
    pub subscribers: Vec<Subscription>,
    /// All epochs before it are complete on this worker; only views have one, for inputs it is the hub's `opened`.
    pub frontier: Option<Rc<Cell<Epoch>>>,
    /// The last epoch that touches this view.
    pub last_affected: Epoch,
    /// The last commit that changed its rows on this worker, as far as is known: none since.
    pub changed: Epoch,
    /// Where those who subscribe to it read what commits change.
    pub feed: Option<Arc<Feed>>,
}

/// All streams of one worker.
pub struct Hub {
    streams: BTreeMap<StreamId, Rc<RefCell<Stream>>>,
    /// The epoch after the last one that was opened.
    pub opened: Rc<Cell<Epoch>>,
}

impl Hub {
    /// A hub without streams; epoch `first` will be opened first.
    pub fn new(first: Epoch) -> Self {
        Hub { streams: BTreeMap::new(), opened: Rc::new(Cell::new(first)) }
    }

    /// Adds a stream.
    pub fn add(&mut self, id: StreamId, stream: Stream) -> Rc<RefCell<Stream>> {
        let stream = Rc::new(RefCell::new(stream));
        let before = self.streams.insert(id, stream.clone());
        assert!(before.is_none(), "stream {id:?} is made once");
        stream
    }

    /// The stream of this number.
    pub fn get(&self, id: StreamId) -> Rc<RefCell<Stream>> {
        self.streams.get(&id).unwrap_or_else(|| panic!("stream {id:?} exists while the lane names it")).clone()
    }

    /// All streams.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, &Rc<RefCell<Stream>>)> {
        self.streams.iter().map(|(id, stream)| (*id, stream))
    }

    /// Whether there is such a stream.
    pub fn contains(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }

    /// Forgets a stream.
    pub fn remove(&mut self, id: StreamId) -> Option<Rc<RefCell<Stream>>> {
        self.streams.remove(&id)
    }
}

impl Stream {
    /// A stream of inputs (a table or a source reader) that exists from the commit `at` on.
    pub fn input(shard: Option<Shard>, placement: Option<Vec<usize>>, at: Epoch) -> Self {
        Stream {
            shard,
            counted: None,
            counts: BTreeMap::new(),
            placement,
            pending: BTreeMap::new(),
            subscribers: vec![],
            frontier: None,
            last_affected: 0,
            changed: at,
            feed: None,
        }
    }

    /// The stream of a view that starts at epoch `at`; without a shard its rows are counted.
    pub fn view(shard: Option<Shard>, at: Epoch) -> Self {
        Stream {
            counted: shard.is_none().then_some(0),
            counts: BTreeMap::new(),
            shard,
            placement: None,
            pending: BTreeMap::new(),
            subscribers: vec![],
            frontier: Some(Rc::new(Cell::new(at))),
            last_affected: at,
            changed: at,
            feed: None,
        }
    }

    /// Takes in a delta of an epoch and passes it on to whoever reads the stream.
    pub fn publish(&mut self, epoch: Epoch, delta: Delta) {
        if delta.is_empty() {
            return;
        }
        for subscriber in &self.subscribers {
            subscriber.queue.push(epoch, delta.clone());
        }
        if self.counted.is_some() {
            *self.counts.entry(epoch).or_insert(0) += delta.weight();
        }
        if self.shard.is_some() {
            self.pending.entry(epoch).or_default().push(delta);
        }
    }

    /// All epochs before it are complete on this worker, given that epochs before `opened` have been opened.
    pub fn complete_before(&self, opened: Epoch) -> Epoch {
        match &self.frontier {
            None => opened,
            // A view that no later epoch touches is complete up to now.
            Some(frontier) if frontier.get() > self.last_affected => opened,
            Some(frontier) => frontier.get(),
        }
    }

    /// Serves every epoch up to and including this one, which is committed at `wall_micros`.
    pub fn commit(&mut self, epoch: Epoch, wall_micros: i64) -> Result<()> {
        let later = self.pending.split_off(&(epoch + 1));
        let due = std::mem::replace(&mut self.pending, later);
        if let Some(counted) = &mut self.counted {
            let later = self.counts.split_off(&(epoch + 1));
            *counted += std::mem::replace(&mut self.counts, later).into_values().sum::<i64>();
        }
        let mut parts = vec![];
        if let Some(shard) = &mut self.shard {
            for (_, deltas) in due {
                if self.feed.is_some() {
                    parts.extend_from_slice(&deltas);
                }
                self.changed = epoch;
                shard.apply(deltas)?;
            }
        }
        if let Some(feed) = &self.feed
            && !feed.push(epoch, wall_micros, parts)
        {
            self.feed = None;
        }
        Ok(())
    }

    /// Wakes the heads of all dataflows that read the stream.
    pub fn wake(&self) {
        for subscriber in &self.subscribers {
            subscriber.head.activate();
        }
    }
}

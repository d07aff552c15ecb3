//! What travels on a timely edge, and how it is spread over workers.

use std::io::Write;

use timely::Accountable;
use timely::communication::Push;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use weir_common::delta::Delta;
use weir_dataflow::scatter::scatter;

/// A delta, or timely's "empty", which is never sent.
#[derive(Clone, Default)]
pub struct Chunk(pub Option<Delta>);

impl Accountable for Chunk {
    fn record_count(&self) -> i64 {
        // One without rows says that an epoch has begun.
        self.0.as_ref().map_or(0, |delta| delta.num_rows().max(1) as i64)
    }
}

/// Inside one process chunks are moved, never encoded; timely asks for the trait all the same.
impl ContainerBytes for Chunk {
    fn from_bytes(_: timely::bytes::arc::Bytes) -> Self {
        unreachable!("chunks are only moved between threads of one process")
    }
    fn length_in_bytes(&self) -> usize {
        unreachable!("chunks are only moved between threads of one process")
    }
    fn into_bytes<W: Write>(&self, _: &mut W) {
        unreachable!("chunks are only moved between threads of one process")
    }
}

/// Sends each row to the worker that owns the hash of its key. Timely skips it when there is one worker.
pub struct HashScatter {
    /// The key's columns; empty sends everything to one worker.
    pub columns: Vec<usize>,
}

impl Distributor<Chunk> for HashScatter {
    fn partition<T: Clone, P: Push<Message<T, Chunk>>>(&mut self, chunk: &mut Chunk, time: &T, pushers: &mut [P]) {
        let Some(delta) = chunk.0.take() else { return };
        // Rows in must be rows out: timely counts them on both sides.
        let rows = delta.num_rows();
        let parts = scatter(delta, &self.columns, pushers.len()).expect("lowering admits only hashable exchange keys");
        debug_assert_eq!(rows, parts.iter().map(|(_, part)| part.num_rows()).sum::<usize>(), "an exchange keeps its rows");
        for (target, part) in parts {
            Message::push_at(&mut Chunk(Some(part)), time.clone(), &mut pushers[target]);
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Chunk>>>(&mut self, _: &T, _: &mut [P]) {}
}

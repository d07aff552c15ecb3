//! Queries away from the threads that serve connections: a poll of a join may compute for minutes, and must not keep a
//! cancel, a timeout or another client waiting.

use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, oneshot};
use weir_common::error::{Error, Result};

use crate::interrupt::Abandoned;

/// Batches that wait for the client.
const BATCHES_AHEAD: usize = 2;
/// How long a thread is kept for a client that takes no rows: an open cursor must not hold one for hours.
const PATIENCE: Duration = Duration::from_millis(200);

/// The rows of a query that are not computed yet.
type Batches = BoxStream<'static, Result<RecordBatch>>;
/// A batch, or the error that it ended in.
type Item = Result<RecordBatch>;

/// The same batches, computed on a thread of their own while they are taken. Dropping the stream ends the work where the
/// plan next lets go of its thread or looks at `abandoned`.
pub(crate) fn offload(batches: Batches, abandoned: Abandoned) -> Batches {
    // The stream owns `wanted`: dropping the one drops the other.
    let state = (Work::start(None, batches), Wanted(abandoned));
    futures::stream::unfold(state, |(work, wanted)| async move {
        let (item, work) = work.next().await?;
        Some((item, (work, wanted)))
    })
    .boxed()
}

/// A thread that computes batches, or nothing more to do.
struct Work(Option<Running>);

struct Running {
    items: mpsc::Receiver<Item>,
    /// What the thread leaves behind: work to go on with, or nothing at the end. A thread that panicked sends neither.
    rest: oneshot::Receiver<Option<(Item, Batches)>>,
}

impl Work {
    /// Goes on with a query on a thread of the runtime's pool; `first` is a batch that nobody has taken yet.
    fn start(first: Option<Item>, mut batches: Batches) -> Work {
        let (send, items) = mpsc::channel::<Item>(BATCHES_AHEAD);
        let (leave, rest) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async move {
                let mut ready = first;
                loop {
                    let next = match ready.take() {
                        Some(item) => Some(item),
                        None => tokio::select! {
                            biased;
                            () = send.closed() => return,
                            next = batches.next() => next,
                        },
                    };
                    let Some(item) = next else {
                        let _ = leave.send(None);
                        return;
                    };
                    match send.send_timeout(item, PATIENCE).await {
                        Ok(()) => {}
                        Err(SendTimeoutError::Closed(_)) => return,
                        Err(SendTimeoutError::Timeout(item)) => {
                            let _ = leave.send(Some((item, batches)));
                            return;
                        }
                    }
                }
            })
        });
        Work(Some(Running { items, rest }))
    }

    /// The next batch, and the work after it; `None` at the end.
    async fn next(self) -> Option<(Item, Work)> {
        let mut running = self.0?;
        loop {
            if let Some(item) = running.items.recv().await {
                return Some((item, Work(Some(running))));
            }
            match running.rest.await {
                Ok(Some((item, batches))) => running = Work::start(Some(item), batches).0?,
                Ok(None) => return None,
                Err(_) => return Some((Err(Error::internal("a query ended in a panic")), Work(None))),
            }
        }
    }
}

/// Tells the plan when nobody wants its rows any more.
struct Wanted(Abandoned);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn batch(value: i32) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int32Array::from(vec![value]))]).unwrap()
    }

    fn number(batch: &RecordBatch) -> i32 {
        arrow::array::AsArray::as_primitive::<arrow::datatypes::Int32Type>(batch.column(0)).value(0)
    }

    /// More slow clients than threads: each gives its thread back, and every row still comes once and in order.
    #[test]
    fn clients_that_wait_hold_no_thread() {
        let runtime = tokio::runtime::Builder::new_multi_thread().max_blocking_threads(2).enable_time().build().unwrap();
        runtime.block_on(async {
            let of = |_| offload(futures::stream::iter((0..10).map(|n| Ok(batch(n)))).boxed(), Abandoned::default());
            let mut streams: Vec<Batches> = (0..8).map(of).collect();
            for expected in 0..10 {
                for stream in &mut streams {
                    assert_eq!(number(&stream.next().await.unwrap().unwrap()), expected);
                }
            }
            for stream in &mut streams {
                assert!(stream.next().await.is_none());
            }
        });
    }

    #[test]
    fn a_panic_is_not_the_end_of_the_rows() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let rows = (0..3).map(|n| if n < 2 { Ok(batch(n)) } else { panic!("a bug") });
            let mut stream = offload(futures::stream::iter(rows).boxed(), Abandoned::default());
            assert!(stream.next().await.unwrap().is_ok() && stream.next().await.unwrap().is_ok());
            assert!(stream.next().await.unwrap().is_err());
            assert!(stream.next().await.is_none());
        });
    }
}

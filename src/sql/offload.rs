//! Queries away from the threads that serve connections: a poll of a join may compute for minutes, and must not keep a
//! cancel, a timeout or another client waiting.

use std::sync::atomic::Ordering;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use weir_common::error::{Error, Result};

use crate::interrupt::Abandoned;

/// Batches that wait for the client.
const BATCHES_AHEAD: usize = 2;

/// The same batches, computed on a thread of their own. Dropping the stream ends the work where the plan next lets go of
/// its thread or looks at `abandoned`.
pub(crate) fn offload(
    mut batches: BoxStream<'static, Result<RecordBatch>>,
    abandoned: Abandoned,
) -> BoxStream<'static, Result<RecordBatch>> {
    // `None` is the end: a thread that panicked sends none, and its query must not look complete.
    let (send, receive) = mpsc::channel::<Option<Result<RecordBatch>>>(BATCHES_AHEAD);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    () = send.closed() => return,
                    next = batches.next() => next,
                };
                let last = next.is_none();
                if send.send(next).await.is_err() || last {
                    return;
                }
            }
        })
    });
    let wanted = Wanted(abandoned);
    let ended = |receive: mpsc::Receiver<_>| async move {
        let mut receive: mpsc::Receiver<Option<Result<RecordBatch>>> = receive;
        match receive.recv().await {
            Some(Some(batch)) => Some((batch, Some(receive))),
            Some(None) => None,
            None => Some((Err(Error::internal("a query ended in a panic")), None)),
        }
    };
    // The stream owns `wanted`: dropping the one drops the other.
    futures::stream::unfold((Some(receive), wanted), move |(receive, wanted)| async move {
        let (batch, receive) = ended(receive?).await?;
        Some((batch, (receive, wanted)))
    })
    .boxed()
}

/// Tells the plan when nobody wants its rows any more.
struct Wanted(Abandoned);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

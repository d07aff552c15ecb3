//! Queries away from the threads that serve connections: a poll of a join may compute for minutes, and must not keep a
//! cancel, a timeout or another client waiting.

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use weir_common::error::{Error, Result};

/// Batches that wait for the client.
const BATCHES_AHEAD: usize = 2;

/// The same batches, computed on a thread of their own. Dropping the stream ends the work where the plan next lets go of
/// its thread, which at the latest is its next batch.
pub(crate) fn offload(mut batches: BoxStream<'static, Result<RecordBatch>>) -> BoxStream<'static, Result<RecordBatch>> {
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
    let ended = |receive: mpsc::Receiver<_>| async move {
        let mut receive: mpsc::Receiver<Option<Result<RecordBatch>>> = receive;
        match receive.recv().await {
            Some(Some(batch)) => Some((batch, Some(receive))),
            Some(None) => None,
            None => Some((Err(Error::internal("a query ended in a panic")), None)),
        }
    };
    futures::stream::unfold(Some(receive), move |receive| async move {
        match receive {
            Some(receive) => ended(receive).await,
            None => None,
        }
    })
    .boxed()
}

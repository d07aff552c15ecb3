//! Subscriptions as clients see them: rows first, then what each commit changes, as one stream of batches.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::ids::{Epoch, RelationId};
use weir_common::limits::BATCH_ROWS_MAX;
use weir_engine::Engine;
use weir_engine::subscription::{Change, Start, Subscription};

use crate::pgwire::backend::Batches;
use crate::subscribe::shape::Shape;

pub mod shape; // the columns, and a commit's changes in them
mod upsert; // a commit's changes by key

/// A view that is there for one subscription; it is dropped with it.
pub struct TemporaryView {
    engine: Engine,
    id: RelationId,
}

impl TemporaryView {
    /// A view that the engine is about to make, or has made.
    pub fn new(engine: Engine, id: RelationId) -> TemporaryView {
        TemporaryView { engine, id }
    }
}

impl Drop for TemporaryView {
    fn drop(&mut self) {
        self.engine.drop_temporary(self.id);
    }
}

/// A subscription on its way to a client.
struct Following {
    /// The rows to begin with, until they were shown.
    start: Option<Start>,
    subscription: Subscription,
    shape: Arc<Shape>,
    ready: VecDeque<RecordBatch>,
    _view: Option<TemporaryView>,
}

/// The rows of a subscription, as they come; without a start only changes are shown. Dropping the stream ends it.
pub fn stream(start: Start, snapshot: bool, subscription: Subscription, shape: Arc<Shape>, view: Option<TemporaryView>) -> Batches {
    let mut ready = VecDeque::new();
    if !snapshot {
        ready.extend(shape.progressed(start.commit()));
    }
    let start = snapshot.then_some(start);
    let following = Following { start, subscription, shape, ready, _view: view };
    futures::stream::try_unfold(following, |mut following| async move {
        loop {
            if let Some(batch) = following.ready.pop_front() {
                return Ok(Some((batch, following)));
            }
            if !following.read_on().await? {
                return Ok(None);
            }
        }
    })
    .boxed()
}

impl Following {
    /// Makes batches of what comes next; false at the end.
    async fn read_on(&mut self) -> Result<bool> {
        let shape = self.shape.clone();
        if let Some(start) = self.start.take() {
            let commit = start.commit();
            let rows = apart(move || shape.rows(commit, &start.rows()?)).await?;
            self.show(commit, rows);
            return Ok(true);
        }
        match self.subscription.next().await? {
            Some(Change::Rows(commit, delta)) => {
                let rows = match delta.num_rows() {
                    ..=BATCH_ROWS_MAX => shape.rows(commit, &[delta])?,
                    _ => apart(move || shape.rows(commit, &[delta])).await?,
                };
                self.show(commit, rows);
                Ok(true)
            }
            Some(Change::Quiet(commit)) => {
                self.ready.extend(self.shape.progressed(commit));
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn show(&mut self, commit: Epoch, rows: Vec<RecordBatch>) {
        self.ready.extend(rows.into_iter().filter(|batch| batch.num_rows() > 0));
        self.ready.extend(self.shape.progressed(commit));
    }
}

/// Computes on another thread, for it may take long.
async fn apart<T: Send + 'static>(compute: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let computed = tokio::task::spawn_blocking(compute).await;
    computed.map_err(|error| Error::internal(format!("the rows of a subscription were not made: {error}")))?
}

/// All of them in one, as one commit's.
fn whole(deltas: &[Delta]) -> Result<Option<Delta>> {
    match deltas {
        [] => Ok(None),
        [delta] => Ok(Some(delta.clone())),
        [first, ..] => Ok(Some(Delta::concat(first.rows.schema_ref(), deltas)?)),
    }
}

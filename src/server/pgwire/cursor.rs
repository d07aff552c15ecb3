//! The rows of a statement, batch by batch to the client; and the data of COPY.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use weir_common::error::{Error, Result, SqlState};

use crate::pgwire::backend::{RowSource, RowsTag, Session};
use crate::pgwire::frontend::Message;
use crate::pgwire::link::{Link, Stop, WRITE_BYTES};
use crate::pgwire::respond;
use crate::value::rows::{Format, RowEncoder};
use crate::value::settings::TextSettings;

/// Rows that are on their way.
pub struct Cursor {
    schema: SchemaRef,
    source: RowSource,
    ended: bool,
    /// What its CommandComplete says.
    pub tag: RowsTag,
}

/// How far the rows went.
pub struct Sent {
    /// Rows this time.
    pub rows: u64,
    /// Whether the limit stopped them, even if it was at the last row: only asking again shows that.
    pub suspended: bool,
}

impl Cursor {
    /// Over the rows of an outcome.
    pub fn new(schema: SchemaRef, source: RowSource, tag: RowsTag) -> Cursor {
        Cursor { schema, source, ended: false, tag }
    }

    /// Whether SQL can reach its rows.
    pub fn is_shared(&self) -> bool {
        matches!(self.source, RowSource::Shared(_))
    }

    /// Sends rows: all, or as many as the limit says. Rows that are there are written before others are waited for.
    pub async fn send(&mut self, link: &mut Link, formats: &[Format], settings: &TextSettings, limit: Option<u64>) -> Result<Sent, Stop> {
        let mut rows = 0;
        while limit != Some(rows) {
            let Some(batch) = self.next(link, limit.map_or(u64::MAX, |limit| limit - rows)).await? else {
                return Ok(Sent { rows, suspended: false });
            };
            let encoder = RowEncoder::new(&self.schema, &batch, formats, settings)?;
            let mut row = 0;
            while row < batch.num_rows() {
                while row < batch.num_rows() && link.out.len() < WRITE_BYTES {
                    encoder.put_message(row, &mut link.out)?;
                    link.seal();
                    row += 1;
                }
                link.flush_if_full().await?;
            }
            rows += batch.num_rows() as u64;
        }
        Ok(Sent { rows, suspended: true })
    }

    /// At most so many rows; `None` at the end.
    async fn next(&mut self, link: &mut Link, most: u64) -> Result<Option<RecordBatch>, Stop> {
        if self.ended {
            return Ok(None);
        }
        let next = match &mut self.source {
            RowSource::Own { batches, rest } => {
                let batch = match rest.take() {
                    Some(batch) => Some(Ok(batch)),
                    None => wait(batches.next(), link).await?,
                };
                let cut = |batch: RecordBatch| {
                    let count = batch.num_rows().min(usize::try_from(most).unwrap_or(usize::MAX));
                    *rest = (count < batch.num_rows()).then(|| batch.slice(count, batch.num_rows() - count));
                    batch.slice(0, count)
                };
                batch.transpose()?.map(cut)
            }
            RowSource::Shared(portions) => wait(portions.next(most), link).await??,
        };
        self.ended = next.is_none();
        Ok(next)
    }
}

/// What is there at once, else what is there after all that was said so far is written.
async fn wait<T>(next: impl Future<Output = T>, link: &mut Link) -> Result<T, Stop> {
    link.check()?;
    let mut next = std::pin::pin!(next);
    if let Some(next) = next.as_mut().now_or_never() {
        return Ok(next);
    }
    link.flush().await?;
    link.race(next).await
}

/// Sends the data of a COPY TO STDOUT; returns its tag.
pub async fn copy_out(
    link: &mut Link,
    columns: usize,
    binary: bool,
    mut chunks: BoxStream<'static, Result<Bytes>>,
    rows: Arc<AtomicU64>,
) -> Result<String, Stop> {
    respond::copy_out(columns, binary, &mut link.out);
    link.seal();
    while let Some(chunk) = wait(chunks.next(), link).await? {
        respond::copy_data(&chunk?, &mut link.out);
        link.seal();
        link.flush_if_full().await?;
    }
    respond::copy_done(&mut link.out);
    link.seal();
    Ok(format!("COPY {}", rows.load(Ordering::Acquire)))
}

/// Takes the data of a COPY FROM STDIN; returns its tag.
pub async fn copy_in<S: Session>(link: &mut Link, session: &mut S, columns: usize, binary: bool) -> Result<String, Stop> {
    respond::copy_in(columns, binary, &mut link.out);
    link.seal();
    link.flush().await?;
    loop {
        match link.frame().await?.decode()? {
            Message::CopyData(data) => link.race(session.copy_data(&data)).await??,
            Message::CopyDone => return Ok(link.race(session.copy_done()).await??),
            Message::CopyFail(reason) => {
                session.copy_fail(&reason);
                return Err(Error::new(SqlState::QUERY_CANCELED, format!("COPY from stdin failed: {reason}")).into());
            }
            // Clients may send these before they know that data is wanted.
            Message::Flush | Message::Sync => {}
            Message::Terminate => return Err(Stop::Gone),
            other => {
                let message = format!("unexpected message during COPY from stdin: {}", name(&other));
                return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message).into());
            }
        }
    }
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::Query(_) => "Query",
        Message::Parse { .. } => "Parse",
        Message::Bind { .. } => "Bind",
        Message::Describe(_) => "Describe",
        Message::Execute { .. } => "Execute",
        Message::Close(_) => "Close",
        _ => "FunctionCall",
    }
}

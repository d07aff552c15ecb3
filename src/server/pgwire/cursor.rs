//! The rows of a statement, batch by batch to the client; and the data of COPY.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use weir_common::error::{Error, Result, SqlState};

use crate::pgwire::backend::{RowsTag, Session};
use crate::pgwire::frontend::Message;
use crate::pgwire::link::{Link, Stop, WRITE_BYTES};
use crate::pgwire::respond;
use crate::value::rows::{Format, RowEncoder};
use crate::value::settings::TextSettings;

/// Rows that are on their way.
pub struct Cursor {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch>>,
    /// What is left of a batch: a portal with a row limit stops anywhere.
    rest: Option<RecordBatch>,
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
    pub fn new(schema: SchemaRef, batches: BoxStream<'static, Result<RecordBatch>>, tag: RowsTag) -> Cursor {
        Cursor { schema, batches, rest: None, ended: false, tag }
    }

    /// Sends rows: all, or as many as the limit says. Rows that are there are written before others are waited for.
    pub async fn send(&mut self, link: &mut Link, formats: &[Format], settings: &TextSettings, limit: Option<u64>) -> Result<Sent, Stop> {
        let mut rows = 0;
        loop {
            if let Some(batch) = self.rest.take() {
                let wanted = limit.map_or(u64::MAX, |limit| limit - rows);
                let count = batch.num_rows().min(usize::try_from(wanted).unwrap_or(usize::MAX));
                let encoder = RowEncoder::new(&self.schema, &batch, formats, settings)?;
                let mut row = 0;
                while row < count {
                    while row < count && link.out.len() < WRITE_BYTES {
                        encoder.put_message(row, &mut link.out)?;
                        link.seal();
                        row += 1;
                    }
                    link.flush_if_full().await?;
                }
                rows += count as u64;
                if count < batch.num_rows() {
                    self.rest = Some(batch.slice(count, batch.num_rows() - count));
                }
            }
            if limit == Some(rows) {
                return Ok(Sent { rows, suspended: true });
            }
            match self.next(link).await? {
                Some(batch) => self.rest = Some(batch),
                None => return Ok(Sent { rows, suspended: false }),
            }
        }
    }

    async fn next(&mut self, link: &mut Link) -> Result<Option<RecordBatch>, Stop> {
        if self.ended {
            return Ok(None);
        }
        let next = next(&mut self.batches, link).await?;
        self.ended = next.is_none();
        Ok(next.transpose()?)
    }
}

/// The next item of a stream: at once if it is there, else after what was said so far is written.
async fn next<T>(stream: &mut BoxStream<'static, T>, link: &mut Link) -> Result<Option<T>, Stop> {
    link.check()?;
    if let Some(next) = stream.next().now_or_never() {
        return Ok(next);
    }
    link.flush().await?;
    link.race(stream.next()).await
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
    while let Some(chunk) = next(&mut chunks, link).await? {
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

//! The rows around where a cursor stands: those it has read and may be asked for again, and the stream of those to come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, UInt32Array};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::CURSOR_KEPT_BYTES_MAX;
use weir_sql::statement::FetchDirection;

/// Rows by number, from 1.
///
/// # Invariants
/// - `position` is 0 before the first row, the number of the row that the cursor is on, or one more than the last row's.
/// - `batches` hold the rows after `dropped` up to `read`; without SCROLL none that `position` has passed.
pub struct Rows {
    to_come: Option<BoxStream<'static, Result<RecordBatch>>>,
    /// Each with the number of its last row.
    batches: VecDeque<(u64, RecordBatch)>,
    dropped: u64,
    read: u64,
    position: u64,
    /// What a SCROLL cursor keeps is counted for its session here.
    session_bytes: Option<Arc<AtomicUsize>>,
    own_bytes: usize,
}

/// What is left of a FETCH; `None` is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    Forward(Option<u64>),
    Backward(Option<u64>),
}

impl Drop for Rows {
    fn drop(&mut self) {
        if let Some(bytes) = &self.session_bytes {
            bytes.fetch_sub(self.own_bytes, Ordering::AcqRel);
        }
    }
}

impl Rows {
    /// Before the first row; with a session's count of bytes it can go back.
    pub fn new(to_come: BoxStream<'static, Result<RecordBatch>>, session_bytes: Option<Arc<AtomicUsize>>) -> Rows {
        Rows { to_come: Some(to_come), batches: VecDeque::new(), dropped: 0, read: 0, position: 0, session_bytes, own_bytes: 0 }
    }

    /// Whether it is on a row, not before the first or after the last.
    pub fn is_on_row(&self) -> bool {
        (1..=self.read).contains(&self.position)
    }

    /// Goes to where a FETCH begins to return rows, and says which it returns.
    pub async fn start(&mut self, direction: FetchDirection) -> Result<Walk> {
        Ok(match direction {
            FetchDirection::Forward(count) => Walk::Forward(count),
            FetchDirection::Backward(count) => {
                self.require_scroll()?;
                Walk::Backward(count)
            }
            FetchDirection::Relative(0) if !self.is_on_row() => Walk::Forward(Some(0)),
            FetchDirection::Relative(0) => {
                self.back_to(self.position - 1)?;
                Walk::Forward(Some(1))
            }
            FetchDirection::Relative(count @ 1..) => {
                self.skip(Some(count.unsigned_abs() - 1)).await?;
                Walk::Forward(Some(1))
            }
            FetchDirection::Relative(count) => {
                self.require_scroll()?;
                self.back_to(self.position.saturating_sub(count.unsigned_abs() - 1))?;
                Walk::Backward(Some(1))
            }
            FetchDirection::Absolute(0) => {
                self.back_to(0)?;
                Walk::Forward(Some(0))
            }
            FetchDirection::Absolute(number @ 1..) => {
                let before = number.unsigned_abs() - 1;
                match before.checked_sub(self.position) {
                    Some(rows) => self.skip(Some(rows)).await?,
                    None => self.back_to(before)?,
                }
                Walk::Forward(Some(1))
            }
            FetchDirection::Absolute(from_end) => {
                self.require_scroll()?;
                self.skip(None).await?;
                self.back_to(self.position.saturating_sub(from_end.unsigned_abs() - 1))?;
                Walk::Backward(Some(1))
            }
        })
    }

    /// The next rows of a FETCH, and what is left of it; `None` at its end.
    pub async fn walk(&mut self, walk: Walk) -> Result<Option<(RecordBatch, Walk)>> {
        let (batch, walk) = match walk {
            Walk::Forward(count) => {
                let batch = self.forward(count.unwrap_or(u64::MAX)).await?;
                let rows = batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
                (batch, Walk::Forward(count.map(|count| count - rows)))
            }
            Walk::Backward(count) => {
                let batch = self.backward(count.unwrap_or(u64::MAX))?;
                let rows = batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
                (batch, Walk::Backward(count.map(|count| count - rows)))
            }
        };
        Ok(batch.map(|batch| (batch, walk)))
    }

    async fn skip(&mut self, count: Option<u64>) -> Result<()> {
        let mut walk = Walk::Forward(count);
        while let Some((_, rest)) = self.walk(walk).await? {
            walk = rest;
        }
        Ok(())
    }

    /// At most so many of the rows after the position, which goes to the last of them; `None` where there are no more.
    async fn forward(&mut self, most: u64) -> Result<Option<RecordBatch>> {
        if most == 0 {
            return Ok(None);
        }
        while self.position >= self.read {
            if !self.read_on().await? {
                self.position = self.read + 1;
                self.drop_passed();
                return Ok(None);
            }
        }
        let (batch, start) = self.batch_of(self.position + 1)?;
        let from = (self.position - start) as usize;
        let count = (batch.num_rows() - from).min(usize::try_from(most).unwrap_or(usize::MAX));
        let rows = batch.slice(from, count);
        self.position += count as u64;
        self.drop_passed();
        Ok(Some(rows))
    }

    /// At most so many of the rows before the position, the nearest first; `None` where there are no more.
    fn backward(&mut self, most: u64) -> Result<Option<RecordBatch>> {
        if most == 0 {
            return Ok(None);
        }
        if self.position <= 1 {
            self.position = 0;
            return Ok(None);
        }
        let last = self.position - 1;
        let (batch, start) = self.batch_of(last)?;
        let count = (last - start).min(most);
        let indices = UInt32Array::from_iter_values((0..count).map(|back| (last - start - 1 - back) as u32));
        let rows = arrow::compute::take_record_batch(batch, &indices)?;
        self.position -= count;
        Ok(Some(rows))
    }

    fn back_to(&mut self, position: u64) -> Result<()> {
        if position != self.position {
            self.require_scroll()?;
            self.position = position;
        }
        Ok(())
    }

    fn require_scroll(&self) -> Result<()> {
        if self.session_bytes.is_some() {
            return Ok(());
        }
        Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
            .with_hint("Declare it with SCROLL option to enable backward scan."))
    }

    /// The batch that has a row, and how many rows come before the batch.
    fn batch_of(&self, row: u64) -> Result<(&RecordBatch, u64)> {
        let at = self.batches.partition_point(|(last, _)| *last < row);
        match self.batches.get(at) {
            Some((last, batch)) if row > self.dropped => Ok((batch, last - batch.num_rows() as u64)),
            _ => Err(Error::internal(format!("a cursor does not have row {row}"))),
        }
    }

    /// Reads a batch more; `false` at the end.
    async fn read_on(&mut self) -> Result<bool> {
        let Some(to_come) = &mut self.to_come else { return Ok(false) };
        let Some(batch) = to_come.next().await.transpose()? else {
            self.to_come = None;
            return Ok(false);
        };
        if batch.num_rows() == 0 {
            return Ok(true);
        }
        if let Some(bytes) = &self.session_bytes {
            let size = bytes_of(&batch)?;
            if bytes.fetch_add(size, Ordering::AcqRel) + size > CURSOR_KEPT_BYTES_MAX {
                bytes.fetch_sub(size, Ordering::AcqRel);
                let message = format!("the SCROLL cursors of a session keep at most {} MB of rows", CURSOR_KEPT_BYTES_MAX >> 20);
                return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
                    .with_hint("Declare the cursor with NO SCROLL, which keeps none, or have the query return less."));
            }
            self.own_bytes += size;
        }
        self.read += batch.num_rows() as u64;
        self.batches.push_back((self.read, batch));
        Ok(true)
    }

    /// A cursor that cannot go back needs no row before the next one.
    fn drop_passed(&mut self) {
        if self.session_bytes.is_some() {
            return;
        }
        while let Some((last, _)) = self.batches.front()
            && *last <= self.position
        {
            self.dropped = *last;
            self.batches.pop_front();
        }
    }
}

/// The bytes of a batch's own rows: arrays may be windows of larger ones.
fn bytes_of(batch: &RecordBatch) -> Result<usize> {
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    Ok(bytes)
}

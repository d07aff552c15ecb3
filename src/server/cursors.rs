//! SQL cursors: the rows of a query in portions, read while they are asked for.
//!
//! A cursor shows the commit that its transaction reads, with the transaction's own writes until then, however long it is
//! open: it holds the snapshots, which never change. That is why one WITH HOLD simply goes on after COMMIT.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::CURSORS_MAX;
use weir_sql::statement::FetchDirection;

use crate::cursors::rows::Rows;
use crate::pgwire::backend::Portions;

mod rows; // the rows around where a cursor stands

/// A cursor that was declared.
pub struct Cursor {
    /// The statement that declared it.
    pub statement: String,
    /// `BINARY`
    pub binary: bool,
    /// `SCROLL`
    pub scroll: bool,
    /// `WITH HOLD`
    pub hold: bool,
    /// Over SUBSCRIBE: there is no last row, and a FETCH returns what is there.
    pub live: bool,
    /// Its columns.
    pub schema: SchemaRef,
    /// When it was declared, microseconds since 1970 UTC.
    pub created_micros: i64,
    /// Later cursors have greater numbers.
    number: u64,
    /// Whether it ends with the transaction that goes on.
    in_transaction: bool,
    /// A portion is being read. Set still after its statement failed, it is where nobody knows the cursor stands.
    busy: Arc<AtomicBool>,
    failed: bool,
    rows: Arc<tokio::sync::Mutex<Rows>>,
}

/// What is declared; the rest of a [`Cursor`] is the session's to say.
pub struct Declared {
    /// The statement that declares it.
    pub statement: String,
    /// `BINARY`
    pub binary: bool,
    /// `SCROLL`
    pub scroll: bool,
    /// `WITH HOLD`
    pub hold: bool,
    /// Over SUBSCRIBE.
    pub live: bool,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// Now, microseconds since 1970 UTC.
    pub created_micros: i64,
}

/// The cursors of a session.
#[derive(Default)]
pub struct Cursors {
    open: BTreeMap<String, Cursor>,
    next_number: u64,
    /// Bytes that SCROLL cursors keep, all of the session's together.
    kept_bytes: Arc<AtomicUsize>,
}

impl Cursors {
    /// Refuses a name that is taken, and one cursor too many.
    pub fn check_free(&self, name: &str) -> Result<()> {
        if self.open.contains_key(name) {
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.open.len() >= CURSORS_MAX {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a session has at most {CURSORS_MAX} cursors open"))
                .with_hint("CLOSE those that are done."));
        }
        Ok(())
    }

    /// Opens a cursor; `in_transaction`: it ends with the transaction that goes on.
    pub fn open(&mut self, name: &str, declared: Declared, in_transaction: bool) -> Result<()> {
        self.check_free(name)?;
        let Declared { statement, binary, scroll, hold, live, schema, batches, created_micros } = declared;
        let rows = Rows::new(batches, scroll.then(|| self.kept_bytes.clone()));
        let cursor = Cursor {
            statement,
            binary,
            scroll,
            hold,
            live,
            schema,
            created_micros,
            number: self.next_number,
            in_transaction,
            busy: Arc::default(),
            failed: false,
            rows: Arc::new(tokio::sync::Mutex::new(rows)),
        };
        self.next_number += 1;
        self.open.insert(name.to_string(), cursor);
        Ok(())
    }

    /// The cursors that are open, by name.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Cursor)> {
        self.open.iter()
    }

    /// A cursor by name.
    pub fn get(&self, name: &str) -> Option<&Cursor> {
        self.open.get(name)
    }

    /// A cursor by name, or the error that there is none.
    pub fn require(&self, name: &str) -> Result<&Cursor> {
        let missing = || Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"));
        let cursor = self.open.get(name).ok_or_else(missing)?;
        if cursor.failed {
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("portal \"{name}\" cannot be run")));
        }
        Ok(cursor)
    }

    /// Closes one; says whether it was there.
    pub fn close(&mut self, name: &str) -> bool {
        self.open.remove(name).is_some()
    }

    /// Closes all.
    pub fn close_all(&mut self) {
        self.open.clear();
    }

    /// The transaction committed: those WITH HOLD stay.
    pub fn commit(&mut self) {
        self.open.retain(|_, cursor| {
            let stays = cursor.hold || !cursor.in_transaction;
            cursor.in_transaction = false;
            stays
        });
    }

    /// The transaction was undone, with the cursors that were declared in it.
    pub fn rollback(&mut self) {
        self.open.retain(|_, cursor| !cursor.in_transaction);
    }

    /// A mark for [`Cursors::rollback_to`].
    pub fn mark(&self) -> u64 {
        self.next_number
    }

    /// What was done since the mark is undone, declarations too.
    pub fn rollback_to(&mut self, mark: u64) {
        self.open.retain(|_, cursor| cursor.number < mark);
    }

    /// A statement failed: a cursor that it was reading stands nobody knows where.
    pub fn fail(&mut self) {
        for cursor in self.open.values_mut() {
            cursor.failed |= cursor.busy.swap(false, Ordering::AcqRel);
        }
    }
}

impl Cursor {
    /// The rows of a FETCH, as they come. Of a live cursor those that are there: it waits for the first one, at most for `timeout`.
    pub fn fetch(&self, direction: FetchDirection, timeout: Option<Duration>) -> BoxStream<'static, Result<RecordBatch>> {
        if self.live {
            return self.fetch_live(direction, timeout);
        }
        struct Portion {
            rows: Arc<tokio::sync::Mutex<Rows>>,
            busy: Arc<AtomicBool>,
            walk: Option<rows::Walk>,
        }
        self.busy.store(true, Ordering::Release);
        let portion = Portion { rows: self.rows.clone(), busy: self.busy.clone(), walk: None };
        futures::stream::try_unfold(portion, move |mut portion| async move {
            let rows = portion.rows.clone();
            let mut rows = rows.lock().await;
            let walk = match portion.walk.take() {
                Some(walk) => walk,
                None => rows.start(direction).await?,
            };
            match rows.walk(walk).await? {
                Some((batch, walk)) => {
                    portion.walk = Some(walk);
                    Ok(Some((batch, portion)))
                }
                None => {
                    portion.busy.store(false, Ordering::Release);
                    Ok(None)
                }
            }
        })
        .boxed()
    }

    fn fetch_live(&self, direction: FetchDirection, timeout: Option<Duration>) -> BoxStream<'static, Result<RecordBatch>> {
        struct Portion {
            rows: Arc<tokio::sync::Mutex<Rows>>,
            busy: Arc<AtomicBool>,
            walk: rows::Walk,
            begun: bool,
        }
        let FetchDirection::Forward(count) = direction else {
            let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "a cursor over SUBSCRIBE can only scan forward");
            return futures::stream::iter([Err(error)]).boxed();
        };
        self.busy.store(true, Ordering::Release);
        let (rows, busy) = (self.rows.clone(), self.busy.clone());
        let portion = Portion { rows, busy, walk: rows::Walk::Forward(count), begun: false };
        futures::stream::try_unfold(portion, move |mut portion| async move {
            let rows = portion.rows.clone();
            let mut rows = rows.lock().await;
            // Giving up a wait loses nothing: what was begun goes on with the next FETCH.
            let next = rows.walk(portion.walk);
            let next = match (portion.begun, timeout) {
                (true, _) => next.now_or_never().transpose()?.flatten(),
                (false, Some(timeout)) => tokio::time::timeout(timeout, next).await.ok().transpose()?.flatten(),
                (false, None) => next.await?,
            };
            match next {
                Some((batch, walk)) => {
                    (portion.walk, portion.begun) = (walk, true);
                    Ok(Some((batch, portion)))
                }
                None => {
                    portion.busy.store(false, Ordering::Release);
                    Ok(None)
                }
            }
        })
        .boxed()
    }

    /// Its next rows, for the portal that it is.
    pub fn portions(&self) -> impl Portions + use<> {
        PortalRows { rows: self.rows.clone(), busy: self.busy.clone() }
    }

    /// Does what a FETCH does, without its rows; returns how many those would have been.
    pub async fn skip(&self, direction: FetchDirection, timeout: Option<Duration>) -> Result<u64> {
        if direction == FetchDirection::Relative(0) {
            return Ok(self.rows.lock().await.is_on_row().into());
        }
        let mut batches = self.fetch(direction, timeout);
        let mut count = 0;
        while let Some(batch) = batches.next().await {
            count += batch?.num_rows() as u64;
        }
        Ok(count)
    }
}

struct PortalRows {
    rows: Arc<tokio::sync::Mutex<Rows>>,
    busy: Arc<AtomicBool>,
}

impl Portions for PortalRows {
    fn next(&mut self, most: u64) -> BoxFuture<'_, Result<Option<RecordBatch>>> {
        async move {
            self.busy.store(true, Ordering::Release);
            let next = self.rows.lock().await.walk(rows::Walk::Forward(Some(most))).await?;
            self.busy.store(false, Ordering::Release);
            Ok(next.map(|(batch, _)| batch))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;

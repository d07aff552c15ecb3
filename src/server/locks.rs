//! Write locks on tables: who updates or deletes rows of a table does it alone until the transaction ends.
//!
//! Inserts take none: keys are checked where writes are put in order. Waiters are served first come, first served; a
//! wait that would close a circle is refused (40P01), so nobody waits for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;

/// The number of a transaction, while it runs.
pub type TransactionId = u64;

/// All table locks of a server.
#[derive(Default)]
pub struct TableLocks {
    tables: Mutex<HashMap<RelationId, Held>>,
}

struct Held {
    owner: TransactionId,
    waiting: VecDeque<(TransactionId, oneshot::Sender<TableLock>)>,
}

/// A lock that is held until this is dropped.
pub struct TableLock {
    locks: Arc<TableLocks>,
    table: RelationId,
}

impl TableLocks {
    /// Waits for the table; `timeout` of `None` waits as long as it takes.
    pub async fn lock(self: &Arc<Self>, table: RelationId, transaction: TransactionId, timeout: Option<Duration>) -> Result<TableLock> {
        let granted = {
            let mut tables = self.tables();
            if closes_circle(&tables, table, transaction) {
                return Err(Error::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                    .with_detail("Another transaction waits for a table that this one has changed, and has changed the table that this one waits for.")
                    .with_hint("Run the transaction again; change tables in the same order everywhere."));
            }
            match tables.get_mut(&table) {
                None => {
                    tables.insert(table, Held { owner: transaction, waiting: VecDeque::new() });
                    return Ok(TableLock { locks: self.clone(), table });
                }
                Some(held) => {
                    let (grant, granted) = oneshot::channel();
                    held.waiting.push_back((transaction, grant));
                    granted
                }
            }
        };
        let lost = |_| Error::internal("a table lock was lost");
        match timeout {
            None => granted.await.map_err(lost),
            Some(timeout) => match tokio::time::timeout(timeout, granted).await {
                Ok(granted) => granted.map_err(lost),
                Err(_) => Err(Error::new(SqlState("55P03"), "canceling statement due to lock timeout")),
            },
        }
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<RelationId, Held>> {
        self.tables.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn release(self: &Arc<Self>, table: RelationId) {
        let mut refused = vec![];
        {
            let mut tables = self.tables();
            while let Some(held) = tables.get_mut(&table) {
                let Some((next, grant)) = held.waiting.pop_front() else {
                    tables.remove(&table);
                    break;
                };
                held.owner = next;
                match grant.send(TableLock { locks: self.clone(), table }) {
                    Ok(()) => break,
                    // The waiter has gone away: its lock must not be released here, under the mutex, but passed on.
                    Err(lock) => refused.push(lock),
                }
            }
        }
        refused.into_iter().for_each(std::mem::forget);
    }
}

impl Drop for TableLock {
    fn drop(&mut self) {
        self.locks.clone().release(self.table);
    }
}

/// Whether waiting for the table would wait, over others, for the transaction itself.
fn closes_circle(tables: &HashMap<RelationId, Held>, table: RelationId, transaction: TransactionId) -> bool {
    let mut wanted = Some(table);
    let mut steps = 0;
    while let Some(owner) = wanted.and_then(|table| tables.get(&table)).map(|held| held.owner) {
        if owner == transaction {
            return true;
        }
        wanted = tables
            .iter()
            .find(|(_, held)| held.waiting.iter().any(|(waiter, grant)| *waiter == owner && !grant.is_closed()))
            .map(|(table, _)| *table);
        steps += 1;
        if steps > tables.len() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_come_in_turn_and_those_that_left_are_skipped() {
        let locks = Arc::new(TableLocks::default());
        let table = RelationId(1);
        let first = locks.lock(table, 1, None).await.unwrap();
        let gone = {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock(table, 2, None).await.map(drop) })
        };
        tokio::task::yield_now().await;
        let next = {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock(table, 3, None).await.map(drop) })
        };
        tokio::task::yield_now().await;
        gone.abort();
        let _ = gone.await;
        drop(first);
        next.await.unwrap().unwrap();
        assert!(locks.tables().is_empty(), "all released");
    }

    #[tokio::test]
    async fn a_circle_is_refused_and_a_timeout_ends_a_wait() {
        let locks = Arc::new(TableLocks::default());
        let (a, b) = (RelationId(1), RelationId(2));
        let of_first = locks.lock(a, 1, None).await.unwrap();
        let of_second = locks.lock(b, 2, None).await.unwrap();
        let waiting = {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock(b, 1, None).await.map(drop) })
        };
        tokio::task::yield_now().await;
        assert_eq!(locks.lock(a, 2, None).await.err().unwrap().sqlstate(), SqlState::DEADLOCK_DETECTED);
        let timed = locks.lock(a, 3, Some(Duration::from_millis(1))).await.err().unwrap();
        assert_eq!(timed.sqlstate(), SqlState("55P03"));
        drop(of_second);
        waiting.await.unwrap().unwrap();
        drop(of_first);
        assert!(locks.tables().is_empty());
    }
}

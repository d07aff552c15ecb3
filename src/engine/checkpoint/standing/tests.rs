//! Standings of earlier versions.

use std::collections::BTreeMap;

use weir_common::epoch_log::{Mark, Partitions};
use weir_common::ids::{RelationId, StreamId};
use weir_common::state_store::{MemoryStore, Space, StateStore};

use super::{FORMAT, LateLost, Standing, read};
use crate::checkpoint::layout;

/// What is read of a standing whose first byte is this, and which has so many empty lists less at its end.
fn read_back(standing: &Standing, format: u8, lists: usize) -> Option<Standing> {
    let mut bytes = standing.encode().unwrap();
    assert!(bytes.drain(bytes.len() - lists..).all(|byte| byte == 0));
    bytes[0] = format;
    let store = MemoryStore::default();
    let mut batch = store.begin();
    batch.put(Space::Meta, layout::STANDING, &bytes);
    batch.commit().unwrap();
    read(&store).unwrap_or_else(|error| {
        assert_eq!(error.sqlstate().0, "XX001");
        None
    })
}

#[test]
fn standings_without_the_last_lists_are_read() {
    let plain = Standing { epoch: 7, wall_micros: 11, workers: 2, ..Standing::default() };
    let marks = vec![Mark { stream: StreamId(20001), watermark: Some(13), future: 2 }];
    let marked = Standing { marks, rows_met: BTreeMap::from([(RelationId(20001), 5)]), ..plain.clone() };
    let tables = Standing { latest: BTreeMap::from([(RelationId(20002), 17)]), ..marked.clone() };
    let partitions = vec![Partitions { stream: StreamId(20001), latest: vec![Some(13), None] }];
    let several = Standing { partitions, ..tables.clone() };
    let late_lost = BTreeMap::from([(RelationId(20003), LateLost { dropped: 1, discarded: 2 })]);
    let now = Standing { late_lost, ..several.clone() };
    assert_eq!(read_back(&now, FORMAT, 0), Some(now));
    assert_eq!(read_back(&several, 4, 1), Some(several));
    assert_eq!(read_back(&tables, 3, 2), Some(tables));
    assert_eq!(read_back(&marked, 2, 3), Some(marked));
    assert_eq!(read_back(&plain, 1, 5), Some(plain.clone()));
    assert_eq!(read_back(&plain, FORMAT + 1, 0), None);
}

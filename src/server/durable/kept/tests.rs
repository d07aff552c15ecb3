//! Records of earlier versions.

use weir_common::epoch_log::{EpochRecord, Mark, Partitions};
use weir_common::ids::{RelationId, StreamId};

use super::{decode, encode};

#[test]
fn records_without_the_last_lists_are_read() {
    let admitted = vec![RelationId(20000)];
    let plain = EpochRecord { epoch: 7, wall_micros: 11, admitted: admitted.clone(), ..EpochRecord::default() };
    let marks = vec![Mark { stream: StreamId(20001), watermark: Some(13), future: 2 }];
    let marked = EpochRecord { marks, ..plain.clone() };
    let conditional = EpochRecord { conditions: vec![(RelationId(20000), "v > 1".to_string())], ..marked.clone() };
    let partitions = vec![Partitions { stream: StreamId(20001), latest: vec![Some(13), None] }];
    let parted = EpochRecord { partitions, ..conditional.clone() };
    let now = EpochRecord { discarded: admitted.clone(), full: vec![RelationId(20000), RelationId(20003)], ..parted.clone() };
    assert_eq!(decode(&encode(&now).unwrap()).unwrap(), now);
    // A list of nothing is a zero at the end.
    let without = |record: &EpochRecord, format: u8, lists: usize| {
        let mut bytes = encode(record).unwrap();
        assert!(bytes.drain(bytes.len() - lists..).all(|byte| byte == 0));
        bytes[0] = format;
        bytes
    };
    assert_eq!(decode(&without(&parted, 5, 2)).unwrap(), parted);
    assert_eq!(decode(&without(&conditional, 4, 3)).unwrap(), conditional);
    assert_eq!(decode(&without(&marked, 3, 4)).unwrap(), marked);
    let unmarked = EpochRecord { admitted: vec![], ..plain };
    assert_eq!(decode(&without(&unmarked, 2, 6)).unwrap(), unmarked);
    let (mut bytes, sqlstate) = (encode(&now).unwrap(), "XX001");
    bytes[0] = 7;
    assert_eq!(decode(&bytes).unwrap_err().sqlstate().0, sqlstate);
}

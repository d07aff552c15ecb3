//! Keys of entries, and their ranges.

use std::ops::Range;

use weir_common::error::{Error, Result, SqlState};
use weir_common::hash;
use weir_common::ids::RelationId;
use weir_common::limits::VIRTUAL_GROUPS;
use weir_dataflow::state::StateSpec;

/// Where the leader stands.
pub(crate) const STANDING: &[u8] = b"standing";
const LETTER: &[u8] = b"letter";
/// Bytes of a key of state before the row's own.
pub(crate) const STATE_PREFIX: usize = 10;

/// Where a dead letter is.
pub(crate) fn letter(number: u64) -> Vec<u8> {
    [LETTER, &number.to_be_bytes()].concat()
}

/// All keys of a relation, of whatever space.
pub(crate) fn relation(relation: RelationId) -> Range<Vec<u8>> {
    relation.0.to_be_bytes().to_vec()..after(&relation.0.to_be_bytes())
}

/// The keys of all relations.
pub(crate) fn everything() -> Range<Vec<u8>> {
    vec![]..vec![0xFF; 16]
}

/// The part of a key of state that is the same for all rows of a part of it.
pub(crate) fn state_prefix(relation: RelationId, state: u16, part: u16) -> [u8; 8] {
    let mut prefix = [0; 8];
    prefix[..4].copy_from_slice(&relation.0.to_be_bytes());
    prefix[4..6].copy_from_slice(&state.to_be_bytes());
    prefix[6..].copy_from_slice(&part.to_be_bytes());
    prefix
}

/// The keys of state that a worker owns.
pub(crate) fn state_of(relation: RelationId, spec: &StateSpec, worker: usize, workers: usize) -> Range<Vec<u8>> {
    let prefix = state_prefix(relation, spec.state, spec.part);
    let key = |group: u64| match u16::try_from(group).ok().filter(|group| u64::from(*group) < VIRTUAL_GROUPS) {
        Some(group) => [&prefix[..], &group.to_be_bytes()].concat(),
        None => after(&prefix),
    };
    let Range { start, end } = hash::groups_of(worker, workers);
    key(start)..key(end)
}

/// The rows of a run.
pub(crate) fn run(relation: RelationId, worker: usize, run: u64) -> Vec<u8> {
    let worker = worker as u16;
    [&relation.0.to_be_bytes()[..], &worker.to_be_bytes(), &run.to_be_bytes(), &[0]].concat()
}

/// Which rows of a run are alive.
pub(crate) fn mask(relation: RelationId, worker: usize, number: u64) -> Vec<u8> {
    let mut key = run(relation, worker, number);
    key[14] = 1;
    key
}

/// The worker and the number of a run, and whether the entry is its mask.
pub(crate) fn run_of(key: &[u8]) -> Result<(usize, u64, bool)> {
    let damaged = || Error::new(SqlState::DATA_CORRUPTED, "a key of the checkpoint store is none of a run");
    let rest: &[u8; 11] = key.get(4..).and_then(|rest| rest.try_into().ok()).ok_or_else(damaged)?;
    let worker = u16::from_be_bytes([rest[0], rest[1]]);
    let number = u64::from_be_bytes(rest[2..10].try_into().expect("eight bytes"));
    match rest[10] {
        0 => Ok((worker.into(), number, false)),
        1 => Ok((worker.into(), number, true)),
        _ => Err(damaged()),
    }
}

/// The first key behind all that begin so.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            return after;
        }
    }
    everything().end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_workers_are_all_keys_once() {
        let spec = StateSpec {
            state: 7,
            part: u16::MAX,
            schema: std::sync::Arc::new(arrow::datatypes::Schema::empty()),
            keys: 0,
            placement: vec![],
            left_in_store: false,
        };
        for workers in 1..9 {
            let ranges: Vec<_> = (0..workers).map(|worker| state_of(RelationId(u32::MAX - 1), &spec, worker, workers)).collect();
            for group in 0..VIRTUAL_GROUPS as u16 {
                let key = [&state_prefix(RelationId(u32::MAX - 1), 7, u16::MAX)[..], &group.to_be_bytes(), b"key"].concat();
                let owners: Vec<usize> = (0..workers).filter(|worker| ranges[*worker].contains(&key)).collect();
                let hash = u64::from(group) << 52;
                assert_eq!(owners, [hash::owner(hash, workers)], "group {group} of {workers}");
                assert!(relation(RelationId(u32::MAX - 1)).contains(&key));
            }
        }
    }

    #[test]
    fn a_run_is_known_by_its_key() {
        assert_eq!(run_of(&run(RelationId(5), 3, 1 << 40)).unwrap(), (3, 1 << 40, false));
        assert_eq!(run_of(&mask(RelationId(5), 3, 9)).unwrap(), (3, 9, true));
        assert!(run_of(b"too short").is_err());
    }
}

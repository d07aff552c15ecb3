//! When sessions are due: each is noted once, and looked at again when the time has come that it was noted for.

use std::collections::BTreeMap;

use arrow::buffer::ScalarBuffer;
use weir_common::error::Result;

use crate::operator::aggregate::cells::Cells;

/// Slots by a moment that is not after the last one of their session.
///
/// # Invariants
/// - A slot that is noted has its moment in `at`; other entries of it are void.
#[derive(Default)]
pub(super) struct Agenda {
    slots: BTreeMap<i64, Vec<u32>>,
    at: Cells<Option<i64>>,
    entries: usize,
}

impl Agenda {
    /// Notes a session that ends with this moment so far, unless it is noted.
    pub(super) fn add(&mut self, slot: u32, last: i64) {
        self.at.grow(slot as usize + 1, None);
        if self.at[slot as usize].is_none() {
            self.at[slot as usize] = Some(last);
            self.slots.entry(last).or_default().push(slot);
            self.entries += 1;
        }
    }

    /// The slot is no session's any more.
    pub(super) fn forget(&mut self, slot: u32) {
        if (slot as usize) < self.at.len() {
            self.at[slot as usize] = None;
        }
    }

    /// No session is due whose last moment is before this one.
    pub(super) fn first(&self) -> Option<i64> {
        self.slots.keys().next().copied()
    }

    /// Takes out the sessions that are due by their last moments; `is_due` holds of all moments before one of which it does.
    pub(super) fn take_due(
        &mut self,
        is_due: impl Fn(i64) -> bool,
        lasts: impl Fn(&[u32]) -> Result<ScalarBuffer<i64>>,
    ) -> Result<Vec<u32>> {
        let mut noted = vec![];
        while let Some(first) = self.slots.first_entry()
            && is_due(*first.key())
        {
            let (moment, slots) = first.remove_entry();
            self.entries -= slots.len();
            for slot in slots {
                if self.at[slot as usize] == Some(moment) {
                    self.at[slot as usize] = None;
                    noted.push(slot);
                }
            }
        }
        if noted.is_empty() {
            return Ok(noted);
        }
        let lasts = lasts(&noted)?;
        let mut due = vec![];
        for (slot, last) in noted.into_iter().zip(lasts.iter()) {
            match is_due(*last) {
                true => due.push(slot),
                false => self.add(slot, *last),
            }
        }
        Ok(due)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let moments = self.slots.len() * size_of::<(i64, Vec<u32>)>() * 3 / 2;
        self.at.memory_bytes() + moments + self.entries * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn all_sessions_are_due_once_and_in_time() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let (mut agenda, mut lasts): (Agenda, HashMap<u32, i64>) = (Agenda::default(), HashMap::new());
            for now in 0..60 {
                for _ in 0..random.usize(..6) {
                    let slot = random.u32(..8);
                    if random.u8(..4) == 0 {
                        agenda.forget(slot);
                        lasts.remove(&slot);
                    } else {
                        let last = lasts.entry(slot).or_insert(now - 5);
                        *last += random.i64(0..10);
                        agenda.add(slot, *last);
                    }
                }
                assert!(lasts.values().all(|last| agenda.first().is_some_and(|first| first <= *last)));
                let found = |slots: &[u32]| Ok(slots.iter().map(|slot| lasts[slot]).collect());
                let mut due = agenda.take_due(|last| last <= now, found).unwrap();
                due.sort_unstable();
                let mut expected: Vec<u32> = lasts.iter().filter(|(_, last)| **last <= now).map(|(slot, _)| *slot).collect();
                expected.sort_unstable();
                assert_eq!(due, expected, "at {now}");
                due.iter().for_each(|slot| _ = lasts.remove(slot));
            }
        }
    }
}

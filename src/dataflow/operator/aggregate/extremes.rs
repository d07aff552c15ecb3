//! The values that `min` and `max` keep, by slot: one a group where nothing is ever taken back, else all of them.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::operator::aggregate::cells::Cells;

/// A value that may have bytes of its own elsewhere.
pub(super) trait Outside {
    fn outside_bytes(&self) -> usize {
        0
    }
}

impl Outside for i64 {}
impl Outside for i128 {}
impl Outside for Box<[u8]> {
    fn outside_bytes(&self) -> usize {
        self.len()
    }
}

/// One value a group: the least or greatest so far.
#[derive(Default)]
pub(super) struct Best<T> {
    cells: Cells<Option<T>>,
    outside: usize,
}

impl<T: Ord + Clone + Outside> Best<T> {
    pub(super) fn grow(&mut self, slots: usize) {
        self.cells.grow(slots, None);
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.cells[slot as usize].as_ref()
    }

    #[inline(always)]
    pub(super) fn add<Q: Ord + ?Sized>(&mut self, slot: usize, value: &Q, least: bool, own: impl FnOnce(&Q) -> T)
    where
        T: Borrow<Q>,
    {
        let better = match &self.cells[slot] {
            None => true,
            Some(best) if least => value < best.borrow(),
            Some(best) => value > best.borrow(),
        };
        if better {
            self.set(slot, Some(own(value)));
        }
    }

    pub(super) fn set(&mut self, slot: usize, value: Option<T>) {
        self.outside += value.as_ref().map_or(0, Outside::outside_bytes);
        let before = std::mem::replace(&mut self.cells[slot], value);
        self.outside -= before.as_ref().map_or(0, Outside::outside_bytes);
    }

    pub(super) fn empty(&mut self) {
        self.cells.empty();
        self.outside = 0;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.cells.memory_bytes() + self.outside
    }
}

/// All values of each group with their counts: never zero, and below zero only within an epoch.
#[derive(Default)]
pub(super) struct Counted<T> {
    cells: Cells<BTreeMap<T, i64>>,
    /// Values in all groups.
    entries: usize,
    outside: usize,
}

impl<T: Ord + Clone + Outside> Counted<T> {
    pub(super) fn grow(&mut self, slots: usize) {
        self.cells.grow(slots, BTreeMap::new());
    }

    #[inline(always)]
    pub(super) fn add<Q: Ord + ?Sized>(&mut self, slot: usize, value: &Q, weight: i64, own: impl FnOnce(&Q) -> T)
    where
        T: Borrow<Q>,
    {
        let counts = &mut self.cells[slot];
        match counts.get_mut(value) {
            Some(count) if *count + weight == 0 => {
                if let Some((value, _)) = counts.remove_entry(value) {
                    self.entries -= 1;
                    self.outside -= value.outside_bytes();
                }
            }
            Some(count) => *count += weight,
            None => {
                let value = own(value);
                self.entries += 1;
                self.outside += value.outside_bytes();
                counts.insert(value, weight);
            }
        }
    }

    /// The first or last value that is there.
    pub(super) fn best(&self, slot: u32, least: bool) -> Option<&T> {
        let mut present = self.cells[slot as usize].iter().filter(|(_, count)| **count > 0).map(|(value, _)| value);
        if least { present.next() } else { present.next_back() }
    }

    pub(super) fn clear(&mut self, slot: usize) {
        let gone = std::mem::take(&mut self.cells[slot]);
        self.entries -= gone.len();
        self.outside -= gone.keys().map(Outside::outside_bytes).sum::<usize>();
    }

    pub(super) fn empty(&mut self) {
        self.cells.empty();
        (self.entries, self.outside) = (0, 0);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        self.cells.memory_bytes() + self.entries * size_of::<(T, i64)>() * 3 / 2 + self.outside
    }
}

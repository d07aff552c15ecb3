//! The values that `min` and `max` keep, by slot: one a group where nothing is ever taken back, else all of them.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::entries::Count;

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
pub(super) struct Counted<T> {
    checkpoints: bool,
    cells: Cells<BTreeMap<T, Count>>,
    /// Values in all groups.
    entries: usize,
    outside: usize,
    /// Entries that changed since the last checkpoint; some may be there twice, or be gone.
    changed: Vec<(u32, T)>,
    /// Entries that the last checkpoint has, and that are gone.
    gone: Vec<(u32, T)>,
}

impl<T: Ord + Clone + Outside> Counted<T> {
    /// `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(checkpoints: bool) -> Self {
        Counted { checkpoints, cells: Cells::new(), entries: 0, outside: 0, changed: vec![], gone: vec![] }
    }

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
            Some(count) if count.get() + weight == 0 => {
                if let Some((value, count)) = counts.remove_entry(value) {
                    self.entries -= 1;
                    self.outside -= value.outside_bytes();
                    if count.is_stored() {
                        self.gone.push((slot as u32, value));
                    }
                }
            }
            Some(count) => {
                count.add(weight);
                if self.checkpoints && count.change() {
                    self.changed.push((slot as u32, own(value)));
                }
            }
            None => {
                let value = own(value);
                self.entries += 1;
                self.outside += value.outside_bytes();
                let mut count = Count::new(weight);
                if self.checkpoints {
                    count.change();
                    self.changed.push((slot as u32, value.clone()));
                }
                counts.insert(value, count);
            }
        }
    }

    /// An entry that a restart has brought back.
    pub(super) fn load(&mut self, slot: u32, value: T, count: i64) {
        self.entries += 1;
        self.outside += value.outside_bytes();
        self.cells[slot as usize].insert(value, Count::stored(count));
    }

    /// Entries that went.
    pub(super) fn take_gone(&mut self) -> (Vec<u32>, Vec<T>) {
        std::mem::take(&mut self.gone).into_iter().unzip()
    }

    /// Entries that changed, and are still there.
    pub(super) fn take_changed(&mut self) -> (Vec<u32>, Vec<T>, Vec<i64>) {
        let (mut slots, mut values, mut counts) = (vec![], vec![], vec![]);
        for (slot, value) in std::mem::take(&mut self.changed) {
            if let Some(count) = self.cells[slot as usize].get_mut(&value)
                && count.take_changed()
            {
                slots.push(slot);
                values.push(value);
                counts.push(count.get());
            }
        }
        (slots, values, counts)
    }

    /// The first or last value that is there.
    pub(super) fn best(&self, slot: u32, least: bool) -> Option<&T> {
        let mut present = self.cells[slot as usize].iter().filter(|(_, count)| count.get() > 0).map(|(value, _)| value);
        if least { present.next() } else { present.next_back() }
    }

    pub(super) fn clear(&mut self, slot: usize) {
        let values = std::mem::take(&mut self.cells[slot]);
        self.entries -= values.len();
        for (value, count) in values {
            self.outside -= value.outside_bytes();
            if count.is_stored() {
                self.gone.push((slot as u32, value));
            }
        }
    }

    pub(super) fn empty(&mut self) {
        self.cells.empty();
        self.changed.clear();
        self.gone.clear();
        (self.entries, self.outside) = (0, 0);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let waiting = (self.changed.capacity() + self.gone.capacity()) * size_of::<(u32, T)>();
        self.cells.memory_bytes() + self.entries * size_of::<(T, Count)>() * 3 / 2 + self.outside + waiting
    }
}

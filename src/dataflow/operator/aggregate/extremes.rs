//! The values that `min` and `max` keep, by slot: one a group where nothing is ever taken back, else all of them.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::entries::Count;
use crate::operator::aggregate::marks::Marks;

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
    marks: Marks,
    /// Entries that changed since the last checkpoint; some may be there twice, or be gone.
    changed: Vec<(u32, T)>,
    /// Those that had changed at the last freeze, and are still to be copied; some may be there twice, or be copied already.
    frozen: Vec<(u32, T)>,
    /// Frozen entries that have changed since, with the count that they had.
    kept: Listed<T>,
    /// Entries that the last checkpoint has, and that are gone.
    gone: Vec<(u32, T)>,
}

/// Entries in columns: the slots of their groups, their values, their counts.
pub(super) type Listed<T> = (Vec<u32>, Vec<T>, Vec<i64>);

impl<T: Ord + Clone + Outside> Counted<T> {
    /// `checkpoints`: whether anybody will ask what changed.
    pub(super) fn new(checkpoints: bool) -> Self {
        let (cells, marks) = (Cells::new(), Marks::new());
        Counted { checkpoints, cells, entries: 0, outside: 0, marks, changed: vec![], frozen: vec![], kept: no_entries(), gone: vec![] }
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
                if let Some((value, mut count)) = counts.remove_entry(value) {
                    self.entries -= 1;
                    self.outside -= value.outside_bytes();
                    if count.copy(self.marks) {
                        keep(&mut self.kept, slot, value.clone(), count);
                    }
                    if count.is_stored() {
                        self.gone.push((slot as u32, value));
                    }
                }
            }
            Some(count) => {
                if self.checkpoints && count.change(self.marks) {
                    let value = own(value);
                    if count.copy(self.marks) {
                        keep(&mut self.kept, slot, value.clone(), *count);
                    }
                    self.changed.push((slot as u32, value));
                }
                count.add(weight);
            }
            None => {
                let value = own(value);
                self.entries += 1;
                self.outside += value.outside_bytes();
                let mut count = Count::new(weight);
                if self.checkpoints {
                    count.change(self.marks);
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

    pub(super) fn freeze(&mut self) {
        debug_assert!(self.frozen.is_empty() && self.kept.0.is_empty(), "one checkpoint is copied at a time");
        self.marks.freeze();
        self.frozen = std::mem::take(&mut self.changed);
    }

    /// Frozen entries that have changed, as they were.
    pub(super) fn take_kept(&mut self) -> Listed<T> {
        std::mem::replace(&mut self.kept, no_entries())
    }

    /// The next frozen entries that are still as they were; `None` when there are no more.
    pub(super) fn copy(&mut self, budget: &mut usize) -> Option<Listed<T>> {
        if self.frozen.is_empty() {
            return None;
        }
        let mut copied = no_entries();
        while *budget > 0
            && let Some((slot, value)) = self.frozen.pop()
        {
            *budget -= 1;
            if let Some(count) = self.cells[slot as usize].get_mut(&value)
                && count.copy(self.marks)
            {
                keep(&mut copied, slot as usize, value, *count);
            }
        }
        Some(copied)
    }

    /// The first or last value that is there.
    pub(super) fn best(&self, slot: u32, least: bool) -> Option<&T> {
        let mut present = self.cells[slot as usize].iter().filter(|(_, count)| count.get() > 0).map(|(value, _)| value);
        if least { present.next() } else { present.next_back() }
    }

    pub(super) fn clear(&mut self, slot: usize) {
        let values = std::mem::take(&mut self.cells[slot]);
        self.entries -= values.len();
        for (value, mut count) in values {
            self.outside -= value.outside_bytes();
            if count.copy(self.marks) {
                keep(&mut self.kept, slot, value.clone(), count);
            }
            if count.is_stored() {
                self.gone.push((slot as u32, value));
            }
        }
    }

    pub(super) fn empty(&mut self) {
        self.cells.empty();
        self.changed.clear();
        self.frozen.clear();
        self.kept = no_entries();
        self.gone.clear();
        (self.entries, self.outside) = (0, 0);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        let waiting = (self.changed.capacity() + self.frozen.capacity() + self.gone.capacity()) * size_of::<(u32, T)>();
        self.cells.memory_bytes() + self.entries * size_of::<(T, Count)>() * 3 / 2 + self.outside + waiting
    }
}

fn no_entries<T>() -> Listed<T> {
    (vec![], vec![], vec![])
}

fn keep<T>((slots, values, counts): &mut Listed<T>, slot: usize, value: T, count: Count) {
    slots.push(slot as u32);
    values.push(value);
    counts.push(count.get());
}

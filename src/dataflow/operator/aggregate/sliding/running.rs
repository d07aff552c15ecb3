//! The slices of the window that is due next, as two stacks: sums that slices leave at one end and join at the other, of aggregates
//! that can be added up and not taken back.
//!
//! The front has the older slices. There each group knows the sums of its key from its own slice to the last one of the front, so
//! that the first group of a key has the sums of all, and when its slice goes the next one has. The back has one sum a key. When a
//! slice of the back is to go, all of the back becomes the front.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use weir_common::error::Result;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::sliding::slices::Slices;
use crate::operator::aggregate::{AggregateSpec, Groups, key_types};
use crate::operator::windows::{DELTA_ROWS, of_type};
use crate::rows::times;

/// No group, and no key.
const NONE: u32 = u32::MAX;
/// In the place of the group that follows: it is in no chain.
const UNLINKED: u32 = u32::MAX - 1;

/// Sums by key of the slices before `to`.
///
/// # Invariants
/// - The groups of slices before `front_to` are chained by key in the order of their slices, but for those in `late`; those of the
///   later slices before `to` are in the sums of the back. Others are not known here.
/// - A key is there while one of its groups is.
pub(super) struct Running {
    /// How many columns keys have with the slice, and which of them that is.
    width: usize,
    column: usize,
    /// Of that column.
    data_type: DataType,
    front_to: i64,
    to: i64,
    /// Keys without the slice, and the sums of the back.
    back: Groups,
    /// By key: its first group in the front.
    head: Cells<u32>,
    /// By group: its key, the next group of that in the front, and the sums from it on.
    key: Cells<u32>,
    next: Cells<u32>,
    onward: Groups,
    /// Groups of the front that the current epoch has changed.
    late: Vec<u32>,
    /// Empty between two calls: by row, while the sums of front and back are added.
    both: Groups,
}

impl Running {
    /// `schema` has the keys, with the start of the slice in `column`.
    pub(super) fn new(spec: &AggregateSpec, column: usize, schema: &Schema) -> Result<Self> {
        let data_type = schema.field(column).data_type().clone();
        let mut types = key_types(schema, spec.keys);
        types.remove(column);
        let groups = |types: &[DataType]| -> Result<Groups> { Ok(Groups { keys: Keys::new(types)?, ..spec.groups(schema, false)? }) };
        let (back, onward, both) = (groups(&types)?, groups(&[])?, groups(&[])?);
        let (head, key, next) = (Cells::new(), Cells::new(), Cells::new());
        let width = spec.keys;
        Ok(Running { width, column, data_type, front_to: i64::MIN, to: i64::MIN, back, head, key, next, onward, late: vec![], both })
    }

    /// Sums were added to these groups: to be added here where their slices are known.
    pub(super) fn add(&mut self, slots: &[u32], rows: &RecordBatch, slices: &Slices) -> Result<()> {
        let starts = times(rows, self.column)?.values();
        let known: Vec<u32> = (0..slots.len() as u32).filter(|row| starts[*row as usize] < self.to).collect();
        if known.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = known.iter().map(|row| slots[*row as usize]).collect();
        let keys = self.find(&slots, slices)?;
        let is_front = |row: u32| starts[row as usize] < self.front_to;
        self.late.extend(known.iter().zip(&slots).filter(|(row, _)| is_front(**row)).map(|(_, slot)| *slot));
        let (rows_of_back, keys): (Vec<u32>, Vec<u32>) = known.iter().zip(keys).filter(|(row, _)| !is_front(**row)).unzip();
        let rows_of_back = UInt32Array::from(rows_of_back);
        let sums = rows.columns()[self.width..].iter().map(|column| Ok(take(column, &rows_of_back, None)?)).collect::<Result<Vec<_>>>()?;
        self.back.add_sums(&keys, &sums)
    }

    /// The epoch is complete: puts the chains in order again that it has changed.
    pub(super) fn settle(&mut self, slices: &Slices) -> Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        let late = std::mem::take(&mut self.late);
        let mut keys: Vec<u32> = late.iter().map(|slot| self.key[*slot as usize]).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut slots: Vec<u32> = late.into_iter().filter(|slot| self.next[*slot as usize] == UNLINKED).collect();
        for key in keys {
            let mut slot = std::mem::replace(&mut self.head[key as usize], NONE);
            while slot != NONE {
                slots.push(slot);
                slot = self.next[slot as usize];
            }
        }
        slots.sort_unstable();
        slots.dedup();
        let mut groups: Vec<(i64, u32)> = slices.starts_of(&slots)?.into_iter().zip(slots).collect();
        groups.sort_unstable_by(|a, b| b.cmp(a));
        for slice in groups.chunk_by(|a, b| a.0 == b.0) {
            self.link(&slice.iter().map(|(_, slot)| *slot).collect::<Vec<_>>(), slices)?;
        }
        Ok(())
    }

    /// All slices that start before `to` are part of it from now on.
    pub(super) fn extend(&mut self, to: i64, slices: &Slices) -> Result<()> {
        for slots in slices.between(self.to, to) {
            let keys = self.find(slots, slices)?;
            self.back.add_sums(&keys, &slices.sums(slots)?)?;
        }
        self.to = self.to.max(to);
        Ok(())
    }

    /// The slices before `stays` are about to go, or all.
    pub(super) fn remove(&mut self, stays: Option<i64>, slices: &Slices) -> Result<()> {
        let Some(stays) = stays.filter(|stays| *stays < self.to) else {
            slices.between(i64::MIN, self.to).try_for_each(|slots| self.forget(slots))?;
            self.back.keys.reset();
            self.back.reset_sums();
            self.head.empty();
            self.front_to = self.to;
            return Ok(());
        };
        for slots in slices.between(i64::MIN, stays.min(self.front_to)) {
            for slot in slots {
                let key = self.key[*slot as usize] as usize;
                debug_assert_eq!(self.head[key], *slot, "the first slice goes first");
                self.head[key] = self.next[*slot as usize];
                if self.head[key] == NONE && self.back.rows[key] == 0 {
                    self.back.keys.release(key as u32);
                }
            }
            self.forget(slots)?;
        }
        let goes_from_back = slices.between(self.front_to, stays).next().is_some();
        if goes_from_back { self.turn(stays, slices) } else { Ok(()) }
    }

    /// What starts in the back from `stays` on becomes the front, which is empty; what starts before goes.
    fn turn(&mut self, stays: i64, slices: &Slices) -> Result<()> {
        self.back.reset_sums();
        self.back.grow();
        for slots in slices.between(stays, self.to).rev() {
            self.link(slots, slices)?;
        }
        let gone = slices.between(self.front_to, stays);
        let keys = gone.clone().flatten().map(|slot| self.key[*slot as usize]);
        let mut keys: Vec<u32> = keys.filter(|key| self.head[*key as usize] == NONE).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().for_each(|key| self.back.keys.release(key));
        gone.clone().try_for_each(|slots| self.forget(slots))?;
        self.front_to = self.to;
        Ok(())
    }

    /// Puts groups of one slice before all that are chained of their keys.
    fn link(&mut self, slots: &[u32], slices: &Slices) -> Result<()> {
        self.onward.clear_sums(slots)?;
        self.onward.add_sums(slots, &slices.sums(slots)?)?;
        let (mut into, mut from) = (vec![], vec![]);
        for slot in slots {
            let head = &mut self.head[self.key[*slot as usize] as usize];
            if *head != NONE {
                into.push(*slot);
                from.push(*head);
            }
            self.next[*slot as usize] = *head;
            *head = *slot;
        }
        let sums = self.onward.sums(&from)?;
        self.onward.add_sums(&into, &sums)
    }

    /// The keys of groups, which are known from now on.
    fn find(&mut self, slots: &[u32], slices: &Slices) -> Result<Vec<u32>> {
        let mut keys = vec![];
        self.back.keys.find(&slices.keys(slots)?, slots.len(), &mut keys)?;
        self.back.grow();
        self.head.grow(self.back.keys.slots(), NONE);
        let room = slices.slots();
        self.key.grow(room, NONE);
        self.next.grow(room, UNLINKED);
        self.onward.grow_to(room);
        slots.iter().zip(&keys).for_each(|(slot, key)| self.key[*slot as usize] = *key);
        Ok(keys)
    }

    /// The slots of these groups are about to be given to others.
    fn forget(&mut self, slots: &[u32]) -> Result<()> {
        for slot in slots {
            self.key[*slot as usize] = NONE;
            self.next[*slot as usize] = UNLINKED;
        }
        self.onward.clear_sums(slots)
    }

    /// Calls `give` with the columns of sums for the window that an edge tells, and the number of rows: one a key.
    pub(super) fn sums(&mut self, edge: i64, mut give: impl FnMut(Vec<ArrayRef>, usize) -> Result<()>) -> Result<()> {
        let is_there = |key: &u32| self.head[*key as usize] != NONE || self.back.rows[*key as usize] > 0;
        let keys: Vec<u32> = (0..self.head.len() as u32).filter(is_there).collect();
        for keys in keys.chunks(DELTA_ROWS) {
            let mut columns = self.back.keys.columns(keys)?;
            columns.insert(self.column, of_type(vec![edge; keys.len()], &self.data_type));
            columns.extend(self.sums_of(keys)?);
            give(columns, keys.len())?;
        }
        Ok(())
    }

    /// The sums of front and back together.
    fn sums_of(&mut self, keys: &[u32]) -> Result<Vec<ArrayRef>> {
        let Running { back, head, onward, both, .. } = self;
        let rows = || (0u32..).zip(keys.iter().copied());
        let (of_front, heads): (Vec<u32>, Vec<u32>) =
            rows().map(|(row, key)| (row, head[key as usize])).filter(|(_, head)| *head != NONE).unzip();
        let (of_back, in_back): (Vec<u32>, Vec<u32>) = rows().filter(|(_, key)| back.rows[*key as usize] > 0).unzip();
        if of_back.is_empty() {
            return onward.sums(&heads);
        }
        if of_front.is_empty() {
            return back.sums(keys);
        }
        both.grow_to(keys.len());
        both.add_sums(&of_front, &onward.sums(&heads)?)?;
        both.add_sums(&of_back, &back.sums(&in_back)?)?;
        let sums = both.sums(&(0..keys.len() as u32).collect::<Vec<_>>())?;
        both.reset_sums();
        Ok(sums)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let cells = self.head.memory_bytes() + self.key.memory_bytes() + self.next.memory_bytes();
        self.back.memory_bytes() + self.onward.memory_bytes() + self.both.memory_bytes() + cells + self.late.capacity() * size_of::<u32>()
    }
}

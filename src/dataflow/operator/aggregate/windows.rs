//! The life of the windows among an aggregate's keys: which groups are shown, closed and removed as the watermark passes.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::TimestampMicrosecondType;
use weir_common::error::{Error, Result};
use weir_common::lateness::{Emit, WindowLife};

use crate::operator::aggregate::Groups;
use crate::operator::aggregate::clock::Clock;
use crate::times::EpochTimes;

/// The windows of the groups that are there.
///
/// # Invariants
/// - Each group is in `open` or `closed` under what names its window; an entry may be of a slot that was given to another group since.
/// - All windows that the clock shows are shown, and all that it closes are closed.
pub(super) struct Windows {
    clock: Clock,
    open: BTreeMap<i64, Vec<u32>>,
    /// Groups of closed windows, where all of a group is kept.
    closed: BTreeMap<i64, Vec<u32>>,
}

impl Windows {
    pub(super) fn new(life: WindowLife) -> Self {
        Windows { clock: Clock::new(life), open: BTreeMap::new(), closed: BTreeMap::new() }
    }

    pub(super) fn life(&self) -> &WindowLife {
        &self.clock.life
    }

    pub(super) fn resume(&mut self) {
        self.clock.resume();
    }

    /// An epoch begins, or goes on.
    pub(super) fn begin(&mut self, times: &EpochTimes) {
        self.clock.begin(times);
    }

    /// Whether the results of this window are too old to be kept.
    pub(super) fn is_removed(&self, named: i64) -> bool {
        self.clock.is_removed(named)
    }

    /// The watermark at the end of the epoch.
    pub(super) fn watermark(&self, times: &EpochTimes) -> i64 {
        self.clock.watermark(times)
    }

    /// What names the windows of these rows of the aggregate's keys.
    pub(super) fn named<'a>(&self, keys: &'a [ArrayRef]) -> Result<&'a [i64]> {
        let column = keys[self.clock.life.closing.column].as_primitive_opt::<TimestampMicrosecondType>();
        Ok(column.ok_or_else(|| Error::internal("a window is named by no moment"))?.values())
    }

    /// Whether the rows of this window were out when the epoch began.
    pub(super) fn is_shown(&self, named: i64) -> bool {
        self.clock.is_shown(named)
    }

    /// Whether this window was closed when the epoch began.
    pub(super) fn is_closed(&self, named: i64) -> bool {
        self.clock.is_closed(named)
    }

    /// The closed windows among these, each once.
    pub(super) fn closed_among(&self, named: &[i64]) -> Vec<i64> {
        // If the earliest is not closed, none is.
        if named.iter().min().is_none_or(|first| !self.is_closed(*first)) {
            return Vec::new();
        }
        let mut closed: Vec<i64> = named.iter().copied().filter(|named| self.is_closed(*named)).collect();
        closed.sort_unstable();
        closed.dedup();
        closed
    }

    /// Which of these windows are not removed yet; `None` where all are.
    pub(super) fn standing(&self, named: &[i64]) -> Option<BooleanArray> {
        let first = named.iter().min().filter(|first| self.is_removed(**first));
        first.map(|_| named.iter().map(|named| Some(!self.is_removed(*named))).collect())
    }

    /// A group has come.
    pub(super) fn add(&mut self, named: i64, slot: u32) {
        self.open.entry(named).or_default().push(slot);
    }

    /// Whether there is anything that is not shown at once.
    pub(super) fn holds_back(&self) -> bool {
        self.clock.life.emit != Emit::Update
    }

    /// The slots of the windows that are to be shown now, whatever the epoch did to them; some may belong to others by now.
    pub(super) fn due(&self, watermark: i64) -> Vec<(i64, Vec<u32>)> {
        if !self.holds_back() || watermark == self.clock.upto() {
            return Vec::new();
        }
        let hidden = self.open.iter().skip_while(|(named, _)| self.is_shown(**named));
        let due = hidden.take_while(|(named, _)| self.clock.life.shown_at(**named) <= watermark);
        due.map(|(named, slots)| (*named, slots.clone())).collect()
    }

    /// The watermark has come here: the slots of each window that closes, sorted, each once; some may belong to others by now.
    pub(super) fn close(&mut self, watermark: i64) -> Vec<(i64, Vec<u32>)> {
        self.clock.advance(watermark);
        let mut closing = Vec::new();
        while let Some(first) = self.open.first_entry()
            && self.clock.life.closed_at(*first.key()) <= watermark
        {
            let (named, mut slots) = first.remove_entry();
            slots.sort_unstable();
            slots.dedup();
            closing.push((named, slots));
        }
        closing
    }

    /// The next watermark at which a window is shown, closed or removed.
    pub(super) fn next_due(&self) -> Option<i64> {
        let hidden = if self.holds_back() { self.open.keys().find(|named| !self.is_shown(**named)) } else { None };
        let shown = hidden.map(|named| self.clock.life.shown_at(*named));
        let closed = self.open.keys().next().map(|named| self.clock.life.closed_at(*named));
        let removed = self.closed.keys().next().and_then(|named| self.clock.life.removed_at(*named));
        shown.into_iter().chain(closed).chain(removed).min()
    }

    /// Keeps the groups of a closed window until it is removed.
    pub(super) fn keep(&mut self, named: i64, slots: Vec<u32>) {
        self.closed.entry(named).or_default().extend(slots);
    }

    /// The kept groups of the windows that are removed now, as [`Windows::close`] has them.
    pub(super) fn remove(&mut self) -> Vec<(i64, Vec<u32>)> {
        let mut removed = Vec::new();
        while let Some(named) = self.closed.keys().next().copied()
            && self.is_removed(named)
        {
            let mut slots = self.closed.remove(&named).unwrap_or_default();
            slots.sort_unstable();
            slots.dedup();
            removed.push((named, slots));
        }
        removed
    }

    /// A closed window of which groups are kept takes rows once more.
    pub(super) fn reopen(&mut self, named: i64) {
        if let Some(slots) = self.closed.remove(&named) {
            self.open.entry(named).or_default().extend(slots);
        }
    }

    /// Of these slots, those whose group is of the window.
    pub(super) fn of_window(&self, named: i64, mut slots: Vec<u32>, groups: &Groups) -> Result<Vec<u32>> {
        slots.retain(|slot| groups.rows[*slot as usize] > 0);
        let columns = groups.keys.columns(&slots)?;
        let mut names = self.named(&columns)?.iter();
        slots.retain(|_| names.next() == Some(&named));
        Ok(slots)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let all = self.open.values().chain(self.closed.values());
        all.map(|slots| slots.capacity() * size_of::<u32>() + size_of::<(i64, Vec<u32>)>() * 3 / 2).sum()
    }
}

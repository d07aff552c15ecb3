//! The index of a shard: where a row lies, found by its hash, in four bytes for each row.
//!
//! A row has a number: that of its page, and where it is in the page. A page is a few rows of one run, so what turns numbers back into
//! places is small. Hashes are not kept: they are computed again when the table grows.

use arrow::buffer::BooleanBuffer;
use hashbrown::HashTable;
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::INDEXED_PAGES_MAX;

/// Rows of a page; a power of two.
const PAGE_ROWS: usize = 256;

const _: () = assert!(INDEXED_PAGES_MAX * PAGE_ROWS - 1 <= u32::MAX as usize);

/// Buckets that are kept however few rows there are.
const SPARE_BUCKETS: usize = 64 * 1024;

/// Where a row lies: the run's slot and the row in it.
pub(super) type Place = (u32, u32);

/// Finds live rows.
///
/// # Invariants
/// - Each number in `table` is of a row on a page that is taken.
#[derive(Default)]
pub(super) struct Index {
    table: HashTable<u32>,
    /// The run's slot, and the first row of it that is on the page.
    pages: Vec<Place>,
    free: Vec<u32>,
}

/// The pages that a run has taken, in the order of its rows.
#[derive(Default)]
pub(super) struct Pages(Box<[u32]>);

impl Pages {
    /// The number of a row of the run.
    #[inline(always)]
    pub(super) fn number(&self, row: usize) -> u32 {
        self.0[row / PAGE_ROWS] * PAGE_ROWS as u32 + (row % PAGE_ROWS) as u32
    }
}

impl Index {
    /// Takes pages for a run of so many rows; an error if there are no more.
    pub(super) fn take_pages(&mut self, slot: u32, rows: usize) -> Result<Pages> {
        let wanted = rows.div_ceil(PAGE_ROWS);
        if wanted > self.free.len() + (INDEXED_PAGES_MAX - self.pages.len()) {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a worker has more rows of one table or view than can be told apart")
                .with_hint("Start the server with more workers."));
        }
        let take = |page: usize| {
            let place = (slot, (page * PAGE_ROWS) as u32);
            match self.free.pop() {
                Some(number) => {
                    self.pages[number as usize] = place;
                    number
                }
                None => {
                    self.pages.push(place);
                    (self.pages.len() - 1) as u32
                }
            }
        };
        Ok(Pages((0..wanted).map(take).collect()))
    }

    /// Gives pages back, of which no row is in the table any more.
    pub(super) fn give_back(&mut self, pages: &Pages) {
        self.free.extend(&pages.0);
    }

    /// How many rows the table should be made anew for, when so many more come or some have gone: `None` while it fits.
    pub(super) fn misfit(&self, more: usize) -> Option<usize> {
        let (rows, most) = (self.table.len() + more, rows_of(self.table.num_buckets()));
        if rows > self.table.capacity() {
            // What removed rows have left behind may be all that is in the way.
            return Some(if rows <= most / 2 { most } else { rows.max(most + 1) });
        }
        (self.table.num_buckets() > SPARE_BUCKETS && rows < most / 16).then_some(rows)
    }

    /// An empty table with room for so many rows: all live ones have to be added again.
    pub(super) fn empty(&mut self, rows: usize) {
        // One goes before the other comes.
        self.table = HashTable::new();
        self.table = HashTable::with_capacity(rows);
    }

    /// Adds the live rows of a run; there is room for them. `hashes` are those of all its rows.
    pub(super) fn add(&mut self, pages: &Pages, hashes: &[u64], live: Option<&BooleanBuffer>) {
        let mut add = |row: usize| {
            self.table.insert_unique(hashes[row], pages.number(row), |_| unreachable!("room was made for all rows that come"));
        };
        match live {
            None => (0..hashes.len()).for_each(&mut add),
            Some(live) => live.set_indices().for_each(&mut add),
        }
    }

    /// Where the row with this number lies.
    #[inline(always)]
    pub(super) fn place(&self, number: u32) -> Place {
        place(&self.pages, number)
    }

    /// The first row that may have this hash.
    #[inline(always)]
    pub(super) fn first(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |_| true).copied()
    }

    /// Removes one row with this hash, and says where it lies; `is` says of its number whether it is the one.
    #[inline(always)]
    pub(super) fn remove(&mut self, hash: u64, is: impl Fn(u32) -> bool) -> Option<Place> {
        let (number, _) = self.table.find_entry(hash, |number| is(*number)).ok()?.remove();
        Some(self.place(number))
    }

    /// Removes one row with this hash that is the same, and says where it lies.
    pub(super) fn remove_same(&mut self, hash: u64, same: impl Fn(Place) -> bool) -> Option<Place> {
        let Index { table, pages, .. } = self;
        let (number, _) = table.find_entry(hash, |number| same(place(pages, *number))).ok()?.remove();
        Some(place(pages, number))
    }

    /// A row has another number now.
    pub(super) fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        let found = self.table.find_mut(hash, |number| *number == from);
        debug_assert!(found.is_some(), "each live row is in the index");
        if let Some(number) = found {
            *number = to;
        }
    }

    /// Bytes of the table and what belongs to it.
    pub(super) fn memory_bytes(&self) -> usize {
        self.table.allocation_size() + self.pages.capacity() * size_of::<Place>() + self.free.capacity() * size_of::<u32>()
    }
}

#[inline(always)]
fn place(pages: &[Place], number: u32) -> Place {
    let (slot, first) = pages[number as usize / PAGE_ROWS];
    (slot, first + number % PAGE_ROWS as u32)
}

/// Rows that a table of so many buckets takes before it has to grow.
fn rows_of(buckets: usize) -> usize {
    buckets / 8 * 7
}

//! The groups' keys: from key columns to slots and back.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use weir_common::error::Result;

use crate::operator::aggregate::encoded_keys::EncodedKeys;
use crate::operator::aggregate::packed_keys::PackedKeys;

/// Finds the slot of each key. Slots are numbered from 0; that of a group which is gone is given out again.
/// NULLs are equal, so are the two zeros and all NaNs.
pub(super) enum Keys {
    /// No key columns: one group, always there, in slot 0.
    Single,
    /// Columns of fixed width that fit 8 bytes.
    Narrow(Box<PackedKeys<u64>>),
    /// Columns of fixed width that fit 16 bytes.
    Wide(Box<PackedKeys<u128>>),
    /// All others.
    Encoded(Box<EncodedKeys>),
}

impl Keys {
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        if types.is_empty() {
            return Ok(Keys::Single);
        }
        if let Some(keys) = PackedKeys::new(types) {
            return Ok(Keys::Narrow(Box::new(keys)));
        }
        if let Some(keys) = PackedKeys::new(types) {
            return Ok(Keys::Wide(Box::new(keys)));
        }
        Ok(Keys::Encoded(Box::new(EncodedKeys::new(types)?)))
    }

    /// Replaces `slots` by the slot of each of the `rows` rows; new keys get new slots.
    pub(super) fn find(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        slots.clear();
        match self {
            Keys::Single => slots.resize(rows, 0),
            Keys::Narrow(keys) => keys.find(columns, rows, slots)?,
            Keys::Wide(keys) => keys.find(columns, rows, slots)?,
            Keys::Encoded(keys) => keys.find(columns, rows, slots)?,
        }
        Ok(())
    }

    /// Slots that were given out, those of groups that are gone included.
    pub(super) fn slots(&self) -> usize {
        match self {
            Keys::Single => 1,
            Keys::Narrow(keys) => keys.slots(),
            Keys::Wide(keys) => keys.slots(),
            Keys::Encoded(keys) => keys.slots(),
        }
    }

    /// Groups that are there.
    pub(super) fn groups(&self) -> usize {
        match self {
            Keys::Single => 1,
            Keys::Narrow(keys) => keys.groups(),
            Keys::Wide(keys) => keys.groups(),
            Keys::Encoded(keys) => keys.groups(),
        }
    }

    /// The key columns of these slots.
    pub(super) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        match self {
            Keys::Single => Ok(Vec::new()),
            Keys::Narrow(keys) => keys.columns(slots),
            Keys::Wide(keys) => keys.columns(slots),
            Keys::Encoded(keys) => keys.columns(slots),
        }
    }

    /// The group is gone.
    pub(super) fn release(&mut self, slot: u32) {
        match self {
            Keys::Single => {}
            Keys::Narrow(keys) => keys.release(slot),
            Keys::Wide(keys) => keys.release(slot),
            Keys::Encoded(keys) => keys.release(slot),
        }
    }

    /// All groups are gone, and so are their slots.
    pub(super) fn reset(&mut self) {
        match self {
            Keys::Single => {}
            Keys::Narrow(keys) => keys.reset(),
            Keys::Wide(keys) => keys.reset(),
            Keys::Encoded(keys) => keys.reset(),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Keys::Single => 0,
            Keys::Narrow(keys) => keys.memory_bytes(),
            Keys::Wide(keys) => keys.memory_bytes(),
            Keys::Encoded(keys) => keys.memory_bytes(),
        }
    }
}

/// Slots whose memory a table keeps when all its groups are gone.
const SPARE_SLOTS: usize = 8 * 1024;

/// Empties cells by slot, and gives back memory that only an unusual epoch needs.
pub(super) fn empty<T>(cells: &mut Vec<T>) {
    cells.clear();
    cells.shrink_to(SPARE_SLOTS);
}

/// Empties a table of slots in the same way.
pub(super) fn empty_table(table: &mut HashTable<u32>) {
    table.clear();
    // Without entries there is nothing to hash again.
    table.shrink_to(SPARE_SLOTS, |_| 0);
}

/// Folds two words into a hash for tables in memory: one multiplication, as wyhash does.
#[inline(always)]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = (a ^ 0x9E37_79B9_7F4A_7C15) as u128 * (b ^ 0xD6E8_FEB8_6659_FD93) as u128;
    product as u64 ^ (product >> 64) as u64
}

//! What an accumulator keeps of each value of a group: how often it is there, and whether the last checkpoint has it so.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use weir_common::error::Result;

/// The values of groups that an accumulator keeps one by one.
///
/// # Contract
/// - An entry is gone when its count is 0, and then `take_gone` names it, if a checkpoint has it. Whoever asks does so before the
///   slots of its groups are given to others.
/// - What `take_changed` has given, the checkpoint has.
pub(super) trait Entries {
    /// The type of the values.
    fn value_type(&self) -> DataType;
    /// Entries that went since the last call: the slot of each one's group, and its value.
    fn take_gone(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>>;
    /// Entries that are new or counted otherwise since the last call: the slot of each one's group, its value and its count.
    fn take_changed(&mut self) -> Result<(Vec<u32>, ArrayRef, Vec<i64>)>;
    /// Entries that a restart has brought back.
    fn load(&mut self, slots: &[u32], values: &ArrayRef, counts: &[i64]) -> Result<()>;
}

/// A count in one word with what a checkpoint has to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count(i64);

impl Count {
    const DIRTY: i64 = 1;
    const STORED: i64 = 2;
    const ONE: i64 = 4;

    /// A count that no checkpoint has.
    pub(super) fn new(count: i64) -> Self {
        Count(count * Self::ONE)
    }

    /// A count that the last checkpoint has.
    pub(super) fn stored(count: i64) -> Self {
        Count((count * Self::ONE) | Self::STORED)
    }

    #[inline(always)]
    pub(super) fn get(self) -> i64 {
        self.0 >> 2
    }

    #[inline(always)]
    pub(super) fn add(&mut self, weight: i64) {
        self.0 += weight * Self::ONE;
    }

    /// Marks it as changed; says whether it was not.
    #[inline(always)]
    pub(super) fn change(&mut self) -> bool {
        let first = self.0 & Self::DIRTY == 0;
        self.0 |= Self::DIRTY;
        first
    }

    /// Whether it changed; from now on the checkpoint has it.
    pub(super) fn take_changed(&mut self) -> bool {
        let changed = self.0 & Self::DIRTY != 0;
        self.0 = (self.0 & !Self::DIRTY) | Self::STORED;
        changed
    }

    /// Whether a checkpoint has it.
    pub(super) fn is_stored(self) -> bool {
        self.0 & Self::STORED != 0
    }
}

//! What an accumulator keeps of each value of a group: how often it is there, and whether the last checkpoint has it so.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use weir_common::error::Result;

use crate::operator::aggregate::marks::Marks;

/// Entries: the slot of each one's group, its value, and its count.
pub(super) type Counts = (Vec<u32>, ArrayRef, Vec<i64>);

/// The values of groups that an accumulator keeps one by one.
///
/// # Contract
/// - An entry is gone when its count is 0, and then `take_gone` names it, if a checkpoint has it. Whoever asks does so before the
///   slots of its groups are given to others; the same holds for `take_kept`.
/// - After a `freeze`, `take_kept` and `copy` hand out every entry that had changed since the one before, each once, with the count
///   that it had at the freeze. The checkpoint has it from then on.
pub(super) trait Entries {
    /// The type of the values.
    fn value_type(&self) -> DataType;
    /// Entries that went since the last call: the slot of each one's group, and its value.
    fn take_gone(&mut self) -> Result<Option<(Vec<u32>, ArrayRef)>>;
    /// What has changed so far is to be copied, as it is now.
    fn freeze(&mut self);
    /// Frozen entries that have changed since the last call, as they were.
    fn take_kept(&mut self) -> Result<Option<Counts>>;
    /// The next frozen entries, for about as many rows as the budget has; `None` when no more are left.
    fn copy(&mut self, budget: &mut usize) -> Result<Option<Counts>>;
    /// Entries that a restart has brought back.
    fn load(&mut self, slots: &[u32], values: &ArrayRef, counts: &[i64]) -> Result<()>;
}

/// A count in one word with what a checkpoint has to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(i64);

impl Count {
    /// Above the bits of [`Marks`].
    const STORED: i64 = 4;
    const ONE: i64 = 8;

    /// A count that no checkpoint has.
    pub(crate) fn new(count: i64) -> Self {
        Count(count * Self::ONE)
    }

    /// A count that the last checkpoint has.
    pub(crate) fn stored(count: i64) -> Self {
        Count((count * Self::ONE) | Self::STORED)
    }

    #[inline(always)]
    pub(crate) fn get(self) -> i64 {
        self.0 >> Self::ONE.trailing_zeros()
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, weight: i64) {
        self.0 += weight * Self::ONE;
    }

    /// Marks it as changed; says whether it was not.
    #[inline(always)]
    pub(crate) fn change(&mut self, marks: Marks) -> bool {
        let first = self.0 & i64::from(marks.changed()) == 0;
        self.0 |= i64::from(marks.changed());
        first
    }

    /// Whether it was frozen; from now on the checkpoint has it.
    #[inline(always)]
    pub(crate) fn copy(&mut self, marks: Marks) -> bool {
        let frozen = self.0 & i64::from(marks.frozen()) != 0;
        if frozen {
            self.0 = (self.0 & !i64::from(marks.frozen())) | Self::STORED;
        }
        frozen
    }

    /// Whether a checkpoint has it.
    pub(crate) fn is_stored(self) -> bool {
        self.0 & Self::STORED != 0
    }
}

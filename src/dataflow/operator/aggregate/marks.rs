//! Which mark says that something changed: two take turns, so that a checkpoint freezes all that is marked at once.

/// Two bits. One means "changed since the last freeze", the other "had changed then, and is not copied yet"; a freeze swaps them.
///
/// # Invariants
/// - Nothing has both: what is about to change for the first time after a freeze is copied first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    changed: u8,
}

impl Marks {
    /// The bits that marks take.
    pub(crate) const ALL: u8 = 3;

    pub(crate) fn new() -> Self {
        Marks { changed: 1 }
    }

    /// The mark of what changed since the last freeze.
    #[inline(always)]
    pub(crate) fn changed(self) -> u8 {
        self.changed
    }

    /// The mark of what had changed at the last freeze, and is not copied yet.
    #[inline(always)]
    pub(crate) fn frozen(self) -> u8 {
        self.changed ^ Self::ALL
    }

    /// What has changed so far is frozen; nothing else is any more.
    pub(crate) fn freeze(&mut self) {
        self.changed ^= Self::ALL;
    }
}

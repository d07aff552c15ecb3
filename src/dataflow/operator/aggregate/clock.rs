//! The watermark of windows, from epoch to epoch: which of them are shown, closed and removed.

use weir_common::lateness::WindowLife;

use crate::times::EpochTimes;

#[cfg(test)]
mod tests;

/// What has become of windows by the end of the last epoch. Ends are microseconds.
pub(super) struct Clock {
    pub(super) life: WindowLife,
    /// The watermark of their event time when the last epoch closed.
    upto: i64,
    /// The same, but for the source's end, which closes all windows and makes no result old.
    aged: i64,
    /// What the source's rows had brought it to, once it has ended.
    came_to: i64,
    /// Whether `upto` is still to be taken from the first epoch after a restart.
    resumed: bool,
}

impl Clock {
    pub(super) fn new(life: WindowLife) -> Self {
        Clock { life, upto: i64::MIN, aged: i64::MIN, came_to: i64::MIN, resumed: false }
    }

    pub(super) fn resume(&mut self) {
        self.resumed = true;
    }

    /// An epoch begins, or goes on.
    pub(super) fn begin(&mut self, times: &EpochTimes) {
        let closing = &self.life.closing;
        if let Some(came_to) = times.came_to(closing.source) {
            self.came_to = closing.watermark(came_to);
        }
        if self.resumed && *times != EpochTimes::NONE {
            let upto = self.late(times);
            self.advance(upto);
            self.resumed = false;
        }
    }

    /// The watermark by which rows of the epoch are late.
    pub(super) fn late(&self, times: &EpochTimes) -> i64 {
        self.life.closing.watermark(times.before(self.life.closing.source))
    }

    /// The watermark at the end of the epoch.
    pub(super) fn watermark(&self, times: &EpochTimes) -> i64 {
        self.life.closing.watermark(times.after(self.life.closing.source)).max(self.upto)
    }

    /// The watermark when the last epoch closed.
    pub(super) fn upto(&self) -> i64 {
        self.upto
    }

    /// The epoch is over.
    pub(super) fn advance(&mut self, watermark: i64) {
        self.upto = watermark;
        // Whether the last rows came in the same epoch as the end or not.
        self.aged = self.aged.max(if watermark < i64::MAX { watermark } else { self.came_to });
    }

    /// Whether the rows of this window were out when the epoch began.
    pub(super) fn is_shown(&self, named: i64) -> bool {
        self.life.shown_at(named) <= self.upto
    }

    /// Whether this window was closed when the epoch began.
    pub(super) fn is_closed(&self, named: i64) -> bool {
        self.life.closed_at(named) <= self.upto
    }

    /// Whether the results of this window are too old to be kept.
    pub(super) fn is_removed(&self, named: i64) -> bool {
        self.life.removed_at(named).is_some_and(|at| at <= self.aged)
    }
}

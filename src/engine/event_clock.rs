//! The watermark of a reader: what its rows promise, and what the wall clock adds while it gives none.

use weir_common::limits::WATERMARK_TICK_MILLIS;
use weir_common::source::Watermark;

/// A part of a source with event times that rise by themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Partition {
    /// The greatest event time, microseconds.
    pub(crate) latest: Option<i64>,
    /// The wall clock since which it has been at its end and has given nothing. `None` while it gives rows, and while they are held up:
    /// by Weir, by an outage, or by an error.
    pub(crate) silent_since: Option<i64>,
}

/// How far event times have come. All moments are microseconds since 1970 UTC.
///
/// # Invariants
/// - It never steps back.
/// - It goes on by itself only while all partitions are idle, at the pace of the wall clock, and never beyond that less the delay.
#[derive(Clone, Debug)]
pub(crate) struct EventClock {
    /// One or more.
    pub(crate) partitions: Vec<Partition>,
    at: Option<i64>,
    /// Where it stood when the last partition became idle, while all of them are.
    stood: Option<i64>,
    /// The wall clock at which it moved last, as far as that is known.
    moved_at: Option<i64>,
}

impl EventClock {
    /// One that stands here, of a source with one partition.
    pub(crate) fn new(latest: Option<i64>, at: Option<i64>) -> Self {
        EventClock { partitions: vec![Partition { latest, silent_since: None }], at, stood: None, moved_at: None }
    }

    /// The watermark.
    pub(crate) fn at(&self) -> Option<i64> {
        self.at
    }

    /// The wall clock since which it has stood where it is, if it moved since the last restart or the epochs that were done again then.
    pub(crate) fn moved_at(&self) -> Option<i64> {
        self.moved_at
    }

    /// The greatest event time of all partitions.
    pub(crate) fn latest(&self) -> Option<i64> {
        self.partitions.iter().filter_map(|partition| partition.latest).max()
    }

    /// The watermark is at least this.
    pub(crate) fn raise(&mut self, at: Option<i64>) {
        self.at = self.at.max(at);
    }

    /// The wall clock at which the last partition became idle, if all of them are.
    pub(crate) fn idle_since(&self, of: &Watermark, wall_micros: i64) -> Option<i64> {
        let idle_from = |partition: &Partition| Some(partition.silent_since?.saturating_add(of.idle_timeout));
        let since = self.partitions.iter().map(idle_from).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        (since <= wall_micros).then_some(since)
    }

    /// The watermark at this wall clock, and where it stood when all partitions had become idle.
    fn reached(&self, of: &Watermark, wall_micros: i64) -> (Option<i64>, Option<i64>) {
        let idle_since = self.idle_since(of, wall_micros);
        let is_idle =
            |partition: &Partition| partition.silent_since.is_some_and(|since| since.saturating_add(of.idle_timeout) <= wall_micros);
        let counted = self.partitions.iter().filter(|partition| idle_since.is_some() || !is_idle(partition));
        let promised = counted.map(|partition| partition.latest).min().flatten().map(|latest| latest.saturating_sub(of.delay));
        let stands = self.at.max(promised);
        // A delay that was made shorter meanwhile counts as if it had been so from the start.
        let Some((since, stood)) = idle_since.zip(self.stood.or(stands).max(promised)) else { return (stands, None) };
        // In whole steps: views are not told of each microsecond.
        let step = WATERMARK_TICK_MILLIS as i64 * 1000;
        let gone = wall_micros.saturating_sub(since) / step * step;
        let walked = stood.saturating_add(gone).min(since.saturating_add(gone).saturating_sub(of.delay));
        (stands.max(Some(walked)), Some(stood))
    }

    /// The watermark that [`EventClock::advance`] would come to.
    pub(crate) fn at_wall(&self, of: &Watermark, wall_micros: i64) -> Option<i64> {
        self.reached(of, wall_micros).0
    }

    /// Goes on to this wall clock; says whether it went further than rows promise.
    pub(crate) fn advance(&mut self, of: &Watermark, wall_micros: i64) -> bool {
        let promised = self.latest().map(|latest| latest.saturating_sub(of.delay));
        let by_rows = self.at.max(promised);
        let before = self.at;
        (self.at, self.stood) = self.reached(of, wall_micros);
        if self.at != before {
            self.moved_at = Some(wall_micros);
        }
        self.at != by_rows
    }
}

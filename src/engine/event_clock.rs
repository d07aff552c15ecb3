//! The watermark of a reader: what its rows promise, and what the wall clock adds while it gives none.

use std::cmp::Reverse;

use weir_common::limits::WATERMARK_TICK_MILLIS;
use weir_common::source::Watermark;

#[cfg(test)]
mod tests;

/// A part of a source with event times that rise by themselves.
#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    /// The greatest event time, microseconds.
    latest: Option<i64>,
    /// The wall clock since which it has been at its end and has given nothing. `None` while it gives rows, and while they are held up:
    /// by Weir, by an outage, or by an error.
    silent_since: Option<i64>,
}

impl Partition {
    /// The wall clock at which it becomes idle if it goes on giving nothing.
    fn idle_from(&self, of: &Watermark) -> Option<i64> {
        Some(self.silent_since?.saturating_add(of.idle_timeout))
    }

    fn is_idle(&self, of: &Watermark, heard: i64) -> bool {
        self.idle_from(of).is_some_and(|from| from <= heard)
    }
}

/// How far event times have come. All moments are microseconds since 1970 UTC.
///
/// # Invariants
/// - It never steps back.
/// - It is the least of its partitions that are not idle; one that has given nothing yet holds it where it is.
/// - It goes on by itself only while all partitions are idle, at the pace of the wall clock, and never beyond that less the delay.
#[derive(Clone, Debug)]
pub(crate) struct EventClock {
    /// One or more.
    partitions: Vec<Partition>,
    /// The wall clock up to which all is known that partitions have given: silence counts up to there.
    heard: i64,
    at: Option<i64>,
    /// Where it stood when the last partition became idle, and the wall clock up to which it went on from there; while all are silent.
    stood: Option<(i64, i64)>,
    /// The wall clock at which it moved last, as far as that is known.
    moved_at: Option<i64>,
}

impl EventClock {
    /// At the start of something with one partition, as far as is known.
    pub(crate) fn new() -> Self {
        EventClock::standing(vec![None], None)
    }

    /// One that stands here, with the greatest event times of its partitions, of which there is one at least.
    pub(crate) fn standing(latest: Vec<Option<i64>>, at: Option<i64>) -> Self {
        let partitions = latest.into_iter().map(|latest| Partition { latest, silent_since: None }).collect();
        EventClock { partitions, heard: i64::MIN, at, stood: None, moved_at: None }
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

    /// The greatest event time of each partition.
    pub(crate) fn latest_of_each(&self) -> impl ExactSizeIterator<Item = Option<i64>> {
        self.partitions.iter().map(|partition| partition.latest)
    }

    /// The wall clock up to which silence counts.
    pub(crate) fn heard(&self) -> i64 {
        self.heard
    }

    /// There are as many partitions as this, or more.
    pub(crate) fn grow(&mut self, partitions: usize) {
        let partitions = self.partitions.len().max(partitions);
        self.partitions.resize(partitions, Partition::default());
    }

    /// A partition gives something, with this greatest event time.
    pub(crate) fn gave(&mut self, partition: u32, latest: Option<i64>) {
        self.grow(partition as usize + 1);
        let partition = &mut self.partitions[partition as usize];
        partition.latest = partition.latest.max(latest);
        partition.silent_since = None;
    }

    /// The partitions and their greatest event times are these.
    pub(crate) fn set_latest(&mut self, latest: Vec<Option<i64>>) {
        self.partitions = EventClock::standing(latest, None).partitions;
    }

    /// From now on a partition is not held up if it gives nothing.
    pub(crate) fn silent(&mut self, partition: u32, since: i64) {
        self.grow(partition as usize + 1);
        self.partitions[partition as usize].silent_since.get_or_insert(since);
    }

    /// The same of all of them.
    pub(crate) fn all_silent(&mut self, since: i64) {
        self.partitions.iter_mut().for_each(|partition| _ = partition.silent_since.get_or_insert(since));
    }

    /// Nobody knows any more whether a partition has something to give.
    pub(crate) fn interrupt(&mut self) {
        self.partitions.iter_mut().for_each(|partition| partition.silent_since = None);
    }

    /// All that partitions have given until this wall clock is known.
    pub(crate) fn hear(&mut self, wall_micros: i64) {
        self.heard = self.heard.max(wall_micros);
    }

    /// Of the time until this wall clock nobody listened for so long: no silence is known of it.
    pub(crate) fn put_off(&mut self, micros: i64, wall_micros: i64) {
        for since in self.partitions.iter_mut().filter_map(|partition| partition.silent_since.as_mut()) {
            *since = (*since).max(since.saturating_add(micros).min(wall_micros));
        }
    }

    /// Whether no partition gives anything.
    pub(crate) fn is_silent(&self) -> bool {
        self.partitions.iter().all(|partition| partition.silent_since.is_some())
    }

    /// Whether it may go on although no row comes.
    pub(crate) fn goes_on(&self, of: &Watermark) -> bool {
        let becomes_idle = |partition: &Partition| partition.idle_from(of).is_some_and(|from| from > self.heard);
        self.latest().is_some() && (self.is_silent() || self.partitions.iter().any(becomes_idle))
    }

    /// The watermark is at least this, from this wall clock on.
    pub(crate) fn raise(&mut self, at: Option<i64>, wall_micros: i64) {
        if at > self.at {
            (self.at, self.moved_at) = (at, Some(wall_micros));
        }
    }

    /// The wall clock at which the last partition became idle, if all of them are.
    pub(crate) fn idle_since(&self, of: &Watermark, heard: i64) -> Option<i64> {
        let since = self.partitions.iter().map(|partition| partition.idle_from(of)).collect::<Option<Vec<_>>>()?.into_iter().max()?;
        (since <= heard).then_some(since)
    }

    /// The partition that the watermark waits for: the one that is behind all others, but for those that are idle.
    pub(crate) fn held_back_by(&self, of: &Watermark, heard: i64) -> Option<usize> {
        let counted = self.partitions.iter().enumerate().filter(|(_, partition)| !partition.is_idle(of, heard));
        counted.min_by_key(|(_, partition)| partition.latest).map(|(number, _)| number)
    }

    /// Of each partition, its greatest event time less the delay, and since when it is idle.
    pub(crate) fn of_each(&self, of: &Watermark, heard: i64) -> impl Iterator<Item = (Option<i64>, Option<i64>)> {
        let (of, promise) = (*of, |latest: i64| latest.saturating_sub(of.delay));
        self.partitions.iter().map(move |partition| (partition.latest.map(promise), partition.idle_from(&of).filter(|from| *from <= heard)))
    }

    /// What the rows of all partitions promise, whatever the wall clock is.
    fn promised(&self, of: &Watermark) -> Option<i64> {
        let least = self.partitions.iter().map(|partition| partition.latest).min().flatten();
        least.map(|latest| latest.saturating_sub(of.delay))
    }

    /// The watermark where silence is known up to this wall clock, and what is to be [`EventClock::stood`].
    fn reached(&self, of: &Watermark, heard: i64) -> (Option<i64>, Option<(i64, i64)>) {
        let idle_since = self.idle_since(of, heard);
        let counted = self.partitions.iter().filter(|partition| !partition.is_idle(of, heard));
        // When all are idle, it stands where the last one left it; one that never gave anything has no say any more.
        let last = self.partitions.iter().filter_map(|partition| Some((partition.silent_since?, Reverse(partition.latest?)))).max();
        let least = match idle_since {
            Some(_) => last.map(|(_, Reverse(latest))| latest),
            None => counted.map(|partition| partition.latest).min().flatten(),
        };
        let promised = least.map(|latest| latest.saturating_sub(of.delay));
        let stands = self.at.max(promised);
        let Some(since) = idle_since else { return (stands, self.stood.filter(|_| self.is_silent())) };
        // The timeout may have been made longer and shorter again meanwhile.
        let stood = self.stood.filter(|(_, until)| since <= *until).map(|(stood, _)| stood);
        // A delay that was made shorter meanwhile counts as if it had been so from the start.
        let Some(stood) = stood.or(stands).max(promised) else { return (stands, None) };
        // In whole steps: views are not told of each microsecond.
        let step = WATERMARK_TICK_MILLIS as i64 * 1000;
        let gone = heard.saturating_sub(since) / step * step;
        let walked = stood.saturating_add(gone).min(since.saturating_add(gone).saturating_sub(of.delay));
        (stands.max(Some(walked)), Some((stood, heard)))
    }

    /// The watermark that [`EventClock::advance`] would come to if silence were known up to this wall clock.
    pub(crate) fn at_wall(&self, of: &Watermark, heard: i64) -> Option<i64> {
        self.reached(of, heard).0
    }

    /// Goes on at this wall clock; says whether it went further than rows promise.
    pub(crate) fn advance(&mut self, of: &Watermark, wall_micros: i64) -> bool {
        let (before, by_rows) = (self.at, self.at.max(self.promised(of)));
        (self.at, self.stood) = self.reached(of, self.heard);
        debug_assert!(self.at >= before, "a watermark never steps back");
        if self.at != before {
            self.moved_at = Some(wall_micros);
        }
        self.at != by_rows
    }
}

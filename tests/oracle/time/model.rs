//! The rules of docs/time.md, as plainly as they can be written: every window keeps its rows, and every rule is a few lines.

use std::collections::BTreeMap;

use weir_common::lateness::Emit;

use crate::time::SECOND;
use crate::time::sessions::{SessionModel, Sessions};

/// A row of the input; its time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub time: Option<i64>,
    pub key: i32,
    pub value: i32,
}

/// What a view says about its windows; all lengths in seconds.
#[derive(Clone, Debug)]
pub struct Rules {
    pub size: i64,
    /// From one window to the next: `size` where they stand side by side.
    pub slide: i64,
    /// Whether windows begin together, every size, and end one slide after the other.
    pub cumulates: bool,
    pub offset: i64,
    /// Windows are sessions, and have none of the lengths above.
    pub sessions: Option<Sessions>,
    /// Whether the results of closed windows are known until they are removed.
    pub keeps_results: bool,
    pub emit: Emit,
    /// `None`: windows never close.
    pub lateness: Option<i64>,
    pub retention: Option<i64>,
    /// Rows with this value are rejected by WHERE.
    pub rejected: Option<i32>,
}

/// The start of a window, its end, and a key. A cumulating window starts as if it had the full size.
pub type Group = (i64, i64, i32);

/// The values of a group, and how often it has them.
pub type Values = BTreeMap<i32, i64>;

/// The windows of a view, each with its rows.
pub struct Model {
    rules: Rules,
    groups: BTreeMap<Group, Values>,
    sessions: SessionModel,
    /// Rows by the end of the window that they were late for (microseconds), with their weights.
    pub late: BTreeMap<(Row, i64), i64>,
    /// The watermark, as it was before the source came to its end.
    aged: Option<i64>,
}

impl Model {
    pub fn new(rules: Rules) -> Model {
        Model { rules, groups: BTreeMap::new(), sessions: SessionModel::default(), late: BTreeMap::new(), aged: None }
    }

    /// A row comes, or goes; the watermark is that of the end of the epoch before.
    pub fn row(&mut self, row: &Row, weight: i64, watermark: Option<i64>) {
        if self.rules.rejected == Some(row.value) {
            return;
        }
        if self.rules.sessions.is_some() {
            return self.sessions.row(row, weight);
        }
        let Some(time) = row.time else { return };
        for start in self.starts(time) {
            let end = start + self.rules.size;
            match self.is_closed(end, watermark) {
                true => add(&mut self.late, (*row, end * SECOND), weight),
                false => add(self.groups.entry((start, end, row.key)).or_default(), row.value, weight),
            }
        }
    }

    /// All late rows go into their windows.
    pub fn admit(&mut self) -> usize {
        let late = std::mem::take(&mut self.late);
        if let Some(sessions) = self.rules.sessions {
            let entries = late.len();
            self.sessions.admit(sessions, late);
            return entries;
        }
        for ((row, end), weight) in &late {
            let end = end / SECOND;
            add(self.groups.entry((end - self.rules.size, end, row.key)).or_default(), row.value, *weight);
        }
        late.len()
    }

    /// The epoch began with a watermark and ends with another: what is old enough is removed; how many groups that were.
    pub fn close(&mut self, began: Option<i64>, watermark: Option<i64>) -> usize {
        if let Some(sessions) = self.rules.sessions {
            self.sessions.close(&self.rules, sessions, began, watermark, &mut self.late);
        }
        self.groups.retain(|_, rows| !rows.is_empty());
        let before = self.groups.len() + self.sessions.closed.len();
        // The end of a source closes windows, and makes no result old.
        self.aged = watermark.filter(|watermark| *watermark != i64::MAX).or(self.aged);
        if let Some(retention) = self.rules.retention {
            let aged = self.aged;
            self.groups.retain(|(_, end, _), _| !passed(end + retention, aged));
            self.sessions.closed.retain(|(end, _)| !passed(end + retention, aged));
        }
        before - self.groups.len() - self.sessions.closed.len()
    }

    /// What the view shows: groups with their values.
    pub fn shown(&self, watermark: Option<i64>) -> Vec<(Group, Values)> {
        let Rules { emit, lateness, sessions, .. } = self.rules;
        let is_shown = |end: i64| match emit {
            Emit::Update => true,
            Emit::WindowClose => passed(end, watermark),
            Emit::Final => passed(end + lateness.unwrap_or(0), watermark),
        };
        let open = sessions.map_or(vec![], |sessions| self.sessions.open(sessions));
        let all = self.groups.iter().map(|(group, rows)| (*group, rows.clone())).chain(open);
        all.filter(|((_, end, _), _)| is_shown(*end)).chain(self.sessions.closed(&self.rules)).collect()
    }

    fn is_closed(&self, end: i64, watermark: Option<i64>) -> bool {
        self.rules.lateness.is_some_and(|lateness| passed(end + lateness, watermark))
    }

    /// The windows that hold a moment.
    fn starts(&self, time: i64) -> Vec<i64> {
        let Rules { size, slide, offset, cumulates, .. } = self.rules;
        if cumulates {
            // They are told by their ends, as if all were of one size.
            let first = time - (time - offset).rem_euclid(size);
            let ends = (1..=size / slide).map(|steps| first + steps * slide);
            return ends.filter(|end| time < *end).map(|end| end - size).collect();
        }
        (time - size + 1..=time).filter(|start| (start - offset).rem_euclid(slide) == 0).collect()
    }
}

/// Whether the watermark has come to a moment, in seconds.
pub fn passed(moment: i64, watermark: Option<i64>) -> bool {
    watermark.is_some_and(|watermark| watermark >= moment * SECOND)
}

/// Adds to a count; what comes to nothing is not there.
pub fn add<K: Ord>(counts: &mut BTreeMap<K, i64>, key: K, weight: i64) {
    let count = counts.entry(key).or_insert(0);
    *count += weight;
    if *count == 0 {
        counts.retain(|_, count| *count != 0);
    }
}

//! The rules of docs/time.md for sessions, as plainly as they can be written: rows, and sessions that are made of them anew each time.

use std::collections::BTreeMap;

use crate::time::SECOND;
use crate::time::model::{Group, Row, Rules, Values, add, passed};

/// What sessions are of.
#[derive(Clone, Copy, Debug)]
pub struct Sessions {
    /// Seconds.
    pub gap: i64,
    /// Whether rows with different keys are in different ones.
    pub by_key: bool,
}

/// Rows and how often they are there.
pub type Rows = BTreeMap<Row, i64>;

/// The sessions of a view.
#[derive(Default)]
pub struct SessionModel {
    /// What the epoch has brought.
    coming: Rows,
    /// The rows of sessions that are open.
    open: Rows,
    /// Closed ones, with their ends.
    pub closed: Vec<(i64, Rows)>,
}

impl Sessions {
    /// Rows that follow each other by less than the gap, with the end of their session.
    fn of(&self, rows: &Rows) -> Vec<(i64, Rows)> {
        let mut parts: BTreeMap<Option<i32>, Vec<(Row, i64)>> = BTreeMap::new();
        for (row, count) in rows {
            parts.entry(self.by_key.then_some(row.key)).or_default().push((*row, *count));
        }
        let mut sessions = Vec::new();
        for rows in parts.values() {
            // Rows are in the order of their times.
            for rows in rows.chunk_by(|(a, _), (b, _)| b.time < a.time.map(|time| time + self.gap)) {
                let last = rows[rows.len() - 1].0.time.unwrap_or_default();
                sessions.push((last + self.gap, rows.iter().copied().collect()));
            }
        }
        sessions
    }
}

/// The groups of a session.
fn groups(end: i64, rows: &Rows) -> BTreeMap<Group, Values> {
    let mut groups: BTreeMap<Group, Values> = BTreeMap::new();
    let start = rows.keys().filter_map(|row| row.time).min().unwrap_or_default();
    rows.iter().for_each(|(row, count)| add(groups.entry((start, end, row.key)).or_default(), row.value, *count));
    groups
}

impl SessionModel {
    /// A row comes, or goes.
    pub fn row(&mut self, row: &Row, weight: i64) {
        if row.time.is_some() {
            add(&mut self.coming, *row, weight);
        }
    }

    /// The epoch is complete: which of its rows are late, and which sessions are over.
    pub fn close(
        &mut self,
        rules: &Rules,
        sessions: Sessions,
        before: Option<i64>,
        after: Option<i64>,
        late: &mut BTreeMap<(Row, i64), i64>,
    ) {
        let own_end = |row: &Row| (row.time.unwrap_or_default() + sessions.gap) * SECOND;
        let is_over = |end: i64, watermark| rules.lateness.is_some_and(|lateness| passed(end + lateness, watermark));
        let (going, coming): (Vec<_>, Vec<_>) = std::mem::take(&mut self.coming).into_iter().partition(|(_, weight)| *weight < 0);
        // What goes was in an open session, or is late.
        for (row, weight) in going {
            let there = self.open.get(&row).copied().unwrap_or(0).min(-weight);
            add(&mut self.open, row, -there);
            add(late, (row, own_end(&row)), weight + there);
        }
        // What comes is late where all rows of its session have just come, and the session was closed before.
        let mut all = self.open.clone();
        coming.iter().for_each(|(row, weight)| add(&mut all, *row, *weight));
        for (end, rows) in sessions.of(&all) {
            if is_over(end, before) && !rows.keys().any(|row| self.open.contains_key(row)) {
                for (row, weight) in rows {
                    add(&mut all, row, -weight);
                    add(late, (row, own_end(&row)), weight);
                }
            }
        }
        self.open = all;
        // What is over is never joined with anything.
        for (end, rows) in sessions.of(&self.open) {
            if is_over(end, after) {
                rows.iter().for_each(|(row, count)| add(&mut self.open, *row, -count));
                self.closed.push((end, rows));
            }
        }
    }

    /// Late rows join the closed sessions that they reach, directly or through each other.
    pub fn admit(&mut self, sessions: Sessions, late: BTreeMap<(Row, i64), i64>) {
        let mut rows: Rows = BTreeMap::new();
        late.iter().for_each(|((row, _), weight)| add(&mut rows, *row, *weight));
        let mut spans: Vec<(i32, i64, i64)> = late.keys().map(|(row, _)| span([row].into_iter())).collect();
        let is_near = |a: &(i32, i64, i64), b: &(i32, i64, i64)| {
            (a.0 == b.0 || !sessions.by_key) && b.1 - a.2 < sessions.gap && a.1 - b.2 < sessions.gap
        };
        while let Some(reached) = self.closed.iter().position(|(_, rows)| spans.iter().any(|other| is_near(&span(rows.keys()), other))) {
            let (_, of_session) = self.closed.remove(reached);
            spans.push(span(of_session.keys()));
            of_session.iter().for_each(|(row, count)| add(&mut rows, *row, *count));
        }
        rows.retain(|_, count| *count > 0);
        self.closed.extend(sessions.of(&rows));
    }

    /// The groups of closed sessions. Those that are alike, because rows were taken back, are the same where that is still known.
    pub fn closed(&self, rules: &Rules) -> Vec<(Group, Values)> {
        let mut all: Vec<(Group, Values)> = Vec::new();
        for (group, values) in self.closed.iter().flat_map(|(end, rows)| groups(*end, rows)) {
            match all.iter_mut().find(|(other, _)| *other == group && rules.keeps_results) {
                Some((_, there)) => values.into_iter().for_each(|(value, count)| add(there, value, count)),
                None => all.push((group, values)),
            }
        }
        all
    }

    /// The groups of open sessions.
    pub fn open(&self, sessions: Sessions) -> Vec<(Group, Values)> {
        sessions.of(&self.open).iter().flat_map(|(end, rows)| groups(*end, rows)).collect()
    }
}

/// The key of the first of some rows, with the first and the last moment of all.
fn span<'a>(rows: impl Iterator<Item = &'a Row>) -> (i32, i64, i64) {
    let rows: Vec<&Row> = rows.collect();
    let times = || rows.iter().filter_map(|row| row.time);
    (rows[0].key, times().min().unwrap_or_default(), times().max().unwrap_or_default())
}

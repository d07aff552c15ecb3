//! Which rows come too late: those that go and are in no open session, and those that come and would make one that is closed.

use std::collections::BTreeMap;

use crate::operator::aggregate::entries::Count;
use crate::operator::aggregate::session::rows::Row;

/// The open rows of a partition, by their times.
type Rows = BTreeMap<i64, BTreeMap<Row, Count>>;
/// What comes and goes, by the times.
type Changes = BTreeMap<i64, BTreeMap<Row, i64>>;

/// Whether a row from `first` to `last` was there before the epoch, and still is.
pub(super) fn any_stays(rows: &Rows, new: &Changes, first: i64, last: i64) -> bool {
    rows.range(first..=last).any(|(time, there)| {
        let change = |row: &Row| new.get(time).and_then(|changed| changed.get(row)).copied().unwrap_or(0);
        there.iter().any(|(row, count)| count.get() + change(row) > 0)
    })
}

/// Rows that come too late, with their times and weights.
#[derive(Default)]
pub(super) struct Late {
    pub(super) rows: Vec<(i64, Row, i64)>,
}

impl Late {
    /// Takes out what is to go of rows that are not there: they are in no open session.
    pub(super) fn take_unknown(&mut self, rows: &Rows, changes: &mut Vec<(i64, BTreeMap<Row, i64>)>) {
        for (time, changed) in changes.iter_mut() {
            let there = rows.get(time);
            changed.retain(|row, weight| {
                let count = there.and_then(|there| there.get(row)).map_or(0, |count| count.get());
                let missing = (count + *weight).min(0);
                if missing < 0 {
                    self.rows.push((*time, row.clone(), missing));
                    *weight -= missing;
                }
                *weight != 0
            });
        }
        changes.retain(|(_, changed)| !changed.is_empty());
    }

    /// Takes out the rows that come from `first` to `last`.
    pub(super) fn take_new(&mut self, new: &mut Changes, first: i64, last: i64) {
        for (time, changed) in new.range_mut(first..=last) {
            changed.retain(|row, weight| {
                if *weight > 0 {
                    self.rows.push((*time, row.clone(), *weight));
                }
                *weight < 0
            });
        }
    }
}

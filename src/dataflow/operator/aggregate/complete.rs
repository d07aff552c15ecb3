//! Groups that come complete, in windows that close in this epoch: they give their results, and need no place among the groups.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};

use crate::fragment::Context;
use crate::operator::aggregate::Stage;
use crate::operator::aggregate::whole::{Aggregate, results_of};

impl Aggregate {
    /// Whether these are the sums of complete groups: all others are for windows that were closed before.
    pub(super) fn is_complete(&self, delta: &Delta) -> Result<bool> {
        match &self.windows {
            Some(windows) if self.spec.stage == Stage::Complete => {
                Ok(windows.named(delta.rows.columns())?.first().is_some_and(|named| !windows.is_closed(*named)))
            }
            _ => Ok(false),
        }
    }

    /// Gives the results of complete groups, all of one window, and keeps their sums where those of closed windows are kept.
    pub(super) fn give_complete(&mut self, delta: &Delta, cx: &mut Context) -> Result<()> {
        let (keys, rows) = (self.spec.keys, delta.num_rows());
        let slots: Vec<u32> = (0..rows as u32).collect();
        self.complete.grow_to(rows);
        self.complete.add_sums(&slots, &delta.rows.columns()[keys..])?;
        let results = results_of(&self.complete, &slots)?;
        self.complete.reset_sums();
        let of_groups = &delta.rows.columns()[..keys];
        let mut columns: Vec<ArrayRef> = of_groups.iter().cloned().chain(results.columns).collect();
        let failed = results.failures.len();
        if failed > 0 {
            let kept = BooleanArray::from_iter((0..rows).map(|row| Some(!results.failures.contains_key(&row))));
            columns = columns.iter().map(|column| Ok(filter(column, &kept)?)).collect::<Result<_>>()?;
            let mut failures: Vec<_> = results.failures.iter().collect();
            failures.sort_unstable_by_key(|(row, _)| **row);
            self.tell_failures(of_groups, failures.into_iter().map(|(row, error)| (*row, error)), cx);
        }
        if failed < rows {
            cx.out.push(Delta::insert(batch(self.schema.clone(), columns, rows - failed)?));
        }
        let Some(windows) = &self.windows else { return Err(Error::internal("complete groups without windows")) };
        let named = windows.named(of_groups)?;
        debug_assert!(named.iter().all(|other| *other == named[0]), "complete groups come window by window");
        self.stored.archive_rows(named[0], delta.rows.columns(), rows)
    }
}

//! What an aggregate does when windows are shown, closed and removed.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use weir_common::delta::Delta;
use weir_common::error::Result;

use crate::fragment::Context;
use crate::operator::aggregate::Keeps;
use crate::operator::aggregate::whole::{Aggregate, select};
use crate::operator::aggregate::windows::Windows;

impl Aggregate {
    /// The rows for windows that are not removed: late rows that are admitted are as old as the results that they would change.
    pub(super) fn without_removed(&mut self, delta: Delta, cx: &Context) -> Result<Delta> {
        let Some(windows) = &mut self.windows else { return Ok(delta) };
        windows.begin(cx.times);
        match windows.standing(windows.named(delta.rows.columns())?) {
            Some(standing) => delta.filter(&standing),
            None => Ok(delta),
        }
    }

    /// Brings back the groups of closed windows that late rows are admitted to: no other rows come to closed windows. `slots` are those of
    /// the rows with these keys.
    pub(super) fn bring_back(&mut self, keys: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let Aggregate { windows: Some(windows), stored, groups, tracked, .. } = self else { return Ok(()) };
        let closed = windows.closed_among(windows.named(keys)?);
        if closed.is_empty() {
            return Ok(());
        }
        // As groups have them: both zeros are one there, and the rows may have either.
        let keys = groups.keys.columns(slots)?;
        for named in closed {
            for rows in stored.take_archived(named, &keys)? {
                let slots = stored.restore(groups, tracked, rows.columns(), rows.num_rows())?;
                slots.iter().for_each(|slot| windows.add(named, *slot));
            }
            windows.reopen(named);
        }
        Ok(())
    }

    /// Touches the groups that are to be shown now; gives the watermark that says so.
    pub(super) fn touch_due(&mut self, cx: &Context) -> Result<i64> {
        let Aggregate { windows: Some(windows), groups, tracked, stored, fresh, .. } = self else { return Ok(i64::MIN) };
        windows.begin(cx.times);
        let watermark = windows.watermark(cx.times);
        for (named, slots) in windows.due(watermark) {
            let slots = windows.of_window(named, slots, groups)?;
            fresh.extend(slots.into_iter().filter(|slot| tracked.touch(*slot)));
        }
        stored.keep(groups, tracked)?;
        Ok(watermark)
    }

    /// Of these groups, those whose window is shown.
    pub(super) fn shown(&self, slots: &[u32], watermark: i64) -> Result<Vec<u32>> {
        let Some(windows) = self.windows.as_ref().filter(|windows| windows.holds_back()) else { return Ok(slots.to_vec()) };
        let columns = self.groups.keys.columns(slots)?;
        let named = windows.named(&columns)?.iter();
        Ok(slots.iter().zip(named).filter(|(_, named)| windows.life().shown_at(**named) <= watermark).map(|(slot, _)| *slot).collect())
    }

    /// The watermark has come here: windows close, and old ones are removed.
    pub(super) fn close_windows(&mut self, watermark: i64, cx: &mut Context) -> Result<()> {
        let Some(mut windows) = self.windows.take() else { return Ok(()) };
        let closed = self.close_some(&mut windows, watermark).and_then(|()| self.remove_some(&mut windows, cx));
        self.windows = Some(windows);
        closed
    }

    fn close_some(&mut self, windows: &mut Windows, watermark: i64) -> Result<()> {
        for (named, slots) in windows.close(watermark) {
            let slots = windows.of_window(named, slots, &self.groups)?;
            match self.spec.keeps() {
                Keeps::Groups => windows.keep(named, slots),
                Keeps::Sums => {
                    self.stored.archive(named, &self.groups, &slots)?;
                    self.end(&slots)?;
                }
                Keeps::Nothing => self.end(&slots)?,
            }
        }
        Ok(())
    }

    /// Takes back the rows of windows that are kept no longer.
    fn remove_some(&mut self, windows: &mut Windows, cx: &mut Context) -> Result<()> {
        let mut removed = Vec::new();
        for (named, slots) in windows.remove() {
            removed.extend(windows.of_window(named, slots, &self.groups)?);
        }
        for rows in self.stored.remove_archived(|named| windows.is_removed(named)) {
            removed.extend(self.stored.restore(&mut self.groups, &mut self.tracked, rows.columns(), rows.num_rows())?);
        }
        if removed.is_empty() {
            return Ok(());
        }
        let results = self.results(&removed)?;
        let out = BooleanArray::from_iter((0..removed.len()).map(|index| Some(!results.failures.contains_key(&index))));
        let columns = results.columns.iter().map(|column| Ok(filter(column, &out)?)).collect::<Result<Vec<_>>>()?;
        self.emit(&select(&removed, &out), &[], columns, cx)?;
        self.end(&removed)
    }

    /// Groups end that this epoch may not have touched.
    fn end(&mut self, slots: &[u32]) -> Result<()> {
        // A checkpoint may still be about to copy them.
        slots.iter().for_each(|slot| _ = self.tracked.touch(*slot));
        self.stored.keep(&self.groups, &mut self.tracked)?;
        self.let_go(slots)
    }
}

//! What is kept of the late rows of views: how many entries there are, and whether more are taken.

use weir_common::ids::{RelationId, StreamId};

use crate::checkpoint::standing::LateLost;
use crate::lane::LateCount;
use crate::leader::Leader;

/// The late rows of a view, as of the last commit.
///
/// # Invariants
/// - What it says of an epoch depends on the epochs before it that are committed, so it may come late by those on the way; the record says
///   what was decided, and a restart decides nothing anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateKept {
    /// As many as that are kept.
    pub(super) entries_max: u64,
    /// Entries that there are.
    pub(super) entries: u64,
    /// Entries that there are not any more, or never were, since the view was made.
    pub(super) lost: LateLost,
    /// Whether there were as many as are kept when the last epoch began.
    full: bool,
}

impl LateKept {
    /// None yet, of at most so many, and these lost.
    pub(super) fn new(entries_max: u64, lost: LateLost) -> Self {
        LateKept { entries_max, entries: 0, lost, full: false }
    }
}

impl Leader {
    /// The views of which the next epoch keeps no more late rows. The log says when that begins, and when it is over.
    pub(super) fn full_of_late(&mut self) -> Vec<RelationId> {
        let mut full = vec![];
        for (id, view) in self.views.iter_mut().filter(|(_, view)| view.late.is_some() && !view.temporary) {
            let LateKept { entries, entries_max, lost, .. } = view.late_kept;
            let is_full = entries >= entries_max;
            if is_full != std::mem::replace(&mut view.late_kept.full, is_full) {
                let (view, not_kept) = (&view.plan.view, lost.dropped);
                match is_full {
                    true => tracing::warn!(
                        view,
                        entries,
                        entries_max,
                        "late rows are not kept any more: there are as many as late_entries allows; ADMIT LATE or DISCARD LATE makes room"
                    ),
                    false => tracing::warn!(view, entries, entries_max, not_kept, "late rows are kept again: there is room"),
                }
            }
            if is_full {
                full.push(*id);
            }
        }
        full
    }

    /// The views of which an epoch that is done again kept no more late rows.
    pub(super) fn full_again(&mut self, full: &[RelationId]) -> Vec<RelationId> {
        self.views.iter_mut().for_each(|(id, view)| view.late_kept.full = full.contains(id));
        full.iter().copied().filter(|view| self.views.contains_key(view)).collect()
    }

    /// An epoch commits that these workers' entries belong to; `discarded` are those that were let go of a view.
    pub(super) fn count_late(&mut self, counts: &[LateCount], discarded: Option<(RelationId, u64)>) {
        for LateCount { view, .. } in counts {
            if let Some(view) = self.views.get_mut(view) {
                view.late_kept.entries = 0;
            }
        }
        for LateCount { view, entries, dropped } in counts {
            if let Some(view) = self.views.get_mut(view) {
                view.late_kept.entries += entries;
                view.late_kept.lost.dropped += dropped;
            }
        }
        if let Some((view, entries)) = discarded
            && let Some(view) = self.views.get_mut(&view)
        {
            view.late_kept.lost.discarded += entries;
        }
    }

    /// A view's late rows come back from a checkpoint: workers have loaded the entries.
    pub(super) fn late_loaded(&mut self) {
        let late: Vec<(RelationId, RelationId)> = self.views.iter().filter_map(|(id, view)| Some((*id, view.late?))).collect();
        for (view, late) in late {
            let entries = self.held(StreamId::from(late)).rows as u64;
            if let Some(view) = self.views.get_mut(&view) {
                view.late_kept.entries = entries;
                view.late_kept.full = entries >= view.late_kept.entries_max;
            }
        }
    }

    /// Whether an entry of a row that is taken back may be of one whose own entry is lost: then it was never in a window, and cannot be
    /// taken out of one.
    pub(super) fn may_take_back_lost(&self, view: RelationId) -> bool {
        self.views.get(&view).is_some_and(|view| {
            let LateLost { dropped, discarded } = view.late_kept.lost;
            dropped + discarded > 0 && view.plan.late.as_ref().is_some_and(|late| !late.append_only)
        })
    }
}

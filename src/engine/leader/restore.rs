//! The leader after a restart with a checkpoint: relations are made as they were, workers load what they had.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId};
use weir_common::state_store::StateStore;

use crate::checkpoint::load::Loader;
use crate::checkpoint::standing::{self, Standing};
use crate::engine::{TableSpec, ViewSpec};
use crate::event_clock::EventClock;
use crate::lane::{LaneMessage, Restoring};
use crate::leader::Leader;
use crate::recovery::{Definer, Made};

impl Leader {
    /// Stands where the last checkpoint was taken: its epoch, and how many tables and views it had. `None` where there is none.
    pub(super) fn restore(
        &mut self,
        store: Arc<dyn StateStore>,
        dropped: &BTreeSet<RelationId>,
        definer: &mut dyn Definer,
    ) -> Result<Option<(Epoch, usize)>> {
        let Some(standing) = standing::read(&*store)? else { return Ok(None) };
        self.next = standing.epoch + 1;
        self.last_wall_micros = standing.wall_micros;
        self.next_own_reader = standing.next_own_reader;
        self.relations_below = standing.relations_below;
        self.letters_from = standing.letters.0;
        self.dead_letters = standing::letters(&*store, standing.letters)?.into();
        let counts = standing.letter_counts.iter();
        self.dead_letter_counts = counts.map(|(relation, reason, count)| ((relation.clone(), *reason), *count)).collect();
        let loader = Loader { store, stored_workers: standing.workers as usize };
        let (loaded, answers) = crossbeam_channel::unbounded();
        let mut expected = 0;
        // A relation is younger than all that it names.
        for (relation, words) in &standing.definitions {
            self.words.insert(*relation, words.clone());
            let restoring = Restoring { loader: loader.clone(), counted: 0, loaded: loaded.clone() };
            match definer.made(words, dropped)? {
                Made::Table(spec) => self.restore_table(spec, restoring, &standing)?,
                Made::View(spec) => self.restore_view(spec, restoring, &standing)?,
                Made::Source(source, Some(watermark)) => {
                    self.set_watermark(source, watermark);
                    continue;
                }
                Made::Source(_, None) | Made::Nothing => continue,
            }
            expected += self.lane.workers();
        }
        definer.numbers_below(RelationId(standing.relations_below));
        self.letters_told = standing.letters_told.clone();
        self.letters_told.retain(|source, _| !dropped.contains(source));
        self.rows_met = standing.rows_met.clone();
        self.rows_met.retain(|source, _| !dropped.contains(source));
        for _ in 0..expected {
            answers.recv().map_err(|_| Error::internal("a worker ended while it loaded a checkpoint"))??;
        }
        self.late_loaded();
        self.committed_marks = self.marks();
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.at = standing.epoch;
            checkpoints.saved = Some(standing.epoch);
            checkpoints.letters = standing.letters;
            checkpoints.all_runs = standing.workers as usize != self.lane.workers();
        }
        Ok(Some((standing.epoch, expected / self.lane.workers())))
    }

    fn restore_table(&mut self, spec: TableSpec, restoring: Restoring, standing: &Standing) -> Result<()> {
        let (table, schema, loader) = (spec.id, spec.schema.clone(), restoring.loader.clone());
        self.create_table_from(spec, Some(restoring))?;
        if let Some(keys) = self.tables.get_mut(&table).and_then(|table| table.keys.as_mut()) {
            loader.all_runs(table, &schema, |_, _, run| keys.load(&run.batch()?))?;
        }
        if let Some((_, clock)) = self.tables.get_mut(&table).and_then(|table| table.watermark.as_mut()) {
            let watermark = standing.mark(table.into()).and_then(|mark| mark.watermark);
            *clock = EventClock::standing(vec![standing.latest.get(&table).copied()], watermark);
        }
        Ok(())
    }

    fn restore_view(&mut self, spec: ViewSpec, restoring: Restoring, standing: &Standing) -> Result<()> {
        let view = spec.id;
        let stopped = standing.failures.get(&view);
        let stopped = stopped.map(|(sqlstate, message)| Error::new(SqlState::of_code(sqlstate), message.clone()));
        let stopped = stopped.or_else(|| computed_otherwise(standing.plans.get(&view), &spec));
        if let Some(error) = &stopped {
            self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(view, error.clone());
        }
        let counted = standing.counted.get(&view).copied().unwrap_or(0);
        self.create_view_from(spec, Some(&standing.readings), Some((Restoring { counted, ..restoring }, standing)))?;
        if let Some(error) = stopped {
            // Nothing was loaded: what it held is as of the failure, and of no use.
            self.lane.send(LaneMessage::Stop { view, error });
        }
        Ok(())
    }
}

/// Why the state of a view is of no use where it would be computed in another way than it was: its groups would mean something else. The
/// error stops the view, as any other that it meets does, and nothing else.
fn computed_otherwise(stored: Option<&String>, spec: &ViewSpec) -> Option<Error> {
    let before = stored.map_or("", String::as_str);
    if before == spec.plan.identity {
        return None;
    }
    tracing::warn!(view = spec.name, "the view has stopped: this version of Weir computes it otherwise than the one that kept its state");
    tracing::info!(view = spec.name, "it was:\n{before}\nand would be:\n{}", spec.plan.identity);
    let message = "this version of Weir computes it otherwise than the one that kept its state";
    Some(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message))
}

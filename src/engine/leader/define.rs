//! The leader's definitions: tables and views come and go while no epoch is in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_common::delta::Delta;
use weir_common::epoch_log::{Definition, Reading};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{RelationId, StreamId};
use weir_dataflow::explain;

use crate::checkpoint::standing::Standing;
use crate::engine::{TableSpec, TableWrite, ViewSpec};
use crate::event_clock::EventClock;
use crate::keys::KeyIndex;
use crate::lane::{LaneMessage, NewView, Restoring};
use crate::leader::late::LateKept;
use crate::leader::readers::ReaderState;
use crate::leader::{Ddl, Filling, Leader, Table, View, answer};

impl Leader {
    /// Carries a definition out; the record of the next epoch has it, and its commit answers.
    pub(super) fn define(&mut self, ddl: Ddl) {
        match ddl {
            Ddl::CreateTable { spec, rows, words, reply } => {
                let table = spec.id;
                let made = self.create_table(spec).and_then(|()| rows.map_or(Ok(()), |rows| self.fill_table(table, rows)));
                match made {
                    Ok(()) => {
                        self.made(table, words);
                        self.defined.push(reply);
                    }
                    Err(error) => {
                        self.drop_relations(&[table]);
                        answer(reply, Err(error));
                    }
                }
            }
            Ddl::CreateView { spec, words, reply } => {
                let (view, temporary, next_own_reader) = (spec.id, spec.temporary, self.next_own_reader);
                match self.create_view(spec, None) {
                    Ok(readings) => {
                        if temporary {
                            self.relations_below = self.relations_below.max(view.0 + 1);
                        } else {
                            self.made(view, words);
                            self.readings.extend(readings);
                        }
                        let filling = self.views.get_mut(&view).and_then(|view| view.filling.as_mut());
                        filling.expect("a new view is being filled").reply = Some(reply);
                    }
                    Err(error) => {
                        self.drop_unused_readers();
                        // The log knows nothing of it, and a replay must number readers in the same way.
                        self.next_own_reader = next_own_reader;
                        answer(reply, Err(error));
                    }
                }
            }
            Ddl::Define(definitions, reply) => {
                for definition in &definitions {
                    match definition {
                        Definition::Made { relation, words } => self.knows(*relation, words.clone()),
                        Definition::Dropped(relations) => self.drop_relations(relations),
                    }
                }
                self.definitions.extend(definitions);
                self.defined.extend(reply);
            }
            Ddl::SetWatermark { relation, watermark, words, reply } => {
                self.set_watermark(relation, watermark);
                self.made(relation, words);
                self.defined.push(reply);
            }
            Ddl::AdmitLate(admission) => {
                let view = admission.view;
                if self.views.get(&view).is_none_or(|view| view.late.is_none()) {
                    return answer(
                        admission.reply,
                        Err(Error::new(SqlState::UNDEFINED_TABLE, "the view was dropped, or has no late rows")),
                    );
                }
                if admission.is_final {
                    if self.is_subscribed_to(view) {
                        let error = Error::new(
                            SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                            "late rows cannot be admitted while a subscription relies on the results of the view",
                        );
                        let error = error.with_detail("The results of EMIT FINAL never change.");
                        let hint = "End the subscriptions to it, and to queries over it, first; weir.subscriptions has them.";
                        return answer(admission.reply, Err(error.with_hint(hint)));
                    }
                    // Nor does who comes back: what was said before cannot be gone on from.
                    self.forget_feed(view.into());
                }
                match self.failure(view.into()) {
                    Some(error) => answer(admission.reply, Err(error)),
                    None => self.admission = Some(admission),
                }
            }
            Ddl::DropTemporary(view) => {
                if self.is_temporary(view) {
                    self.drop_relations(&[view]);
                }
            }
            Ddl::Join(stream) => {
                if self.joins(stream).is_some() {
                    self.join(stream);
                    self.joins.push(stream);
                }
            }
        }
    }

    /// A relation was made, or has become other: for the log.
    fn made(&mut self, relation: RelationId, words: Vec<u8>) {
        self.knows(relation, words.clone());
        self.definitions.push(Definition::Made { relation, words });
    }

    /// Keeps a definition for checkpoints.
    pub(super) fn knows(&mut self, relation: RelationId, words: Vec<u8>) {
        self.relations_below = self.relations_below.max(relation.0 + 1);
        self.words.insert(relation, words);
    }

    /// A view reads the shared reader's stream from now on, instead of its own reader's.
    pub(super) fn join(&mut self, stream: StreamId) {
        let Some((view, shared)) = self.readers.get(&stream).and_then(|own| Some((own.own?, StreamId::from(own.source)))) else { return };
        if !self.readers.contains_key(&shared) {
            // After a restart, where those who read it first are not made again: the own reader, at the same position, takes its place.
            let state = self.readers.remove(&stream).expect("found above");
            self.lane.send(LaneMessage::CreateReader(shared));
            self.readers.insert(shared, ReaderState { own: None, ..state });
        }
        self.lane.send(LaneMessage::Rebind { view, from: stream, to: shared });
        self.rebind_view(stream, shared);
        if let Some((own, other)) = self.readers.remove(&stream).zip(self.readers.get_mut(&shared)) {
            // In records of earlier versions one of them may have gone on by itself for longer: what was promised to the view holds.
            other.clock.raise(own.clock.at(), self.last_wall_micros);
            self.committed_marks.insert(shared, other.watermark());
        }
        self.lane.send(LaneMessage::Drop(Arc::from([stream])));
    }

    fn fill_table(&mut self, table: RelationId, rows: Delta) -> Result<()> {
        let write = TableWrite { table, delta: rows };
        self.check_room(std::slice::from_ref(&write))?;
        let changes = self.check_keys(std::slice::from_ref(&write))?;
        self.apply_keys(changes);
        self.first_rows.push((table, write.delta));
        Ok(())
    }

    pub(super) fn create_table(&mut self, spec: TableSpec) -> Result<()> {
        self.create_table_from(spec, None)
    }

    /// Makes a table, empty or as a checkpoint has it.
    pub(super) fn create_table_from(&mut self, spec: TableSpec, restoring: Option<Restoring>) -> Result<()> {
        let constraint = spec.key_name.unwrap_or_else(|| format!("{}_pkey", spec.name));
        let keys = spec.key.clone().map(|columns| KeyIndex::new(&constraint, spec.schema.clone(), columns)).transpose()?;
        let scalar = |column: &usize| !spec.schema.field(*column).data_type().is_nested();
        let placement: Arc<[usize]> =
            spec.key.unwrap_or_else(|| (0..spec.schema.fields().len()).collect()).into_iter().filter(scalar).collect();
        let schema = spec.schema;
        self.lane.send(LaneMessage::CreateTable { stream: spec.id.into(), schema: schema.clone(), placement, restoring });
        let watermark = spec.watermark.map(|watermark| (watermark, EventClock::new()));
        self.tables.insert(spec.id, Table { schema, keys, watermark });
        Ok(())
    }

    /// Builds a view; says what it reads of sources. `readings` tells that after a restart; without, it is decided here.
    pub(super) fn create_view(&mut self, spec: ViewSpec, readings: Option<&[Reading]>) -> Result<Vec<Reading>> {
        self.create_view_from(spec, readings, None)
    }

    /// Makes a view that is to be filled, or as a checkpoint has it.
    pub(super) fn create_view_from(
        &mut self,
        spec: ViewSpec,
        readings: Option<&[Reading]>,
        restoring: Option<(Restoring, &Standing)>,
    ) -> Result<Vec<Reading>> {
        let mut imports = vec![];
        let mut own: Vec<Reading> = vec![];
        let mut readers: BTreeMap<RelationId, BTreeSet<StreamId>> = BTreeMap::new();
        for import in &spec.plan.imports {
            let relation = import.relation;
            if let Some(source) = spec.sources.get(&relation) {
                // One reader serves all imports of the source in this view.
                let of_source = |all: &[Reading]| all.iter().find(|one| one.view == spec.id && one.source == relation).copied();
                let stream = match (of_source(&own), readings.and_then(of_source)) {
                    (Some(reading), _) => reading.stream,
                    (None, Some(reading)) => self.reader_again(&reading, source, restoring.as_ref().map(|(_, standing)| *standing))?,
                    (None, None) => self.reader_for(relation, source, spec.id)?,
                };
                if of_source(&own).is_none() {
                    own.push(Reading { view: spec.id, source: relation, stream });
                }
                readers.entry(relation).or_default().insert(stream);
                imports.push(stream);
            } else if let Some(error) = self.not_kept(relation.into()) {
                return Err(error);
            } else if self.exists(relation.into()) {
                if let Some(view) = self.views.get(&relation).or_else(|| Some(self.view_of_late(relation)?.1)) {
                    for (source, streams) in &view.readers {
                        readers.entry(*source).or_default().extend(streams);
                    }
                }
                if self.tables.get(&relation).is_some_and(|table| table.watermark.is_some()) {
                    readers.entry(relation).or_default().insert(relation.into());
                }
                imports.push(relation.into());
            } else {
                let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", import.name));
                return Err(error.with_hint("It was dropped while the view was being created."));
            }
        }
        let inputs = imports.iter().copied().collect();
        let event_times = spec.plan.facts.event_times.clone();
        let (keep, temporary, plan, late) = (spec.keep, spec.temporary, spec.plan, spec.late);
        if late.is_some() != plan.late.is_some() && !temporary {
            return Err(Error::internal("a view has a relation of late rows exactly where its plan takes them out"));
        }
        if let Some(late) = late {
            self.relations_below = self.relations_below.max(late.0 + 1);
        }
        let filling = restoring.is_none().then_some(Filling { caught_up: 0, reply: None });
        let lost = restoring.as_ref().and_then(|(_, standing)| standing.late_lost.get(&spec.id).copied());
        let restoring = restoring.map(|(restoring, _)| restoring);
        // One that stopped before a restart still has.
        let stopped = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&spec.id).cloned();
        let view = NewView {
            id: spec.id,
            late,
            name: spec.name,
            plan: plan.clone(),
            imports,
            at: self.next - 1,
            wall_micros: self.last_wall_micros,
            keep,
            temporary,
            restoring,
            stopped,
        };
        self.lane.send(LaneMessage::CreateView(Arc::new(view)));
        let named = explain::operators(&plan).into_iter().enumerate();
        let operators = named.flat_map(|(fragment, names)| names.into_iter().map(move |name| (fragment, name.into()))).collect();
        let (timed, clocked) = (plan.is_timed(), plan.reads_clock());
        let late_kept = LateKept::new(spec.late_entries_max, lost.unwrap_or_default());
        self.views.insert(
            spec.id,
            View { inputs, readers, late, late_kept, timed, clocked, event_times, keep, temporary, plan, operators, filling },
        );
        Ok(own)
    }

    pub(super) fn drop_relations(&mut self, relations: &[RelationId]) {
        let relations: Vec<RelationId> = self.temporary_readers(relations).into_iter().chain(relations.iter().copied()).collect();
        let mut streams = vec![];
        for relation in &relations {
            self.feeds.remove(&StreamId::from(*relation));
            self.relations_below = self.relations_below.max(relation.0 + 1);
            if self.words.remove(relation).is_some()
                && let Some(checkpoints) = &mut self.checkpoints
            {
                checkpoints.dropped.push(*relation);
            }
            self.watermarks.remove(relation);
            self.letters_told.remove(relation);
            self.rows_met.remove(relation);
            self.first_rows.retain(|(table, _)| table != relation);
            let existed = self.tables.remove(relation).is_some();
            if let Some(view) = self.views.remove(relation) {
                self.filled.remove(relation);
                if let Some(reply) = view.filling.and_then(|filling| filling.reply) {
                    answer(reply, Err(Error::new(SqlState::QUERY_CANCELED, "the view was dropped while it was filled")));
                }
                streams.push((*relation).into());
                if let Some(late) = view.late {
                    self.feeds.remove(&StreamId::from(late));
                    streams.push(late.into());
                    if let Some(checkpoints) = &mut self.checkpoints {
                        checkpoints.dropped.push(late);
                    }
                }
            } else if existed {
                streams.push((*relation).into());
            }
            self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(relation);
        }
        if !streams.is_empty() {
            self.lane.send(LaneMessage::Drop(streams.into()));
        }
        self.drop_unused_readers();
    }

    fn rebind_view(&mut self, from: StreamId, to: StreamId) {
        for view in self.views.values_mut() {
            if view.inputs.remove(&from) {
                view.inputs.insert(to);
            }
            for streams in view.readers.values_mut() {
                if streams.remove(&from) {
                    streams.insert(to);
                }
            }
        }
    }
}

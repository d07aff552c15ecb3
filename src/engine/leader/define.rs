//! The leader's definitions: tables and views come and go while no epoch is in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{RelationId, StreamId};

use crate::engine::{TableSpec, ViewSpec};
use crate::keys::KeyIndex;
use crate::lane::{LaneMessage, NewView};
use crate::leader::{Ddl, Filling, Leader, Table, View, answer};

impl Leader {
    pub(super) fn define(&mut self, ddl: Ddl) {
        match ddl {
            Ddl::CreateTable(spec, reply) => {
                let result = self.create_table(spec);
                answer(reply, result);
            }
            Ddl::CreateView(spec, reply) => self.create_view(spec, reply),
            Ddl::Drop(relations, reply) => {
                self.drop_relations(&relations);
                answer(reply, Ok(()));
            }
            Ddl::Join(stream) => {
                if let Some((view, shared)) = self.joins(stream) {
                    self.lane.send(LaneMessage::Rebind { view, from: stream, to: shared });
                    self.rebind_view(view, stream, shared);
                    self.readers.remove(&stream);
                    self.lane.send(LaneMessage::Drop(Arc::from([stream])));
                }
            }
        }
    }

    fn create_table(&mut self, spec: TableSpec) -> Result<()> {
        let constraint = spec.key_name.unwrap_or_else(|| format!("{}_pkey", spec.name));
        let keys = spec.key.clone().map(|columns| KeyIndex::new(&constraint, spec.schema.clone(), columns)).transpose()?;
        let scalar = |column: &usize| !spec.schema.field(*column).data_type().is_nested();
        let placement: Arc<[usize]> =
            spec.key.unwrap_or_else(|| (0..spec.schema.fields().len()).collect()).into_iter().filter(scalar).collect();
        self.lane.send(LaneMessage::CreateTable { stream: spec.id.into(), schema: spec.schema, placement });
        self.tables.insert(spec.id, Table { keys });
        Ok(())
    }

    fn create_view(&mut self, spec: ViewSpec, reply: oneshot::Sender<Result<()>>) {
        let mut imports = vec![];
        let mut readers: BTreeMap<RelationId, BTreeSet<StreamId>> = BTreeMap::new();
        for import in &spec.plan.imports {
            let relation = import.relation;
            if let Some(source) = spec.sources.get(&relation) {
                // One reader serves all imports of the source in this view.
                let known = readers.get(&relation).and_then(|streams| streams.first().copied());
                let stream = match known.map(Ok).unwrap_or_else(|| self.reader_for(relation, source, spec.id)) {
                    Ok(stream) => stream,
                    Err(error) => {
                        self.drop_unused_readers();
                        return answer(reply, Err(error));
                    }
                };
                readers.entry(relation).or_default().insert(stream);
                imports.push(stream);
            } else if let Some(error) = self.not_kept(relation.into()) {
                self.drop_unused_readers();
                return answer(reply, Err(error));
            } else if self.exists(relation.into()) {
                if let Some(view) = self.views.get(&relation) {
                    for (source, streams) in &view.readers {
                        readers.entry(*source).or_default().extend(streams);
                    }
                }
                imports.push(relation.into());
            } else {
                self.drop_unused_readers();
                let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", import.name));
                return answer(reply, Err(error.with_hint("It was dropped while the view was being created.")));
            }
        }
        let inputs = imports.iter().copied().collect();
        let event_times = spec.plan.facts.event_times.clone();
        let view = NewView { id: spec.id, name: spec.name, plan: spec.plan, imports, at: self.next - 1, keep: spec.keep };
        self.lane.send(LaneMessage::CreateView(Arc::new(view)));
        self.views.insert(spec.id, View { inputs, readers, event_times, keep: spec.keep, filling: Some(Filling { caught_up: 0, reply }) });
    }

    fn drop_relations(&mut self, relations: &[RelationId]) {
        let mut streams = vec![];
        for relation in relations {
            self.letters_told.remove(relation);
            let existed = self.tables.remove(relation).is_some();
            if let Some(view) = self.views.remove(relation) {
                self.filled.remove(relation);
                if let Some(filling) = view.filling {
                    answer(filling.reply, Err(Error::new(SqlState::QUERY_CANCELED, "the view was dropped while it was filled")));
                }
                streams.push((*relation).into());
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

    fn rebind_view(&mut self, _view: RelationId, from: StreamId, to: StreamId) {
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

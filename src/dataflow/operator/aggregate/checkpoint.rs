//! The groups of an aggregate as rows: part 0 has a row for each group, the parts after it one for each value that a call keeps.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use weir_common::delta::batch;
use weir_common::error::{Error, Result};

use crate::operator::aggregate::accumulator::accumulator;
use crate::operator::aggregate::archive::Archive;
use crate::operator::aggregate::entries::Entries;
use crate::operator::aggregate::tracked::{PIECE_ROWS, Tracked, bytes, gather};
use crate::operator::aggregate::{AggregateSpec, CallState, Groups, Keeps, counts_rows};
use crate::state::{StateChanges, StateSpec};

impl AggregateSpec {
    /// The parts of its state; `key` are the key's fields, and rows are placed by the hash of the columns `placement` of it.
    pub(crate) fn state_specs(&self, key: &Schema, placement: &[usize]) -> Result<Vec<StateSpec>> {
        let schemas = self.state_schemas(key)?;
        let archive = (self.keeps() == Keeps::Sums).then(|| schemas.len() - 1);
        let spec = |(part, schema): (usize, SchemaRef)| StateSpec {
            state: self.state,
            part: part as u16,
            // All but the number of rows and what belongs to it; all but the count.
            keys: if part == 0 || Some(part) == archive { self.keys } else { self.keys + 1 },
            schema,
            placement: placement.to_vec(),
        };
        Ok(schemas.into_iter().enumerate().map(spec).collect())
    }

    /// The columns of each part.
    pub(super) fn state_schemas(&self, key: &Schema) -> Result<Vec<SchemaRef>> {
        let key: Vec<Field> = (0..self.keys).map(|column| key.field(column).clone()).collect();
        let count = |name: &str| Field::new(name, DataType::Int64, true);
        let mut groups = key.clone();
        groups.push(count("rows"));
        let mut parts = vec![];
        for call in self.calls.iter().filter(|call| !counts_rows(call)) {
            let mut accumulator = accumulator(call, self.append_only, false)?;
            let cells = accumulator.cell_types().into_iter().enumerate();
            groups.extend(cells.map(|(cell, data_type)| Field::new(format!("{}.{cell}", call.name), data_type, true)));
            if let Some(entries) = accumulator.entries() {
                let mut fields = key.clone();
                fields.push(Field::new(&call.name, entries.value_type(), true));
                fields.push(count("count"));
                parts.push(Arc::new(Schema::new(fields)));
            }
        }
        parts.insert(0, Arc::new(Schema::new(groups)));
        if self.keeps() == Keeps::Sums {
            // Groups of closed windows.
            parts.push(parts[0].clone());
        }
        Ok(parts)
    }
}

/// The state of groups on its way to a checkpoint and back.
pub(super) struct Stored {
    state: u16,
    keys: usize,
    /// Of each part.
    schemas: Vec<SchemaRef>,
    /// By part: entries that went since the last checkpoint, with their groups' keys.
    gone: Vec<Vec<Vec<ArrayRef>>>,
    gone_bytes: usize,
    /// The groups of closed windows, in the last part.
    archive: Option<Archive>,
    /// The key column that names windows.
    named: usize,
}

impl Stored {
    pub(super) fn new(spec: &AggregateSpec, key: &Schema) -> Result<Self> {
        let schemas = spec.state_schemas(key)?;
        let archive = (spec.keeps() == Keeps::Sums).then(|| Archive::new(&schemas[0], spec.keys)).transpose()?;
        let named = spec.life.as_ref().map_or(0, |life| life.closing.column);
        Ok(Stored { state: spec.state, keys: spec.keys, gone: vec![vec![]; schemas.len()], schemas, gone_bytes: 0, archive, named })
    }

    /// Keeps the groups of a window that closes.
    pub(super) fn archive(&mut self, named: i64, groups: &Groups, slots: &[u32]) -> Result<()> {
        let Some(archive) = &mut self.archive else { return Err(Error::internal("closed windows are not kept")) };
        for slots in slots.chunks(PIECE_ROWS) {
            archive.put(named, group_rows(&self.schemas[0], groups, slots)?);
        }
        Ok(())
    }

    /// Takes out the groups of a closed window that have these keys.
    pub(super) fn take_archived(&mut self, named: i64, keys: &[ArrayRef]) -> Result<Vec<RecordBatch>> {
        self.archive.as_mut().map_or(Ok(Vec::new()), |archive| archive.take(named, keys))
    }

    /// Takes out all groups of the closed windows that are removed.
    pub(super) fn remove_archived(&mut self, is_removed: impl Fn(i64) -> bool) -> Vec<RecordBatch> {
        self.archive.as_mut().map_or(Vec::new(), |archive| archive.remove(is_removed))
    }

    /// Makes groups of rows as a checkpoint has them; gives their slots.
    pub(super) fn restore(&self, groups: &mut Groups, tracked: &mut Tracked, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut slots = vec![];
        groups.keys.find(&columns[..self.keys], rows, &mut slots)?;
        groups.grow();
        tracked.grow(groups.rows.len());
        let counts = columns[self.keys].as_primitive::<Int64Type>().values();
        slots.iter().zip(counts).for_each(|(slot, count)| groups.rows[*slot as usize] = *count);
        let mut cells = &columns[self.keys + 1..];
        for accumulator in groups.accumulators() {
            let (own, rest) = cells.split_at(accumulator.cell_types().len());
            accumulator.load(&slots, own)?;
            cells = rest;
        }
        Ok(slots)
    }

    /// Keeps what this epoch took away, while the slots are still those of the same groups.
    pub(super) fn collect_gone(&mut self, groups: &mut Groups) -> Result<()> {
        let Groups { keys, calls, .. } = groups;
        for (entries, gone) in with_entries(calls).zip(&mut self.gone[1..]) {
            if let Some((slots, values)) = entries.take_gone()? {
                let mut columns = keys.columns(&slots)?;
                columns.push(values);
                self.gone_bytes += bytes(&columns);
                gone.push(columns);
            }
        }
        Ok(())
    }

    /// What changed since the last call.
    pub(super) fn changes(&mut self, groups: &mut Groups, tracked: &mut Tracked) -> Result<Vec<StateChanges>> {
        let mut put = vec![];
        for slots in tracked.take_dirty() {
            put.push(group_rows(&self.schemas[0], groups, &slots)?);
        }
        let key =
            |schema: &SchemaRef, columns: usize| -> Result<SchemaRef> { Ok(Arc::new(schema.project(&(0..columns).collect::<Vec<_>>())?)) };
        let gone = tracked.take_gone(&key(&self.schemas[0], self.keys)?)?;
        let mut changes = vec![StateChanges { state: self.state, part: 0, gone, put }];
        if let Some(archive) = &mut self.archive {
            let (gone, put) = archive.changes();
            let gone = gather(gone, &key(&self.schemas[0], self.keys)?)?;
            changes.push(StateChanges { state: self.state, part: self.schemas.len() as u16 - 1, gone, put });
        }
        let Groups { keys, calls, .. } = groups;
        for (part, entries) in with_entries(calls).enumerate().map(|(index, entries)| (index + 1, entries)) {
            let schema = &self.schemas[part];
            let gone = gather(std::mem::take(&mut self.gone[part]), &key(schema, self.keys + 1)?)?;
            let (slots, values, counts) = entries.take_changed()?;
            let mut put: Vec<RecordBatch> = vec![];
            for (piece, slots) in slots.chunks(PIECE_ROWS).enumerate() {
                let mut columns = keys.columns(slots)?;
                columns.push(values.slice(piece * PIECE_ROWS, slots.len()));
                let counts = &counts[piece * PIECE_ROWS..][..slots.len()];
                columns.push(Arc::new(Int64Array::from(counts.to_vec())));
                put.push(batch(schema.clone(), columns, slots.len())?);
            }
            changes.push(StateChanges { state: self.state, part: part as u16, gone, put });
        }
        self.gone_bytes = 0;
        changes.retain(|changes| !changes.gone.is_empty() || !changes.put.is_empty());
        Ok(changes)
    }

    /// Takes back rows of a part; that of the groups comes first. Gives the slots of groups that came.
    pub(super) fn load(
        &mut self,
        groups: &mut Groups,
        tracked: &mut Tracked,
        part: u16,
        columns: &[ArrayRef],
        rows: usize,
    ) -> Result<Option<Vec<u32>>> {
        let is_last = usize::from(part) + 1 == self.schemas.len();
        if let Some(archive) = self.archive.as_mut().filter(|_| is_last) {
            let rows = batch(self.schemas[0].clone(), columns.to_vec(), rows)?;
            archive.load(self.named, &rows)?;
            return Ok(None);
        }
        if part > 0 {
            let mut slots = vec![];
            groups.keys.find(&columns[..self.keys], rows, &mut slots)?;
            let entries = with_entries(&mut groups.calls).nth(part as usize - 1);
            let entries = entries.ok_or_else(|| Error::internal(format!("the state of an aggregate has no part {part}")))?;
            entries.load(&slots, &columns[self.keys], columns[self.keys + 1].as_primitive::<Int64Type>().values())?;
            return Ok(None);
        }
        let slots = self.restore(groups, tracked, columns, rows)?;
        tracked.load(&slots);
        Ok(Some(slots))
    }

    /// Groups of closed windows.
    pub(super) fn archived(&self) -> usize {
        self.archive.as_ref().map_or(0, Archive::groups)
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.archive.as_ref().map_or(0, Archive::dirty_bytes)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.gone_bytes + self.archive.as_ref().map_or(0, Archive::memory_bytes)
    }
}

/// Rows of part 0.
fn group_rows(schema: &SchemaRef, groups: &Groups, slots: &[u32]) -> Result<RecordBatch> {
    let mut columns = groups.keys.columns(slots)?;
    columns.push(groups.counts(slots));
    for call in &groups.calls {
        if let CallState::Own(accumulator) = call {
            columns.extend(accumulator.cells(slots)?);
        }
    }
    batch(schema.clone(), columns, slots.len())
}

/// The calls that keep values one by one.
fn with_entries(calls: &mut [CallState]) -> impl Iterator<Item = &mut dyn Entries> {
    calls.iter_mut().filter_map(|call| match call {
        CallState::Rows => None,
        CallState::Own(accumulator) => accumulator.entries(),
    })
}

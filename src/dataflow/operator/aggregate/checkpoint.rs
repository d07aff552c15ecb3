//! The groups of an aggregate as rows: part 0 has a row for each group, the parts after it one for each value that a call keeps.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use weir_common::delta::batch;
use weir_common::error::{Error, Result};

use crate::operator::aggregate::accumulator::accumulator;
use crate::operator::aggregate::archive::Archive;
use crate::operator::aggregate::copied::Copied;
use crate::operator::aggregate::entries::{Counts, Entries};
use crate::operator::aggregate::gone::Gone;
use crate::operator::aggregate::keys::Keys;
use crate::operator::aggregate::tracked::{PIECE_ROWS, Tracked};
use crate::operator::aggregate::{AggregateSpec, CallState, Groups, Keeps, counts_rows};
use crate::state::{StateChanges, StateSpec, StoredRows};

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
            left_in_store: Some(part) == archive && self.life.as_ref().is_some_and(|life| life.retention.is_none()),
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
    /// The groups of closed windows, in the last part.
    archive: Option<Archive>,
    /// Of the keys of each part.
    key_schemas: Vec<SchemaRef>,
    /// By part: entries that went since the last checkpoint, with their groups' keys; nothing of groups themselves.
    gone: Vec<Gone>,
    /// By part.
    copied: Vec<Copied>,
}

impl Stored {
    pub(super) fn new(spec: &AggregateSpec, key: &Schema) -> Result<Self> {
        let schemas = spec.state_schemas(key)?;
        let named = spec.life.as_ref().map_or(0, |life| life.closing.column);
        let archive = (spec.keeps() == Keeps::Sums).then(|| Archive::new(&schemas[0], spec.keys, named)).transpose()?;
        let archived = archive.as_ref().map(|_| schemas.len() - 1);
        let key = |(part, schema): (usize, &SchemaRef)| -> Result<SchemaRef> {
            let columns = if part == 0 || Some(part) == archived { spec.keys } else { spec.keys + 1 };
            Ok(Arc::new(schema.project(&(0..columns).collect::<Vec<_>>())?))
        };
        let key_schemas = schemas.iter().enumerate().map(key).collect::<Result<_>>()?;
        let gone = schemas.iter().map(|_| Gone::default()).collect();
        let copied = schemas.iter().map(|_| Copied::default()).collect();
        Ok(Stored { state: spec.state, keys: spec.keys, schemas, key_schemas, gone, copied, archive })
    }

    /// Keeps the groups of a window that closes.
    pub(super) fn archive(&mut self, named: i64, groups: &Groups, slots: &[u32]) -> Result<()> {
        let Some(archive) = &mut self.archive else { return Err(Error::internal("closed windows are not kept")) };
        for slots in slots.chunks(PIECE_ROWS) {
            archive.put(named, group_rows(&self.schemas[0], groups, slots)?);
        }
        Ok(())
    }

    /// Keeps groups of a window that closes, as sums behind their keys; nothing where that is not asked for.
    pub(super) fn archive_rows(&mut self, named: i64, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if let Some(archive) = &mut self.archive {
            archive.put(named, batch(self.schemas[0].clone(), columns.to_vec(), rows)?);
        }
        Ok(())
    }

    /// What names the first window of which groups are kept after it was closed.
    pub(super) fn first_archived(&self) -> Option<i64> {
        self.archive.as_ref().and_then(Archive::first)
    }

    /// Takes out the groups of a closed window that have these keys.
    pub(super) fn take_archived(&mut self, named: i64, keys: &[ArrayRef]) -> Result<Vec<RecordBatch>> {
        self.archive.as_mut().map_or(Ok(Vec::new()), |archive| archive.take(named, keys))
    }

    /// Where the groups of closed windows are found that a checkpoint has: from then on those are not kept here.
    pub(super) fn look_up(&mut self, part: u16, rows: Arc<dyn StoredRows>) -> Result<()> {
        match &mut self.archive {
            Some(archive) if usize::from(part) + 1 == self.schemas.len() => archive.look_up(rows),
            _ => return Err(Error::internal("only closed windows are left in the store")),
        }
        Ok(())
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

    /// Keeps what this epoch took away and what it changed of entries that are to be copied, while the slots are still those of the
    /// same groups.
    pub(super) fn collect(&mut self, groups: &mut Groups) -> Result<()> {
        let Groups { keys, calls, .. } = groups;
        for (part, entries) in with_entries(calls).enumerate().map(|(index, entries)| (index + 1, entries)) {
            if let Some(counts) = entries.take_kept()? {
                self.copied[part].keep(entry_rows(&self.schemas[part], keys, counts)?);
            }
            if let Some((slots, values)) = entries.take_gone()? {
                let mut columns = keys.columns(&slots)?;
                columns.push(values);
                self.gone[part].push(columns);
            }
        }
        Ok(())
    }

    /// What has changed so far is to be copied, as it is now, between two epochs.
    pub(super) fn freeze(&mut self, groups: &mut Groups, tracked: &mut Tracked) {
        tracked.freeze();
        if let Some(archive) = &mut self.archive {
            // Closed groups do not change: what came is only shared.
            let (gone, put) = archive.changes();
            let last = self.schemas.len() - 1;
            gone.into_iter().for_each(|keys| self.gone[last].push(keys));
            self.copied[last].put.extend(put);
        }
        with_entries(&mut groups.calls).for_each(Entries::freeze);
        self.gone.iter_mut().for_each(Gone::freeze);
        self.copied.iter_mut().for_each(|copied| copied.kept = 0);
    }

    /// Frozen rows that could not wait for their slice.
    pub(super) fn kept_rows(&self) -> usize {
        self.copied.iter().map(|copied| copied.kept).sum()
    }

    /// Copies frozen groups that are about to change.
    #[inline(always)]
    pub(super) fn keep(&mut self, groups: &Groups, tracked: &mut Tracked) -> Result<()> {
        if tracked.kept().is_empty() { Ok(()) } else { self.keep_now(groups, tracked) }
    }

    #[cold]
    fn keep_now(&mut self, groups: &Groups, tracked: &mut Tracked) -> Result<()> {
        self.copied[0].keep(group_rows(&self.schemas[0], groups, tracked.kept())?);
        tracked.copied_kept();
        Ok(())
    }

    /// Copies more of what is frozen, about as many rows as the budget has, which it takes them from. All is copied when some of it
    /// is left.
    pub(super) fn copy(&mut self, groups: &mut Groups, tracked: &mut Tracked, budget: &mut usize) -> Result<()> {
        while *budget > 0 {
            let slots = tracked.next_frozen(budget);
            if slots.is_empty() {
                break;
            }
            self.copied[0].put.push(group_rows(&self.schemas[0], groups, &slots)?);
        }
        tracked.copy_gone(&self.key_schemas[0], budget, &mut self.copied[0].gone)?;
        if self.archive.is_some() {
            let last = self.schemas.len() - 1;
            self.gone[last].copy(&self.key_schemas[last], budget, &mut self.copied[last].gone)?;
        }
        // What changed since the freeze has left the lists below, or is passed by there.
        self.collect(groups)?;
        let Groups { keys, calls, .. } = groups;
        for (part, entries) in with_entries(calls).enumerate().map(|(index, entries)| (index + 1, entries)) {
            self.gone[part].copy(&self.key_schemas[part], budget, &mut self.copied[part].gone)?;
            while *budget > 0
                && let Some(counts) = entries.copy(budget)?
            {
                self.copied[part].put.push(entry_rows(&self.schemas[part], keys, counts)?);
            }
        }
        Ok(())
    }

    /// All that was copied.
    pub(super) fn take_copied(&mut self) -> Vec<StateChanges> {
        let state = self.state;
        self.copied.iter_mut().enumerate().filter_map(|(part, copied)| copied.take(state, part as u16)).collect()
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
            archive.load(&rows)?;
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

    pub(super) fn dirty_bytes(&self) -> usize {
        self.archive.as_ref().map_or(0, Archive::dirty_bytes)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.gone.iter().map(Gone::bytes).sum::<usize>() + self.archive.as_ref().map_or(0, Archive::memory_bytes)
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

/// Rows of another part.
fn entry_rows(schema: &SchemaRef, keys: &Keys, (slots, values, counts): Counts) -> Result<RecordBatch> {
    let mut columns = keys.columns(&slots)?;
    columns.push(values);
    columns.push(Arc::new(Int64Array::from(counts)));
    batch(schema.clone(), columns, slots.len())
}

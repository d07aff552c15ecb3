//! The rows of closed sessions, kept so that late rows can be admitted: what these reach is put together again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;

use crate::consolidate::consolidate;
use crate::operator::aggregate::copied::Copied;
use crate::operator::aggregate::gone::Gone;
use crate::state::{StateChanges, StateSpec};

/// The part of the state that has them.
pub(super) const CLOSED: u16 = 1;

/// A closed session: its partition, first and last moment. Sessions that are alike are one.
pub(super) type Name = (u32, i64, i64);

/// Closed sessions.
pub(super) struct Closed {
    /// The columns of the rows, first and last moment, and how often the row is there.
    schema: SchemaRef,
    key: SchemaRef,
    sessions: BTreeMap<Name, Kept>,
    /// The same by last moment.
    ends: BTreeSet<(i64, u32, i64)>,
    /// Of the rows.
    bytes: usize,
    /// Of those that the last checkpoint does not have.
    dirty_bytes: usize,
    /// Keys of rows that the last checkpoint has and that are not here any more.
    gone: Gone,
    copied: Copied,
}

/// The rows of one.
struct Kept {
    rows: RecordBatch,
    bytes: usize,
    /// Whether the last checkpoint has them.
    is_stored: bool,
}

impl Closed {
    /// `input`: of the rows.
    pub(super) fn new(input: &Schema) -> Result<Self> {
        let schema = state_schema(input);
        let key = Arc::new(schema.project(&(0..schema.fields().len() - 1).collect::<Vec<_>>())?);
        let (gone, copied) = (Gone::default(), Copied::default());
        let (sessions, ends) = (BTreeMap::new(), BTreeSet::new());
        Ok(Closed { schema, key, sessions, ends, bytes: 0, dirty_bytes: 0, gone, copied })
    }

    /// Its state.
    pub(super) fn state_spec(state: u16, input: &Schema, placement: &[usize]) -> StateSpec {
        let schema = state_schema(input);
        StateSpec { state, part: CLOSED, keys: schema.fields().len() - 1, schema, placement: placement.to_vec(), left_in_store: false }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Keeps rows of a session; with those that are there already, if one is alike.
    pub(super) fn put(&mut self, name: Name, rows: RecordBatch, bytes: usize) -> Result<()> {
        self.add(name, rows, bytes, false)
    }

    fn add(&mut self, name: Name, mut rows: RecordBatch, mut bytes: usize, mut is_stored: bool) -> Result<()> {
        if let Some(other) = self.remove_kept(name) {
            if other.is_stored && !is_stored {
                self.forget(&other.rows)?;
            }
            let is_more = is_stored;
            is_stored &= other.is_stored;
            rows = concat_batches(&self.schema, [&other.rows, &rows])?;
            if !is_more {
                rows = self.summed(&rows)?;
            }
            bytes += other.bytes;
        }
        self.bytes += bytes;
        self.dirty_bytes += if is_stored { 0 } else { bytes };
        self.ends.insert((name.2, name.0, name.1));
        self.sessions.insert(name, Kept { rows, bytes, is_stored });
        Ok(())
    }

    fn remove_kept(&mut self, name: Name) -> Option<Kept> {
        let kept = self.sessions.remove(&name)?;
        self.bytes -= kept.bytes;
        self.dirty_bytes -= if kept.is_stored { 0 } else { kept.bytes };
        Some(kept)
    }

    /// Each row once.
    fn summed(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let counts = rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>().values().to_vec();
        let keys = rows.project(&(0..rows.num_columns() - 1).collect::<Vec<_>>())?;
        let summed = consolidate(&Delta::weighted(keys, counts))?;
        let mut columns = summed.rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from_iter_values((0..summed.num_rows()).map(|row| summed.weights.get(row)))));
        batch(self.schema.clone(), columns, summed.num_rows())
    }

    /// The last checkpoint has rows that are not here any more.
    fn forget(&mut self, rows: &RecordBatch) -> Result<()> {
        self.gone.push(rows.project(&(0..self.key.fields().len()).collect::<Vec<_>>())?.columns().to_vec());
        Ok(())
    }

    /// Takes out a session.
    pub(super) fn take(&mut self, name: Name) -> Result<Option<RecordBatch>> {
        let Some(Kept { rows, is_stored, .. }) = self.remove_kept(name) else { return Ok(None) };
        self.ends.remove(&(name.2, name.0, name.1));
        if is_stored {
            self.forget(&rows)?;
        }
        Ok(Some(rows))
    }

    /// The sessions of a partition that moments reach, directly or through each other.
    pub(super) fn reached(&self, partition: u32, moments: &BTreeSet<i64>, gap: i64) -> Vec<Name> {
        let sessions = self.sessions.range((partition, i64::MIN, i64::MIN)..=(partition, i64::MAX, i64::MAX));
        let mut spans: Vec<(i64, i64, Option<Name>)> = sessions.map(|(name, _)| (name.1, name.2, Some(*name))).collect();
        spans.extend(moments.iter().map(|moment| (*moment, *moment, None)));
        spans.sort_unstable();
        let (mut reached, mut together, mut until, mut is_reached) = (vec![], vec![], None::<i64>, false);
        for (first, last, name) in spans {
            if until.is_some_and(|until| first.saturating_sub(until) >= gap) {
                if std::mem::take(&mut is_reached) {
                    reached.append(&mut together);
                }
                together.clear();
            }
            until = until.max(Some(last));
            is_reached |= name.is_none();
            together.extend(name);
        }
        if is_reached {
            reached.append(&mut together);
        }
        reached
    }

    /// Whether any session is of this partition.
    pub(super) fn has(&self, partition: u32) -> bool {
        self.sessions.range((partition, i64::MIN, i64::MIN)..=(partition, i64::MAX, i64::MAX)).next().is_some()
    }

    /// The last moment of the one that ends first.
    pub(super) fn first_last(&self) -> Option<i64> {
        self.ends.first().map(|(last, ..)| *last)
    }

    /// Lets the sessions go whose last moments are such; their partitions.
    pub(super) fn remove(&mut self, is_removed: impl Fn(i64) -> bool) -> Result<Vec<u32>> {
        let mut partitions = vec![];
        while let Some((last, partition, first)) = self.ends.first().copied()
            && is_removed(last)
        {
            self.take((partition, first, last))?;
            partitions.push(partition);
        }
        Ok(partitions)
    }

    pub(super) fn freeze(&mut self) {
        // They do not change: what came is only shared.
        let mut came = 0;
        for kept in self.sessions.values_mut().filter(|kept| !kept.is_stored) {
            came += kept.bytes;
            self.copied.put.push(kept.rows.clone());
            kept.is_stored = true;
        }
        debug_assert_eq!(came, self.dirty_bytes);
        self.dirty_bytes = 0;
        self.gone.freeze();
    }

    pub(super) fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.gone.copy(&self.key, budget, &mut self.copied.gone)
    }

    pub(super) fn take_copied(&mut self, state: u16) -> Option<StateChanges> {
        self.copied.take(state, CLOSED)
    }

    /// Takes back rows of sessions of these partitions; `bytes` says how many those of a row are.
    pub(super) fn load(&mut self, partitions: &[u32], columns: &[ArrayRef], bytes: impl Fn(usize) -> usize) -> Result<()> {
        let rows = batch(self.schema.clone(), columns.to_vec(), partitions.len())?;
        let width = self.key.fields().len() - 2;
        let moments = |column: usize| columns[column].as_primitive::<Int64Type>().values();
        let (firsts, lasts) = (moments(width), moments(width + 1));
        let name = |row: &u32| (partitions[*row as usize], firsts[*row as usize], lasts[*row as usize]);
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_unstable_by_key(name);
        let sorted = take_record_batch(&rows, &UInt32Array::from(order.clone()))?;
        let mut from = 0;
        for same in order.chunk_by(|a, b| name(a) == name(b)) {
            let bytes = same.iter().map(|row| bytes(*row as usize)).sum();
            self.add(name(&same[0]), sorted.slice(from, same.len()), bytes, true)?;
            from += same.len();
        }
        Ok(())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let sessions = self.sessions.len() * (size_of::<(Name, Kept)>() + size_of::<(i64, u32, i64)>()) * 3 / 2;
        sessions + self.bytes + self.gone.bytes()
    }

    /// Bytes that the next checkpoint writes, about.
    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes + self.gone.bytes()
    }
}

fn state_schema(input: &Schema) -> SchemaRef {
    let more = ["first", "last", "count"].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
    Arc::new(Schema::new(input.fields().iter().cloned().chain(more).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;

//! Keys of any type, as row bytes in an arena.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use arrow::row::{RowConverter, RowParser, Rows};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use weir_common::error::Result;

use crate::operator::aggregate::keys::{empty, empty_table, fold};
use crate::rows::{converter, decode};

/// Garbage below this is not worth a compaction.
const GARBAGE_BYTES_MIN: usize = 64 * 1024;
/// Bytes that are kept for the next batch.
const SPARE_BYTES: usize = 512 * 1024;

pub(super) struct EncodedKeys {
    types: Vec<DataType>,
    converter: RowConverter,
    parser: RowParser,
    table: HashTable<u32>,
    /// By slot; the span of a free slot is empty.
    hashes: Vec<u64>,
    spans: Vec<Span>,
    arena: Vec<u8>,
    garbage: usize,
    free: Vec<u32>,
    /// The keys of the current batch.
    batch: Rows,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start..self.start + self.len]
    }
}

impl EncodedKeys {
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        let converter = converter(types)?;
        let (parser, batch) = (converter.parser(), converter.empty_rows(0, 0));
        let (types, table) = (types.to_vec(), HashTable::new());
        let (hashes, spans, arena, free) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(EncodedKeys { types, converter, parser, table, hashes, spans, arena, garbage: 0, free, batch })
    }

    pub(super) fn find(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        let columns: Vec<ArrayRef> = columns.iter().map(canonical).collect();
        self.converter.append(&mut self.batch, &columns)?;
        slots.reserve(rows);
        let EncodedKeys { table, hashes, spans, arena, free, batch, .. } = self;
        for row in batch.iter() {
            let bytes = row.data();
            let hash = hash(bytes);
            let same = |slot: &u32| hashes[*slot as usize] == hash && spans[*slot as usize].of(arena) == bytes;
            let slot = match table.entry(hash, same, |slot| hashes[*slot as usize]) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let slot = free.pop().unwrap_or(spans.len() as u32);
                    entry.insert(slot);
                    let span = Span { start: arena.len(), len: bytes.len() };
                    arena.extend_from_slice(bytes);
                    if slot as usize == spans.len() {
                        spans.push(span);
                        hashes.push(hash);
                    } else {
                        spans[slot as usize] = span;
                        hashes[slot as usize] = hash;
                    }
                    slot
                }
            };
            slots.push(slot);
        }
        self.batch.clear();
        if self.batch.size() > SPARE_BYTES {
            self.batch = self.converter.empty_rows(0, 0);
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn groups(&self) -> usize {
        self.table.len()
    }

    pub(super) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let rows = slots.iter().map(|slot| self.parser.parse(self.spans[*slot as usize].of(&self.arena)));
        let columns = decode(&self.converter, rows)?;
        debug_assert!(columns.iter().zip(&self.types).all(|(column, data_type)| column.data_type() == data_type), "keys keep their types");
        Ok(columns)
    }

    pub(super) fn release(&mut self, slot: u32) {
        let Ok(entry) = self.table.find_entry(self.hashes[slot as usize], |other| *other == slot) else { return };
        entry.remove();
        self.free.push(slot);
        self.garbage += std::mem::take(&mut self.spans[slot as usize]).len;
        if self.garbage > GARBAGE_BYTES_MIN && self.garbage > self.arena.len() / 2 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for span in &mut self.spans {
            let start = arena.len();
            arena.extend_from_slice(span.of(&self.arena));
            span.start = start;
        }
        self.arena = arena;
        self.garbage = 0;
    }

    pub(super) fn reset(&mut self) {
        empty_table(&mut self.table);
        empty(&mut self.hashes);
        empty(&mut self.spans);
        empty(&mut self.free);
        self.arena.clear();
        self.arena.shrink_to(SPARE_BYTES);
        self.garbage = 0;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let slots = self.hashes.capacity() * size_of::<u64>() + self.spans.capacity() * size_of::<Span>();
        self.table.allocation_size() + slots + self.arena.capacity() + self.free.capacity() * size_of::<u32>() + self.batch.size()
    }
}

/// One zero and one NaN: row bytes would tell them apart.
fn canonical(array: &ArrayRef) -> ArrayRef {
    fn one<T: ArrowPrimitiveType>(array: &ArrayRef, value: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        Arc::new(array.as_primitive::<T>().unary::<_, T>(value))
    }
    match array.data_type() {
        DataType::Float32 => one::<Float32Type>(array, |value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        DataType::Float64 => one::<Float64Type>(array, |value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        _ => array.clone(),
    }
}

#[inline(always)]
fn hash(bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let mut hash = bytes.len() as u64;
    let mut pairs = bytes.chunks_exact(16);
    for pair in &mut pairs {
        hash = fold(word(&pair[..8]) ^ hash, word(&pair[8..]));
    }
    let rest = pairs.remainder();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    fold(word(&last[..8]) ^ hash, word(&last[8..]))
}

//! Keys of fixed width, packed into 8 or 16 bytes: compared and hashed as one word.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use weir_common::error::Result;

use crate::operator::aggregate::cells::Cells;
use crate::operator::aggregate::keys::{empty, empty_table, fold};
use crate::operator::aggregate::ordered::{recast, restore};

/// A NULL has no bits in the word and its bit in the mask.
///
/// # Invariants
/// - Each slot has a cell in `nulls`, or none has: then no key has had a NULL.
pub(super) struct PackedKeys<W> {
    columns: Vec<Column>,
    table: HashTable<u32>,
    words: Cells<W>,
    nulls: Cells<u16>,
    free: Vec<u32>,
    /// The keys of the current batch; without masks where none has a NULL.
    batch_words: Vec<W>,
    batch_nulls: Vec<u16>,
}

/// What a key is packed into.
pub(super) trait Word: Copy + Eq + Default {
    /// How many bits it has.
    const BITS: u32;

    /// Adds the bits of a value, which begin at the bit `shift`.
    fn put(&mut self, value: u128, shift: u32);

    /// The bits from `shift` on.
    fn get(self, shift: u32) -> u128;

    /// A hash of it and a mask.
    fn hash(self, nulls: u16) -> u64;
}

impl Word for u64 {
    const BITS: u32 = u64::BITS;

    #[inline(always)]
    fn put(&mut self, value: u128, shift: u32) {
        *self |= (value as u64) << shift;
    }

    #[inline(always)]
    fn get(self, shift: u32) -> u128 {
        (self >> shift) as u128
    }

    #[inline(always)]
    fn hash(self, nulls: u16) -> u64 {
        fold(self, nulls as u64)
    }
}

impl Word for u128 {
    const BITS: u32 = u128::BITS;

    #[inline(always)]
    fn put(&mut self, value: u128, shift: u32) {
        *self |= value << shift;
    }

    #[inline(always)]
    fn get(self, shift: u32) -> u128 {
        self >> shift
    }

    #[inline(always)]
    fn hash(self, nulls: u16) -> u64 {
        fold(fold(self as u64, nulls as u64), (self >> 64) as u64)
    }
}

struct Column {
    data_type: DataType,
    width: Width,
    shift: u32,
}

#[derive(Clone, Copy)]
enum Width {
    Null,
    Bit,
    Bytes1,
    Bytes2,
    Bytes4,
    Bytes8,
    Float4,
    Float8,
    Bytes16,
    Fixed(usize),
}

impl Width {
    fn of(data_type: &DataType) -> Option<Width> {
        match data_type {
            DataType::Null => Some(Width::Null),
            DataType::Boolean => Some(Width::Bit),
            DataType::Int8 | DataType::UInt8 => Some(Width::Bytes1),
            DataType::Int16 | DataType::UInt16 => Some(Width::Bytes2),
            DataType::Int32 | DataType::UInt32 | DataType::Date32 => Some(Width::Bytes4),
            DataType::Int64 | DataType::UInt64 | DataType::Time64(_) | DataType::Timestamp(..) => Some(Width::Bytes8),
            DataType::Float32 => Some(Width::Float4),
            DataType::Float64 => Some(Width::Float8),
            DataType::Decimal128(..) => Some(Width::Bytes16),
            DataType::FixedSizeBinary(width @ 1..=16) => Some(Width::Fixed(*width as usize)),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Width::Null => 0,
            Width::Bit | Width::Bytes1 => 1,
            Width::Bytes2 => 2,
            Width::Bytes4 | Width::Float4 => 4,
            Width::Bytes8 | Width::Float8 => 8,
            Width::Bytes16 => 16,
            Width::Fixed(bytes) => bytes,
        }
    }
}

impl<W: Word> PackedKeys<W> {
    /// `None` where these types are not of fixed width, or do not fit.
    pub(super) fn new(types: &[DataType]) -> Option<Self> {
        let mut columns = Vec::with_capacity(types.len());
        let mut bytes = 0;
        for data_type in types {
            let width = Width::of(data_type)?;
            columns.push(Column { data_type: data_type.clone(), width, shift: bytes as u32 * 8 });
            bytes += width.bytes();
        }
        if bytes > size_of::<W>() || columns.len() > u16::BITS as usize {
            return None;
        }
        // A column without bytes at the end would shift by the whole word.
        columns.iter_mut().for_each(|column| column.shift = column.shift.min(W::BITS - 1));
        let (words, nulls, free) = (Cells::new(), Cells::new(), Vec::new());
        Some(PackedKeys { columns, table: HashTable::new(), words, nulls, free, batch_words: Vec::new(), batch_nulls: Vec::new() })
    }

    pub(super) fn find(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        self.pack(columns, rows)?;
        slots.reserve(rows);
        if !self.batch_nulls.is_empty() && !self.has_nulls() {
            self.nulls.grow(self.words.len(), 0);
        }
        let PackedKeys { table, words, nulls, free, batch_words, batch_nulls, .. } = self;
        if batch_nulls.is_empty() && nulls.len() == 0 {
            for word in batch_words.iter().copied() {
                let same = |slot: &u32| words[*slot as usize] == word;
                let slot = match table.entry(word.hash(0), same, |slot| words[*slot as usize].hash(0)) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        let slot = free.pop().unwrap_or(words.len() as u32);
                        entry.insert(slot);
                        words.set(slot, word);
                        slot
                    }
                };
                slots.push(slot);
            }
            return Ok(());
        }
        // Rows beyond the masks have no NULL.
        for (word, null) in batch_words.iter().copied().zip(batch_nulls.iter().copied().chain(std::iter::repeat(0))) {
            let same = |slot: &u32| words[*slot as usize] == word && nulls[*slot as usize] == null;
            let rehash = |slot: &u32| words[*slot as usize].hash(nulls[*slot as usize]);
            let slot = match table.entry(word.hash(null), same, rehash) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let slot = free.pop().unwrap_or(words.len() as u32);
                    entry.insert(slot);
                    words.set(slot, word);
                    nulls.set(slot, null);
                    slot
                }
            };
            slots.push(slot);
        }
        Ok(())
    }

    /// Whether any key has had a NULL.
    fn has_nulls(&self) -> bool {
        self.nulls.len() > 0
    }

    fn nulls_of(&self, slot: u32) -> u16 {
        if self.has_nulls() { self.nulls[slot as usize] } else { 0 }
    }

    pub(super) fn slots(&self) -> usize {
        self.words.len()
    }

    pub(super) fn groups(&self) -> usize {
        self.table.len()
    }

    pub(super) fn release(&mut self, slot: u32) {
        let hash = self.words[slot as usize].hash(self.nulls_of(slot));
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == slot) {
            entry.remove();
            self.free.push(slot);
        }
    }

    pub(super) fn reset(&mut self) {
        empty_table(&mut self.table);
        self.words.empty();
        self.nulls.empty();
        empty(&mut self.free);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let words = self.words.memory_bytes() + self.batch_words.capacity() * size_of::<W>();
        let nulls = self.nulls.memory_bytes() + self.batch_nulls.capacity() * size_of::<u16>();
        self.table.allocation_size() + words + nulls + self.free.capacity() * size_of::<u32>()
    }

    pub(super) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().enumerate().map(|(index, column)| self.unpack(index, column, slots)).collect()
    }

    fn pack(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let PackedKeys { columns: specs, batch_words, batch_nulls, .. } = self;
        empty(batch_words);
        batch_words.resize(rows, W::default());
        empty(batch_nulls);
        if columns.iter().any(|column| column.logical_null_count() > 0) {
            batch_nulls.resize(rows, 0);
        }
        for (index, (column, array)) in specs.iter().zip(columns).enumerate() {
            let mut pack = Packer { words: batch_words, nulls: batch_nulls, shift: column.shift, mask: 1 << index };
            match column.width {
                Width::Null => pack.nulls.iter_mut().for_each(|nulls| *nulls |= pack.mask),
                Width::Bit => {
                    let bits = array.as_boolean();
                    pack.by_row(bits, |row| bits.value(row) as u128);
                }
                Width::Bytes1 => pack.words(&recast::<UInt8Type>(array)?, |value| value as u128),
                Width::Bytes2 => pack.words(&recast::<UInt16Type>(array)?, |value| value as u128),
                Width::Bytes4 => pack.words(&recast::<UInt32Type>(array)?, |value| value as u128),
                Width::Bytes8 => pack.words(&recast::<UInt64Type>(array)?, |value| value as u128),
                Width::Float4 => pack.words(array.as_primitive::<Float32Type>(), |value| float_bits(value) as u128),
                Width::Float8 => pack.words(array.as_primitive::<Float64Type>(), |value| weir_common::hash::float_bits(value) as u128),
                Width::Bytes16 => pack.words(array.as_primitive::<Decimal128Type>(), |value| value as u128),
                Width::Fixed(width) => {
                    let bytes = array.as_fixed_size_binary();
                    pack.by_row(bytes, |row| {
                        let mut word = [0; 16];
                        word[..width].copy_from_slice(bytes.value(row));
                        u128::from_le_bytes(word)
                    });
                }
            }
        }
        Ok(())
    }

    fn unpack(&self, index: usize, column: &Column, slots: &[u32]) -> Result<ArrayRef> {
        let word = |slot: &u32| (self.nulls_of(*slot) & (1 << index) == 0).then(|| self.words[*slot as usize].get(column.shift));
        let words = slots.iter().map(word);
        macro_rules! unpack {
            ($type:ty, $value:expr) => {{
                let array: PrimitiveArray<$type> = if self.has_nulls() {
                    words.map(|word| word.map($value)).collect()
                } else {
                    PrimitiveArray::from_iter_values(slots.iter().map(|slot| self.words[*slot as usize].get(column.shift)).map($value))
                };
                restore(array, &column.data_type)
            }};
        }
        match column.width {
            Width::Null => Ok(Arc::new(NullArray::new(slots.len()))),
            Width::Bit => Ok(Arc::new(words.map(|word| word.map(|word| word & 1 == 1)).collect::<BooleanArray>())),
            Width::Bytes1 => unpack!(UInt8Type, |word| word as u8),
            Width::Bytes2 => unpack!(UInt16Type, |word| word as u16),
            Width::Bytes4 => unpack!(UInt32Type, |word| word as u32),
            Width::Bytes8 => unpack!(UInt64Type, |word| word as u64),
            Width::Float4 => unpack!(Float32Type, |word| f32::from_bits(word as u32)),
            Width::Float8 => unpack!(Float64Type, |word| f64::from_bits(word as u64)),
            Width::Bytes16 => unpack!(Decimal128Type, |word| word as i128),
            Width::Fixed(width) => {
                let values = words.map(|word| word.map(|word| word.to_le_bytes()[..width].to_vec()));
                Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, width as i32)?))
            }
        }
    }
}

/// Writes one column into the keys of a batch.
struct Packer<'a, W> {
    words: &'a mut [W],
    nulls: &'a mut [u16],
    shift: u32,
    mask: u16,
}

impl<W: Word> Packer<'_, W> {
    #[inline(always)]
    fn words<T: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<T>, word: impl Fn(T::Native) -> u128) {
        if array.null_count() > 0 {
            return self.by_row(array, |row| word(array.value(row)));
        }
        for (packed, value) in self.words.iter_mut().zip(array.values()) {
            packed.put(word(*value), self.shift);
        }
    }

    #[inline(always)]
    fn by_row(&mut self, array: &dyn Array, word: impl Fn(usize) -> u128) {
        let nulls = array.nulls();
        for row in 0..self.words.len() {
            match nulls.is_some_and(|nulls| nulls.is_null(row)) {
                true => self.nulls[row] |= self.mask,
                false => self.words[row].put(word(row), self.shift),
            }
        }
    }
}

/// A float's bits, with one zero and one NaN.
fn float_bits(value: f32) -> u32 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f32::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots<W: Word>(keys: &mut PackedKeys<W>, columns: &[ArrayRef]) -> Vec<u32> {
        let mut slots = vec![];
        keys.find(columns, columns[0].len(), &mut slots).unwrap();
        slots
    }

    #[test]
    fn a_null_that_comes_late_is_a_key_of_its_own() {
        let mut keys = PackedKeys::<u64>::new(&[DataType::Int32, DataType::Int32]).unwrap();
        let column = |values: &[Option<i32>]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
        let plain = [column(&[Some(0), Some(1), Some(-1)]), column(&[Some(0), Some(0), Some(7)])];
        assert_eq!(slots(&mut keys, &plain), [0, 1, 2]);
        assert!(!keys.has_nulls());
        keys.release(1);
        let mixed = [column(&[None, Some(0), None, Some(0), Some(1)]), column(&[Some(0), None, None, Some(0), Some(0)])];
        assert_eq!(slots(&mut keys, &mixed), [1, 3, 4, 0, 5]);
        assert_eq!(slots(&mut keys, &plain), [0, 5, 2]);
        assert_eq!(keys.columns(&[1, 3, 4, 0, 5]).unwrap(), mixed);
        assert_eq!(keys.columns(&[0, 5, 2]).unwrap(), plain);
        keys.release(4);
        keys.release(0);
        assert_eq!(keys.groups(), 4);
        assert_eq!(slots(&mut keys, &mixed), [1, 3, 0, 4, 5]);
        keys.reset();
        assert!(!keys.has_nulls());
        assert_eq!(slots(&mut keys, &plain), [0, 1, 2]);
    }

    #[test]
    fn an_integer_takes_little_more_than_itself() {
        let mut keys = PackedKeys::<u64>::new(&[DataType::Int64]).unwrap();
        let values: Vec<i64> = (0..100_000).map(|value| value * 0x1_0000_0001).collect();
        for values in values.chunks(1000) {
            slots(&mut keys, &[Arc::new(Int64Array::from(values.to_vec())) as ArrayRef]);
        }
        assert_eq!(keys.groups(), values.len());
        // 8 for the word, and 131,072 buckets of 5.
        assert!(keys.memory_bytes() < values.len() * 15, "{} bytes", keys.memory_bytes());
        assert!(PackedKeys::<u64>::new(&[DataType::Int64, DataType::Boolean]).is_none());
        assert!(PackedKeys::<u128>::new(&[DataType::Int64, DataType::Boolean]).is_some());
    }
}

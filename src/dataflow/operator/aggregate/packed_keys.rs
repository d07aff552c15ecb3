//! Keys of fixed width, packed into 16 bytes: compared and hashed as one word.

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
pub(super) struct PackedKeys {
    columns: Vec<Column>,
    table: HashTable<u32>,
    words: Cells<u128>,
    nulls: Cells<u16>,
    free: Vec<u32>,
    /// The keys of the current batch.
    batch_words: Vec<u128>,
    batch_nulls: Vec<u16>,
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

impl PackedKeys {
    /// `None` where these types are not of fixed width, or do not fit.
    pub(super) fn new(types: &[DataType]) -> Option<Self> {
        let mut columns = Vec::with_capacity(types.len());
        let mut bytes = 0;
        for data_type in types {
            let width = Width::of(data_type)?;
            columns.push(Column { data_type: data_type.clone(), width, shift: bytes as u32 * 8 });
            bytes += width.bytes();
        }
        if bytes > 16 || columns.len() > u16::BITS as usize {
            return None;
        }
        // A column without bytes at the end would shift by the whole word.
        columns.iter_mut().for_each(|column| column.shift = column.shift.min(127));
        let (words, nulls, free) = (Cells::new(), Cells::new(), Vec::new());
        Some(PackedKeys { columns, table: HashTable::new(), words, nulls, free, batch_words: Vec::new(), batch_nulls: Vec::new() })
    }

    pub(super) fn find(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        self.pack(columns, rows)?;
        slots.reserve(rows);
        let PackedKeys { table, words, nulls, free, batch_words, batch_nulls, .. } = self;
        for (word, null) in batch_words.iter().copied().zip(batch_nulls.iter().copied()) {
            let same = |slot: &u32| words[*slot as usize] == word && nulls[*slot as usize] == null;
            let rehash = |slot: &u32| hash(words[*slot as usize], nulls[*slot as usize]);
            let slot = match table.entry(hash(word, null), same, rehash) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let slot = free.pop().unwrap_or(words.len() as u32);
                    entry.insert(slot);
                    if slot as usize == words.len() {
                        words.push(word);
                        nulls.push(null);
                    } else {
                        words[slot as usize] = word;
                        nulls[slot as usize] = null;
                    }
                    slot
                }
            };
            slots.push(slot);
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> usize {
        self.words.len()
    }

    pub(super) fn groups(&self) -> usize {
        self.table.len()
    }

    pub(super) fn release(&mut self, slot: u32) {
        let hash = hash(self.words[slot as usize], self.nulls[slot as usize]);
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
        let words = self.words.memory_bytes() + self.batch_words.capacity() * size_of::<u128>();
        let nulls = self.nulls.memory_bytes() + self.batch_nulls.capacity() * size_of::<u16>();
        self.table.allocation_size() + words + nulls + self.free.capacity() * size_of::<u32>()
    }

    pub(super) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().enumerate().map(|(index, column)| self.unpack(index, column, slots)).collect()
    }

    fn pack(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let PackedKeys { columns: specs, batch_words, batch_nulls, .. } = self;
        empty(batch_words);
        batch_words.resize(rows, 0);
        empty(batch_nulls);
        batch_nulls.resize(rows, 0);
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
        let word = |slot: &u32| (self.nulls[*slot as usize] & (1 << index) == 0).then(|| self.words[*slot as usize] >> column.shift);
        let words = slots.iter().map(word);
        macro_rules! unpack {
            ($type:ty, $value:expr) => {
                restore(words.map(|word| word.map($value)).collect::<PrimitiveArray<$type>>(), &column.data_type)
            };
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
struct Packer<'a> {
    words: &'a mut [u128],
    nulls: &'a mut [u16],
    shift: u32,
    mask: u16,
}

impl Packer<'_> {
    #[inline(always)]
    fn words<T: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<T>, word: impl Fn(T::Native) -> u128) {
        if array.null_count() > 0 {
            return self.by_row(array, |row| word(array.value(row)));
        }
        for (packed, value) in self.words.iter_mut().zip(array.values()) {
            *packed |= word(*value) << self.shift;
        }
    }

    #[inline(always)]
    fn by_row(&mut self, array: &dyn Array, word: impl Fn(usize) -> u128) {
        let nulls = array.nulls();
        for row in 0..self.words.len() {
            match nulls.is_some_and(|nulls| nulls.is_null(row)) {
                true => self.nulls[row] |= self.mask,
                false => self.words[row] |= word(row) << self.shift,
            }
        }
    }
}

#[inline(always)]
fn hash(word: u128, nulls: u16) -> u64 {
    fold(fold(word as u64, nulls as u64), (word >> 64) as u64)
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

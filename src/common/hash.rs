//! The stable hash that decides which worker owns a row.
//!
//! It will be part of keys on disk, so its values never change: the tests hold golden vectors. The finaliser for words
//! is `fmix64` of MurmurHash3; bytes are folded in words with the same mixer.

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::limits::VIRTUAL_GROUPS;

/// Hash of NULL, and of a key without columns.
pub const NULL_HASH: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes a word: MurmurHash3's fmix64.
#[inline]
pub fn mix(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    word ^= word >> 33;
    word = word.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    word ^ (word >> 33)
}

/// Folds one more value into a hash.
#[inline]
pub fn combine(hash: u64, value: u64) -> u64 {
    mix(hash.rotate_left(5) ^ value)
}

/// Hashes bytes.
#[inline]
pub fn bytes(bytes: &[u8]) -> u64 {
    let mut hash = mix(bytes.len() as u64 ^ NULL_HASH);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = combine(hash, u64::from_le_bytes(word.try_into().expect("chunks of eight")));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0u8; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = combine(hash, u64::from_le_bytes(word));
    }
    hash
}

/// A float's bits, with one zero and one NaN.
#[inline]
pub fn float_bits(value: f64) -> u64 {
    if value == 0.0 {
        0
    } else if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

/// The virtual group of a hash.
#[inline]
pub fn virtual_group(hash: u64) -> u64 {
    hash >> (64 - VIRTUAL_GROUPS.trailing_zeros())
}

/// The worker, of `workers`, that owns a hash.
#[inline]
pub fn owner(hash: u64, workers: usize) -> usize {
    (virtual_group(hash) * workers as u64 / VIRTUAL_GROUPS) as usize
}

/// The virtual groups of a worker, of `workers`: those of all hashes that it owns.
pub fn groups_of(worker: usize, workers: usize) -> std::ops::Range<u64> {
    let first = |worker: usize| (worker as u64 * VIRTUAL_GROUPS).div_ceil(workers as u64);
    first(worker)..first(worker + 1)
}

/// Hashes the given columns of every row. Without columns, every row has [`NULL_HASH`].
pub fn rows(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<u64>> {
    let mut hashes = vec![NULL_HASH; batch.num_rows()];
    for (position, column) in columns.iter().enumerate() {
        fold(batch.column(*column).as_ref(), &mut hashes, position == 0)?;
    }
    Ok(hashes)
}

fn fold(array: &dyn Array, hashes: &mut [u64], first: bool) -> Result<()> {
    macro_rules! words {
        ($array:expr, $word:expr) => {{
            let array = $array;
            let nulls = array.nulls();
            for (row, hash) in hashes.iter_mut().enumerate() {
                let value = if nulls.is_some_and(|nulls| nulls.is_null(row)) { NULL_HASH } else { mix($word(array.value(row))) };
                *hash = if first { value } else { combine(*hash, value) };
            }
        }};
    }
    match array.data_type() {
        DataType::Null => words!(NullWords, |word: u64| word),
        DataType::Boolean => words!(array.as_any().downcast_ref::<BooleanArray>().expect("type checked"), |value: bool| value as u64),
        DataType::Int8 => words!(array.as_primitive::<Int8Type>(), |value: i8| value as i64 as u64),
        DataType::Int16 => words!(array.as_primitive::<Int16Type>(), |value: i16| value as i64 as u64),
        DataType::Int32 => words!(array.as_primitive::<Int32Type>(), |value: i32| value as i64 as u64),
        DataType::Int64 => words!(array.as_primitive::<Int64Type>(), |value: i64| value as u64),
        DataType::UInt8 => words!(array.as_primitive::<UInt8Type>(), |value: u8| value as u64),
        DataType::UInt16 => words!(array.as_primitive::<UInt16Type>(), |value: u16| value as u64),
        DataType::UInt32 => words!(array.as_primitive::<UInt32Type>(), |value: u32| value as u64),
        DataType::UInt64 => words!(array.as_primitive::<UInt64Type>(), |value: u64| value),
        DataType::Float32 => words!(array.as_primitive::<Float32Type>(), |value: f32| float_bits(value as f64)),
        DataType::Float64 => words!(array.as_primitive::<Float64Type>(), float_bits),
        DataType::Decimal128(..) => {
            words!(array.as_primitive::<Decimal128Type>(), |value: i128| (value as u64) ^ ((value >> 64) as u64).rotate_left(32))
        }
        DataType::Date32 => words!(array.as_primitive::<Date32Type>(), |value: i32| value as i64 as u64),
        DataType::Time64(TimeUnit::Microsecond) => words!(array.as_primitive::<Time64MicrosecondType>(), |value: i64| value as u64),
        DataType::Time64(TimeUnit::Nanosecond) => words!(array.as_primitive::<Time64NanosecondType>(), |value: i64| value as u64),
        DataType::Timestamp(TimeUnit::Second, _) => words!(array.as_primitive::<TimestampSecondType>(), |value: i64| value as u64),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            words!(array.as_primitive::<TimestampMillisecondType>(), |value: i64| value as u64)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            words!(array.as_primitive::<TimestampMicrosecondType>(), |value: i64| value as u64)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => words!(array.as_primitive::<TimestampNanosecondType>(), |value: i64| value as u64),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            words!(array.as_primitive::<IntervalMonthDayNanoType>(), |value: IntervalMonthDayNano| {
                combine(mix(((value.months as u32 as u64) << 32) | value.days as u32 as u64), value.nanoseconds as u64)
            })
        }
        DataType::Utf8 => words!(array.as_string::<i32>(), |value: &str| bytes(value.as_bytes())),
        DataType::LargeUtf8 => words!(array.as_string::<i64>(), |value: &str| bytes(value.as_bytes())),
        DataType::Utf8View => words!(array.as_string_view(), |value: &str| bytes(value.as_bytes())),
        DataType::Binary => words!(array.as_binary::<i32>(), bytes),
        DataType::FixedSizeBinary(_) => words!(array.as_fixed_size_binary(), bytes),
        other => return Err(Error::unsupported(format!("values of type {other} cannot be keys yet"))),
    }
    Ok(())
}

/// A column of nothing but NULL, in the shape that the macro above expects.
struct NullWords;

impl NullWords {
    fn nulls(&self) -> Option<&arrow::buffer::NullBuffer> {
        None
    }
    fn value(&self, _: usize) -> u64 {
        NULL_HASH
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn golden_vectors_never_change() {
        assert_eq!(mix(1), 0xB456_BCFC_34C2_CB2C);
        assert_eq!(bytes(b""), mix(NULL_HASH));
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec!["weir", "dam and level"])) as ArrayRef),
        ])
        .unwrap();
        assert_eq!(rows(&batch, &[0]).unwrap(), vec![mix(1), NULL_HASH]);
        assert_eq!(rows(&batch, &[]).unwrap(), vec![NULL_HASH; 2]);
    }

    #[test]
    fn zeros_and_nans_are_one() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let batch = RecordBatch::try_from_iter([("f", array)]).unwrap();
        let hashes = rows(&batch, &[0]).unwrap();
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(hashes[2], hashes[3]);
    }

    #[test]
    fn owners_cover_all_workers() {
        for workers in 1..=5 {
            let mut seen = vec![0; workers];
            (0..10_000u64).for_each(|key| seen[owner(mix(key), workers)] += 1);
            assert!(seen.iter().all(|rows| *rows > 10_000 / workers / 2), "{seen:?}");
        }
    }
}

//! Random text: cut out of pools that are made once, appended to one buffer a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use weir_common::error::Result;

use crate::nexmark::random::{Draw, Draws, Purpose};

/// The shortest text that the original makes, before blanks around it are cut off.
const LENGTH_MIN: u64 = 3;
/// One character of so many is not a letter, in names and descriptions.
const SPECIAL_EVERY: u32 = 13;
/// Places at which text is cut out of a pool.
const PLACES: u64 = 1 << 20;
/// Bytes that can be cut out at any place.
const CUT_MAX: usize = 1024;

/// A long random text of which pieces are used.
#[derive(Debug)]
pub struct Pool {
    bytes: Vec<u8>,
}

impl Pool {
    /// Letters.
    pub fn letters(seed: u64) -> Self {
        let draws = Draws::new(seed, Purpose::Pool);
        Pool { bytes: (0..PLACES + CUT_MAX as u64).map(|place| letter(draws.at(place))).collect() }
    }

    /// Letters, and a blank for every 13th.
    pub fn words(seed: u64) -> Self {
        let draws = Draws::new(seed, Purpose::SpacedPool);
        let character = |place| match draws.at(place) {
            draw if draw.one_in(SPECIAL_EVERY) => b' ',
            draw => letter(draw),
        };
        Pool { bytes: (0..PLACES + CUT_MAX as u64).map(character).collect() }
    }

    /// `length` bytes from a random place, at most [`CUT_MAX`].
    #[inline]
    pub fn cut(&self, draw: Draw, length: usize) -> &[u8] {
        let place = draw.below(PLACES) as usize;
        &self.bytes[place..place + length]
    }

    /// As many bytes from a random place as fit into a few moves.
    #[inline]
    pub fn piece<const N: usize>(&self, draw: Draw) -> &[u8; N] {
        let place = draw.below(PLACES) as usize;
        self.bytes[place..].first_chunk().expect("the pool is longer than its places")
    }

    /// A text of 3 to `max - 1` bytes, without the blanks around it.
    pub fn short(&self, draw: Draw, max: u64) -> &[u8] {
        // The place takes the draw's upper half, the length its lower bits.
        let length = LENGTH_MIN + draw.low_below(max - LENGTH_MIN);
        self.cut(draw, length as usize).trim_ascii()
    }
}

/// A letter from a to z.
pub fn letter(draw: Draw) -> u8 {
    b'a' + draw.below(26) as u8
}

/// How long `extra` is so that the row has `average` bytes on average, where its other columns have `current`.
#[inline]
pub fn extra_length(draw: Draw, current: u64, average: u64) -> usize {
    let missing = average.saturating_sub(current);
    // A fifth, rounded.
    let spread = (2 * missing + 5) / 10;
    (missing - spread + draw.below((2 * spread).max(1))) as usize
}

/// A text column that is being made.
pub struct TextColumn {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
}

impl TextColumn {
    /// For so many rows of about so many bytes.
    pub fn new(rows: usize, row_bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        TextColumn { bytes: Vec::with_capacity((rows + 1) * row_bytes), offsets }
    }

    /// A row of these parts, one behind the other.
    #[inline]
    pub fn push(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.offsets.push(self.bytes.len() as i32);
    }

    /// A row of the first `length` bytes; copying a fixed number is faster than copying just those.
    #[inline]
    pub fn push_head<const N: usize>(&mut self, text: &[u8; N], length: usize) {
        let end = self.bytes.len() + length;
        self.bytes.extend_from_slice(text);
        self.bytes.truncate(end);
        self.offsets.push(end as i32);
    }

    /// The column.
    pub fn finish(self) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::new(self.offsets.into());
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), None)?))
    }
}

//! Cells by slot: a vector that grows without moving what it holds, so that a large state costs neither copies nor spare room.

use std::ops::{Index, IndexMut};

/// Cells of a chunk; a power of two.
const CHUNK: usize = 4096;
/// Cells that are looked at one by one before the rest of their chunk is looked at as a whole.
const NEAR: usize = 16;
/// Chunks whose memory is kept when all cells go.
const SPARE_CHUNKS: usize = 2;

/// One cell for each slot.
///
/// # Invariants
/// - All chunks but the last are full; the first grows like any vector, so that few cells take little room.
#[derive(Default)]
pub(super) struct Cells<T> {
    chunks: Vec<Vec<T>>,
    /// Emptied chunks that are used again.
    spare: Vec<Vec<T>>,
    len: usize,
}

impl<T: Clone> Cells<T> {
    pub(super) fn new() -> Self {
        Cells { chunks: Vec::new(), spare: Vec::new(), len: 0 }
    }

    /// Cells that are there.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a cell.
    pub(super) fn push(&mut self, value: T) {
        self.room().push(value);
        self.len += 1;
    }

    /// Gives a slot that is there, or the next one, its value.
    #[inline(always)]
    pub(super) fn set(&mut self, slot: u32, value: T) {
        if slot as usize == self.len { self.push(value) } else { self[slot as usize] = value }
    }

    /// Adds cells until there are `len`.
    pub(super) fn grow(&mut self, len: usize, value: T) {
        while self.len < len {
            let missing = len - self.len;
            let chunk = self.room();
            let before = chunk.len();
            chunk.resize(CHUNK.min(before + missing), value.clone());
            self.len += chunk.len() - before;
        }
    }

    /// All cells go.
    pub(super) fn empty(&mut self) {
        self.len = 0;
        for mut chunk in self.chunks.drain(..).take(SPARE_CHUNKS) {
            chunk.clear();
            if self.spare.len() < SPARE_CHUNKS {
                self.spare.push(chunk);
            }
        }
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes of the cells themselves, not of what they point to.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().chain(&self.spare).map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }

    /// The last chunk, with room for one more cell.
    fn room(&mut self) -> &mut Vec<T> {
        if self.len.is_multiple_of(CHUNK) {
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(self.spare.pop().unwrap_or_else(|| Vec::with_capacity(capacity)));
        }
        self.chunks.last_mut().expect("one was just added if there was none")
    }
}

impl Cells<u8> {
    /// The first cell from `from` on that has one of these bits: a chunk without any is passed by in one sweep.
    pub(super) fn next_with(&self, mut from: usize, bits: u8) -> Option<usize> {
        while from < self.len {
            let chunk = &self.chunks[from / CHUNK][from % CHUNK..];
            if let Some(at) = chunk.iter().take(NEAR).position(|cell| cell & bits != 0) {
                return Some(from + at);
            }
            let rest = &chunk[NEAR.min(chunk.len())..];
            if rest.iter().fold(0, |any, cell| any | cell) & bits != 0 {
                return rest.iter().position(|cell| cell & bits != 0).map(|at| from + NEAR + at);
            }
            from = (from / CHUNK + 1) * CHUNK;
        }
        None
    }

    /// A cell, if it is there.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut u8> {
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)
    }
}

impl<T> Index<usize> for Cells<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, slot: usize) -> &T {
        &self.chunks[slot / CHUNK][slot % CHUNK]
    }
}

impl<T> IndexMut<usize> for Cells<T> {
    #[inline(always)]
    fn index_mut(&mut self, slot: usize) -> &mut T {
        &mut self.chunks[slot / CHUNK][slot % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_a_vector_by_slot() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut cells, mut vector) = (Cells::new(), Vec::new());
        for step in 0..3000 {
            match random.u8(..100) {
                0 => (cells.empty(), vector.clear()).0,
                1..10 => {
                    let len = vector.len() + random.usize(..3 * CHUNK);
                    cells.grow(len, step);
                    vector.resize(len, step);
                }
                10..60 => {
                    cells.push(step);
                    vector.push(step);
                }
                _ if !vector.is_empty() => {
                    let slot = random.usize(..vector.len());
                    assert_eq!(cells[slot], vector[slot]);
                    cells[slot] = step;
                    vector[slot] = step;
                }
                _ => {}
            }
            assert_eq!(cells.len(), vector.len());
        }
        assert!(cells.iter().eq(&vector));
        assert!(cells.memory_bytes() <= (vector.len() + 4 * CHUNK) * size_of::<i32>());
    }

    #[test]
    fn cells_with_a_bit_are_found_in_order() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20 {
            let mut cells = Cells::new();
            cells.grow(random.usize(0..4 * CHUNK), 1u8);
            let mut marked: Vec<usize> =
                (0..if cells.len() == 0 { 0 } else { random.usize(0..50) }).map(|_| random.usize(..cells.len())).collect();
            if let Some(first) = marked.first().copied() {
                marked.extend(first..cells.len().min(first + 40));
            }
            marked.sort_unstable();
            marked.dedup();
            marked.iter().for_each(|slot| cells[*slot] |= 2);
            let found = |from: &usize| cells.next_with(*from, 2);
            let all: Vec<usize> = std::iter::successors(found(&0), |at| found(&(at + 1))).collect();
            assert_eq!(all, marked);
        }
    }
}

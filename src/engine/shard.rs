//! A shard: the served rows of one relation on one worker, as immutable runs with live masks.
//!
//! # Invariants
//! - A run's rows never change; a delete clears a bit of its mask, copied first where a snapshot still holds it.
//! - Each live row of a retractable shard has exactly one entry in the index; append-only shards have no index.
//! - Runs of one size class are merged when there are [`CLASS_RUNS_MAX`] of them, so a row is moved O(log rows) times.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, MutableBuffer};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::bit_util;
use weir_common::delta::{Delta, Weights};
use weir_common::error::{Error, Result};
use weir_common::hash;
use weir_common::limits::RUN_ROWS_MAX;
use weir_common::snapshot::Run;

use crate::shard::find::{FIND_ROWS, find, rows_equal};
use crate::shard::index::{Index, Pages, Place};
use crate::shard::stored::{Mark, Stored};

pub mod stored; // what of it the last checkpoint has

mod find; // rows that are taken back
mod index; // where a row lies

/// Runs of one size class before they are merged into one of the next.
pub const CLASS_RUNS_MAX: usize = 8;

/// The served rows of a relation on one worker.
pub struct Shard {
    schema: SchemaRef,
    /// Columns that go into a row's hash; the rest are compared only.
    hashed: Vec<usize>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: Option<Index>,
    live_rows: usize,
    stored: Stored,
}

struct Slot {
    rows: Arc<RecordBatch>,
    /// Of the index; none in append-only shards.
    pages: Pages,
    live: Option<BooleanBuffer>,
    dead: usize,
    /// Bytes of its columns.
    bytes: usize,
    mark: Mark,
}

impl Shard {
    /// An empty shard; `checkpoints`: whether anybody will ask what changed.
    pub fn new(schema: SchemaRef, append_only: bool, checkpoints: bool) -> Self {
        let hashable = |field: &&(usize, &FieldRef)| !field.1.data_type().is_nested();
        let hashed = schema.fields().iter().enumerate().collect::<Vec<_>>().iter().filter(hashable).map(|(column, _)| *column).collect();
        Shard {
            schema,
            hashed,
            slots: vec![],
            free: vec![],
            index: (!append_only).then(Index::default),
            live_rows: 0,
            stored: Stored::new(checkpoints),
        }
    }

    /// The columns of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Live rows.
    pub fn live_rows(&self) -> usize {
        self.live_rows
    }

    /// Bytes of runs and index.
    pub fn memory_bytes(&self) -> usize {
        let runs: usize =
            self.slots.iter().flatten().map(|slot| slot.bytes + slot.live.as_ref().map_or(0, |live| bits_len(live.len()))).sum();
        runs + self.index.as_ref().map_or(0, Index::memory_bytes)
    }

    /// Lets go of all rows; whoever keeps checkpoints has to forget the relation's runs.
    pub fn clear(&mut self) {
        *self = Shard::new(self.schema.clone(), self.index.is_none(), self.stored.checkpoints);
    }

    /// The runs as they are now; later changes leave them alone.
    pub fn runs(&self) -> Vec<Run> {
        self.slots.iter().flatten().map(|slot| Run { rows: slot.rows.clone(), live: slot.live.clone() }).collect()
    }

    /// Applies the deltas of one epoch. Weights may be in any order; together they leave no row with a negative count.
    pub fn apply(&mut self, deltas: Vec<Delta>) -> Result<()> {
        if self.index.is_none() {
            for delta in deltas.into_iter().filter(|delta| !delta.is_empty()) {
                debug_assert!(delta.is_append_only(), "an append-only relation got weights");
                self.live_rows += delta.num_rows();
                self.add_run(delta.rows, None, Mark::New)?;
            }
            return self.merge_classes();
        }
        let delta = match deltas.len() {
            0 => return Ok(()),
            1 => deltas.into_iter().next().expect("counted above"),
            _ => Delta::concat(&self.schema, &deltas)?,
        };
        let hashes = hash::rows(&delta.rows, &self.hashed)?;
        let mut added: Vec<u32> = vec![];
        let mut removed: Vec<(u32, i64)> = vec![];
        match &delta.weights {
            Weights::Ones => added.extend(0..delta.num_rows() as u32),
            Weights::Each(weights) => {
                for (row, weight) in weights.iter().enumerate() {
                    match *weight {
                        0 => {}
                        weight if weight > 0 => added.extend(std::iter::repeat_n(row as u32, weight as usize)),
                        weight => removed.push((row as u32, -weight)),
                    }
                }
            }
        }
        // Deletes first, so that the index need not have room for the old and the new rows. Those that are left concern rows of
        // the same epoch.
        let removed = self.remove(&delta.rows, &hashes, removed)?;
        self.insert(&delta, &hashes, &added)?;
        if let Some((row, _)) = self.remove(&delta.rows, &hashes, removed)?.first() {
            let row = delta.rows.slice(*row as usize, 1);
            return Err(Error::internal(format!("a row is taken back that is not there: {row:?}")));
        }
        self.merge_classes()?;
        self.make_room(0)
    }

    /// Adds rows of a delta; those that come several times are named several times.
    fn insert(&mut self, delta: &Delta, hashes: &[u64], added: &[u32]) -> Result<()> {
        self.make_room(added.len())?;
        // One run holds at most RUN_ROWS_MAX rows, so that masks stay cheap to copy, and is no part of something larger, so that
        // a run that goes gives back what it took.
        for added in added.chunks(RUN_ROWS_MAX) {
            let all = delta.is_append_only() && added.len() == delta.num_rows();
            let rows = if all { delta.rows.clone() } else { take_record_batch(&delta.rows, &UInt32Array::from(added.to_vec()))? };
            let id = self.add_run(rows, None, Mark::New)?;
            let (Some(index), Some(slot)) = (&mut self.index, &self.slots[id as usize]) else { continue };
            let hashes: Vec<u64> = added.iter().map(|row| hashes[*row as usize]).collect();
            index.add(&slot.pages, &hashes, None);
        }
        self.live_rows += added.len();
        Ok(())
    }

    /// Takes back rows of a delta, each a number of times; gives those of which there were not as many.
    fn remove(&mut self, rows: &RecordBatch, hashes: &[u64], removed: Vec<(u32, i64)>) -> Result<Vec<(u32, i64)>> {
        let Shard { slots, index: Some(index), live_rows, .. } = self else { return Ok(removed) };
        // By slot.
        let mut kills: Vec<Vec<u32>> = vec![vec![]; slots.len()];
        let mut left = vec![];
        for wanted in removed.chunks(FIND_ROWS) {
            let found = find(index, slots, rows, hashes, wanted)?;
            for ((row, times), found) in wanted.iter().zip(found) {
                let hash = hashes[*row as usize];
                let same = |(slot, at): Place| {
                    let slot = slots[slot as usize].as_ref().expect("indexed runs exist");
                    rows_equal(&slot.rows, at as usize, rows, *row as usize)
                };
                let mut missing = *times;
                // A row that is wanted twice has taken what was found for both.
                let mut next = found.and_then(|number| index.remove(hash, |other| other == number));
                while missing > 0
                    && let Some((slot, at)) = next.take().or_else(|| index.remove_same(hash, same))
                {
                    kills[slot as usize].push(at);
                    *live_rows -= 1;
                    missing -= 1;
                }
                if missing > 0 {
                    left.push((*row, missing));
                }
            }
        }
        for (slot, rows) in kills.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            self.kill(slot as u32, &rows)?;
        }
        Ok(left)
    }

    /// Adds a run, whose rows are not in the index yet; tells its slot.
    fn add_run(&mut self, rows: RecordBatch, live: Option<BooleanBuffer>, mark: Mark) -> Result<u32> {
        let id = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        let pages = self.index.as_mut().map(|index| index.take_pages(id, rows.num_rows())).transpose()?.unwrap_or_default();
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        let bytes = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        self.stored.comes(mark, bytes);
        let dead = live.as_ref().map_or(0, |live| live.len() - live.count_set_bits());
        self.slots[id as usize] = Some(Slot { rows: Arc::new(rows), pages, live, dead, bytes, mark });
        Ok(id)
    }

    /// Makes room in the index for more rows, or gives back room that rows have left.
    fn make_room(&mut self, more: usize) -> Result<()> {
        match self.index.as_ref().and_then(|index| index.misfit(more)) {
            Some(rows) => self.index_anew(rows),
            None => Ok(()),
        }
    }

    /// Makes the index anew from all runs, with room for so many rows.
    fn index_anew(&mut self, rows: usize) -> Result<()> {
        let Some(index) = &mut self.index else { return Ok(()) };
        index.empty(rows);
        for slot in self.slots.iter().flatten() {
            index.add(&slot.pages, &hash::rows(&slot.rows, &self.hashed)?, slot.live.as_ref());
        }
        Ok(())
    }

    /// Clears the live bits of rows that are no longer indexed, and drops or rewrites the run when little is left.
    fn kill(&mut self, id: u32, rows: &[u32]) -> Result<()> {
        let slot = self.slots[id as usize].as_mut().expect("indexed runs exist");
        let total = slot.rows.num_rows();
        let live = slot.live.take().unwrap_or_else(|| BooleanBuffer::new_set(total));
        debug_assert_eq!(live.offset(), 0, "masks are made here, from bit 0");
        let bytes = live.into_inner();
        let mut bits = bytes.into_mutable().unwrap_or_else(|shared| {
            let mut copy = MutableBuffer::with_capacity(shared.len());
            copy.extend_from_slice(shared.as_slice());
            copy
        });
        for row in rows {
            debug_assert!(bit_util::get_bit(bits.as_slice(), *row as usize), "a row dies once");
            bit_util::unset_bit(bits.as_slice_mut(), *row as usize);
        }
        slot.live = Some(BooleanBuffer::new(bits.into(), 0, total));
        slot.dead += rows.len();
        self.stored.thins(&mut slot.mark, bits_len(total));
        if slot.dead == total {
            self.stored.goes(slot.mark, slot.bytes);
            if let Some(index) = &mut self.index {
                index.give_back(&slot.pages);
            }
            self.slots[id as usize] = None;
            self.free.push(id);
        } else if slot.dead * 2 > total && total >= 64 {
            self.rewrite(&[id])?;
        }
        Ok(())
    }

    /// Merges runs of a size class once there are enough of them.
    fn merge_classes(&mut self) -> Result<()> {
        loop {
            let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (id, slot) in self.slots.iter().enumerate() {
                if let Some(slot) = slot
                    && slot.rows.num_rows() < RUN_ROWS_MAX / CLASS_RUNS_MAX
                {
                    classes.entry((slot.rows.num_rows() as u32).ilog2() / 3).or_default().push(id as u32);
                }
            }
            let Some((_, ids)) = classes.into_iter().find(|(_, ids)| ids.len() >= CLASS_RUNS_MAX) else { return Ok(()) };
            self.rewrite(&ids)?;
        }
    }

    /// Replaces runs by one run of their live rows.
    fn rewrite(&mut self, ids: &[u32]) -> Result<()> {
        let (mut batches, mut gone) = (vec![], vec![]);
        for id in ids {
            let slot = self.slots[*id as usize].take().expect("only existing runs are rewritten");
            self.free.push(*id);
            self.stored.goes(slot.mark, slot.bytes);
            batches.push(match &slot.live {
                None => slot.rows.as_ref().clone(),
                Some(live) => filter_record_batch(&slot.rows, &BooleanArray::new(live.clone(), None))?,
            });
            gone.push(slot);
        }
        let id = self.add_run(concat_batches(&self.schema, &batches)?, None, Mark::New)?;
        let (Some(index), Some(slot)) = (&mut self.index, &self.slots[id as usize]) else { return Ok(()) };
        let hashes = hash::rows(&slot.rows, &self.hashed)?;
        let mut row = 0;
        for gone in gone {
            let mut renumber = |before: usize| {
                index.renumber(hashes[row], gone.pages.number(before), slot.pages.number(row));
                row += 1;
            };
            match &gone.live {
                None => (0..gone.rows.num_rows()).for_each(&mut renumber),
                Some(live) => live.set_indices().for_each(&mut renumber),
            }
            index.give_back(&gone.pages);
        }
        Ok(())
    }
}

/// Bytes of a mask over so many rows.
fn bits_len(rows: usize) -> usize {
    rows.div_ceil(8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::stored::RunChanges;
    use super::*;

    fn rows(values: &[i64]) -> RecordBatch {
        let ints: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let text: ArrayRef = Arc::new(StringArray::from(values.iter().map(|value| value.to_string()).collect::<Vec<_>>()));
        RecordBatch::try_from_iter_with_nullable([("i", ints, true), ("t", text, true)]).unwrap()
    }

    /// The same with what is not simply equal: NULL, NaN, two zeros, lists.
    fn odd_rows(values: &[i64]) -> RecordBatch {
        let float = |value: &i64| match value % 5 {
            0 => None,
            1 => Some(f64::NAN),
            2 => Some(0.0),
            3 => Some(-0.0),
            _ => Some(1.5),
        };
        let floats: ArrayRef = Arc::new(values.iter().map(float).collect::<Float64Array>());
        let lists = values.iter().map(|value| Some((0..value % 3).map(Some).collect::<Vec<_>>()));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let ints: ArrayRef = Arc::new(Int64Array::from_iter_values(values.iter().map(|value| value / 15)));
        RecordBatch::try_from_iter_with_nullable([("i", ints, true), ("f", floats, true), ("l", lists, true)]).unwrap()
    }

    #[test]
    fn rows_with_all_kinds_of_values_are_taken_back() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let all: Vec<i64> = (0..3_000).map(|_| random.i64(0..1_500)).collect();
        let mut shard = Shard::new(odd_rows(&[]).schema(), false, true);
        all.chunks(700).for_each(|values| shard.apply(vec![Delta::insert(odd_rows(values))]).unwrap());
        let mut back = all.clone();
        random.shuffle(&mut back);
        // Few at a time and many.
        let (few, many) = back.split_at(100);
        for values in few.chunks(7).chain(many.chunks(2_000)) {
            shard.apply(vec![Delta::retract(odd_rows(values))]).unwrap();
        }
        assert_eq!((shard.live_rows(), shard.runs().len()), (0, 0));
        assert!(shard.apply(vec![Delta::retract(odd_rows(&all[..50]))]).is_err());
    }

    fn contents(runs: &[Run]) -> BTreeMap<i64, i64> {
        let mut counts = BTreeMap::new();
        for run in runs {
            for value in run.batch().unwrap().column(0).as_primitive::<Int64Type>().values() {
                *counts.entry(*value).or_insert(0) += 1;
            }
        }
        counts
    }

    /// What checkpoints have kept of a shard.
    #[derive(Default)]
    struct Kept(BTreeMap<u64, Run>);

    impl Kept {
        fn apply(&mut self, changes: RunChanges) {
            for number in changes.removed {
                self.0.remove(&number).expect("what goes was there");
            }
            for (number, live) in changes.masks {
                self.0.get_mut(&number).expect("what thins is there").live = Some(live);
            }
            for (number, run) in changes.added {
                assert!(self.0.insert(number, run).is_none(), "a run has a number of its own");
            }
        }

        fn runs(&self) -> Vec<Run> {
            self.0.values().cloned().collect()
        }

        fn shard(&self) -> Shard {
            let mut shard = Shard::new(rows(&[]).schema(), false, true);
            self.0.iter().for_each(|(number, run)| shard.load(Some(*number), run.clone()).unwrap());
            shard.loaded().unwrap();
            shard
        }
    }

    #[test]
    fn random_changes_equal_a_multiset_and_snapshots_stand_still() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shard = Shard::new(rows(&[]).schema(), false, true);
        let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
        let (mut held, mut kept) = (vec![], Kept::default());
        for epoch in 0..400 {
            let mut values = vec![];
            let mut weights = vec![];
            for _ in 0..random.usize(0..if epoch % 50 == 0 { 3000 } else { 20 }) {
                let value = random.i64(0..200);
                let count = expected.entry(value).or_insert(0);
                let weight = if *count > 0 && random.bool() { -random.i64(1..=*count) } else { random.i64(1..4) };
                *count += weight;
                values.push(value);
                weights.push(weight);
            }
            shard.apply(vec![Delta::weighted(rows(&values), weights)]).unwrap();
            expected.retain(|_, count| *count != 0);
            let runs = shard.runs();
            assert_eq!(contents(&runs), expected, "after epoch {epoch}");
            assert_eq!(shard.live_rows() as i64, expected.values().sum::<i64>());
            if random.u8(..) < 40 {
                kept.apply(shard.take_changes());
                assert_eq!(contents(&kept.runs()), expected, "a checkpoint after epoch {epoch}");
                if random.bool() {
                    shard = kept.shard();
                }
            }
            if epoch % 37 == 0 {
                held.push((runs, expected.clone()));
            }
        }
        for (runs, expected) in held {
            assert_eq!(contents(&runs), expected, "a snapshot moved");
        }
    }

    /// Bytes of the index of a shard.
    fn index_bytes(shard: &Shard) -> usize {
        shard.index.as_ref().unwrap().memory_bytes()
    }

    #[test]
    fn an_index_is_as_large_as_its_rows_need() {
        let mut shard = Shard::new(rows(&[]).schema(), false, true);
        let all: Vec<i64> = (0..200_000).collect();
        // A few at a time, and more than a run has.
        for values in all[..20_000].chunks(1_000).chain([&all[20_000..]]) {
            shard.apply(vec![Delta::insert(rows(values))]).unwrap();
        }
        let full = index_bytes(&shard);
        // 2^18 buckets of a number and a byte, and a place for each page.
        assert!(full < 5 * 262_144 + 100_000, "{full} bytes");

        let mut kept = Kept::default();
        kept.apply(shard.take_changes());
        let mut shard = kept.shard();
        assert!(index_bytes(&shard) <= full, "{} bytes after a restart, {full} before", index_bytes(&shard));

        // Every row goes and comes again: there is never room for both.
        for values in all.chunks(50_000) {
            let both = Delta::concat(shard.schema(), &[Delta::insert(rows(values)), Delta::retract(rows(values))]).unwrap();
            shard.apply(vec![both]).unwrap();
        }
        assert!(index_bytes(&shard) <= full + 10_000, "{} bytes when all rows were replaced, {full} before", index_bytes(&shard));
        assert_eq!(contents(&shard.runs()), all.iter().map(|value| (*value, 1)).collect());

        shard.apply(vec![Delta::retract(rows(&all[5_000..]))]).unwrap();
        assert!(index_bytes(&shard) < full / 8, "{} bytes for few rows, {full} for all", index_bytes(&shard));
        shard.apply(vec![Delta::retract(rows(&all[..5_000]))]).unwrap();
        assert_eq!((shard.live_rows(), shard.runs().len()), (0, 0));
    }

    #[test]
    fn a_row_that_is_not_there_cannot_be_taken_back() {
        let mut shard = Shard::new(rows(&[]).schema(), false, true);
        shard.apply(vec![Delta::weighted(rows(&[1, 2, 3, 3]), vec![1, 2, 2, -2])]).unwrap();
        assert_eq!(contents(&shard.runs()), BTreeMap::from([(1, 1), (2, 2)]));
        assert!(shard.apply(vec![Delta::weighted(rows(&[2]), vec![-3])]).is_err());
    }

    #[test]
    fn one_row_at_a_time_keeps_few_runs() {
        let mut shard = Shard::new(rows(&[]).schema(), true, true);
        for value in 0..5000 {
            shard.apply(vec![Delta::insert(rows(&[value]))]).unwrap();
        }
        assert_eq!(shard.live_rows(), 5000);
        assert!(shard.runs().len() < 50, "{} runs", shard.runs().len());
    }
}

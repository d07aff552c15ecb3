//! Where rows come from in their source: beside the rows, as weights are, and as cheap as can be where they follow each other.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, StringArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::Int64Type;

use crate::error::Result;

/// Where a row comes from: what a dead letter of it would say.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The source's partition, where known (a file's path).
    pub partition: Option<Arc<str>>,
    /// Position inside the partition, where known (a line number, from 1).
    pub offset: Option<i64>,
}

/// Where each of some rows comes from.
///
/// # Invariants
/// - `partitions` are runs of rows with the ends of each, which rise and are no further apart than there are rows; no two neighbours
///   are equal, and the last end is the number of rows. Without rows there are none.
#[derive(Clone, Debug, PartialEq)]
pub struct Origins {
    partitions: Vec<(Option<Arc<str>>, usize)>,
    offsets: Offsets,
}

/// Places inside partitions.
#[derive(Clone, Debug, PartialEq)]
enum Offsets {
    /// Each is one more than the one before.
    From(i64),
    /// Each as it says; NULL where it is not known.
    Each(Int64Array),
}

impl Origins {
    /// Of `rows` rows that follow each other in one partition, the first of them at this offset. `None`: the source has no partitions.
    pub fn range(partition: Option<Arc<str>>, first: i64, rows: usize) -> Self {
        Origins { partitions: runs(std::iter::once((partition, rows))), offsets: Offsets::From(first) }
    }

    /// Of rows of one partition.
    pub fn each(partition: Option<Arc<str>>, offsets: Int64Array) -> Self {
        Origins { partitions: runs(std::iter::once((partition, offsets.len()))), offsets: Offsets::Each(offsets) }
    }

    /// Of `rows` rows that do not come straight from a source.
    pub fn unknown(rows: usize) -> Self {
        Origins::each(None, Int64Array::new_null(rows))
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.partitions.last().map_or(0, |(_, end)| *end)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// That of a row.
    pub fn get(&self, row: usize) -> Origin {
        let offset = match &self.offsets {
            Offsets::From(first) => Some(first + row as i64),
            Offsets::Each(offsets) => offsets.is_valid(row).then(|| offsets.value(row)),
        };
        Origin { partition: self.partition(row).clone(), offset }
    }

    fn partition(&self, row: usize) -> &Option<Arc<str>> {
        &self.partitions[self.partitions.partition_point(|(_, end)| *end <= row)].0
    }

    /// `len` rows from `offset` on.
    pub fn slice(&self, offset: usize, len: usize) -> Origins {
        let mut start = 0;
        let cut = self.partitions.iter().map(|(partition, end)| {
            let (from, to) = (start.max(offset), (*end).min(offset + len));
            start = *end;
            (partition.clone(), to.saturating_sub(from))
        });
        let partitions = runs(cut);
        let offsets = match &self.offsets {
            Offsets::From(first) => Offsets::From(first + offset as i64),
            Offsets::Each(offsets) => Offsets::Each(offsets.slice(offset, len)),
        };
        Origins { partitions, offsets }
    }

    /// The rows with these indices, in this order.
    pub fn take(&self, indices: &UInt32Array) -> Result<Origins> {
        let partitions = match self.partitions.as_slice() {
            [(partition, _)] => runs(std::iter::once((partition.clone(), indices.len()))),
            _ => runs(indices.values().iter().map(|row| (self.partition(*row as usize).clone(), 1))),
        };
        let offsets = match &self.offsets {
            Offsets::From(first) => indices.values().iter().map(|row| first + i64::from(*row)).collect::<Vec<_>>().into(),
            Offsets::Each(offsets) => take(offsets, indices, None)?.as_primitive::<Int64Type>().clone(),
        };
        Ok(Origins { partitions, offsets: Offsets::Each(offsets) })
    }

    /// The rows where `mask` is true; NULL counts as false.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Origins> {
        let kept = (0..mask.len()).filter(|row| mask.is_valid(*row) && mask.value(*row));
        self.take(&UInt32Array::from_iter_values(kept.map(|row| row as u32)))
    }

    /// All of them, one after the other.
    pub fn concat<'a>(parts: impl IntoIterator<Item = &'a Origins>) -> Result<Origins> {
        let parts: Vec<&Origins> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if let [one] = parts.as_slice() {
            return Ok((*one).clone());
        }
        let mut partitions = vec![];
        let mut offsets = vec![];
        for part in parts {
            let mut start = 0;
            for (partition, end) in &part.partitions {
                partitions.push((partition.clone(), end - start));
                start = *end;
            }
            offsets.push(part.offsets.of(part.len()));
        }
        let offsets: Vec<&dyn Array> = offsets.iter().map(|offsets| offsets as &dyn Array).collect();
        let offsets = match offsets.is_empty() {
            true => Int64Array::new_null(0),
            false => concat(&offsets)?.as_primitive::<Int64Type>().clone(),
        };
        Ok(Origins { partitions: runs(partitions), offsets: Offsets::Each(offsets) })
    }

    /// Partitions and offsets as columns.
    pub fn columns(&self) -> (StringArray, Int64Array) {
        let mut start = 0;
        let names = self.partitions.iter().flat_map(|(partition, end)| {
            let rows = end - start;
            start = *end;
            std::iter::repeat_n(partition.as_deref(), rows)
        });
        (names.collect(), self.offsets.of(self.len()))
    }
}

impl FromIterator<Origin> for Origins {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        let (partitions, offsets): (Vec<_>, Vec<_>) = origins.into_iter().map(|origin| ((origin.partition, 1), origin.offset)).unzip();
        Origins { partitions: runs(partitions), offsets: Offsets::Each(offsets.into()) }
    }
}

impl Offsets {
    /// Those of `rows` rows.
    fn of(&self, rows: usize) -> Int64Array {
        match self {
            Offsets::From(first) => Int64Array::from_iter_values(*first..*first + rows as i64),
            Offsets::Each(offsets) => offsets.clone(),
        }
    }
}

/// Partitions and how many rows each has, as runs.
fn runs(partitions: impl IntoIterator<Item = (Option<Arc<str>>, usize)>) -> Vec<(Option<Arc<str>>, usize)> {
    let mut runs: Vec<(Option<Arc<str>>, usize)> = vec![];
    for (partition, rows) in partitions.into_iter().filter(|(_, rows)| *rows > 0) {
        let before = runs.last().map_or(0, |(_, end)| *end);
        match runs.last_mut() {
            Some((last, end)) if *last == partition => *end += rows,
            _ => runs.push((partition, before + rows)),
        }
    }
    runs
}

/// The origins of rows that are put together one after the other.
#[derive(Debug, Default)]
pub struct OriginsBuilder {
    /// Partitions that are left, and how many rows each had.
    left: Vec<(Option<Arc<str>>, usize)>,
    /// The current partition, and its rows.
    partition: Option<Arc<str>>,
    rows: usize,
    /// The offset of the first row and the one that would follow the last, while each is one more than the one before.
    range: Option<(i64, i64)>,
    /// All offsets, once they are not.
    each: Vec<i64>,
}

impl OriginsBuilder {
    /// The rows that follow are of this partition.
    pub fn begin(&mut self, partition: &str) {
        if self.partition.as_deref() != Some(partition) {
            let before = self.partition.replace(partition.into());
            self.left.push((before, std::mem::take(&mut self.rows)));
        }
    }

    /// A row at this offset.
    #[inline]
    pub fn push(&mut self, offset: i64) {
        self.rows += 1;
        match &mut self.range {
            Some((_, next)) if *next == offset => *next += 1,
            None if self.each.is_empty() => self.range = Some((offset, offset + 1)),
            _ => {
                if let Some((first, next)) = self.range.take() {
                    self.each.extend(first..next);
                }
                self.each.push(offset);
            }
        }
    }

    /// The origins of all rows so far.
    pub fn finish(self) -> Origins {
        let OriginsBuilder { mut left, partition, rows, range, each } = self;
        left.push((partition, rows));
        let offsets = match range {
            Some((first, _)) => Offsets::From(first),
            None => Offsets::Each(each.into()),
        };
        Origins { partitions: runs(left), offsets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each row is said to come from.
    fn list(origins: &Origins) -> Vec<(Option<String>, Option<i64>)> {
        let (partitions, offsets) = origins.columns();
        let all: Vec<Origin> = (0..origins.len()).map(|row| origins.get(row)).collect();
        let listed: Vec<_> = all.iter().map(|origin| (origin.partition.as_ref().map(|name| name.to_string()), origin.offset)).collect();
        assert_eq!(all.into_iter().collect::<Origins>().columns(), origins.columns());
        let columns: Vec<_> = partitions.iter().map(|name| name.map(String::from)).zip(offsets.iter()).collect();
        assert_eq!(listed, columns);
        listed
    }

    fn built(rows: &[(&str, i64)]) -> Origins {
        let mut builder = OriginsBuilder::default();
        for (partition, offset) in rows {
            builder.begin(partition);
            builder.push(*offset);
        }
        builder.finish()
    }

    #[test]
    fn rows_that_are_taken_cut_and_put_together_keep_their_origins() {
        let rows: Vec<(&str, i64)> = vec![("a", 1), ("a", 2), ("a", 4), ("b", 1), ("b", 2), ("c", 3), ("c", 4)];
        let of = |rows: &[(&str, i64)]| -> Vec<_> { rows.iter().map(|(name, at)| (Some(name.to_string()), Some(*at))).collect() };
        let origins = built(&rows);
        assert_eq!(list(&origins), of(&rows));
        for start in 0..=rows.len() {
            for end in start..=rows.len() {
                assert_eq!(list(&origins.slice(start, end - start)), of(&rows[start..end]));
                assert_eq!(list(&built(&rows[start..end])), of(&rows[start..end]));
                let parts = [origins.slice(0, start), origins.slice(start, end - start), origins.slice(end, rows.len() - end)];
                assert_eq!(list(&Origins::concat(&parts).unwrap()), of(&rows));
            }
        }
        let taken = origins.take(&UInt32Array::from(vec![6, 0, 0, 3])).unwrap();
        assert_eq!(list(&taken), of(&[rows[6], rows[0], rows[0], rows[3]]));
        let mask = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true), Some(false), Some(true)]);
        assert_eq!(list(&origins.filter(&mask).unwrap()), of(&[rows[0], rows[3], rows[4], rows[6]]));
    }

    #[test]
    fn rows_that_follow_each_other_take_no_room() {
        let origins = built(&[("a", 7), ("a", 8), ("a", 9)]);
        assert_eq!(origins, Origins::range(Some("a".into()), 7, 3));
        assert_eq!(origins.slice(1, 2), Origins::range(Some("a".into()), 8, 2));
        assert!(matches!(origins.offsets, Offsets::From(7)));
    }

    #[test]
    fn what_is_not_known_is_null() {
        let mixed = Origins::concat(&[Origins::unknown(1), Origins::range(None, 5, 1), Origins::range(Some("f".into()), 1, 1)]).unwrap();
        assert_eq!(list(&mixed), [(None, None), (None, Some(5)), (Some("f".to_string()), Some(1))]);
        assert!(Origins::concat(&[]).unwrap().is_empty());
        assert!(built(&[]).is_empty());
    }
}

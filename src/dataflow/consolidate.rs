//! Sums the weights of equal rows.

use arrow::array::UInt32Array;
use hashbrown::HashTable;
use weir_common::delta::{Delta, Weights};
use weir_common::error::Result;
use weir_common::hash;

use crate::rows::{converter, encode};

/// The same change with every row once: weights of equal rows are summed, and rows whose weights cancel are gone.
/// Floats are equal when their bits are.
pub fn consolidate(delta: &Delta) -> Result<Delta> {
    if delta.is_empty() {
        return Ok(delta.clone());
    }
    let mut firsts: Vec<u32> = Vec::new();
    let mut sums: Vec<i64> = Vec::new();
    if delta.rows.num_columns() == 0 {
        firsts.push(0);
        sums.push((0..delta.num_rows()).map(|row| delta.weights.get(row)).sum());
    } else {
        let converter = converter(delta.rows.schema_ref().fields().iter().map(|field| field.data_type()))?;
        let rows = encode(&converter, delta.rows.columns())?;
        let mut table: HashTable<u32> = HashTable::with_capacity(delta.num_rows());
        for row in 0..delta.num_rows() {
            let bytes = rows.value(row);
            let same = |index: &u32| rows.value(firsts[*index as usize] as usize) == bytes;
            let rehash = |index: &u32| hash::bytes(rows.value(firsts[*index as usize] as usize));
            match table.entry(hash::bytes(bytes), same, rehash) {
                hashbrown::hash_table::Entry::Occupied(entry) => sums[*entry.get() as usize] += delta.weights.get(row),
                hashbrown::hash_table::Entry::Vacant(entry) => {
                    entry.insert(firsts.len() as u32);
                    firsts.push(row as u32);
                    sums.push(delta.weights.get(row));
                }
            }
        }
    }
    let (rows, sums): (Vec<u32>, Vec<i64>) = firsts.into_iter().zip(sums).filter(|(_, sum)| *sum != 0).unzip();
    if rows.len() == delta.num_rows() && (delta.is_append_only() || sums.iter().all(|sum| *sum == 1)) {
        return Ok(Delta::insert(delta.rows.clone()));
    }
    let all = Delta::insert(delta.rows.clone()).take(&UInt32Array::from(rows))?;
    let weights = if sums.iter().all(|sum| *sum == 1) { Weights::Ones } else { Weights::Each(sums.into()) };
    Ok(Delta { weights, ..all })
}

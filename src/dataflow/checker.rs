//! Holds every delta against what the plan promises; fragments carry a checker in debug builds only.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, BinaryArray};
use arrow::datatypes::SchemaRef;
use arrow::row::RowConverter;
use weir_common::delta::Delta;
use weir_common::ids::Epoch;
use weir_common::plan::Facts;

use crate::rows::{RowText, converter, encode};

/// Rows and keys that are remembered; a larger relation is no longer checked for keys and multiplicities.
const ROWS_MAX: usize = 100_000;

/// Panics on the first delta that breaks a promise.
///
/// - `append_only`: all weights are +1.
/// - At the end of an epoch, no row is there a negative number of times, and no two rows share the key.
pub(crate) struct Checker {
    name: String,
    append_only: bool,
    integral: Option<Integral>,
}

/// The multiset of rows so far, as bytes.
struct Integral {
    rows: Multiset,
    key: Option<(Vec<usize>, Multiset)>,
}

/// `counts` has no zeros, except for the entries that the current epoch touched.
struct Multiset {
    schema: SchemaRef,
    converter: RowConverter,
    counts: HashMap<Box<[u8]>, i64>,
    touched: HashSet<Box<[u8]>>,
}

impl Checker {
    /// `settled`: the delete of a row comes to where the row is, so that its count here means something.
    pub(crate) fn new(name: &str, schema: &SchemaRef, facts: &Facts, settled: bool) -> Self {
        let key = facts.key.as_ref().and_then(|key| Some((key.clone(), Multiset::new(Arc::new(schema.project(key).ok()?))?)));
        // Without a key, an append-only relation can break nothing that its weights do not show.
        let wanted = settled && (key.is_some() || !facts.append_only);
        let integral = if wanted { Multiset::new(schema.clone()).map(|rows| Integral { rows, key }) } else { None };
        Checker { name: name.to_string(), append_only: facts.append_only, integral }
    }

    /// The rows so far are unknown, so only the signs of weights are checked from here on.
    pub(crate) fn resume(&mut self) {
        self.integral = None;
    }

    /// Rows leave the fragment.
    pub(crate) fn observe(&mut self, delta: &Delta) {
        if self.append_only {
            let bad = (0..delta.num_rows()).find(|row| delta.weights.get(*row) != 1);
            if let Some(row) = bad {
                let text = RowText::new(&delta.rows).row(row);
                panic!("{}: the plan says append-only, but row ({text}) has weight {}", self.name, delta.weights.get(row));
            }
        }
        let Some(Integral { rows, key }) = &mut self.integral else { return };
        let all: Vec<usize> = (0..delta.rows.num_columns()).collect();
        rows.add(delta, &all);
        if let Some((columns, keys)) = key {
            keys.add(delta, columns);
        }
        if rows.counts.len() > ROWS_MAX {
            self.integral = None;
        }
    }

    /// The epoch is complete.
    pub(crate) fn close(&mut self, epoch: Epoch) {
        let Some(Integral { rows, key }) = &mut self.integral else { return };
        if let Some((text, count)) = rows.settle(|count| count >= 0) {
            panic!("{}: after epoch {epoch}, row ({text}) is there {count} times", self.name);
        }
        if let Some((text, count)) = key.as_mut().and_then(|(_, keys)| keys.settle(|count| count <= 1)) {
            panic!("{}: after epoch {epoch}, {count} rows share the key ({text})", self.name);
        }
    }
}

impl Multiset {
    /// `None` where a type has no bytes to compare.
    fn new(schema: SchemaRef) -> Option<Self> {
        let converter = converter(schema.fields().iter().map(|field| field.data_type())).ok()?;
        Some(Multiset { schema, converter, counts: HashMap::new(), touched: HashSet::new() })
    }

    fn add(&mut self, delta: &Delta, columns: &[usize]) {
        let batch = delta.rows.project(columns).expect("the plan's columns are there");
        let bytes = if columns.is_empty() {
            BinaryArray::from_iter_values(std::iter::repeat_n(b"", delta.num_rows()))
        } else {
            encode(&self.converter, batch.columns()).expect("a converter of these types was made")
        };
        for row in 0..bytes.len() {
            *self.counts.entry(bytes.value(row).into()).or_insert(0) += delta.weights.get(row);
            self.touched.insert(bytes.value(row).into());
        }
    }

    /// The epoch is complete: the first entry that it touched and that now breaks the rule, as text, with its count.
    fn settle(&mut self, rule: impl Fn(i64) -> bool) -> Option<(String, i64)> {
        for bytes in std::mem::take(&mut self.touched) {
            let count = self.counts[&bytes];
            if !rule(count) {
                return Some((self.text(&bytes), count));
            }
            if count == 0 {
                self.counts.remove(&bytes);
            }
        }
        None
    }

    fn text(&self, bytes: &[u8]) -> String {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows([parser.parse(bytes)]).unwrap_or_default();
        RowText::of_columns(&self.schema, &columns).row(0)
    }
}

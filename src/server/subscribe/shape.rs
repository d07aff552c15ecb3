//! The columns of a subscription: the commit, whether it is only progress, the weight or state, then those of the relation.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt32Array, new_null_array};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use weir_common::delta::{Delta, Weights, batch};
use weir_common::error::Result;
use weir_common::ids::Epoch;
use weir_common::types::PgType;

use crate::subscribe::{upsert, whole};

/// The commit that a row is of.
pub const COMMIT: &str = "weir_commit";
/// Whether a row says only that everything up to its commit has come.
pub const PROGRESSED: &str = "weir_progressed";
/// How often a row is added; negative, taken away.
pub const DIFF: &str = "weir_diff";
/// What has become of a key.
pub const STATE: &str = "weir_state";

/// How the changes of a relation are shown.
pub struct Shape {
    /// The relation's columns in the order in which they are shown.
    columns: Vec<usize>,
    progress: bool,
    /// How many of the columns, the first, are the key of ENVELOPE UPSERT; `None` where each row has its weight.
    key: Option<usize>,
    output: SchemaRef,
}

impl Shape {
    /// For a relation of these columns; `key` are those of ENVELOPE UPSERT, which come first.
    pub fn new(relation: &SchemaRef, progress: bool, key: Option<&[usize]>) -> Shape {
        let mut fields: Vec<FieldRef> = vec![field(COMMIT, PgType::Int8)];
        fields.extend(progress.then(|| field(PROGRESSED, PgType::Bool)));
        fields.push(if key.is_some() { field(STATE, PgType::Text) } else { field(DIFF, PgType::Int8) });
        let first = key.unwrap_or_default();
        let rest = (0..relation.fields().len()).filter(|column| !first.contains(column));
        let columns: Vec<usize> = first.iter().copied().chain(rest).collect();
        fields.extend(columns.iter().map(|column| relation.fields()[*column].clone()));
        Shape { columns, progress, key: key.map(<[usize]>::len), output: Arc::new(Schema::new(fields)) }
    }

    /// The columns that clients get.
    pub fn schema(&self) -> &SchemaRef {
        &self.output
    }

    /// The changes of one commit, or the rows of the one that it starts at. What is taken away comes before what is added.
    pub fn rows(&self, commit: Epoch, deltas: &[Delta]) -> Result<Vec<RecordBatch>> {
        let project = |delta: &Delta| Ok(delta.with_rows(delta.rows.project(&self.columns)?));
        let deltas = deltas.iter().map(project).collect::<Result<Vec<_>>>()?;
        if let Some(key) = self.key {
            let Some(all) = whole(&deltas)? else { return Ok(vec![]) };
            let (states, columns) = upsert::by_key(&all, key)?;
            return Ok(vec![self.batch(commit, states, columns)?]);
        }
        let shown = |delta: Delta| {
            let delta = retractions_first(delta)?;
            let weights = Int64Array::from_iter_values((0..delta.num_rows()).map(|row| delta.weights.get(row)));
            self.batch(commit, Arc::new(weights), delta.rows.columns().to_vec())
        };
        deltas.into_iter().map(shown).collect()
    }

    /// The row that says that everything up to this commit has come; none where nobody wants it.
    pub fn progressed(&self, commit: Epoch) -> Option<RecordBatch> {
        if !self.progress {
            return None;
        }
        let columns = self.output.fields().iter().enumerate().map(|(at, field)| -> ArrayRef {
            match at {
                0 => Arc::new(Int64Array::from(vec![commit as i64])),
                1 => Arc::new(BooleanArray::from(vec![true])),
                _ => new_null_array(field.data_type(), 1),
            }
        });
        let columns = columns.collect();
        Some(RecordBatch::try_new(self.output.clone(), columns).expect("the columns are made by the schema"))
    }

    fn batch(&self, commit: Epoch, weight_or_state: ArrayRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let rows = weight_or_state.len();
        let mut all: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![commit as i64; rows]))];
        if self.progress {
            all.push(Arc::new(BooleanArray::from(vec![false; rows])));
        }
        all.push(weight_or_state);
        all.extend(columns);
        batch(self.output.clone(), all, rows)
    }
}

fn field(name: &str, ty: PgType) -> FieldRef {
    let field: Field = ty.field(name);
    Arc::new(field.with_nullable(true))
}

fn retractions_first(delta: Delta) -> Result<Delta> {
    let Weights::Each(weights) = &delta.weights else { return Ok(delta) };
    let rows = 0..delta.num_rows() as u32;
    let (away, added): (Vec<u32>, Vec<u32>) = rows.partition(|row| weights[*row as usize] < 0);
    if away.is_empty() || added.is_empty() {
        return Ok(delta);
    }
    delta.take(&UInt32Array::from_iter_values(away.into_iter().chain(added)))
}

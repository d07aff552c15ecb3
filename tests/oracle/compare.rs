//! Whether two multisets of rows are the same, floats within a relative 1e-9.

use arrow::datatypes::{DataType, SchemaRef};
use weir_dataflow::simulator::Integral;

/// Rows of each side of a difference that are shown.
const SHOWN: usize = 10;

type Row = Vec<Option<String>>;

/// What is different, in words.
pub fn difference(schema: &SchemaRef, view: &Integral, batch: &Integral) -> Option<String> {
    let (mut only_view, mut only_batch): (Vec<&Row>, Vec<&Row>) = Default::default();
    let count = |of: &Integral, row: &Row| of.counts().get(row).copied().unwrap_or(0);
    for row in view.counts().keys().chain(batch.counts().keys().filter(|row| count(view, row) == 0)) {
        let (here, there) = (count(view, row), count(batch, row));
        if here < 0 {
            return Some(format!("in the view, {row:?} is there {here} times"));
        }
        let (side, copies) = if here > there { (&mut only_view, here - there) } else { (&mut only_batch, there - here) };
        side.extend(std::iter::repeat_n(row, copies as usize));
    }
    // What differs as text may still be equal as floats.
    only_view.retain(|row| match only_batch.iter().position(|other| equal(schema, row, other)) {
        Some(found) => {
            only_batch.swap_remove(found);
            false
        }
        None => true,
    });
    if only_view.is_empty() && only_batch.is_empty() {
        return None;
    }
    Some(format!("{}{}", list("only in the view", &only_view), list("only in the batch answer", &only_batch)))
}

fn equal(schema: &SchemaRef, a: &Row, b: &Row) -> bool {
    schema.fields().iter().zip(a.iter().zip(b)).all(|(field, (a, b))| match (a, b) {
        (Some(a), Some(b)) => a == b || tolerance(field.data_type()).is_some_and(|tolerance| near(a, b, tolerance)),
        (a, b) => a == b,
    })
}

/// How far two floats may be apart, relative to their size.
fn tolerance(data_type: &DataType) -> Option<f64> {
    match data_type {
        DataType::Float64 => Some(1e-9),
        DataType::Float32 => Some(1e-5),
        _ => None,
    }
}

fn near(a: &str, b: &str, tolerance: f64) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= tolerance * a.abs().max(b.abs()),
        _ => false,
    }
}

fn list(title: &str, rows: &[&Row]) -> String {
    let show = |row: &&Row| {
        let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
        format!("    {}\n", values.join(" | "))
    };
    format!("{title}: {} rows\n{}", rows.len(), rows.iter().take(SHOWN).map(show).collect::<String>())
}

//! The rules of docs/time.md, interpreted row by row, against the engine: which rows are late, what a view shows of each window and
//! when, what late rows do when they are admitted, and what retention takes away.

mod model; // the rules
mod sessions; // those of sessions
mod view; // random views over windows

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use fastrand::Rng;
use weir_common::delta::Delta;
use weir_common::ids::RelationId;
use weir_dataflow::explain::explain;
use weir_dataflow::lower::lower;
use weir_dataflow::simulator::{Integral, Simulator};
use weir_dataflow::times::EpochTimes;

use crate::restart;
use crate::time::model::{Model, Row};
use crate::time::view::View;
use crate::value::percent;

/// Microseconds of a second: event times are whole seconds.
const SECOND: i64 = 1_000_000;

/// What a run has met, so that a test can say that it tested something.
#[derive(Debug, Default)]
pub struct Met {
    pub late: usize,
    pub admitted: usize,
    pub shown: usize,
    pub removed: usize,
    pub restarts: usize,
    /// Views whose windows are put together of slices.
    pub sliding: usize,
}

/// Runs a random view over random rows; the first difference, if there is one.
pub fn run(seed: u64, met: &mut Met) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let view = View::random(&mut rng);
    let workers = rng.usize(1..=4);
    let (catalog, source) = view.catalog();
    let plan = view.plan(&catalog).map_err(|error| format!("{}\ncannot be planned: {error:?}", view.sql))?;
    let dataflow = lower(&plan.root, "v", workers).map_err(|error| format!("{}\ncannot be lowered: {error:?}", view.sql))?;
    let describe = |epoch: usize, message: String| {
        format!("WEIR_SEED={seed}, {workers} workers, after epoch {epoch}: {message}\nof\n    {}\n{}", view.sql, explain(&dataflow))
    };
    met.sliding += usize::from(explain(&dataflow).contains("Sliding windows"));
    let mut simulator = Simulator::new(&dataflow, workers);
    if rng.bool() {
        simulator = restart::now_and_then(simulator, &plan.root, seed);
        met.restarts += 1;
    }
    let mut model = Model::new(view.rules.clone());
    let mut shown = Integral::new();
    let mut late: Vec<RecordBatch> = Vec::new();
    let mut here: Vec<Row> = Vec::new();
    let (mut watermark, mut now): (Option<i64>, i64) = (None, rng.i64(-200..200));
    let epochs = rng.usize(3..14);
    for epoch in 0..epochs {
        let rows = changes(&mut rng, &view, &mut here, now);
        now += rng.i64(0..30);
        let last = rows.iter().filter(|(row, weight)| *weight > 0 && row.time.is_some()).filter_map(|(row, _)| row.time).max();
        let mut after = watermark.max(last.map(|last| (last - view.delay) * SECOND));
        if epoch + 1 == epochs && rng.bool() {
            after = Some(i64::MAX);
        }
        simulator.at(EpochTimes { wall_micros: now, watermarks: vec![(source, watermark, after)], ..EpochTimes::NONE });
        if view.admits && percent(&mut rng, 25) && !late.is_empty() {
            let entries = concat_batches(&late[0].schema(), &late).expect("late rows have one schema");
            late.clear();
            simulator.admit(&entries, rng.usize(..4));
            met.admitted += model.admit();
        }
        for (row, weight) in &rows {
            model.row(row, *weight, watermark);
        }
        push(&mut simulator, &rows, &mut rng, view.append_only);
        let out = simulator.close_epoch();
        if view.is_final_for_good() && out.iter().any(|delta| (0..delta.num_rows()).any(|row| delta.weights.get(row) < 0)) {
            return Err(describe(epoch, "a final result was taken back".to_string()));
        }
        out.iter().for_each(|delta| shown.add(delta));
        met.removed += model.close(watermark, after);
        watermark = after;
        let expected = view.rows(&model.shown(after), &plan.schema);
        met.shown += expected.num_rows();
        let mut integral = Integral::new();
        integral.add(&Delta::insert(expected));
        if shown != integral {
            let only = |a: &Integral, b: &Integral| {
                let missing = a.counts().iter().filter(|(row, count)| b.counts().get(*row) != Some(count));
                missing.map(|(row, count)| format!("    {count} x {row:?}")).collect::<Vec<_>>().join("\n")
            };
            let message = format!("the view has\n{}\nand should have\n{}", only(&shown, &integral), only(&integral, &shown));
            return Err(describe(epoch, message));
        }
        for delta in simulator.take_late() {
            met.late += delta.num_rows();
            late.push(delta.rows);
        }
        let entries = entries(&late);
        if entries != model.late {
            return Err(describe(epoch, format!("late are\n    {entries:?}\nand should be\n    {:?}", model.late)));
        }
    }
    Ok(())
}

/// Random rows near `now`, and rows of before that go.
fn changes(rng: &mut Rng, view: &View, here: &mut Vec<Row>, now: i64) -> Vec<(Row, i64)> {
    let mut rows = Vec::new();
    for _ in 0..rng.usize(0..8) {
        let back = rng.i64(0..90);
        let time = (!percent(rng, 3)).then(|| now - rng.i64(0..=back) + rng.i64(0..10));
        let row = Row { time, key: rng.i32(0..3), value: rng.i32(0..5) };
        if !view.append_only {
            here.push(row);
        }
        rows.push((row, 1));
    }
    if !view.append_only {
        for _ in 0..rng.usize(0..3) {
            if !here.is_empty() {
                rows.push((here.swap_remove(rng.usize(..here.len())), -1));
            }
        }
    }
    rows
}

/// Pushes the rows in random pieces, each to some worker; the delete of a row after it.
fn push(simulator: &mut Simulator, rows: &[(Row, i64)], rng: &mut Rng, append_only: bool) {
    let mut rest = rows;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rng.usize(1..=rest.len()));
        rest = later;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(piece.iter().map(|(row, _)| row.time.map(|time| time * SECOND)).collect::<TimestampMicrosecondArray>()),
            Arc::new(Int32Array::from_iter_values(piece.iter().map(|(row, _)| row.key))),
            Arc::new(Int32Array::from_iter_values(piece.iter().map(|(row, _)| row.value))),
        ];
        let batch = RecordBatch::try_new(view::schema(), columns).expect("columns of the relation");
        let delta = match append_only {
            true => Delta::insert(batch),
            false => Delta::weighted(batch, piece.iter().map(|(_, weight)| *weight).collect()),
        };
        simulator.push(0, delta, rng.usize(..4));
    }
}

/// Late rows by window, with their weights added up.
fn entries(late: &[RecordBatch]) -> BTreeMap<(Row, i64), i64> {
    let mut entries = BTreeMap::new();
    for rows in late {
        let column = |name: &str| rows.column_by_name(name).unwrap_or_else(|| panic!("late rows have {name}"));
        let times = column("ts").as_primitive::<TimestampMicrosecondType>();
        let (keys, values) = (column("k").as_primitive::<Int32Type>(), column("v").as_primitive::<Int32Type>());
        let ends = column("window_end").as_primitive::<TimestampMicrosecondType>();
        let weights = column("weight").as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let entry =
                Row { time: times.is_valid(row).then(|| times.value(row) / SECOND), key: keys.value(row), value: values.value(row) };
            *entries.entry((entry, ends.value(row))).or_insert(0) += weights.value(row);
        }
    }
    entries.retain(|_, weight| *weight != 0);
    entries
}

/// The relation that the views read, whose watermark is its own.
pub const INPUT: RelationId = RelationId::FIRST_USER;

//! A case: relations, views over them, and rows that live for some epochs. Whatever rows are taken out of it, what
//! remains is a case too; that is how a failure is made small.

use std::fmt;

use fastrand::Rng;
use weir_sql::ScalarValue;

use crate::query;
use crate::relation::{Input, Row, Shape};
use crate::value::percent;

/// Everything that a run does, by the seed that made it.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub workers: usize,
    pub inputs: Vec<Input>,
    /// In the order of their creation; a later one may read an earlier one.
    pub views: Vec<View>,
    pub epochs: usize,
    pub lives: Vec<Life>,
}

/// A view, in the words of its query.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub query: String,
    /// Whether it is maintained by a plan of its own; otherwise its query stands in the place of its name.
    pub materialized: bool,
}

/// A row from its insert to its delete. An UPDATE is the end of one life and the begin of another.
#[derive(Clone, Debug)]
pub struct Life {
    pub input: usize,
    pub row: Row,
    /// How many copies come and go together.
    pub copies: i64,
    pub begin: Event,
    pub end: Option<Event>,
}

/// When and where a change is pushed: changes of one piece that go to one worker are one delta.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub epoch: usize,
    pub piece: u8,
    pub worker: usize,
    /// Its place within its delta.
    pub order: u16,
}

/// One delta: rows with weights that reach an input on a worker.
#[derive(Clone, Debug)]
pub struct Change {
    pub input: usize,
    pub worker: usize,
    pub rows: Vec<(Row, i64)>,
}

impl Life {
    /// Whether the row is there at the end of an epoch.
    pub fn is_live(&self, epoch: usize) -> bool {
        self.begin.epoch <= epoch && self.end.is_none_or(|end| end.epoch > epoch)
    }
}

impl Case {
    pub fn random(seed: u64) -> Case {
        let rng = &mut Rng::with_seed(seed);
        let workers = rng.usize(1..=4);
        let inputs: Vec<Input> = (0..rng.usize(1..4)).map(|index| Input::random(index, rng)).collect();
        let views = query::views(&inputs, rng);
        let epochs = rng.usize(1..6);
        let mut lives = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            live(index, input, workers, epochs, &mut lives, rng);
        }
        Case { seed, workers, inputs, views, epochs, lives }
    }

    /// The changes of an epoch.
    pub fn deltas(&self, epoch: usize) -> Vec<Change> {
        let mut changes: Vec<(Event, &Life, i64)> = Vec::new();
        for life in &self.lives {
            if life.begin.epoch == epoch {
                changes.push((life.begin, life, life.copies));
            }
            if let Some(end) = life.end.filter(|end| end.epoch == epoch) {
                changes.push((end, life, -life.copies));
            }
        }
        changes.sort_by_key(|(event, life, _)| (event.piece, life.input, event.worker, event.order));
        let mut deltas: Vec<Change> = Vec::new();
        let mut last = None;
        for (event, life, weight) in changes {
            let delta = Some((event.piece, life.input, event.worker));
            if last != delta {
                deltas.push(Change { input: life.input, worker: event.worker, rows: Vec::new() });
                last = delta;
            }
            deltas.last_mut().expect("just pushed").rows.push((life.row.clone(), weight));
        }
        deltas
    }

    /// The rows of an input at the end of an epoch.
    pub fn rows(&self, input: usize, epoch: usize) -> Vec<Row> {
        let there = self.lives.iter().filter(|life| life.input == input && life.is_live(epoch));
        there.flat_map(|life| std::iter::repeat_n(life.row.clone(), life.copies as usize)).collect()
    }
}

/// Rows of one input, over all epochs.
fn live(index: usize, input: &Input, workers: usize, epochs: usize, lives: &mut Vec<Life>, rng: &mut Rng) {
    let first = lives.len();
    let event = |epoch: usize, rng: &mut Rng| Event { epoch, piece: rng.u8(0..3), worker: rng.usize(..workers), order: rng.u16(..) };
    // Some rows come again and again, so that they collide.
    let pool: Vec<Row> = (0..rng.usize(1..12)).map(|_| input.row(rng)).collect();
    for epoch in 0..epochs {
        let grows = percent(rng, 70);
        if !matches!(input.shape, Shape::Source { .. }) {
            // All of it, some of it, or nothing goes.
            let share = if percent(rng, 10) { 100 } else { rng.u8(0..60) };
            for life in &mut lives[first..] {
                if life.end.is_none() && percent(rng, share) {
                    life.end = Some(event(epoch, rng));
                }
            }
        }
        for _ in 0..if grows { rng.usize(0..14) } else { 0 } {
            let row = if percent(rng, 50) { pool[rng.usize(..pool.len())].clone() } else { input.row(rng) };
            let copies = if input.shape == Shape::Heap && percent(rng, 15) { rng.i64(2..4) } else { 1 };
            if let Shape::Keyed(key) = &input.shape {
                // A key that is there already is an UPDATE: the old row goes with the new one's coming.
                let same = |life: &Life| life.end.is_none() && key.iter().all(|column| life.row[*column] == row[*column]);
                for life in &mut lives[first..] {
                    if same(life) {
                        life.end = Some(event(epoch, rng));
                    }
                }
            }
            lives.push(Life { input: index, row, copies, begin: event(epoch, rng), end: None });
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} workers", self.workers)?;
        for input in &self.inputs {
            writeln!(f, "{};", input.describe())?;
        }
        for view in &self.views {
            let materialized = if view.materialized { "MATERIALIZED " } else { "" };
            writeln!(f, "CREATE {materialized}VIEW {} AS {};", view.name, view.query)?;
        }
        for epoch in 0..self.epochs {
            writeln!(f, "epoch {epoch}:")?;
            for Change { input, worker, rows } in self.deltas(epoch) {
                writeln!(f, "  {} on worker {worker}:", self.inputs[input].name)?;
                for (row, weight) in rows {
                    let values: Vec<String> = row.iter().map(text).collect();
                    writeln!(f, "    {weight:+} ({})", values.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

fn text(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) => format!("'{text}'"),
        other => other.to_string(),
    }
}

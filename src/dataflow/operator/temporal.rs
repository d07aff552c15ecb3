//! Temporal filters: rows come and go as the wall clock goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::RowConverter;
use weir_common::calendar::{DATE_INFINITY, DATE_MINUS_INFINITY, DAY, INFINITY, MINUS_INFINITY};
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};
use weir_common::expr::ExprRef;
use weir_common::from_now::Holds;
use weir_common::temporal::{ClockCondition, TimeCondition};

use crate::fragment::Context;
use crate::isolate::evaluate;
use crate::operator::Operator;
use crate::operator::aggregate::entries::Count;
use crate::operator::aggregate::trace::Trace;
use crate::rows::{converter, decode, encode};
use crate::state::{StateChanges, StateSpec};
use crate::times::TimeOf;

/// Rows of one delta that goes out.
const DELTA_ROWS: usize = 64 * 1024;

/// Which rows are shown when.
#[derive(Clone, Debug)]
pub(crate) struct TemporalSpec {
    /// When a row is shown.
    pub(crate) condition: Arc<TimeCondition>,
    /// The number of its state.
    pub(crate) state: u16,
}

impl TemporalSpec {
    /// Whether rows of this schema can be kept, and the condition be asked.
    pub(crate) fn check(&self, input: &Schema) -> Result<()> {
        let of_time = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _));
        let wrong = |expr: &ExprRef| Err(Error::internal(format!("temporal filter: {} is of type {}", expr.describe(), expr.data_type())));
        for leaf in leaves(&self.condition) {
            match leaf {
                Leaf::Row(expr) if *expr.data_type() != DataType::Boolean => return wrong(expr),
                Leaf::Clock(clock) if !of_time(clock.value.data_type()) => return wrong(&clock.value),
                Leaf::Row(_) | Leaf::Clock(_) => {}
            }
        }
        converter(input.fields().iter().map(|field| field.data_type())).map(|_| ())
    }

    /// Its state, over rows with this schema: each row that waits, its moment, and how often it is there.
    pub(crate) fn state_spec(&self, input: &Schema, placement: &[usize]) -> StateSpec {
        let keys = input.fields().len() + 1;
        StateSpec { state: self.state, part: 0, schema: state_schema(input), keys, placement: placement.to_vec(), left_in_store: false }
    }

    /// Builds the operator. `checkpoints`: whether anybody will ask what changed.
    pub(crate) fn build(&self, schema: SchemaRef, view: Arc<str>, checkpoints: bool) -> Box<dyn Operator> {
        let converter = converter(schema.fields().iter().map(|field| field.data_type())).expect("checked when the plan was lowered");
        let exprs = leaves(&self.condition).into_iter().map(|leaf| leaf.expr().clone()).collect();
        let kept = state_schema(&schema);
        let key = Arc::new(Schema::new(kept.fields()[..schema.fields().len() + 1].to_vec()));
        let (spec, waiting, trace) = (self.clone(), BTreeMap::new(), Trace::new(checkpoints));
        Box::new(TemporalFilter { spec, exprs, view, schema, kept, key, converter, now: i64::MIN, waiting, trace, bytes: 0 })
    }
}

/// The columns of the row, its moment, and its count.
fn state_schema(input: &Schema) -> SchemaRef {
    let number = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
    Arc::new(Schema::new(input.fields().iter().cloned().chain([number("moment"), number("count")]).collect::<Vec<_>>()))
}

/// A part of a condition that is asked of each row.
enum Leaf<'a> {
    Row(&'a ExprRef),
    Clock(&'a ClockCondition),
}

impl<'a> Leaf<'a> {
    fn expr(&self) -> &'a ExprRef {
        match self {
            Leaf::Row(expr) => expr,
            Leaf::Clock(clock) => &clock.value,
        }
    }
}

/// The leaves of a condition, in order.
fn leaves(condition: &TimeCondition) -> Vec<Leaf<'_>> {
    match condition {
        TimeCondition::Row(expr) => vec![Leaf::Row(expr)],
        TimeCondition::Clock(clock) => vec![Leaf::Clock(clock)],
        TimeCondition::All(parts) | TimeCondition::Any(parts) => parts.iter().flat_map(leaves).collect(),
    }
}

/// The values of the leaves over one batch, in order.
struct Values<'a>(Vec<Value<'a>>);

enum Value<'a> {
    /// Where the condition is true.
    Row(BooleanBuffer),
    /// Microseconds, and where they are not NULL.
    Clock(&'a ClockCondition, Vec<i64>, Option<NullBuffer>),
}

impl<'a> Values<'a> {
    fn of(condition: &'a TimeCondition, values: &[ArrayRef]) -> Result<Self> {
        let value = |(leaf, values): (Leaf<'a>, &ArrayRef)| match leaf {
            Leaf::Row(_) => {
                let values = values.as_boolean();
                Ok(Value::Row(values.nulls().map_or_else(|| values.values().clone(), |nulls| values.values() & nulls.inner())))
            }
            Leaf::Clock(clock) => Ok(Value::Clock(clock, micros(values)?, values.nulls().cloned())),
        };
        Ok(Values(leaves(condition).into_iter().zip(values).map(value).collect::<Result<_>>()?))
    }

    /// How the condition is for a row at a moment.
    fn holds(&self, condition: &TimeCondition, row: usize, now: i64) -> Holds {
        part(condition, &mut self.0.iter(), row, now)
    }
}

/// How a part of a condition is; takes the values of its leaves.
fn part(condition: &TimeCondition, values: &mut std::slice::Iter<Value>, row: usize, now: i64) -> Holds {
    match condition {
        TimeCondition::All(parts) => parts.iter().fold(Holds::always(true), |all, each| all.and(part(each, values, row, now))),
        TimeCondition::Any(parts) => parts.iter().fold(Holds::always(false), |any, each| any.or(part(each, values, row, now))),
        TimeCondition::Row(_) | TimeCondition::Clock(_) => match values.next() {
            Some(Value::Row(is_true)) => Holds::always(is_true.value(row)),
            Some(Value::Clock(clock, moments, valid)) if valid.as_ref().is_none_or(|valid| valid.is_valid(row)) => {
                clock.comparison.holds(&clock.from_now, moments[row], now)
            }
            // NULL, whenever it is.
            Some(Value::Clock(..)) | None => Holds::always(false),
        },
    }
}

/// Moments in microseconds since 1970 UTC; a date is its midnight. What is under a NULL means nothing.
fn micros(values: &ArrayRef) -> Result<Vec<i64>> {
    if let Some(times) = values.as_primitive_opt::<TimestampMicrosecondType>() {
        return Ok(times.values().to_vec());
    }
    let days = values.as_primitive_opt::<Date32Type>();
    let days = days.ok_or_else(|| Error::internal(format!("{} is compared with now()", values.data_type())))?;
    let midnight = |day: &i32| match *day {
        DATE_INFINITY => INFINITY,
        DATE_MINUS_INFINITY => MINUS_INFINITY,
        day => i64::from(day).saturating_mul(DAY),
    };
    Ok(days.values().iter().map(midnight).collect())
}

/// A row as bytes.
type Row = Box<[u8]>;

/// Shows the rows for which the condition is true at the wall clock of the epoch.
///
/// # Invariants
/// - Each row waits for the first moment at which the condition may be another one; one for which it never changes is not kept.
/// - Between epochs no row waits for a moment that has come.
/// - What is out is what the condition says at `now`: rows that come are asked at the wall clock of their epoch, after all that
///   waited have been.
struct TemporalFilter {
    spec: TemporalSpec,
    /// The leaves of the condition.
    exprs: Vec<ExprRef>,
    view: Arc<str>,
    schema: SchemaRef,
    /// Of its state.
    kept: SchemaRef,
    /// Of its key.
    key: SchemaRef,
    converter: RowConverter,
    /// The wall clock of the last epoch that was opened here; the start of time before the first.
    now: i64,
    /// Rows and how often they are there, by the moments that they wait for.
    waiting: BTreeMap<(i64, Row), Count>,
    trace: Trace<(i64, Row)>,
    /// Of the rows.
    bytes: usize,
}

/// Entries on their way to a checkpoint.
#[derive(Default)]
struct Touched {
    /// Those that were frozen and have changed, as they were.
    kept: Vec<((i64, Row), i64)>,
    /// Those that are gone.
    gone: Vec<(i64, Row)>,
}

impl TemporalFilter {
    fn columns<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        decode(&self.converter, rows.map(|row| parser.parse(row)))
    }

    /// The keys of entries as a checkpoint has them.
    fn key_columns(&self, entries: &[(i64, Row)]) -> Result<Vec<ArrayRef>> {
        let mut columns = self.columns(entries.iter().map(|(_, row)| row))?;
        columns.push(Arc::new(Int64Array::from_iter_values(entries.iter().map(|(moment, _)| *moment))));
        Ok(columns)
    }

    /// Entries as a checkpoint has them.
    fn state_rows(&self, entries: Vec<((i64, Row), i64)>) -> Result<RecordBatch> {
        let (entries, counts): (Vec<(i64, Row)>, Vec<i64>) = entries.into_iter().unzip();
        let mut columns = self.key_columns(&entries)?;
        columns.push(Arc::new(Int64Array::from(counts)));
        batch(self.kept.clone(), columns, entries.len())
    }

    /// A row waits more often, or less.
    fn add(&mut self, entry: (i64, Row), weight: i64, touched: &mut Touched) {
        let Some(count) = self.waiting.get_mut(&entry) else {
            let mut count = Count::new(weight);
            self.bytes += entry.1.len();
            self.trace.changes(&mut count, || entry.clone());
            self.waiting.insert(entry, count);
            return;
        };
        if let Some(was) = self.trace.changes(count, || entry.clone()) {
            touched.kept.push((entry.clone(), was));
        }
        count.add(weight);
        if count.get() == 0 {
            self.bytes -= entry.1.len();
            if count.is_stored() {
                touched.gone.push(entry.clone());
            }
            self.waiting.remove(&entry);
        }
    }

    /// Takes out what waits for the first moments, a delta of it at most, if they have come.
    fn take_due(&mut self, touched: &mut Touched) -> Vec<((i64, Row), i64)> {
        let mut due = vec![];
        while due.len() < DELTA_ROWS
            && let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= self.now)
        {
            let (entry, mut count) = first.remove_entry();
            self.bytes -= entry.1.len();
            let (was, is_stored) = self.trace.goes(&mut count);
            touched.kept.extend(was.map(|was| (entry.clone(), was)));
            touched.gone.extend(is_stored.then(|| entry.clone()));
            due.push((entry, count.get()));
        }
        due
    }

    fn settle(&mut self, touched: Touched) -> Result<()> {
        if !touched.kept.is_empty() {
            let rows = self.state_rows(touched.kept)?;
            self.trace.keep(rows);
        }
        if !touched.gone.is_empty() {
            let columns = self.key_columns(&touched.gone)?;
            self.trace.forget(columns);
        }
        Ok(())
    }

    /// The wall clock has come to that of the epoch: rows whose moments have come appear and go.
    fn advance(&mut self, cx: &mut Context) -> Result<()> {
        if cx.times.wall_micros <= self.now {
            return Ok(());
        }
        self.now = cx.times.wall_micros;
        let condition = self.spec.condition.clone();
        loop {
            let mut touched = Touched::default();
            let due = self.take_due(&mut touched);
            if due.is_empty() {
                return Ok(());
            }
            let rows = batch(self.schema.clone(), self.columns(due.iter().map(|((_, row), _)| row))?, due.len())?;
            let mut dead = vec![];
            let parts = evaluate(&self.exprs, Delta::insert(rows), &self.view, &mut dead);
            let mut from = 0;
            for part in &parts {
                let values = Values::of(&condition, &part.values)?;
                let mut weights = vec![0; part.delta.num_rows()];
                for (row, ((moment, bytes), count)) in due[from..from + weights.len()].iter().enumerate() {
                    // Nothing has changed before the moment that it waited for.
                    let before = values.holds(&condition, row, moment - 1).now;
                    let holds = values.holds(&condition, row, self.now);
                    weights[row] = (i64::from(holds.now) - i64::from(before)) * count;
                    if holds.until < i64::MAX {
                        self.add((holds.until, bytes.clone()), *count, &mut touched);
                    }
                }
                from += weights.len();
                emit(&part.delta.rows, weights, cx)?;
            }
            if from != due.len() || !dead.is_empty() {
                return Err(Error::internal("a row that waited cannot be evaluated any more"));
            }
            self.settle(touched)?;
        }
    }
}

/// Puts out the rows with a weight.
fn emit(rows: &RecordBatch, weights: Vec<i64>, cx: &mut Context) -> Result<()> {
    let changed: Vec<u32> = weights.iter().enumerate().filter(|(_, weight)| **weight != 0).map(|(row, _)| row as u32).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let delta = Delta::weighted(rows.clone(), weights);
    cx.out.push(if changed.len() == delta.num_rows() { delta } else { delta.take(&UInt32Array::from(changed))? });
    Ok(())
}

impl Operator for TemporalFilter {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        self.advance(cx)?;
        let condition = self.spec.condition.clone();
        let mut touched = Touched::default();
        for part in evaluate(&self.exprs, delta, &self.view, cx.dead) {
            let values = Values::of(&condition, &part.values)?;
            let (mut shown, mut waits) = (Vec::with_capacity(part.delta.num_rows()), vec![]);
            for row in 0..part.delta.num_rows() {
                let holds = values.holds(&condition, row, self.now);
                shown.push(holds.now);
                if holds.until < i64::MAX {
                    waits.push((row as u32, holds.until));
                }
            }
            if !waits.is_empty() {
                let waiting = part.delta.take(&UInt32Array::from_iter_values(waits.iter().map(|(row, _)| *row)))?;
                let bytes = encode(&self.converter, waiting.rows.columns())?;
                for (row, (_, until)) in waits.into_iter().enumerate() {
                    self.add((until, bytes.value(row).into()), waiting.weights.get(row), &mut touched);
                }
            }
            let shown = BooleanArray::from(shown);
            match shown.true_count() {
                0 => {}
                all if all == part.delta.num_rows() => cx.out.push(part.delta),
                _ => cx.out.push(part.delta.filter(&shown)?),
            }
        }
        self.settle(touched)
    }

    fn close(&mut self, cx: &mut Context) -> Result<()> {
        self.advance(cx)
    }

    fn state(&self) -> Option<u16> {
        Some(self.spec.state)
    }

    fn freeze(&mut self) {
        self.trace.freeze();
    }

    fn copy(&mut self, budget: &mut usize) -> Result<()> {
        self.trace.copy_gone(&self.key, budget)?;
        let waiting = &mut self.waiting;
        let mut copy = |entry: &(i64, Row), marks| waiting.get_mut(entry).and_then(|count| count.copy(marks).then(|| count.get()));
        let pieces: Vec<_> = std::iter::from_fn(|| self.trace.next_piece(budget, &mut copy)).collect();
        for piece in pieces {
            let rows = self.state_rows(piece)?;
            self.trace.put(rows);
        }
        Ok(())
    }

    fn kept_rows(&self) -> usize {
        self.trace.kept_rows()
    }

    fn take_copied(&mut self) -> Vec<StateChanges> {
        self.trace.take_copied(self.spec.state, 0).into_iter().collect()
    }

    fn load(&mut self, _part: u16, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let width = self.schema.fields().len();
        let bytes = encode(&self.converter, &columns[..width])?;
        let moments = columns[width].as_primitive::<Int64Type>();
        let counts = columns[width + 1].as_primitive::<Int64Type>();
        for row in 0..rows {
            self.bytes += bytes.value(row).len();
            self.waiting.insert((moments.value(row), bytes.value(row).into()), Count::stored(counts.value(row)));
        }
        Ok(())
    }

    fn due(&self) -> Option<(TimeOf, i64)> {
        self.waiting.first_key_value().map(|((moment, _), _)| (TimeOf::Wall, *moment))
    }

    fn memory_bytes(&self) -> usize {
        // A node of a BTreeMap is about two thirds full.
        self.waiting.len() * size_of::<((i64, Row), Count)>() * 3 / 2 + self.bytes + self.dirty_bytes()
    }

    fn dirty_bytes(&self) -> usize {
        self.trace.bytes(self.bytes.checked_div(self.waiting.len()).unwrap_or(0))
    }

    fn groups(&self) -> usize {
        self.waiting.len()
    }
}

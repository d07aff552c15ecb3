//! Every aggregate over every type, with filters and retractions, on 1 to 4 workers, against a recomputation from scratch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use fastrand::Rng;
use num_bigint::BigInt;
use weir_common::delta::Delta;
use weir_common::moments::Measure;
use weir_common::numeric::average;
use weir_common::plan::{AggregateCall, AggregateFunction, Facts, Node};

use crate::consolidate::consolidate;
use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::{aggregate, append_only, call, import, interrupted};

/// A value of a test: what the naive recomputation works with.
#[derive(Clone, Debug)]
enum Cell {
    Null,
    Word(i64),
    Float(f64),
    Wide(i128),
    Bytes(Vec<u8>),
}

type Row = Vec<Cell>;

fn types() -> Vec<DataType> {
    use DataType::*;
    vec![
        Boolean,
        Int16,
        Int32,
        Int64,
        Float32,
        Float64,
        Decimal128(20, 4),
        Decimal128(38, 0),
        Utf8,
        Binary,
        FixedSizeBinary(16),
        Date32,
        Time64(TimeUnit::Microsecond),
        Timestamp(TimeUnit::Microsecond, None),
        Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Timestamp(TimeUnit::Nanosecond, None),
    ]
}

fn cell(data_type: &DataType, rng: &mut Rng) -> Cell {
    if rng.u8(..) < 40 {
        return Cell::Null;
    }
    match data_type {
        DataType::Boolean => Cell::Word(rng.bool() as i64),
        DataType::Int16 => Cell::Word(pick(rng, &[i16::MIN as i64, -1, 0, 1, 7, i16::MAX as i64])),
        DataType::Int32 | DataType::Date32 => Cell::Word(pick(rng, &[i32::MIN as i64, -3, 0, 2, 9, i32::MAX as i64])),
        DataType::Int64 => Cell::Word(pick(rng, &[i64::MIN, -3, 0, 2, 1 << 40, i64::MAX])),
        DataType::Time64(_) => Cell::Word(rng.i64(0..86_400_000_000)),
        DataType::Timestamp(..) => Cell::Word(rng.i64(-2..3) * 3_600_000_000),
        DataType::Float32 => Cell::Float(pick(rng, &[f64::NAN, f64::INFINITY, -0.0, 0.0, 0.125, -2.5, 1048576.0, 7.0])),
        DataType::Float64 => {
            // Multiples of 1/8 below 2^113: the recomputation is exact in eighths.
            let specials = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            let values = [-0.0, 0.0, 0.125, -2.5, 3.0, 2f64.powi(60), -2f64.powi(60), 2f64.powi(109) * 1.5, -2f64.powi(110)];
            if rng.u8(..) < 20 { Cell::Float(pick(rng, &specials)) } else { Cell::Float(pick(rng, &values)) }
        }
        DataType::Decimal128(20, _) => {
            Cell::Wide(pick(rng, &[-99_999_999_999_999_999_999, -15_000, 0, 1, 123_456, 99_999_999_999_999_999_999]))
        }
        DataType::Decimal128(..) => Cell::Wide(pick(rng, &[1 - 10i128.pow(38), -7, 0, 5, 10i128.pow(30), 10i128.pow(38) - 1])),
        DataType::FixedSizeBinary(width) => Cell::Bytes(vec![rng.u8(0..3); *width as usize]),
        _ => Cell::Bytes(pick(rng, &["", "a", "ab", "JFK", "a somewhat longer text than sixteen bytes", "é"]).as_bytes().to_vec()),
    }
}

fn pick<T: Clone>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())].clone()
}

fn array(data_type: &DataType, cells: &[&Cell]) -> ArrayRef {
    match data_type {
        DataType::Float32 | DataType::Float64 => {
            let values: Float64Array = cells.iter().map(|cell| if let Cell::Float(value) = cell { Some(*value) } else { None }).collect();
            cast(&values, data_type).unwrap()
        }
        DataType::Decimal128(..) => {
            let values: Decimal128Array = cells.iter().map(|cell| if let Cell::Wide(value) = cell { Some(*value) } else { None }).collect();
            Arc::new(values.with_data_type(data_type.clone()))
        }
        DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_) => {
            let values: BinaryArray =
                cells.iter().map(|cell| if let Cell::Bytes(value) = cell { Some(value.as_slice()) } else { None }).collect();
            cast(&values, data_type).unwrap()
        }
        _ => {
            let values: Int64Array = cells.iter().map(|cell| if let Cell::Word(value) = cell { Some(*value) } else { None }).collect();
            let values: ArrayRef = if *data_type == DataType::Date32 { cast(&values, &DataType::Int32).unwrap() } else { Arc::new(values) };
            cast(&values, data_type).unwrap()
        }
    }
}

fn delta(node: &Node, rows: &[(Row, i64)]) -> Delta {
    let column =
        |column: usize| array(node.schema.field(column).data_type(), &rows.iter().map(|(row, _)| &row[column]).collect::<Vec<_>>());
    let columns = (0..node.schema.fields().len()).map(column).collect();
    let batch = weir_common::delta::batch(node.schema.clone(), columns, rows.len()).unwrap();
    match rows.iter().all(|(_, weight)| *weight == 1) {
        true => Delta::insert(batch),
        false => Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()),
    }
}

/// Whether a row counts for a call, and its argument.
fn argument<'a>(call: &AggregateCall, row: &'a Row) -> Option<Option<&'a Cell>> {
    let passes = call.filter.is_none_or(|filter| matches!(row[filter], Cell::Word(1)));
    let argument = call.argument.map(|column| &row[column]);
    (passes && !matches!(argument, Some(Cell::Null))).then_some(argument)
}

fn order(a: &Cell, b: &Cell) -> std::cmp::Ordering {
    match (a, b) {
        (Cell::Word(a), Cell::Word(b)) => a.cmp(b),
        (Cell::Wide(a), Cell::Wide(b)) => a.cmp(b),
        (Cell::Bytes(a), Cell::Bytes(b)) => a.cmp(b),
        (Cell::Float(a), Cell::Float(b)) => a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)),
        other => panic!("{other:?}"),
    }
}

/// A call over rows, from scratch; `Err` where the result is out of range.
fn naive(call: &AggregateCall, rows: &[&Row]) -> Result<Cell, ()> {
    let mut values: Vec<Option<&Cell>> = rows.iter().filter_map(|row| argument(call, row)).collect();
    if call.distinct {
        let mut seen = HashSet::new();
        values.retain(|cell| seen.insert(format!("{:?}", cell.map(canonical))));
    }
    if call.function == AggregateFunction::Count {
        return Ok(Cell::Word(values.len() as i64));
    }
    let values: Vec<Cell> = values.into_iter().map(|cell| canonical(cell.unwrap())).collect();
    if values.is_empty() {
        return Ok(Cell::Null);
    }
    match call.function {
        AggregateFunction::Min => return Ok(values.into_iter().min_by(order).unwrap()),
        AggregateFunction::Max => return Ok(values.into_iter().max_by(order).unwrap()),
        AggregateFunction::BoolAnd => return Ok(Cell::Word(values.iter().all(|cell| matches!(cell, Cell::Word(1))) as i64)),
        AggregateFunction::BoolOr => return Ok(Cell::Word(values.iter().any(|cell| matches!(cell, Cell::Word(1))) as i64)),
        _ => {}
    }
    let average_wanted = call.function == AggregateFunction::Avg;
    if let DataType::Float32 | DataType::Float64 = call.output {
        let floats: Vec<f64> = values.iter().map(|cell| if let Cell::Float(value) = cell { *value } else { panic!("{cell:?}") }).collect();
        let sum = match floats.iter().all(|value| value.is_finite()) {
            true => floats.iter().map(|value| (value * 8.0) as i128).sum::<i128>() as f64 / 8.0,
            false => floats.iter().filter(|value| !value.is_finite()).sum(),
        };
        return Ok(Cell::Float(if average_wanted { sum / floats.len() as f64 } else { sum }));
    }
    let wide = |cell: &Cell| match cell {
        Cell::Word(value) => *value as i128,
        Cell::Wide(value) => *value,
        other => panic!("{other:?}"),
    };
    if let AggregateFunction::Deviation(measure) = call.function {
        let numbers: Vec<BigInt> = values.iter().map(|cell| wide(cell).into()).collect();
        return deviation(call, measure, &numbers);
    }
    let sum = values.iter().try_fold(i256::ZERO, |sum, cell| sum.checked_add(i256::from_i128(wide(cell)))).unwrap();
    let sum = sum.to_i128().ok_or(())?;
    match call.output {
        DataType::Int64 => i64::try_from(sum).map(Cell::Word).map_err(|_| ()),
        DataType::Decimal128(_, to) if average_wanted => {
            let from = if let DataType::Decimal128(_, scale) = call.input { scale } else { 0 };
            average(sum, from, values.len() as i64, to).map(Cell::Wide).ok_or(())
        }
        _ => (sum.unsigned_abs() < 10u128.pow(38)).then_some(Cell::Wide(sum)).ok_or(()),
    }
}

/// From the distances between all pairs of values.
fn deviation(call: &AggregateCall, measure: Measure, values: &[BigInt]) -> Result<Cell, ()> {
    let divisor = values.len() - measure.sample as usize;
    if divisor == 0 {
        return Ok(Cell::Null);
    }
    let (DataType::Decimal128(_, to), from) = (&call.output, if let DataType::Decimal128(_, scale) = call.input { scale } else { 0 })
    else {
        panic!("{:?}", call.output)
    };
    let squares: BigInt = values.iter().flat_map(|a| values.iter().map(move |b| (a - b).pow(2))).sum();
    let below = BigInt::from(2 * values.len() * divisor) * BigInt::from(100).pow(from as u32);
    // Twice the result, rounded down: half a unit more, and every second one left out, is the nearest.
    let twice: BigInt = match measure.root {
        false => 2 * squares * BigInt::from(10).pow(*to as u32) / below,
        true => BigInt::sqrt(&(4 * squares * BigInt::from(100).pow(*to as u32) / below)),
    };
    let result: BigInt = (twice + 1) / 2;
    i128::try_from(result).ok().filter(|result| *result < 10i128.pow(38)).map(Cell::Wide).ok_or(())
}

/// One zero, one NaN.
fn canonical(cell: &Cell) -> Cell {
    match cell {
        Cell::Float(value) if value.is_nan() => Cell::Float(f64::NAN),
        Cell::Float(value) => Cell::Float(value + 0.0),
        other => other.clone(),
    }
}

fn expected(view: &Node, keys: usize, calls: &[AggregateCall], live: &[Row]) -> Integral {
    let mut groups: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    if keys == 0 {
        groups.insert(String::new(), Vec::new());
    }
    for row in live {
        let key: String = row[..keys].iter().map(|cell| format!("{:?};", canonical(cell))).collect();
        groups.entry(key).or_default().push(row);
    }
    let mut integral = Integral::new();
    for rows in groups.values() {
        let results: Result<Vec<Cell>, ()> = calls.iter().map(|call| naive(call, rows)).collect();
        if let Ok(results) = results {
            let key = (0..keys).map(|key| canonical(&rows[0][key]));
            integral.add(&delta(view, &[(key.chain(results).collect(), 1)]));
        }
    }
    integral
}

fn random_calls(keys: usize, arguments: &[DataType], rng: &mut Rng) -> Vec<AggregateCall> {
    use AggregateFunction::*;
    let filter_column = keys + arguments.len();
    let random_call = |rng: &mut Rng| {
        let index = rng.usize(..arguments.len());
        let data_type = arguments[index].clone();
        let deviation = Deviation(Measure { sample: rng.bool(), root: rng.bool() });
        let function = match &data_type {
            DataType::Boolean => pick(rng, &[Count, Min, BoolAnd, BoolOr]),
            // The deviations of floats are not the same to the last bit: they have a test of their own.
            DataType::Float32 | DataType::Float64 => pick(rng, &[Count, Sum, Sum, Avg, Min, Max]),
            data_type if data_type.is_numeric() => pick(rng, &[Count, Sum, Sum, Avg, Min, Max, deviation, deviation]),
            _ => pick(rng, &[Count, Min, Max]),
        };
        let argument = if function == Count && rng.bool() { None } else { Some((keys + index, data_type)) };
        let distinct = argument.is_some() && function.counts_repeats() && rng.u8(..) < 80;
        AggregateCall { distinct, ..call(function, argument, rng.bool().then_some(filter_column)) }
    };
    (0..rng.usize(0..6)).map(|_| random_call(rng)).collect()
}

fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let rng = &mut rng;
    let (all, workers) = (types(), rng.usize(1..=4));
    let keys: Vec<DataType> = match rng.u8(0..4) {
        0 => vec![],
        1 => vec![DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Utf8],
        _ => (0..rng.usize(1..4)).map(|_| pick(rng, &all)).collect(),
    };
    let arguments: Vec<DataType> = (0..rng.usize(1..5)).map(|_| pick(rng, &all)).collect();
    let calls = random_calls(keys.len(), &arguments, rng);
    let columns: Vec<DataType> = keys.iter().chain(&arguments).cloned().chain([DataType::Boolean]).collect();
    let names: Vec<String> = (0..columns.len()).map(|column| format!("c{column}")).collect();
    let named: Vec<(&str, DataType)> = names.iter().map(String::as_str).zip(columns.iter().cloned()).collect();
    let only_added = rng.u8(0..3) == 0;
    let input = import("t", &named, if only_added { append_only() } else { Facts::default() });
    let view = aggregate(input.clone(), keys.len(), calls.clone());
    let mut simulator = interrupted(&view, workers, seed);
    let (mut integral, mut live): (Integral, Vec<Row>) = (Integral::new(), Vec::new());
    // Few rows of which each comes often, so that groups collide and vanish.
    let pool: Vec<Row> = (0..rng.usize(1..40)).map(|_| columns.iter().map(|data_type| cell(data_type, rng)).collect()).collect();
    for epoch in 0..rng.usize(1..12) {
        let mut changes: Vec<(Row, i64)> = Vec::new();
        for _ in 0..rng.usize(0..30) {
            let row = pick(rng, &pool);
            let times = if only_added { 1 } else { pick(rng, &[1, 1, 1, 2, 5]) };
            (0..times).for_each(|_| live.push(row.clone()));
            changes.push((row, times));
        }
        let deletes = if only_added {
            0
        } else if rng.u8(0..5) == 0 {
            live.len()
        } else {
            rng.usize(0..=live.len() / 2)
        };
        for _ in 0..deletes {
            changes.push((live.swap_remove(rng.usize(..live.len())), -1));
        }
        rng.shuffle(&mut changes);
        let mut rest = changes.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rng.usize(1..=rest.len()));
            simulator.push(0, delta(&input, now), rng.usize(..workers));
            rest = later;
        }
        let out = simulator.close_epoch();
        out.iter().for_each(|delta| integral.add(delta));
        let expected = expected(&view, keys.len(), &calls, &live);
        assert_eq!(integral, expected, "seed {seed}, epoch {epoch}, {workers} workers, append-only {only_added}\n{:#?}\n{calls:#?}", live);
        let rows: usize = out.iter().map(Delta::num_rows).sum();
        let net = consolidate(&Delta::concat(&view.schema, &out).unwrap()).unwrap();
        assert_eq!(rows, net.num_rows(), "seed {seed}, epoch {epoch}: what did not change is not emitted");
    }
    if !only_added && !keys.is_empty() {
        let all: Vec<(Row, i64)> = live.drain(..).map(|row| (row, -1)).collect();
        simulator.push(0, delta(&input, &all), 0);
        simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
        assert!(integral.is_empty(), "seed {seed}: nothing is left of nothing: {integral:?}");
        assert_eq!(simulator.groups(), 0, "seed {seed}: no group without rows");
    }
}

#[test]
fn equal_a_recomputation() {
    let start = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok());
    let runs = if start.is_some() { 1 } else { 1500 };
    let start = start.unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("seeds {start}..{}; WEIR_SEED=n runs one", start + runs);
    (start..start + runs).for_each(run);
}

#[test]
fn a_global_aggregate_has_a_row_over_nothing() {
    for workers in 1..=4 {
        let input = import("t", &[("a", DataType::Int32)], Facts::default());
        let calls = vec![call(AggregateFunction::Count, None, None), call(AggregateFunction::Max, Some((0, DataType::Int32)), None)];
        let view = aggregate(input.clone(), 0, calls);
        let mut simulator = Simulator::new(&lower(&view, "v", workers).unwrap(), workers);
        let mut integral = Integral::new();
        simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
        let nothing = vec![vec![Some("0".to_string()), None]];
        assert_eq!(integral.rows(), nothing);
        for (weight, rows) in [(1, vec![vec![Some("1".to_string()), Some("5".to_string())]]), (-1, nothing)] {
            simulator.push(0, delta(&input, &[(vec![Cell::Word(5)], weight)]), workers - 1);
            simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
            assert_eq!(integral.rows(), rows);
        }
        assert!(simulator.close_epoch().is_empty(), "nothing changed");
    }
}

#[test]
fn sums_of_floats_do_not_drift() {
    let (kind, workers) = (DataType::Float64, 2);
    let input = import("t", &[("k", DataType::Int64), ("x", kind.clone())], Facts::default());
    let calls = vec![call(AggregateFunction::Sum, Some((1, kind.clone())), None), call(AggregateFunction::Avg, Some((1, kind)), None)];
    let view = aggregate(input.clone(), 1, calls);
    let mut simulator = Simulator::new(&lower(&view, "v", workers).unwrap(), workers);
    let mut integral = Integral::new();
    let row = |value: f64| vec![Cell::Word(1), Cell::Float(value)];
    simulator.push(0, delta(&input, &[(row(0.1), 1), (row(0.2), 1)]), 0);
    let mut rng = Rng::with_seed(7);
    for _ in 0..200 {
        // Everything from the smallest to the greatest float, there for one epoch.
        let guests: Vec<f64> = (0..50).map(|_| f64::from_bits(rng.u64(..))).collect();
        for weight in [1, -1] {
            guests.iter().for_each(|value| simulator.push(0, delta(&input, &[(row(*value), weight)]), rng.usize(..workers)));
            simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
        }
        assert_eq!(integral.rows(), vec![vec![Some("1".into()), Some((0.1 + 0.2).to_string()), Some(((0.1 + 0.2) / 2.0).to_string())]]);
    }
}

#[test]
fn a_sum_out_of_range_is_one_dead_letter_until_it_is_back() {
    for workers in [1, 3] {
        let input = import("t", &[("k", DataType::Int64), ("x", DataType::Int32)], Facts::default());
        let view = aggregate(input.clone(), 1, vec![call(AggregateFunction::Sum, Some((1, DataType::Int32)), None)]);
        let mut simulator = Simulator::new(&lower(&view, "v", workers).unwrap(), workers);
        let mut integral = Integral::new();
        let row = |value: i64| vec![Cell::Word(7), Cell::Word(value)];
        let mut step = |weight: i64, letters: usize, sum: Option<&str>| {
            simulator.push(0, delta(&input, &[(row(i32::MAX as i64), weight)]), 0);
            simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
            let dead = simulator.take_dead_letters();
            assert_eq!(dead.len(), letters, "{dead:?}");
            if let Some(letter) = dead.first() {
                assert_eq!(
                    (letter.relation.as_str(), letter.error.as_str(), letter.payload.as_str()),
                    ("v", "bigint out of range", "k = 7")
                );
            }
            let rows: Vec<_> = sum.into_iter().map(|sum| vec![Some("7".to_string()), Some(sum.to_string())]).collect();
            assert_eq!(integral.rows(), rows);
        };
        step(1, 0, Some("2147483647"));
        step(1 << 40, 1, None);
        step(1, 0, None);
        step(-(1 << 40), 0, Some("4294967294"));
        step(1 << 41, 1, None);
        step(-(1 << 41) - 2, 0, None);
    }
}

#[test]
fn many_groups_come_and_go() {
    const GROUPS: i64 = 70_000;
    let input = import("t", &[("k", DataType::Int64), ("name", DataType::Utf8)], Facts::default());
    for (keys, workers) in [(1, 1), (2, 1), (2, 2)] {
        let view = aggregate(input.clone(), keys, vec![call(AggregateFunction::Count, None, None)]);
        let mut simulator = Simulator::new(&lower(&view, "v", workers).unwrap(), workers);
        let rows = |from: i64, weight: i64| {
            let numbers = Int64Array::from_iter_values(from..GROUPS);
            let names = StringArray::from_iter_values((from..GROUPS).map(|number| format!("a name that takes some room {number}")));
            let batch = RecordBatch::try_new(input.schema.clone(), vec![Arc::new(numbers), Arc::new(names)]).unwrap();
            Delta::weighted(batch, vec![weight; (GROUPS - from) as usize])
        };
        let mut counts: HashMap<i64, i64> = HashMap::new();
        let mut close = |simulator: &mut Simulator| {
            let out = simulator.close_epoch();
            for delta in &out {
                let numbers = delta.rows.column(0).as_primitive::<Int64Type>().values();
                let sums = delta.rows.column(keys).as_primitive::<Int64Type>().values();
                (0..delta.num_rows()).for_each(|row| *counts.entry(numbers[row]).or_insert(0) += sums[row] * delta.weights.get(row));
                if keys == 2 {
                    let name = |row: usize| format!("a name that takes some room {}", numbers[row]);
                    (0..delta.num_rows()).for_each(|row| assert_eq!(delta.rows.column(1).as_string::<i32>().value(row), name(row)));
                }
            }
            counts.retain(|_, count| *count != 0);
            (counts.len() as i64, counts.values().sum::<i64>())
        };
        simulator.push(0, rows(0, 1), 0);
        simulator.push(0, rows(GROUPS / 2, 1), workers - 1);
        assert_eq!(close(&mut simulator), (GROUPS, GROUPS * 3 / 2));
        simulator.push(0, rows(1000, -1), 0);
        simulator.push(0, rows(GROUPS / 2, -1), workers - 1);
        assert_eq!(close(&mut simulator), (1000, 1000));
        assert_eq!(simulator.groups(), 1000);
        simulator.push(0, rows(500, 1), 0);
        assert_eq!(close(&mut simulator), (GROUPS, GROUPS + 500));
        let bytes = simulator.memory_bytes() / GROUPS as usize;
        println!("{keys} key columns, {workers} workers: {bytes} bytes a group");
        assert!(bytes <= if keys == 1 { 100 } else { 400 }, "{bytes} bytes a group");
    }
}

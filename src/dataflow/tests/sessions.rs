//! Sessions over random rows, against putting the rows of each partition in order.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use fastrand::Rng;
use weir_common::delta::Delta;
use weir_common::ids::RelationId;
use weir_common::lateness::{Emit, SessionLife, WindowLife};
use weir_common::plan::{AggregateFunction, Closing, Facts, Node, Op, WindowEnd};

use crate::explain::explain;
use crate::lower::lower;
use crate::simulator::{Integral, Interruption, Simulator};
use crate::tests::{aggregate, append_only, call, column, import, interrupted, project, schema};
use crate::times::EpochTimes;

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// One row: key (or NULL), time, value.
type Row = (Option<i64>, i64, i64);
/// A row of a view, as text.
type Text = Vec<Option<String>>;

fn clicks(facts: Facts) -> Node {
    import("clicks", &[("k", DataType::Int64), ("ts", TIME), ("x", DataType::Int64)], facts)
}

fn session(input: Node, partition: &[usize], gap: i64) -> Node {
    let mut columns: Vec<_> = input.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
    columns.extend([("window_start", TIME), ("window_end", TIME)]);
    let op = Op::Session { partition: partition.to_vec(), column: 1, gap, life: None };
    Node { schema: schema(&columns), facts: Facts::default(), op, inputs: vec![input] }
}

fn delta(input: &Node, rows: &[(Row, i64)]) -> Delta {
    let keys: Int64Array = rows.iter().map(|((key, ..), _)| *key).collect();
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|((_, time, _), _)| *time));
    let values = Int64Array::from_iter_values(rows.iter().map(|((.., value), _)| *value));
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(times), Arc::new(values)];
    let batch = RecordBatch::try_new(input.schema.clone(), columns).unwrap();
    match input.facts.append_only {
        true => Delta::insert(batch),
        false => Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()),
    }
}

/// The sessions of rows: the key, where there is one, first and last moment, and the rows.
fn sessions(rows: &[Row], by_key: bool, gap: i64) -> Vec<(Option<i64>, i64, i64, Vec<Row>)> {
    let mut rows: Vec<(Option<i64>, Row)> = rows.iter().map(|row| (row.0.filter(|_| by_key), *row)).collect();
    rows.sort_by_key(|(key, row)| (*key, row.1));
    let mut sessions: Vec<(Option<i64>, i64, i64, Vec<Row>)> = vec![];
    for (key, row) in rows {
        match sessions.last_mut() {
            Some((other, _, last, rows)) if *other == key && row.1 - *last < gap => {
                *last = row.1;
                rows.push(row);
            }
            _ => sessions.push((key, row.1, row.1, vec![row])),
        }
    }
    sessions
}

fn time(micros: i64) -> Option<String> {
    let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![micros]));
    Some(arrow::util::display::array_value_to_string(&array, 0).unwrap())
}

fn text(value: i64) -> Option<String> {
    Some(value.to_string())
}

/// Runs random changes through the plan and compares after each epoch.
fn check(rng: &mut Rng, input: &Node, view: &Node, batch: impl Fn(&[Row]) -> Vec<Text>) {
    let workers = rng.usize(1..=4);
    let plan = lower(view, "v", workers).unwrap();
    let mut simulator = interrupted(view, workers, rng.u64(..));
    let mut integral = Integral::new();
    let mut there: Vec<Row> = Vec::new();
    for _ in 0..rng.usize(1..8) {
        for _ in 0..rng.usize(0..4) {
            let mut changes = Vec::new();
            for _ in 0..rng.usize(0..12) {
                if !input.facts.append_only && !there.is_empty() && rng.u8(0..9) < 4 {
                    changes.push((there.swap_remove(rng.usize(..there.len())), -1));
                } else {
                    let key = (rng.u8(0..8) > 0).then(|| rng.i64(0..3));
                    let row = (key, rng.i64(-60..60), rng.i64(-5..5));
                    there.push(row);
                    changes.push((row, 1));
                }
            }
            // Copies of a row may lie on several workers, its deletes too: only sums matter here.
            simulator.push(0, delta(input, &changes), rng.usize(..workers));
        }
        simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
        let mut expected = batch(&there);
        expected.sort();
        assert_eq!(integral.rows(), expected, "on {workers} workers\n{}", explain(&plan));
    }
    if there.is_empty() {
        assert_eq!(simulator.groups(), 0);
    }
}

#[test]
fn groups_of_sessions_equal_a_recomputation() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for run in 0..400 {
        let input = clicks(if run % 2 == 0 { append_only() } else { Facts::default() });
        let (by_key, gap, distinct) = (rng.u8(0..4) > 0, rng.i64(1..15), rng.u8(0..4) == 0);
        let sessioned = session(input.clone(), if by_key { &[0] } else { &[] }, gap);
        // Window and key in any order; with values that count once there is no sum of a moment.
        let mut keys = vec![("s", column(3, "window_start", TIME)), ("e", column(4, "window_end", TIME))];
        if rng.u8(0..3) == 0 {
            keys.remove(rng.usize(0..2));
        }
        if by_key {
            keys.insert(rng.usize(0..=keys.len()), ("k", column(0, "k", DataType::Int64)));
        }
        let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
        keys.push(("x", column(2, "x", DataType::Int64)));
        let x = || Some((names.len(), DataType::Int64));
        let mut calls = vec![call(AggregateFunction::Count, None, None), call(AggregateFunction::Sum, x(), None)];
        let max = rng.bool();
        if max {
            calls.push(call(AggregateFunction::Max, x(), None));
        }
        if distinct {
            calls[1].distinct = true;
        }
        let view = aggregate(project(sessioned, keys, Facts::default()), names.len(), calls);
        check(&mut rng, &input, &view, |rows| {
            let row = |(key, first, last, rows): (Option<i64>, i64, i64, Vec<Row>)| {
                let mut values: Vec<i64> = rows.iter().map(|row| row.2).collect();
                values.sort_unstable();
                let (count, most) = (values.len(), values[values.len() - 1]);
                if distinct {
                    values.dedup();
                }
                let key = |name: &&str| match *name {
                    "s" => time(first),
                    "e" => time(last + gap),
                    _ => key.map(|key| key.to_string()),
                };
                let results = [text(count as i64), text(values.iter().sum())].into_iter().chain(max.then(|| text(most)));
                names.iter().map(key).chain(results).collect()
            };
            sessions(rows, by_key, gap).into_iter().map(row).collect()
        });
    }
}

#[test]
fn rows_come_out_with_their_windows() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    for run in 0..300 {
        let input = clicks(if run % 2 == 0 { append_only() } else { Facts::default() });
        let (by_key, gap) = (rng.u8(0..4) > 0, rng.i64(1..15));
        let view = session(input.clone(), if by_key { &[0] } else { &[] }, gap);
        check(&mut rng, &input, &view, |rows| {
            let of_session = |(_, first, last, rows): (Option<i64>, i64, i64, Vec<Row>)| {
                let row = move |(key, at, x): Row| vec![key.map(|key| key.to_string()), time(at), text(x), time(first), time(last + gap)];
                rows.into_iter().map(row).collect::<Vec<_>>()
            };
            sessions(rows, by_key, gap).into_iter().flat_map(of_session).collect()
        });
    }
}

#[test]
fn whole_sessions_are_summed_up_by_moment_before_they_change_workers() {
    let keys = |partition: &[usize]| {
        let keys = vec![("s", column(3, "window_start", TIME)), ("k", column(0, "k", DataType::Int64))];
        project(session(clicks(append_only()), partition, 30_000_000), keys, Facts::default())
    };
    let count = || vec![call(AggregateFunction::Count, None, None)];
    let text = explain(&lower(&aggregate(keys(&[0]), 2, count()), "v", 2).unwrap());
    let expected = "\
View v on 2 workers: s, k, count(*)
  with retractions, key (s, k); never closes
Fragment v.1
  Project: window_start, k, count(*)
    Output: with retractions, key (s, k)
    Session aggregate of (k), with gaps of less than 00:00:30: count(*)
      State: a group for each session; never closes
      Output: with retractions, key (k, window_start)
      Exchange by (k): fragment v.0
Fragment v.0
  Partial aggregate by (k, ts): count(*)
    State: a group for each key of the current epoch, sent on at its end
    Project: k, ts
      Output: append-only
      Read clicks (k, ts, x), append-only
";
    assert_eq!(text, expected);
    // A key that is none of the session's: the rows are kept.
    let text = explain(&lower(&aggregate(keys(&[]), 2, count()), "v", 2).unwrap());
    assert!(text.contains("Session of (): ts with gaps of less than 00:00:30\n"), "{text}");
}

/// Sessions that close, of the relation with this number, and an aggregate of them by key, start and end.
fn closing(input: Node, gap: i64, emit: Emit, lateness: i64, retention: Option<i64>) -> Node {
    let source = RelationId::FIRST_USER;
    let life = |column: usize| {
        let closing = Closing { source, steps: vec![], column, end: WindowEnd::After(0) };
        WindowLife { closing, lateness, emit, retention, keeps_closed: false }
    };
    let mut sessions = session(input, &[0], gap);
    if let Op::Session { life: of_sessions, .. } = &mut sessions.op {
        *of_sessions = Some(SessionLife { input: "clicks".to_string(), windows: life(4), positions: true });
    }
    let keys = vec![
        ("k", column(0, "k", DataType::Int64)),
        ("s", column(3, "window_start", TIME)),
        ("e", column(4, "window_end", TIME)),
        ("x", column(2, "x", DataType::Int64)),
    ];
    let calls = vec![call(AggregateFunction::Count, None, None), call(AggregateFunction::Sum, Some((3, DataType::Int64)), None)];
    let mut view = aggregate(project(sessions, keys, Facts::default()), 3, calls);
    if let Op::Aggregate { life: of_groups, .. } = &mut view.op {
        *of_groups = Some(life(2));
    }
    view
}

fn at(before: i64, after: i64) -> EpochTimes {
    EpochTimes { wall_micros: 0, watermarks: vec![(RelationId::FIRST_USER, Some(before), Some(after))], ..EpochTimes::NONE }
}

#[test]
fn what_is_in_time_and_what_is_late_are_all_rows() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let mut all_late = 0;
    for run in 0..200 {
        let input = clicks(if run % 2 == 0 { append_only() } else { Facts::default() });
        let (gap, lateness) = (rng.i64(1..15), rng.i64(0..10));
        let view = closing(input.clone(), gap, Emit::Final, lateness, None);
        let workers = rng.usize(1..=4);
        let mut simulator = interrupted(&view, workers, rng.u64(..));
        let (mut came, mut late, mut counted) = (0, 0, 0);
        let (mut now, mut watermark) = (0, i64::MIN);
        let epochs = rng.usize(2..12);
        for epoch in 0..epochs {
            now += rng.i64(0..20);
            let after = if epoch + 1 == epochs { i64::MAX } else { now - 5 };
            simulator.at(at(watermark, after));
            let rows: Vec<(Row, i64)> = (0..rng.usize(0..10))
                .map(|_| (((rng.u8(0..8) > 0).then(|| rng.i64(0..3)), now - rng.i64(0..60), rng.i64(-5..5)), 1))
                .collect();
            came += rows.len();
            simulator.push(0, delta(&input, &rows), rng.usize(..workers));
            for delta in simulator.close_epoch() {
                assert!((0..delta.num_rows()).all(|row| delta.weights.get(row) == 1), "what is final stays");
                counted += delta.rows.column(3).as_primitive::<Int64Type>().values().iter().sum::<i64>() as usize;
            }
            late += simulator.take_late().iter().map(Delta::num_rows).sum::<usize>();
            watermark = after;
        }
        assert_eq!(counted + late, came, "{late} late, on {workers} workers");
        assert_eq!(simulator.groups(), 0, "all sessions are closed, and nothing of them is kept");
        all_late += late;
    }
    assert!(all_late > 100, "{all_late} rows were late");
}

#[test]
fn sessions_that_close_take_no_more_room_however_long_they_go_on() {
    for append_only_input in [true, false] {
        let input = clicks(if append_only_input { append_only() } else { Facts::default() });
        let view = closing(input.clone(), 10, Emit::WindowClose, 5, Some(100));
        // What has changed is noted until a checkpoint has it.
        let mut simulator = Simulator::new(&lower(&view, "v", 2).unwrap(), 2).interrupted(Box::new(|| Interruption::Checkpoint));
        let (mut most_bytes, mut most_groups, mut watermark) = ([0, 0], [0, 0], i64::MIN);
        for epoch in 0..900 {
            let now = epoch * 10;
            simulator.at(at(watermark, now));
            // New keys all the time.
            let rows: Vec<(Row, i64)> = (0..20).map(|row| ((Some(epoch * 5 + row % 5), now + row % 10, row), 1)).collect();
            simulator.push(0, delta(&input, &rows), epoch as usize % 2);
            simulator.close_epoch();
            watermark = now;
            let part = usize::from(epoch >= 300);
            most_bytes[part] = most_bytes[part].max(simulator.memory_bytes());
            most_groups[part] = most_groups[part].max(simulator.groups());
        }
        assert_eq!(most_groups[1], most_groups[0]);
        // Many rows make slow checkpoints, and much that is noted.
        if append_only_input {
            assert!(most_bytes[1] <= most_bytes[0] * 3 / 2, "{most_bytes:?} bytes");
        }
    }
}

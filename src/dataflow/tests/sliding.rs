//! Overlapping windows that are shown when they are over, put together of slices, against the same windows over rows that may go:
//! there each row goes into each of its windows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, TimeUnit};
use fastrand::Rng;
use weir_common::delta::Delta;
use weir_common::expr::ExprRef;
use weir_common::lateness::{Closed, Emit, LateRows, WindowLife};
use weir_common::moments::Measure;
use weir_common::plan::{AggregateCall, AggregateFunction, Closing, Facts, Node, Op, TimeStep, WindowEnd};
use weir_common::window::{CumulateWindow, HopWindow, Windows};

use crate::explain::explain;
use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::{aggregate, append_only, call, column, import, interrupted, project};
use crate::times::EpochTimes;

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const COLUMNS: [(&str, DataType); 6] = [
    ("k", DataType::Int64),
    ("ts", TIME),
    ("x", DataType::Int64),
    ("f", DataType::Float64),
    ("t", DataType::Utf8),
    ("b", DataType::Boolean),
];

/// Which columns of the input are the key; the event time stands for its windows.
type Key = &'static [usize];

fn rows(facts: Facts) -> Node {
    import("rows", &COLUMNS, facts)
}

/// A view over windows that close, with every aggregate.
fn view(input: Node, windows: Windows, key: Key, life: &WindowLife) -> Node {
    let facts = input.facts.clone();
    let Closing { source, end, .. } = life.closing.clone();
    let closed = |named| Closed { source, steps: vec![], named, end, lateness: life.lateness };
    let step = match windows {
        Windows::Hop(window) => TimeStep::Hop(window),
        Windows::Cumulate(window) => TimeStep::Cumulate(window),
    };
    let late = LateRows { input: "rows".to_string(), column: 1, is_event_time: true, closed: closed(vec![step]), positions: true };
    let step = |op, input: Node| Node { schema: input.schema.clone(), facts: facts.clone(), op, inputs: vec![input] };
    let copies = step(Op::Windows { column: 1, windows, closed: Some(closed(vec![])) }, step(Op::TakeLate(late), input));
    let columns = key.iter().copied().chain([2, 3, 4, 5]);
    let columns: Vec<(&str, ExprRef)> =
        columns.map(|index| (COLUMNS[index].0, column(index, COLUMNS[index].0, COLUMNS[index].1.clone()))).collect();
    let columns = project(copies, columns, facts);
    let mut node = aggregate(columns, key.len(), calls(key.len()));
    if let Op::Aggregate { life: of_node, .. } = &mut node.op {
        *of_node = Some(life.clone());
    }
    node
}

/// Calls over the columns behind the key: `x`, `f`, `t` and `b`.
fn calls(keys: usize) -> Vec<AggregateCall> {
    use AggregateFunction::*;
    let (x, f, t, b) = (
        || Some((keys, DataType::Int64)),
        || Some((keys + 1, DataType::Float64)),
        || Some((keys + 2, DataType::Utf8)),
        || Some((keys + 3, DataType::Boolean)),
    );
    let deviation = Deviation(Measure { sample: true, root: false });
    vec![
        call(Count, None, None),
        call(Count, x(), Some(keys + 3)),
        call(Sum, x(), None),
        call(Sum, f(), None),
        call(Avg, f(), None),
        call(Min, x(), None),
        call(Max, f(), None),
        call(Max, t(), None),
        call(BoolAnd, b(), None),
        call(deviation, x(), None),
        call(deviation, f(), None),
    ]
}

fn life(windows: Windows, key: Key, rng: &mut Rng) -> WindowLife {
    let end = match windows {
        Windows::Hop(window) => WindowEnd::After(window.size),
        Windows::Cumulate(_) => WindowEnd::After(0),
    };
    let column = key.iter().position(|column| *column == 1).unwrap();
    let lateness = if rng.bool() { 0 } else { rng.i64(0..60) };
    let emit = if rng.bool() { Emit::WindowClose } else { Emit::Final };
    let retention = if rng.u8(0..4) == 0 { Some(lateness + rng.i64(0..50)) } else { None };
    let closing = Closing { source: rows(Facts::default()).imports()[0].0, steps: vec![], column, end };
    WindowLife { closing, lateness, emit, retention, keeps_closed: rng.bool() }
}

fn random_windows(rng: &mut Rng) -> Windows {
    let (every, offset) = (rng.i64(1..8), rng.i64(-20..20));
    match rng.u8(0..3) {
        0 => Windows::Hop(HopWindow { slide: every, size: every * rng.i64(2..20), offset }),
        1 => Windows::Hop(HopWindow { slide: every, size: every + rng.i64(1..40), offset }),
        _ => Windows::Cumulate(CumulateWindow { step: every, size: every * rng.i64(2..12), offset }),
    }
}

/// Random rows near a moment. Sums of these floats are right only when nothing is rounded on the way.
fn random_rows(rng: &mut Rng, now: i64, keys: i64) -> RecordBatch {
    let len = rng.usize(0..12);
    let mut column = |value: &mut dyn FnMut(&mut Rng) -> i64| -> Vec<i64> { (0..len).map(|_| value(rng)).collect() };
    let key = column(&mut |rng| rng.i64(0..keys));
    let time = column(&mut |rng| {
        let back = [3, 20, 90][rng.usize(..3)];
        now - rng.i64(0..back) + rng.i64(0..4)
    });
    let value = column(&mut |rng| rng.i64(-6..6));
    let maybe = |value: &i64| (value % 5 != 0).then_some(*value);
    let float = |value: &i64| [1e17, 0.1, -1e17, 3.0, 1e-9, 1e300, -1e300][(value + 6) as usize % 7] * (1 + value.abs() % 2) as f64;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(key.iter().map(|key| (*key > 0).then_some(*key)).collect::<Int64Array>()),
        Arc::new(TimestampMicrosecondArray::from(time)),
        Arc::new(value.iter().map(maybe).collect::<Int64Array>()),
        Arc::new(value.iter().map(float).collect::<Float64Array>()),
        Arc::new(value.iter().map(|value| Some(format!("v{value}"))).collect::<StringArray>()),
        Arc::new(value.iter().map(|value| maybe(value).map(|value| value % 2 == 0)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(rows(append_only()).schema, columns).unwrap()
}

/// What late rows there are, and none of them after that.
fn take_late(simulator: &mut Simulator, late: &mut Vec<RecordBatch>) -> Integral {
    let mut told = Integral::new();
    for delta in simulator.take_late() {
        told.add(&delta);
        late.push(delta.rows);
    }
    told
}

#[test]
fn windows_of_slices_are_those_of_rows() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut shown, mut late_rows, mut admitted) = (0, 0, 0);
    for _ in 0..24 {
        let windows = random_windows(&mut rng);
        let key: Key = [&[1, 0][..], &[0, 1], &[1]][rng.usize(..3)];
        let life = life(windows, key, &mut rng);
        let (sliding, plain) = (view(rows(append_only()), windows, key, &life), view(rows(Facts::default()), windows, key, &life));
        let workers = rng.usize(1..=4);
        let plan = lower(&sliding, "v", workers).unwrap();
        let text = explain(&plan);
        assert!(text.contains("Sliding windows") && !explain(&lower(&plain, "v", workers).unwrap()).contains("Sliding"), "{text}");
        let mut slid = interrupted(&sliding, workers, rng.u64(..));
        let mut copied = Simulator::new(&lower(&plain, "v", workers).unwrap(), workers);
        let (mut of_slices, mut of_rows) = (Integral::new(), Integral::new());
        let (mut late_of_slices, mut late_of_rows): (Vec<RecordBatch>, Vec<RecordBatch>) = (vec![], vec![]);
        let (mut now, mut watermark, keys) = (rng.i64(-100..100), None, rng.i64(1..6));
        let epochs = rng.usize(5..50);
        for epoch in 0..epochs {
            now += [0, 1, 5, 40][rng.usize(..4)];
            let mut after = watermark.max(Some(now - rng.i64(0..15)));
            if epoch + 1 == epochs && rng.bool() {
                after = Some(i64::MAX);
            }
            let times = EpochTimes { wall_micros: now, watermarks: vec![(life.closing.source, watermark, after)], ..EpochTimes::NONE };
            slid.at(times.clone());
            copied.at(times);
            if life.keeps_closed && !late_of_slices.is_empty() && rng.u8(0..4) == 0 {
                for (simulator, late) in [(&mut slid, &mut late_of_slices), (&mut copied, &mut late_of_rows)] {
                    let entries = concat_batches(&late[0].schema(), late.iter()).unwrap();
                    late.clear();
                    admitted += entries.num_rows();
                    simulator.admit(&entries, rng.usize(..workers));
                }
            }
            for _ in 0..rng.usize(0..4) {
                let (rows, worker) = (random_rows(&mut rng, now, keys), rng.usize(..workers));
                slid.push(0, Delta::insert(rows.clone()), worker);
                copied.push(0, Delta::insert(rows), worker);
            }
            slid.close_epoch().iter().for_each(|delta| of_slices.add(delta));
            copied.close_epoch().iter().for_each(|delta| of_rows.add(delta));
            assert_eq!(of_slices, of_rows, "after epoch {epoch} on {workers} workers\n{text}");
            let told = take_late(&mut slid, &mut late_of_slices);
            assert_eq!(told, take_late(&mut copied, &mut late_of_rows), "late in epoch {epoch} on {workers} workers\n{text}");
            late_rows += told.counts().len();
            watermark = after;
        }
        shown += of_slices.counts().len();
        if watermark == Some(i64::MAX) && life.retention.is_none() && !life.keeps_closed {
            assert_eq!(slid.groups(), 0, "nothing is kept of windows that are closed\n{text}");
        }
    }
    assert!(shown > 500 && late_rows > 100 && admitted > 20, "{shown} rows shown, {late_rows} late, {admitted} admitted");
}

#[test]
fn windows_that_are_shown_before_they_are_over_are_not_put_together_of_slices() {
    let mut rng = Rng::with_seed(1);
    let hop = |size| Windows::Hop(HopWindow { slide: 10, size, offset: 0 });
    let slides = |facts: Facts, windows: Windows, life: &WindowLife| {
        explain(&lower(&view(rows(facts), windows, &[1, 0], life), "v", 2).unwrap()).contains("Sliding")
    };
    let life = WindowLife { emit: Emit::Final, ..life(hop(60), &[1, 0], &mut rng) };
    assert!(slides(append_only(), hop(60), &life));
    assert!(!slides(Facts::default(), hop(60), &life));
    assert!(!slides(append_only(), hop(60), &WindowLife { emit: Emit::Update, ..life.clone() }));
    let tumbling = Closing { end: WindowEnd::After(10), ..life.closing.clone() };
    assert!(!slides(append_only(), hop(10), &WindowLife { closing: tumbling, ..life }));
}

#[test]
fn a_key_moves_with_all_of_its_slices() {
    let windows = Windows::Hop(HopWindow { slide: 10_000_000, size: 60_000_000, offset: 0 });
    let life = WindowLife {
        closing: Closing { source: rows(Facts::default()).imports()[0].0, steps: vec![], column: 0, end: WindowEnd::After(60_000_000) },
        lateness: 5_000_000,
        emit: Emit::Final,
        retention: None,
        keeps_closed: false,
    };
    let mut node = view(rows(append_only()), windows, &[1, 0], &life);
    if let Op::Aggregate { calls, .. } = &mut node.op {
        calls.truncate(1);
    }
    node.schema = Arc::new(node.schema.project(&[0, 1, 2]).unwrap());
    let text = explain(&lower(&node, "v", 2).unwrap());
    let expected = "\
View v on 2 workers: ts, k, count(*)
  with retractions, key (ts, k)
Fragment v.1
  Final aggregate by (ts, k): count(*)
    State: groups come complete; shown when closed; closed when the watermark of rows reaches ts + 00:01:00 + 00:00:05, and then freed
    Output: with retractions, key (ts, k)
    Sliding windows: ts of each window of 00:01:00, one every 00:00:10, put together of slices
      State: a group for each slice and key; a window is put together when the watermark of rows reaches ts + 00:01:00 + 00:00:05, and a slice freed after its last one
      Output: append-only
      Exchange by (k): fragment v.0
";
    assert_eq!(text.split("Fragment v.0").next().unwrap(), expected);
}

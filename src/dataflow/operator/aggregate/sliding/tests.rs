//! The operator alone: when windows are due, what is given of them and in which pieces, and what is kept.

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use weir_common::ids::RelationId;
use weir_common::plan::{AggregateCall, AggregateFunction, Closing};
use weir_common::window::HopWindow;

use super::*;
use crate::times::TimeOf;

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const SOURCE: RelationId = RelationId::FIRST_USER;

/// Windows of 30, one every 10, by one key, with the number of rows.
struct Bench {
    operator: Box<dyn Operator>,
    input: SchemaRef,
    watermark: Option<i64>,
}

/// A window (or slice), a key and a number of rows.
type Sums = (i64, i64, i64);

impl Bench {
    fn new(lateness: i64, emit: Emit) -> Self {
        let (function, name) = (AggregateFunction::Count, "count(*)".to_string());
        let count =
            AggregateCall { function, argument: None, distinct: false, filter: None, input: DataType::Null, output: DataType::Int64, name };
        let closing = Closing { source: SOURCE, steps: vec![], column: 0, end: WindowEnd::After(30) };
        let life = Some(WindowLife { closing, lateness, emit, retention: None, keeps_closed: true });
        let whole = AggregateSpec { keys: 2, calls: vec![count], stage: Stage::Whole, append_only: true, state: 0, life };
        let windows = Windows::Hop(HopWindow { slide: 10, size: 30, offset: 0 });
        let spec = SlidingSpec::of(&whole, 0, windows, 1).unwrap();
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let sums = Arc::new(Schema::new(vec![field("w", TIME), field("k", DataType::Int64), field("rows", DataType::Int64)]));
        Bench { operator: spec.build(sums.clone(), true), input: spec.input_schema(&sums), watermark: None }
    }

    /// Runs one epoch that takes the watermark here: what is given while rows come, and what at the end, one list for each delta.
    fn epoch(&mut self, slices: &[Sums], to_window: Option<i64>, after: i64) -> (Vec<Vec<Sums>>, Vec<Vec<Sums>>) {
        let times = EpochTimes { wall_micros: 0, watermarks: vec![(SOURCE, self.watermark, Some(after))], ..EpochTimes::NONE };
        let (mut out, mut dead, mut late) = (vec![], vec![], vec![]);
        let mut cx = Context { epoch: 1, times: &times, admitted: None, out: &mut out, dead: &mut dead, late: &mut late };
        if !slices.is_empty() {
            let time = |values: Vec<Option<i64>>| Arc::new(TimestampMicrosecondArray::from(values)) as ArrayRef;
            let word = |at: fn(&Sums) -> i64| Arc::new(Int64Array::from_iter_values(slices.iter().map(at))) as ArrayRef;
            let columns = vec![
                time(slices.iter().map(|(slice, ..)| Some(*slice)).collect()),
                word(|(_, key, _)| *key),
                word(|(.., rows)| *rows),
                time(vec![to_window; slices.len()]),
            ];
            let rows = batch(self.input.clone(), columns, slices.len()).unwrap();
            self.operator.push(0, Delta::insert(rows), &mut cx).unwrap();
        }
        let pushed = std::mem::take(cx.out);
        self.operator.close(&mut cx).unwrap();
        self.watermark = Some(after);
        let text = |deltas: Vec<Delta>| deltas.iter().map(sums).collect();
        (text(pushed), text(out))
    }

    fn due(&self) -> Option<i64> {
        self.operator.due().map(|(source, watermark)| {
            assert_eq!(source, TimeOf::Source(SOURCE));
            watermark
        })
    }
}

fn sums(delta: &Delta) -> Vec<Sums> {
    let windows = times(&delta.rows, 0).unwrap().values();
    let word = |column: usize| delta.rows.column(column).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
    let mut sums: Vec<Sums> = windows.iter().zip(word(1)).zip(word(2)).map(|((window, key), rows)| (*window, key, rows)).collect();
    sums.sort_unstable();
    sums
}

#[test]
fn a_window_is_given_when_the_watermark_comes_to_its_end() {
    let mut bench = Bench::new(0, Emit::WindowClose);
    assert_eq!(bench.due(), None);
    assert_eq!(bench.epoch(&[(20, 1, 2), (30, 1, 5), (20, 7, 1)], None, 29), (vec![], vec![]));
    assert_eq!((bench.due(), bench.operator.groups()), (Some(30), 3));
    assert_eq!(bench.epoch(&[], None, 30), (vec![], vec![vec![(0, 1, 2), (0, 7, 1)]]));
    assert_eq!(bench.due(), Some(40));
    // Two windows at once; the slice at 20 goes with the second one.
    let given = vec![vec![(10, 1, 7), (10, 7, 1)], vec![(20, 1, 7), (20, 7, 1)]];
    assert_eq!(bench.epoch(&[], None, 55), (vec![], given));
    assert_eq!((bench.due(), bench.operator.groups()), (Some(60), 1));
    assert_eq!(bench.epoch(&[], None, i64::MAX), (vec![], vec![vec![(30, 1, 5)]]));
    assert_eq!((bench.due(), bench.operator.groups()), (None, 0));
}

#[test]
fn windows_that_the_watermark_has_stepped_over_between_epochs_are_given() {
    for emit in [Emit::WindowClose, Emit::Final] {
        let mut bench = Bench::new(0, emit);
        bench.epoch(&[(20, 1, 2), (40, 1, 5)], None, i64::MIN);
        // A view that is filled knows no watermark, and then that of rows that were there long before.
        bench.watermark = Some(52);
        let stepped_over = vec![vec![(0, 1, 2)], vec![(10, 1, 2)], vec![(20, 1, 7)]];
        assert_eq!(bench.epoch(&[(40, 1, 1)], None, 52), (stepped_over, vec![]));
        assert_eq!(bench.due(), Some(60));
        assert_eq!(bench.epoch(&[], None, 60), (vec![], vec![vec![(30, 1, 6)]]));
        // After a restart those were given already.
        bench.operator.resume();
        bench.watermark = Some(70);
        assert_eq!(bench.epoch(&[], None, i64::MAX), (vec![], vec![]));
    }
}

#[test]
fn what_comes_for_a_window_that_was_given_goes_on_until_it_is_closed() {
    let mut bench = Bench::new(5, Emit::WindowClose);
    bench.epoch(&[(20, 1, 2)], None, 30);
    // The window at 0 is shown and not closed; the others wait.
    assert_eq!(bench.epoch(&[(20, 1, 3)], None, 34), (vec![vec![(0, 1, 3)]], vec![]));
    assert_eq!(bench.epoch(&[(20, 1, 4)], None, 35), (vec![vec![(0, 1, 4)]], vec![]));
    // It is closed by now.
    assert_eq!(bench.epoch(&[(20, 1, 1)], None, 36), (vec![], vec![]));
    // Late rows that are admitted go to their window alone.
    assert_eq!(bench.epoch(&[(20, 1, 9)], Some(0), 36), (vec![vec![(0, 1, 9)]], vec![]));
    assert_eq!(bench.epoch(&[], None, 40), (vec![], vec![vec![(10, 1, 10)]]));
    // Final results are given when nothing can change them.
    let mut bench = Bench::new(5, Emit::Final);
    bench.epoch(&[(20, 1, 2)], None, 34);
    assert_eq!(bench.due(), Some(35));
    assert_eq!(bench.epoch(&[(20, 1, 1)], None, 35), (vec![], vec![vec![(0, 1, 3)]]));
}

#[test]
fn a_key_has_one_row_a_window_and_goes_with_its_last_slice() {
    let mut bench = Bench::new(0, Emit::Final);
    let mut bytes = 0;
    for slice in (0..6000).step_by(10) {
        // Some keys come again and again, others once; a window has three slices.
        let (_, given) = bench.epoch(&[(slice, slice / 20 % 4, 1), (slice, -slice, 1)], None, slice);
        let rows: Vec<Sums> = given.into_iter().flatten().collect();
        if slice > 60 {
            let window = slice - 30;
            let of = |key: i64| rows.iter().filter(|(_, of, _)| *of == key).map(|(.., rows)| *rows).collect::<Vec<_>>();
            assert!(rows.iter().all(|(at, ..)| *at == window), "{rows:?}");
            let held = [window, window + 10, window + 20];
            held.iter().for_each(|slice| assert_eq!(of(-slice), [1]));
            for key in 0..4 {
                let count = held.iter().filter(|slice| *slice / 20 % 4 == key).count() as i64;
                assert_eq!(of(key), if count > 0 { vec![count] } else { vec![] });
            }
        }
        match slice {
            1000 => bytes = bench.operator.memory_bytes(),
            5990 => assert!(bench.operator.memory_bytes() <= bytes * 2, "{bytes} bytes have grown to {}", bench.operator.memory_bytes()),
            _ => {}
        }
        assert!(bench.operator.groups() <= 8);
    }
}

//! Variances of floats against a recomputation, and what DISTINCT aggregates keep.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Float64Type};
use fastrand::Rng;
use weir_common::delta::{Delta, batch};
use weir_common::moments::Measure;
use weir_common::plan::{AggregateCall, AggregateFunction, Facts, Node};

use crate::lower::lower;
use crate::simulator::{Integral, Simulator};
use crate::tests::{aggregate, call, import, interrupted};

const MEASURES: [Measure; 4] = [
    Measure { sample: false, root: false },
    Measure { sample: true, root: false },
    Measure { sample: false, root: true },
    Measure { sample: true, root: true },
];

fn rows(input: &Node, values: &[(f64, i64)]) -> Delta {
    let numbers = Float64Array::from_iter_values(values.iter().map(|(value, _)| *value));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_value(1, values.len())), Arc::new(numbers)];
    Delta::weighted(batch(input.schema.clone(), columns, values.len()).unwrap(), values.iter().map(|(_, weight)| *weight).collect())
}

#[test]
fn variances_do_not_drift() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("WEIR_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let input = import("t", &[("k", DataType::Int64), ("x", DataType::Float64)], Facts::default());
    for round in 0..40 {
        let (keys, workers) = (rng.usize(..2), rng.usize(1..=4));
        let calls: Vec<AggregateCall> =
            MEASURES.iter().map(|measure| call(AggregateFunction::Deviation(*measure), Some((1, DataType::Float64)), None)).collect();
        // Without a key, the first column is not looked at.
        let view = aggregate(input.clone(), keys, calls);
        let mut simulator = interrupted(&view, workers, rng.u64(..));
        // Close to each other, maybe far from zero.
        let center = [0.0, 0.0, 1e6, -1e9][rng.usize(..4)];
        let mut live: Vec<f64> = Vec::new();
        let mut state: Vec<Delta> = Vec::new();
        for _ in 0..10 {
            let guests: Vec<(f64, i64)> = (0..rng.usize(0..6)).map(|_| (f64::from_bits(rng.u64(..)), rng.i64(1..4))).collect();
            simulator.push(0, rows(&input, &guests), rng.usize(..workers));
            state.extend(simulator.close_epoch());
            let mut changes: Vec<(f64, i64)> = guests.iter().map(|(value, weight)| (*value, -weight)).collect();
            for _ in 0..rng.usize(0..6) {
                live.push(center + rng.i64(-1000..1000) as f64 / 8.0);
                changes.push((live[live.len() - 1], 1));
            }
            for _ in 0..rng.usize(0..=live.len() / 3) {
                changes.push((live.swap_remove(rng.usize(..live.len())), -1));
            }
            rng.shuffle(&mut changes);
            simulator.push(0, rows(&input, &changes), rng.usize(..workers));
            state.extend(simulator.close_epoch());
            let net = crate::consolidate::consolidate(&Delta::concat(&view.schema, &state).unwrap()).unwrap();
            assert_eq!(net.num_rows(), if keys > 0 && live.is_empty() { 0 } else { 1 }, "round {round}");
            if net.num_rows() == 0 {
                continue;
            }
            let mean = live.iter().sum::<f64>() / live.len() as f64;
            let squares: f64 = live.iter().map(|value| (value - mean).powi(2)).sum();
            for (index, measure) in MEASURES.iter().enumerate() {
                let result = net.rows.column(keys + index).as_primitive::<Float64Type>();
                let divisor = live.len() as f64 - measure.sample as i64 as f64;
                if divisor <= 0.0 {
                    assert!(result.is_null(0), "round {round}: {measure:?} over {live:?}");
                    continue;
                }
                let expected = if measure.root { (squares / divisor).sqrt() } else { squares / divisor };
                let (result, error) = (result.value(0), (result.value(0) - expected).abs());
                assert!(error <= 1e-9 * expected.abs(), "round {round}: {measure:?} over {live:?}: {result} is not {expected}");
            }
        }
    }
}

#[test]
fn distinct_values_are_counted_and_given_back() {
    const VALUES: i64 = 20_000;
    for kind in [DataType::Int64, DataType::Utf8] {
        let input = import("t", &[("k", DataType::Int64), ("x", kind.clone())], Facts::default());
        let count = AggregateCall { distinct: true, ..call(AggregateFunction::Count, Some((1, kind.clone())), None) };
        let view = aggregate(input.clone(), 1, vec![count]);
        let mut simulator = Simulator::new(&lower(&view, "v", 1).unwrap(), 1);
        let mut integral = Integral::new();
        let mut step = |simulator: &mut Simulator, copies: i64, weight: i64| {
            let numbers = (0..VALUES * copies).map(|number| number % VALUES);
            let values: ArrayRef = match kind {
                DataType::Int64 => Arc::new(Int64Array::from_iter_values(numbers)),
                _ => Arc::new(StringArray::from_iter_values(numbers.map(|number| format!("a text with number {number}")))),
            };
            let rows = values.len();
            let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_value(7, rows)), values];
            simulator.push(0, Delta::weighted(batch(input.schema.clone(), columns, rows).unwrap(), vec![weight; rows]), 0);
            simulator.close_epoch().iter().for_each(|delta| integral.add(delta));
            integral.rows()
        };
        let all = vec![vec![Some("7".to_string()), Some(VALUES.to_string())]];
        assert_eq!(step(&mut simulator, 2, 1), all);
        let full = simulator.memory_bytes() as i64;
        let bytes = full / VALUES;
        println!("{kind}: {bytes} bytes a value");
        assert!((20..200).contains(&bytes), "{bytes} bytes a value");
        assert_eq!(step(&mut simulator, 1, 1), all);
        assert!((simulator.memory_bytes() as i64 - full).abs() < full / 3, "copies take no room");
        assert_eq!(step(&mut simulator, 2, -1), all);
        assert!(step(&mut simulator, 1, -1).is_empty());
        assert_eq!(simulator.groups(), 0);
        assert_eq!(step(&mut simulator, 1, 1), all);
        assert!(simulator.memory_bytes() as i64 <= full * 3 / 2, "freed entries are used again");
    }
}

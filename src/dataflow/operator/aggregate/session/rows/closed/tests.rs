//! How much closed sessions hold is known without looking at them.

use fastrand::Rng;

use super::*;

fn rows(schema: &SchemaRef, name: Name, value: i64) -> RecordBatch {
    let columns = [value, name.1, name.2, 1].map(|number| Arc::new(Int64Array::from(vec![number])) as ArrayRef);
    batch(schema.clone(), columns.to_vec(), 1).unwrap()
}

#[test]
fn bytes_are_those_of_all_sessions_and_dirty_ones_of_those_that_came() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let input = Schema::new(vec![Field::new("v", DataType::Int64, true)]);
    for _ in 0..100 {
        let mut closed = Closed::new(&input).unwrap();
        let mut most = 0;
        for _ in 0..100 {
            let name = (random.u32(..3), random.i64(..4), random.i64(4..8));
            match random.u8(..10) {
                0 => {
                    closed.freeze();
                    closed.copy(&mut { usize::MAX }).unwrap();
                    closed.take_copied(0);
                }
                1..3 => _ = closed.take(name).unwrap(),
                3 => {
                    let until = random.i64(3..6);
                    closed.remove(|last| last < until).unwrap();
                }
                4 => {
                    let rows = rows(closed.schema(), name, 0);
                    closed.load(&[name.0], rows.columns(), |_| 7).unwrap();
                }
                _ => {
                    let rows = rows(closed.schema(), name, random.i64(..3));
                    closed.put(name, rows, random.usize(1..100)).unwrap();
                }
            }
            let of = |is_it: fn(&Kept) -> bool| closed.sessions.values().filter(|kept| is_it(kept)).map(|kept| kept.bytes).sum::<usize>();
            assert_eq!(closed.bytes, of(|_| true));
            assert_eq!(closed.dirty_bytes() - closed.gone.bytes(), of(|kept| !kept.is_stored));
            most = most.max(closed.bytes);
        }
        assert!(most > 0);
    }
}

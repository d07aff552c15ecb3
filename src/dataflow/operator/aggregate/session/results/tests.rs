//! How much results hold is known without looking at them.

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fastrand::Rng;

use super::*;

#[test]
fn bytes_are_those_of_all_pieces_and_dirty_ones_of_those_that_came() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let schema = Arc::new(Schema::new(vec![Field::new("end", time, true), Field::new("n", DataType::Int64, true)]));
    for _ in 0..100 {
        let mut results = Results::new(&schema, 1).unwrap();
        let (mut most, mut removed) = (0, 0);
        for step in 0..60 {
            let columns = |random: &mut Rng| -> Vec<ArrayRef> {
                let ends: Vec<i64> = (0..random.usize(1..5)).map(|_| step + random.i64(..20)).collect();
                let counts = Int64Array::from_iter_values(ends.iter().copied());
                vec![Arc::new(TimestampMicrosecondArray::from(ends)), Arc::new(counts)]
            };
            match random.u8(..8) {
                0 => {
                    results.freeze();
                    results.copy(&mut { usize::MAX }).unwrap();
                    results.take_copied(0);
                }
                1 => removed += results.remove(|end| end < step).unwrap().len(),
                2 => {
                    let columns = columns(&mut random);
                    results.load(&columns, columns[0].len()).unwrap();
                }
                _ => {
                    let columns = columns(&mut random);
                    let rows = columns[0].len();
                    results.keep(&batch(schema.clone(), columns, rows).unwrap()).unwrap();
                }
            }
            let bytes = |piece: &Piece| piece.rows.columns().iter().map(|column| column.get_array_memory_size()).sum::<usize>();
            let of = |is_it: fn(&Piece) -> bool| results.pieces.values().flatten().filter(|piece| is_it(piece)).map(bytes).sum::<usize>();
            assert_eq!(results.memory_bytes() - results.gone.bytes(), of(|_| true));
            assert_eq!(results.dirty_bytes() - results.gone.bytes(), of(|piece| !piece.is_stored));
            most = most.max(results.bytes);
        }
        assert!(most > 0 && removed > 0);
    }
}

//! Walks of cursors over a few rows in batches of several sizes, against positions worked out by hand and by a model.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use weir_common::error::{Error, SqlState};
use weir_sql::statement::FetchDirection::{self, Absolute, Backward, Forward, Relative};

use super::{Cursors, Declared};

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]))
}

/// A cursor `c` over 1 to `count`, in batches of `size` rows and some without any.
fn cursors(count: i32, size: i32, scroll: bool) -> Cursors {
    let batch = |from: i32, to: i32| RecordBatch::try_new(schema(), vec![Arc::new(Int32Array::from_iter_values(from..to))]).unwrap();
    let batches: Vec<_> =
        (1..=count).step_by(size as usize).flat_map(|from| [Ok(batch(from, (from + size).min(count + 1))), Ok(batch(0, 0))]).collect();
    let mut cursors = Cursors::default();
    cursors.open("c", declared(batches, scroll), true).unwrap();
    cursors
}

fn declared(batches: Vec<Result<RecordBatch, Error>>, scroll: bool) -> Declared {
    Declared {
        statement: String::new(),
        binary: false,
        scroll,
        hold: false,
        live: false,
        schema: schema(),
        batches: futures::stream::iter(batches).boxed(),
        created_micros: 0,
    }
}

async fn fetch(cursors: &Cursors, direction: FetchDirection) -> Result<Vec<i32>, Error> {
    let batches: Vec<RecordBatch> = cursors.require("c")?.fetch(direction, None).try_collect().await?;
    Ok(batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec()).collect())
}

#[tokio::test]
async fn forward_in_portions() {
    for size in [1, 2, 3, 10] {
        let cursors = cursors(5, size, false);
        assert_eq!(fetch(&cursors, Forward(Some(2))).await.unwrap(), [1, 2]);
        assert_eq!(cursors.get("c").unwrap().skip(Forward(Some(1)), None).await.unwrap(), 1);
        assert_eq!(fetch(&cursors, Absolute(5)).await.unwrap(), [5]);
        let error = fetch(&cursors, Backward(Some(1))).await.unwrap_err();
        assert_eq!((error.sqlstate(), error.message()), (SqlState("55000"), "cursor can only scan forward"));
        assert!(fetch(&cursors, Forward(None)).await.unwrap().is_empty());
        assert!(fetch(&cursors, Forward(None)).await.unwrap().is_empty());
    }
}

/// Every walk of a SCROLL cursor does what it would do on a list.
#[tokio::test]
async fn scroll_cursors_follow_a_model() {
    const COUNT: i32 = 7;
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7u64);
    eprintln!("seed {seed}");
    let mut random = seed;
    let mut next = move |below: i64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as i64 % below
    };
    for round in 0..200 {
        let cursors = cursors(COUNT, 1 + round % 4, true);
        let mut position = 0i64;
        for _ in 0..20 {
            let count = next(COUNT as i64 + 3);
            let direction = match next(6) {
                0 => Forward((count > 0).then_some(count as u64)),
                1 => Backward((count > 0).then_some(count as u64)),
                2 => Absolute(count),
                3 => Absolute(-count),
                4 => Relative(count),
                _ => Relative(-count),
            };
            let expected = model(direction, &mut position, COUNT as i64);
            if next(3) == 0 {
                assert_eq!(cursors.get("c").unwrap().skip(direction, None).await.unwrap(), expected.len() as u64, "MOVE {direction:?}");
            } else {
                assert_eq!(fetch(&cursors, direction).await.unwrap(), expected, "FETCH {direction:?} of round {round}");
            }
        }
    }
}

/// What Postgres says each direction is, over the rows 1 to `count`; positions 0 and `count` + 1 are beside them.
fn model(direction: FetchDirection, position: &mut i64, count: i64) -> Vec<i32> {
    let single = |target: i64, position: &mut i64| {
        *position = target.clamp(0, count + 1);
        if (1..=count).contains(&target) { vec![target as i32] } else { vec![] }
    };
    match direction {
        Relative(by) => single(*position + by, position),
        Absolute(number) if number >= 0 => single(number, position),
        Absolute(number) => single(count + 1 + number, position),
        Forward(rows) => {
            let wanted = rows.map_or(i64::MAX / 2, |rows| rows as i64);
            let last = (*position + wanted).min(count);
            let rows = (*position + 1..=last).map(|row| row as i32).collect();
            *position = if *position + wanted > count { count + 1 } else { last };
            rows
        }
        Backward(rows) => {
            let wanted = rows.map_or(i64::MAX / 2, |rows| rows as i64);
            let last = (*position - wanted).max(1);
            let rows = (last..*position).rev().map(|row| row as i32).collect();
            *position = if *position - wanted < 1 { 0 } else { last };
            rows
        }
    }
}

#[tokio::test]
async fn a_cursor_whose_statement_failed_cannot_be_run() {
    let mut cursors = Cursors::default();
    cursors.open("c", declared(vec![Err(Error::internal("a bug"))], false), true).unwrap();
    assert!(fetch(&cursors, Forward(None)).await.is_err());
    cursors.fail();
    let error = fetch(&cursors, Forward(None)).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.message()), (SqlState("55000"), "portal \"c\" cannot be run"));
    // One that was not being read when another statement failed goes on.
    let mut cursors = self::cursors(3, 1, false);
    assert_eq!(fetch(&cursors, Forward(Some(1))).await.unwrap(), [1]);
    cursors.fail();
    assert_eq!(fetch(&cursors, Forward(None)).await.unwrap(), [2, 3]);
}

#[test]
fn which_cursors_end_with_what() {
    let mut cursors = Cursors::default();
    let open = |cursors: &mut Cursors, name: &str, hold: bool| {
        cursors.open(name, Declared { hold, ..declared(vec![], false) }, true).unwrap();
    };
    open(&mut cursors, "held", true);
    open(&mut cursors, "a", false);
    let mark = cursors.mark();
    open(&mut cursors, "b", true);
    cursors.rollback_to(mark);
    assert_eq!(cursors.all().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "held"]);
    cursors.commit();
    assert_eq!(cursors.all().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["held"]);
    open(&mut cursors, "c", true);
    cursors.rollback();
    assert_eq!(cursors.all().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["held"]);
}

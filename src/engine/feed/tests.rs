//! Feeds: who reads in time gets every change in order, who does not is cut, and what nobody wants is let go.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::*;

const SECOND: i64 = 1_000_000;

/// Values by commit.
type Commits = Vec<(Epoch, Vec<i64>)>;

fn delta(values: &[i64]) -> Delta {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    Delta::insert(RecordBatch::try_from_iter_with_nullable([("i", column, true)]).unwrap())
}

fn values(commit: &Commit) -> Vec<i64> {
    let mut values = commit.delta().unwrap().rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    values.sort();
    values
}

fn feed(workers: usize, history: u64, rows: usize) -> Arc<Feed> {
    let limits = FeedLimits { history: Duration::from_secs(history), rows, bytes: usize::MAX };
    let feed = Arc::new(Feed::new(workers, limits, Arc::default()));
    (0..workers).for_each(|_| feed.join(0));
    feed
}

#[test]
fn a_reader_gets_every_change_or_is_cut() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut cut, mut complete) = (0, 0);
    for _ in 0..50 {
        let workers = random.usize(1..4);
        let feed = feed(workers, random.u64(0..3), 20);
        // Each with what it has read, and the commit after which it began.
        let mut readers: Vec<(Seat, Epoch, Commits)> = vec![];
        let mut told: Commits = vec![];
        // Somebody is always there, so that the feed stays.
        let watcher = feed.seat().unwrap();
        watcher.start(None, 0).unwrap();
        for epoch in 1..200 {
            let mut all = vec![];
            for _ in 0..workers {
                let part: Vec<i64> = (0..random.usize(0..3)).map(|_| random.i64(..)).collect();
                all.extend(part.iter().copied());
                assert!(feed.push(epoch, epoch as i64 * SECOND, if part.is_empty() { vec![] } else { vec![delta(&part)] }));
            }
            all.sort();
            if !all.is_empty() {
                told.push((epoch, all));
            }
            while watcher.next().unwrap().is_some() {}
            if random.u8(0..10) == 0 {
                let seat = feed.seat().unwrap();
                let oldest = feed.lock().oldest;
                let from = random.u64(oldest..=epoch);
                let between: Vec<Epoch> = seat.start(Some(from), epoch).unwrap().iter().map(|commit| commit.epoch).collect();
                let expected = told.iter().map(|(at, _)| *at).filter(|at| *at > from);
                assert_eq!(between, expected.collect::<Vec<_>>(), "between {from} and {epoch}");
                assert!(oldest == 0 || seat.start(Some(oldest - 1), epoch).is_err());
                assert!(seat.start(Some(epoch + 1), epoch).is_err());
                readers.push((seat, from, vec![]));
            }
            readers.retain_mut(|(seat, from, read)| {
                for _ in 0..random.usize(0..3) {
                    match seat.next() {
                        Ok(Some(commit)) => read.push((commit.epoch, values(&commit))),
                        Ok(None) => {
                            let expected: Vec<_> = told.iter().filter(|(at, _)| at > from).cloned().collect();
                            assert_eq!(*read, expected, "from {from} to {epoch}");
                            complete += 1;
                        }
                        Err(_) => {
                            // It had more to read than is kept, and what it got has no gap.
                            let expected: Vec<_> = told.iter().filter(|(at, _)| at > from).cloned().collect();
                            assert_eq!(*read, expected[..read.len()]);
                            let unread: usize = expected[read.len()..].iter().map(|(_, rows)| rows.len()).sum();
                            assert!(unread > 20, "cut with {unread} rows to read");
                            cut += 1;
                            return false;
                        }
                    }
                }
                random.u8(0..100) > 0
            });
        }
    }
    assert!(cut > 0 && complete > 0, "{cut} cut, {complete} complete");
}

#[test]
fn what_is_old_and_read_by_all_goes_and_in_the_end_the_feed() {
    let feed = feed(1, 10, 1000);
    let (quick, slow) = (feed.seat().unwrap(), feed.seat().unwrap());
    quick.start(None, 0).unwrap();
    slow.start(None, 0).unwrap();
    let push = |epoch: Epoch, seconds: i64| feed.push(epoch, seconds * SECOND, vec![delta(&[epoch as i64])]);
    let kept = || feed.lock().commits.iter().map(|commit| commit.epoch).collect::<Vec<_>>();
    assert!(push(1, 0) && push(2, 1));
    while quick.next().unwrap().is_some() {}
    // Old, but one reader has not got there.
    assert!(push(3, 20));
    assert_eq!(kept(), [1, 2, 3]);
    assert_eq!(slow.next().unwrap().unwrap().epoch, 1);
    assert!(push(4, 21));
    assert_eq!(kept(), [2, 3, 4]);
    drop(slow);
    assert!(push(5, 22));
    assert_eq!(kept(), [3, 4, 5]);
    // Without readers it is kept for those who come back, for a while.
    drop(quick);
    assert!(push(6, 23) && push(7, 32));
    let back = feed.seat().unwrap();
    assert_eq!(back.start(Some(5), 7).unwrap().len(), 2);
    drop(back);
    assert!(push(8, 33));
    assert!(!push(9, 43), "nobody has come for long");
    assert!(feed.seat().is_none());
    assert!(kept().is_empty());
}

#[test]
fn one_large_commit_is_kept_alone() {
    let feed = feed(2, 0, 3);
    let seat = feed.seat().unwrap();
    seat.start(None, 0).unwrap();
    feed.push(1, 0, vec![delta(&[1, 2, 3])]);
    feed.push(1, 0, vec![delta(&[4, 5])]);
    assert_eq!(values(&seat.next().unwrap().unwrap()), [1, 2, 3, 4, 5]);
    feed.push(2, 0, vec![delta(&[1, 2, 3, 4])]);
    feed.push(2, 0, vec![]);
    feed.push(3, 0, vec![delta(&[1])]);
    feed.push(3, 0, vec![]);
    let error = match seat.next() {
        Err(error) => error,
        Ok(_) => panic!("nothing was dropped"),
    };
    assert_eq!(error.sqlstate(), SqlState::INSUFFICIENT_RESOURCES);
    assert_eq!(error.detail(), Some("It got every change up to commit 1; changes up to commit 2 are no longer kept."));
}

#[test]
fn readers_hear_of_an_end_when_they_have_read_what_there_is() {
    let feed = feed(1, 0, 100);
    let seat = feed.seat().unwrap();
    seat.start(None, 0).unwrap();
    feed.push(1, 0, vec![delta(&[1])]);
    feed.end(Error::new(SqlState::UNDEFINED_TABLE, "gone"));
    assert!(!feed.push(2, 0, vec![delta(&[2])]));
    assert_eq!(seat.next().unwrap().unwrap().epoch, 1);
    assert!(seat.next().is_err_and(|error| error.message() == "gone"));
    assert!(feed.seat().is_none());
}

//! How old results are when their source has come to its end.

use weir_common::ids::RelationId;
use weir_common::lateness::{Emit, WindowLife};
use weir_common::plan::{Closing, WindowEnd};

use super::Clock;
use crate::times::EpochTimes;

const SOURCE: RelationId = RelationId::FIRST_USER;

/// Windows of 10 that are kept for 20.
fn clock() -> Clock {
    let closing = Closing { source: SOURCE, steps: vec![], column: 0, end: WindowEnd::After(10) };
    Clock::new(WindowLife { closing, lateness: 0, emit: Emit::Update, retention: Some(20), keeps_closed: true })
}

fn epoch(clock: &mut Clock, before: i64, after: i64, ended: Option<i64>) {
    let ended = ended.map(|came_to| (SOURCE, came_to)).into_iter().collect();
    let times = EpochTimes { wall_micros: 0, watermarks: vec![(SOURCE, Some(before), Some(after))], ended };
    clock.begin(&times);
    clock.advance(clock.watermark(&times));
}

/// The first window that is kept.
fn first_kept(clock: &Clock) -> i64 {
    (0..).map(|window| window * 10).find(|named| !clock.is_removed(*named)).unwrap()
}

#[test]
fn the_end_of_a_source_makes_no_result_old_in_whatever_epoch_it_comes_nor_after_a_restart() {
    let mut apart = clock();
    epoch(&mut apart, 0, 75, None);
    epoch(&mut apart, 75, i64::MAX, Some(75));
    let mut together = clock();
    epoch(&mut together, 0, i64::MAX, Some(75));
    let mut later = clock();
    later.resume();
    later.begin(&EpochTimes::NONE);
    epoch(&mut later, i64::MAX, i64::MAX, Some(75));
    let mut between = clock();
    between.resume();
    epoch(&mut between, 60, i64::MAX, Some(75));
    for clock in [apart, together, later, between] {
        // The window from 40 to 50 is kept until 70, the next one until 80.
        assert_eq!(first_kept(&clock), 50);
        assert!(clock.is_closed(1_000_000));
    }
    // As soon as the first epoch after the restart begins.
    let mut later = clock();
    later.resume();
    later.begin(&EpochTimes { watermarks: vec![(SOURCE, Some(i64::MAX), Some(i64::MAX))], ended: vec![(SOURCE, 75)], ..EpochTimes::NONE });
    assert_eq!(first_kept(&later), 50);
}

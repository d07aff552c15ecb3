//! The rule of the watermark alone: several partitions, silence, and what is not known of it.

use weir_common::source::Watermark;

use super::EventClock;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DELAY: i64 = 5 * SECOND;
const OF: Watermark = Watermark { column: 0, delay: DELAY, idle_timeout: 10 * SECOND, max_future: i64::MAX };
/// The wall clock at the begin of each test, far behind the event times of none.
const NOW: i64 = 1_000_000 * SECOND;

/// The watermark when all is known until this wall clock.
fn at(clock: &mut EventClock, wall_micros: i64) -> Option<i64> {
    clock.hear(wall_micros);
    clock.advance(&OF, wall_micros);
    clock.at()
}

#[test]
fn the_partition_that_is_behind_decides_and_one_that_gave_nothing_holds_it_back() {
    let mut clock = EventClock::new();
    clock.grow(3);
    clock.gave(0, Some(10 * MINUTE));
    clock.gave(2, Some(MINUTE));
    assert_eq!((at(&mut clock, NOW), clock.held_back_by(&OF, NOW)), (None, Some(1)));
    clock.gave(1, Some(2 * MINUTE));
    assert_eq!((at(&mut clock, NOW), clock.held_back_by(&OF, NOW)), (Some(MINUTE - DELAY), Some(2)));
    clock.gave(2, Some(3 * MINUTE));
    assert_eq!((at(&mut clock, NOW), clock.held_back_by(&OF, NOW)), (Some(2 * MINUTE - DELAY), Some(1)));
    assert_eq!(clock.latest(), Some(10 * MINUTE));
}

#[test]
fn an_idle_partition_is_left_out_and_counts_again_when_it_gives_something() {
    let mut clock = EventClock::new();
    clock.gave(0, Some(10 * MINUTE));
    clock.gave(1, Some(MINUTE));
    clock.silent(1, NOW);
    assert!(clock.goes_on(&OF));
    assert_eq!(at(&mut clock, NOW + 10 * SECOND - 1), Some(MINUTE - DELAY));
    assert_eq!(clock.at_wall(&OF, NOW + 10 * SECOND), Some(10 * MINUTE - DELAY));
    assert_eq!(at(&mut clock, NOW + 10 * SECOND), Some(10 * MINUTE - DELAY));
    let of_each: Vec<_> = clock.of_each(&OF, NOW + 10 * SECOND).collect();
    assert_eq!(of_each, [(Some(10 * MINUTE - DELAY), None), (Some(MINUTE - DELAY), Some(NOW + 10 * SECOND))]);
    assert!(!clock.goes_on(&OF), "until the other one falls silent");
    // What it brings now is behind the watermark, which stays, and waits for it.
    clock.gave(1, Some(2 * MINUTE));
    clock.gave(0, Some(11 * MINUTE));
    assert_eq!((at(&mut clock, NOW + MINUTE), clock.held_back_by(&OF, NOW)), (Some(10 * MINUTE - DELAY), Some(1)));
}

#[test]
fn when_all_are_silent_the_clock_goes_on_from_where_the_last_one_left_it() {
    // Whether anybody looked in between or not.
    for looks in [false, true] {
        let mut clock = EventClock::new();
        clock.grow(4);
        for (partition, latest, since) in [(0, 8, 0), (1, 3, 4), (2, 5, 4)] {
            clock.gave(partition, Some(latest * MINUTE));
            clock.silent(partition, NOW + since * SECOND);
        }
        // The fourth never gave anything, and was the last to be looked at.
        clock.silent(3, NOW + 6 * SECOND);
        let mut before = None;
        for second in (0..16).filter(|_| looks) {
            let stands = at(&mut clock, NOW + second * SECOND);
            assert!(stands >= before && stands <= Some(3 * MINUTE - DELAY), "{stands:?} after {before:?}");
            before = stands;
        }
        let all_idle = NOW + 16 * SECOND;
        assert_eq!(clock.idle_since(&OF, all_idle), Some(all_idle));
        assert_eq!(at(&mut clock, all_idle + MINUTE), Some(4 * MINUTE - DELAY), "{looks}");
        assert_eq!(clock.held_back_by(&OF, all_idle), None);
        assert_eq!(at(&mut clock, all_idle + 2 * MINUTE), Some(5 * MINUTE - DELAY), "{looks}");
    }
}

#[test]
fn a_partition_that_comes_later_holds_the_watermark_where_it_is() {
    let mut clock = EventClock::new();
    clock.gave(0, Some(MINUTE));
    clock.all_silent(NOW);
    let walked = at(&mut clock, NOW + 10 * SECOND + MINUTE);
    assert_eq!(walked, Some(2 * MINUTE - DELAY));
    clock.grow(2);
    assert_eq!(at(&mut clock, NOW + 3 * MINUTE), walked);
    clock.gave(0, Some(5 * MINUTE));
    assert_eq!(at(&mut clock, NOW + 3 * MINUTE), walked);
    clock.gave(1, Some(0));
    assert_eq!(at(&mut clock, NOW + 3 * MINUTE), walked);
    clock.gave(1, Some(4 * MINUTE));
    assert_eq!(at(&mut clock, NOW + 3 * MINUTE), Some(4 * MINUTE - DELAY));
}

#[test]
fn what_is_not_known_is_no_silence() {
    let mut clock = EventClock::new();
    clock.gave(0, Some(10 * MINUTE));
    clock.gave(1, Some(MINUTE));
    clock.silent(1, NOW);
    let stands = at(&mut clock, NOW + 5 * SECOND);
    // What was read since then waits: the hour does not count before it has been taken.
    clock.advance(&OF, NOW + 60 * MINUTE);
    assert_eq!(clock.at(), stands);
    // Of the hour, nobody could read for all but 7 seconds.
    clock.put_off(60 * MINUTE - 7 * SECOND, NOW + 60 * MINUTE);
    assert_eq!(at(&mut clock, NOW + 60 * MINUTE), stands);
    assert_eq!(at(&mut clock, NOW + 60 * MINUTE + 3 * SECOND), Some(10 * MINUTE - DELAY));
    // Silence never begins in the future.
    clock.gave(1, Some(MINUTE));
    clock.silent(1, NOW + 120 * MINUTE);
    clock.put_off(60 * MINUTE, NOW + 120 * MINUTE);
    assert_eq!(clock.of_each(&OF, NOW + 120 * MINUTE + 10 * SECOND).last().unwrap().1, Some(NOW + 120 * MINUTE + 10 * SECOND));
    // After an outage it begins anew.
    clock.interrupt();
    assert_eq!(clock.of_each(&OF, i64::MAX).map(|(_, idle_since)| idle_since).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn a_timeout_that_is_made_longer_and_shorter_again_does_not_count_the_pause_twice() {
    let mut clock = EventClock::new();
    clock.gave(0, Some(MINUTE));
    clock.all_silent(NOW);
    assert_eq!(at(&mut clock, NOW + 10 * SECOND + 2 * MINUTE), Some(3 * MINUTE - DELAY));
    let longer = Watermark { idle_timeout: 60 * MINUTE, ..OF };
    clock.advance(&longer, NOW + 3 * MINUTE);
    assert_eq!(clock.at(), Some(3 * MINUTE - DELAY));
    assert_eq!(at(&mut clock, NOW + 10 * SECOND + 3 * MINUTE), Some(4 * MINUTE - DELAY));
    // Where it was not idle for a while, it goes on from where it stood then.
    clock.advance(&longer, NOW + 4 * MINUTE);
    clock.hear(NOW + 61 * MINUTE);
    clock.advance(&longer, NOW + 61 * MINUTE);
    assert_eq!(clock.at(), Some(5 * MINUTE - DELAY));
}

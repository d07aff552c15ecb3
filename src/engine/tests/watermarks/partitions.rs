//! Sources with several partitions: the one that is behind decides, unless it is idle, and a restart gives the same.

use std::collections::BTreeMap;

use fastrand::Rng;
use weir_common::ids::Epoch;
use weir_common::limits::SOURCE_PARTITIONS_MAX;

use super::*;
use crate::status::PartitionStatus;

fn partitions(status: &Status) -> &[PartitionStatus] {
    &reader(status, SOURCE).partitions
}

/// The partition that the source waits for.
fn holder(status: &Status) -> Option<u32> {
    let holds_back: Vec<_> = partitions(status).iter().filter(|partition| partition.holds_back).map(|one| one.partition).collect();
    assert!(holds_back.len() <= 1, "{holds_back:?}");
    holds_back.first().copied()
}

#[tokio::test]
async fn a_partition_that_is_silent_for_an_hour_holds_windows_back_until_it_is_idle() {
    let world = World::of(2);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed_to(0, &[LONG_AGO, LONG_AGO + 2 * MINUTE]);
    world.source.feed_to(1, &[LONG_AGO + 30 * SECOND]);
    let status = taken(&engine, SOURCE, 3).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 25 * SECOND), Some(1)));
    for second in 1..=9 {
        world.hand.forward(SECOND);
        world.source.feed_to(0, &[LONG_AGO + 2 * MINUTE + second]);
        let status = taken(&engine, SOURCE, 3 + second as u64).await;
        assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 25 * SECOND), Some(1)));
    }
    assert_eq!(shown(&engine, &world, VIEW).await, []);
    for second in 10..=3600 / 30 {
        world.hand.forward(if second == 10 { SECOND } else { 9 * SECOND });
        world.source.feed_to(0, &[LONG_AGO + 2 * MINUTE + second]);
        let status = taken(&engine, SOURCE, 3 + second as u64).await;
        assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 2 * MINUTE + second - 5 * SECOND), Some(0)));
        let silent = partitions(&status)[1];
        assert_eq!((silent.watermark, silent.idle_since), (Some(LONG_AGO + 25 * SECOND), Some(NOW + 10 * SECOND)));
    }
    assert_eq!(shown(&engine, &world, VIEW).await, [(LONG_AGO, 1), (LONG_AGO + 30 * SECOND, 1)]);
    // It is back, and is waited for again.
    world.source.feed_to(1, &[LONG_AGO + 2 * MINUTE]);
    taken(&engine, SOURCE, 3 + 120 + 1).await;
    world.source.feed_to(0, &[LONG_AGO + 5 * MINUTE]);
    let status = taken(&engine, SOURCE, 3 + 120 + 2).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 2 * MINUTE + 120 - 5 * SECOND), Some(1)));
    world.source.feed_to(1, &[LONG_AGO + 4 * MINUTE]);
    let status = taken(&engine, SOURCE, 3 + 120 + 3).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 4 * MINUTE - 5 * SECOND), Some(1)));
    engine.stop();
}

#[tokio::test]
async fn a_partition_that_never_gave_anything_holds_windows_back_until_it_is_idle() {
    for other_goes_on in [true, false] {
        let world = World::of(2);
        world.source.state().coming.extend(other_goes_on.then_some(0));
        let engine = world.start();
        world.create(&engine, VIEW).await;
        world.source.feed_to(0, &[LONG_AGO, LONG_AGO + 2 * MINUTE]);
        let status = if other_goes_on { given(&engine, SOURCE, 2).await } else { taken(&engine, SOURCE, 2).await };
        assert_eq!((watermark(&status, SOURCE), holder(&status)), (None, Some(1)));
        // Nothing comes, and the clock alone closes the windows, some time after it was told that the partition is at its end.
        let stands = LONG_AGO + 2 * MINUTE - 5 * SECOND;
        let status = loop {
            world.hand.forward(SECOND);
            let status = until(&engine, |status| status.wall_micros > NOW).await;
            if watermark(&status, SOURCE).is_some() {
                break status;
            }
        };
        assert_eq!(partitions(&status)[1].watermark, None);
        assert!(partitions(&status)[1].idle_since >= Some(NOW + 10 * SECOND));
        let at = watermark(&status, SOURCE).unwrap();
        if other_goes_on {
            assert_eq!((at, holder(&status), reader(&status, SOURCE).idle_since), (stands, Some(0), None));
        } else {
            let idle_since = reader(&status, SOURCE).idle_since.unwrap();
            assert!(at >= stands && at <= stands + status.wall_micros - idle_since, "{at} at {}", status.wall_micros);
            assert_eq!(holder(&status), None);
        }
        assert_eq!(shown(&engine, &world, VIEW).await[0], (LONG_AGO, 1));
        engine.stop();
    }
}

#[tokio::test]
async fn when_all_partitions_are_silent_the_wall_clock_goes_on_from_where_the_last_one_left_it() {
    let world = World::of(2);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed_to(0, &[LONG_AGO, LONG_AGO + 5 * MINUTE]);
    world.source.feed_to(1, &[LONG_AGO + MINUTE]);
    taken(&engine, SOURCE, 3).await;
    world.hand.forward(4 * SECOND);
    world.source.feed_to(1, &[LONG_AGO + 2 * MINUTE]);
    let status = taken(&engine, SOURCE, 4).await;
    let stood = LONG_AGO + 2 * MINUTE - 5 * SECOND;
    assert_eq!(watermark(&status, SOURCE), Some(stood));
    // 14 seconds after the begin all are idle. A minute and 5 seconds later the last window of the one that is behind is over.
    world.hand.forward(10 * SECOND + 65 * SECOND);
    let status = until(&engine, |status| watermark(status, SOURCE) > Some(stood)).await;
    assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 3 * MINUTE));
    assert_eq!((reader(&status, SOURCE).idle_since, holder(&status)), (Some(NOW + 14 * SECOND), None));
    assert_eq!(partitions(&status)[0].idle_since, Some(NOW + 10 * SECOND));
    assert_eq!(shown(&engine, &world, VIEW).await, [(LONG_AGO, 1), (LONG_AGO + MINUTE, 1), (LONG_AGO + 2 * MINUTE, 1)]);
    engine.stop();
}

#[tokio::test]
async fn a_row_dated_too_far_ahead_moves_nothing_in_its_partition_either() {
    let world = World::of(2);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed_to(1, &[NOW + 73 * 365 * DAY]);
    world.source.feed_to(0, &[NOW - 2 * MINUTE, NOW - MINUTE]);
    let status = taken(&engine, SOURCE, 3).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status), partitions(&status)[1].watermark), (None, Some(1), None));
    assert_eq!((reader(&status, SOURCE).rows, reader(&status, SOURCE).dead_letters), (2, 1));
    world.source.feed_to(1, &[NOW - 2 * MINUTE, NOW + 73 * 365 * DAY]);
    let status = taken(&engine, SOURCE, 5).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(NOW - 2 * MINUTE - 5 * SECOND), Some(1)));
    engine.stop();
}

#[tokio::test]
async fn no_row_is_late_where_the_clocks_of_partitions_differ_by_a_day() {
    let world = World::of(2);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed_to(1, &[LONG_AGO]);
    let (mut rows, mut behind) = (2, LONG_AGO);
    world.source.feed_to(0, &[LONG_AGO + DAY]);
    taken(&engine, SOURCE, rows).await;
    for minute in 0..30 {
        let slower = LONG_AGO + minute * MINUTE;
        for (partition, time) in [(0, slower + DAY), (1, slower), (0, slower + DAY + 1), (1, slower)] {
            world.source.feed_to(partition, &[time]);
            rows += 1;
            let status = taken(&engine, SOURCE, rows).await;
            behind = if partition == 1 { time } else { behind };
            assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(behind - 5 * SECOND), Some(1)), "{minute}");
        }
        world.hand.forward(SECOND);
    }
    let expected: Vec<_> = (0..28).map(|minute| (LONG_AGO + minute * MINUTE, if minute == 0 { 3 } else { 2 })).collect();
    assert_eq!(shown(&engine, &world, VIEW).await, expected);
    engine.stop();
}

#[tokio::test]
async fn a_partition_is_not_idle_while_weir_does_not_take_what_is_read() {
    let world = World::of(2);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.state().piece = 1000;
    world.source.feed_to(0, &[LONG_AGO + 10 * MINUTE]);
    world.source.feed_to(1, &[LONG_AGO]);
    let mut rows = 2;
    taken(&engine, SOURCE, rows).await;
    // Nothing is durable, so one day no more epochs open; then the reader fills its queue and waits, for minutes.
    world.log.hold();
    let mut waited = 0;
    while waited < 5 * MINUTE {
        let status = engine.status().await.unwrap();
        let waits = status.in_flight == 5 && reader(&status, SOURCE).held_up > waited;
        if !waits {
            world.source.feed_to(0, &[LONG_AGO + 10 * MINUTE; 1000]);
            rows += 1000;
        }
        waited = reader(&status, SOURCE).held_up;
        // While it is about to read, no time goes by.
        world.hand.forward(if waits { SECOND / 10 } else { 1 });
    }
    // Its last row is behind more than an epoch takes.
    world.source.feed_to(0, &vec![LONG_AGO + 10 * MINUTE; 70_000]);
    world.source.feed_to(1, &[LONG_AGO]);
    world.log.release();
    let status = taken(&engine, SOURCE, rows + 70_001).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO - 5 * SECOND), Some(1)));
    world.source.feed_to(1, &[LONG_AGO + 10 * MINUTE]);
    taken(&engine, SOURCE, rows + 70_002).await;
    assert_eq!(shown(&engine, &world, VIEW).await, [(LONG_AGO, 2)]);
    engine.stop();
}

#[tokio::test]
async fn nobody_is_idle_while_the_outside_cannot_be_reached() {
    let world = World::of(2);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed_to(0, &[LONG_AGO + 2 * MINUTE]);
    world.source.feed_to(1, &[LONG_AGO]);
    let stands = watermark(&taken(&engine, SOURCE, 2).await, SOURCE);
    world.hand.forward(5 * SECOND);
    world.source.state().unreachable = true;
    until(&engine, |status| !reader(status, SOURCE).at_end).await;
    world.hand.forward(60 * MINUTE);
    // An epoch comes for the sake of another source.
    world.create(&engine, VIEW_OF_OTHER).await;
    world.other.feed(&[NOW]);
    let status = taken(&engine, OTHER, 1).await;
    assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since, holder(&status)), (stands, None, Some(1)));
    world.source.state().unreachable = false;
    until(&engine, |status| reader(status, SOURCE).at_end).await;
    world.hand.forward(9 * SECOND);
    let status = engine.status().await.unwrap();
    assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (stands, None), "silence begins anew");
    world.hand.forward(SECOND);
    let status = engine.status().await.unwrap();
    assert_eq!(reader(&status, SOURCE).idle_since, Some(NOW + 60 * MINUTE + 15 * SECOND));
    engine.stop();
}

#[tokio::test]
async fn a_partition_that_comes_later_never_takes_the_watermark_back() {
    let world = World::of(1);
    let mut engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed(&[LONG_AGO, LONG_AGO + 2 * MINUTE]);
    let status = taken(&engine, SOURCE, 2).await;
    let stands = LONG_AGO + 2 * MINUTE - 5 * SECOND;
    assert_eq!((watermark(&status, SOURCE), partitions(&status)), (Some(stands), &[][..]));
    // Empty at first, and held to be on its way.
    {
        let mut fed = world.source.state();
        fed.partitions.push(vec![]);
        fed.coming.insert(1);
    }
    until(&engine, |status| partitions(status).len() == 2).await;
    world.source.feed(&[LONG_AGO + 5 * MINUTE]);
    let status = given(&engine, SOURCE, 3).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(stands), Some(1)));
    world.source.feed_to(1, &[LONG_AGO + MINUTE + 10 * SECOND]);
    let status = given(&engine, SOURCE, 4).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(stands), Some(1)));
    world.source.feed_to(1, &[LONG_AGO + 4 * MINUTE]);
    let status = given(&engine, SOURCE, 5).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 4 * MINUTE - 5 * SECOND), Some(1)));
    // One that comes while the server is down is found by the restart.
    world.source.state().coming.clear();
    taken(&engine, SOURCE, 5).await;
    for with_checkpoint in [false, true] {
        engine = again(engine, &world, with_checkpoint).await;
        let status = taken(&engine, SOURCE, 5).await;
        assert_eq!((watermark(&status, SOURCE), partitions(&status).len()), (Some(LONG_AGO + 4 * MINUTE - 5 * SECOND), 2));
    }
    engine.stop();
    world.source.state().partitions.push(vec![]);
    let engine = world.start();
    let status = until(&engine, |status| partitions(status).len() == 3).await;
    assert_eq!((watermark(&status, SOURCE), holder(&status)), (Some(LONG_AGO + 4 * MINUTE - 5 * SECOND), Some(2)));
    engine.stop();
}

/// What was told of each commit: the watermark, and the windows that were shown.
#[derive(Default)]
struct Told {
    watermarks: BTreeMap<Epoch, Option<i64>>,
    shown: BTreeMap<Epoch, Vec<(i64, i64)>>,
}

impl Told {
    async fn look(&mut self, engine: &Engine, world: &World) {
        let status = until(engine, |_| true).await;
        let at = watermark(&status, SOURCE);
        assert_eq!(*self.watermarks.entry(status.committed).or_insert(at), at, "at {}", status.committed);
        let (commit, shown) = shown_at(engine, world, VIEW).await;
        assert_eq!(*self.shown.entry(commit).or_insert_with(|| shown.clone()), shown, "at {commit}");
    }
}

/// As of a commit, from the log alone, on other workers; the source gives nothing more.
async fn as_of(world: &World, commit: Epoch, workers: usize) -> (Option<i64>, Vec<(i64, i64)>) {
    let records = world.log.records().into_iter().filter(|record| record.epoch <= commit).collect();
    let world = World { log: Log::of(records), store: MemoryStore::default(), workers, ..world.clone() };
    let engine = world.start();
    let found = (watermark(&engine.status().await.unwrap(), SOURCE), shown(&engine, &world, VIEW).await);
    engine.stop();
    found
}

#[tokio::test]
async fn a_restart_gives_the_same_watermarks_at_the_same_commits() {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("WEIR_SEED={seed}");
    let (mut rng, mut over) = (Rng::with_seed(seed), 0);
    for _ in 0..4 {
        let mut world = World::of(2);
        let mut engine = world.start();
        world.create(&engine, VIEW).await;
        let (mut told, mut rows, mut passed) = (Told::default(), 0, 0);
        for _ in 0..60 {
            let count = world.source.state().partitions.len();
            let partition = rng.usize(..count);
            match rng.u8(..20) {
                0 if count < 4 => world.source.state().partitions.push(vec![]),
                1 if world.source.state().coming.len() + 1 < count => _ = world.source.state().coming.insert(partition),
                2 => world.source.state().coming.clear(),
                3 => world.source.state().unreachable ^= true,
                4..10 => {
                    let forward = rng.i64(0..8 * SECOND);
                    world.hand.forward(forward);
                    passed += forward;
                }
                10 => {
                    world.workers = rng.usize(1..=3);
                    engine = again(engine, &world, rng.bool()).await;
                }
                _ => {
                    // Those of a partition rise, and are never late: there is no place for late rows here.
                    let least = watermark(&engine.status().await.unwrap(), SOURCE).unwrap_or(LONG_AGO);
                    let time = least.max(LONG_AGO) + passed / 4 + rng.i64(0..3 * MINUTE);
                    world.source.feed_to(partition, &[time, time + rng.i64(0..SECOND)]);
                    rows += 2;
                    if !world.source.state().unreachable {
                        given(&engine, SOURCE, rows).await;
                    }
                }
            }
            told.look(&engine, &world).await;
        }
        world.source.state().unreachable = false;
        given(&engine, SOURCE, rows).await;
        told.look(&engine, &world).await;
        engine.stop();
        over += told.shown.values().next_back().map_or(0, Vec::len);
        // What comes now is not asked for.
        world.source.state().unreachable = true;
        let commits: Vec<Epoch> = told.watermarks.keys().filter(|commit| told.shown.contains_key(commit)).copied().collect();
        for _ in 0..6 {
            let commit = commits[rng.usize(..commits.len())];
            let found = as_of(&world, commit, rng.usize(1..=3)).await;
            assert_eq!(found, (told.watermarks[&commit], told.shown[&commit].clone()), "as of {commit}");
        }
    }
    assert!(over > 0, "no window was ever over");
}

#[tokio::test]
async fn a_partition_that_is_at_its_end_is_told_of_once_and_a_source_with_too_many_stops() {
    let world = World::of(3);
    world.source.state().coming.insert(0);
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed_to(1, &[LONG_AGO]);
    given(&engine, SOURCE, 1).await;
    // The reader goes on saying who is at its end, and no epoch comes of that once it is known.
    world.hand.forward(10 * SECOND);
    let idle = |status: &Status| partitions(status).iter().filter(|partition| partition.idle_since.is_some()).count();
    let mut status = until(&engine, |_| true).await;
    while idle(&status) < 2 {
        world.hand.forward(SECOND);
        status = until(&engine, |_| true).await;
    }
    let records = world.log.records().len();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(world.log.records().len(), records);
    world.source.state().partitions.resize(SOURCE_PARTITIONS_MAX as usize + 1, vec![]);
    let status = until(&engine, |status| reader(status, SOURCE).error.is_some()).await;
    let error = reader(&status, SOURCE).error.as_ref().unwrap();
    assert_eq!(error, "the source has 10001 partitions or more, and a source may have 10000");
    assert_eq!((partitions(&status).len(), idle(&status)), (3, 0), "who cannot be read is not idle");
    engine.stop();
}

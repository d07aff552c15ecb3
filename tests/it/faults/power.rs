//! What was not synced is gone after a power cut; and how often it is synced.

use std::time::Duration;

use fastrand::Rng;

use super::{Disk, Fault, Part, Writer, rounds, start};
use crate::harness::{run, seed, value};
use crate::server::{Server, connect};

const CUTS: u64 = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_synced_is_not_needed() {
    let mut random = Rng::with_seed(seed());
    let Some((mut server, disk, first)) = start("100ms").await else { return };
    let client = connect(server.url()).await.unwrap();
    let mut writers = vec![first, Writer::create(&client, "b").await];
    server.kill();
    disk.remember();
    let mut lost = 0;
    for cut in 1..=rounds(CUTS) {
        server.restart(random.usize(1..=3)).unwrap();
        writers = load(&mut server, writers, Duration::from_millis(random.u64(1..600))).await;
        let undone = forget(&disk, &server, &mut random);
        lost += undone;
        // Now and then another time while it starts.
        if random.u8(..3) == 0 {
            server.begin(1).unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(1..800))).await;
            server.kill();
            lost += forget(&disk, &server, &mut random);
        }
        server.restart(2).unwrap();
        let client = connect(server.url()).await.unwrap();
        for writer in &mut writers {
            writer.check(&client).await;
        }
        server.kill();
        disk.forget_nothing();
        let done: Vec<i64> = writers.iter().map(|writer| writer.done).collect();
        eprintln!("cut {cut}: {undone} writes and names were lost; writes {done:?} are there");
    }
    assert!(lost > 0, "nothing was ever undone");
    let log = server.log();
    assert!(!log.contains("panicked at"), "it panicked");
    assert!(log.lines().any(|line| line.contains("recovered") && !line.contains(" checkpoint=0 ")), "no start was from a checkpoint");
}

/// The test above can fail.
#[tokio::test]
async fn what_a_disk_lied_about_is_lost() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    server.kill();
    disk.remember();
    server.restart(2).unwrap();
    let client = connect(server.url()).await.unwrap();
    writer.write_some(&client, 2).await;
    disk.fail(Part::Log, Fault::SyncLies, 3);
    writer.write_some(&client, 5).await;
    server.kill();
    assert!(disk.forget(&server.data(), None) > 0);
    disk.heal();
    server.restart(2).unwrap();
    let client = connect(server.url()).await.unwrap();
    assert_eq!(value(&client, "SELECT n FROM a_last").await, (writer.done - 3).to_string());
    server.stop().unwrap();
}

/// All of it, or any end of it.
fn forget(disk: &Disk, server: &Server, random: &mut Rng) -> usize {
    let some = random.bool();
    disk.forget(&server.data(), some.then_some(random))
}

/// All write until the server is killed.
async fn load(server: &mut Server, writers: Vec<Writer>, time: Duration) -> Vec<Writer> {
    let mut tasks = Vec::new();
    for mut writer in writers {
        let client = connect(server.url()).await.unwrap();
        tasks.push(tokio::spawn(async move {
            while writer.write(&client).await.is_ok() {}
            writer
        }));
    }
    tokio::time::sleep(time).await;
    server.kill();
    let mut writers = Vec::new();
    for task in tasks {
        writers.push(task.await.unwrap());
    }
    writers
}

#[tokio::test]
async fn nothing_is_told_before_its_sync() {
    let Some((mut server, disk, _)) = start("1h").await else { return };
    let client = connect(server.url()).await.unwrap();
    run(&client, "CREATE TABLE t (id INT)").await;
    let [start_of_log, start_of_state] = disk.counts().syncs;
    for row in 1..=50 {
        run(&client, &format!("INSERT INTO t VALUES ({row})")).await;
        let synced = disk.counts().syncs[0] - start_of_log;
        assert!(synced >= row, "row {row} was acknowledged after {synced} syncs");
    }
    assert_eq!(disk.counts().syncs[1], start_of_state, "there was no checkpoint");
    for checkpoint in 1..=5 {
        run(&client, "INSERT INTO t VALUES (0)").await;
        run(&client, "CHECKPOINT").await;
        let synced = disk.counts().syncs[1] - start_of_state;
        assert!(synced >= checkpoint, "checkpoint {checkpoint} was told of after {synced} syncs");
    }

    server.kill();
    server.setup.checkpoint_interval = Some("50ms");
    server.restart(2).unwrap();
    let client = connect(server.url()).await.unwrap();
    let start_of_state = disk.counts().syncs[1];
    let mut told = 0;
    while told < 10 {
        run(&client, "INSERT INTO t VALUES (0)").await;
        told = value(&client, "SELECT count(*) FROM weir.checkpoints").await.parse().unwrap();
        let synced = disk.counts().syncs[1] - start_of_state;
        assert!(synced >= told, "{told} checkpoints were told of after {synced} syncs");
    }
    server.stop().unwrap();
}

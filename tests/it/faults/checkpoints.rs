//! A full or broken disk under checkpoints, and under a start from one.

use super::{Disk, Fault, Part, Writer, ended_because, healthy, start};
use crate::server::{Server, Setup, connect};

/// No checkpoint makes that many writes or syncs, and no start.
const MANY: i64 = 200;

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    /// While a checkpoint is taken.
    Checkpoint,
    /// While a server starts, and finds a checkpoint, and commits in the log after it.
    Start,
}

/// Faults at the first, the second ... write or sync of a checkpoint or a start, until there are no more; how many of them ended it.
async fn each_fault(during: During, server: &mut Server, disk: &Disk, writer: &mut Writer, fault: Fault) -> i64 {
    let mut ends = 0;
    for at in 1..MANY {
        let client = healthy(server, disk, 1 + at as usize % 3, writer).await;
        writer.write_some(&client, 2).await;
        if during == During::Start {
            client.batch_execute("CHECKPOINT").await.unwrap();
            writer.write_some(&client, 1).await;
            server.kill();
            if fault == Fault::SyncFails {
                disk.forget(&server.data(), None);
            }
        }
        let logged = server.log().len();
        disk.fail(Part::State, fault, at);
        let done = match during {
            During::Checkpoint => client.batch_execute("CHECKPOINT").await.map_err(|error| error.to_string()),
            During::Start => server.restart(2),
        };
        let faults = disk.counts().faults;
        match &done {
            // Not of all files RocksDB needs to know that they are written.
            Ok(()) => {
                if during == During::Start {
                    writer.check(&connect(server.url()).await.unwrap()).await;
                }
                server.kill();
            }
            Err(_) => ended_because(server, logged, fault),
        }
        // After one that failed, the next may succeed without having saved anything.
        assert!(fault != Fault::SyncFails || faults == 0 || done.is_err(), "it went on after a sync that failed");
        if fault == Fault::SyncFails {
            disk.forget(&server.data(), None);
        }
        if faults == 0 {
            assert!(done.is_ok(), "nothing was wrong with the disk: {done:?}");
            eprintln!("{during:?}, {fault:?}: {} of them, {ends} ended it", at - 1);
            return ends;
        }
        ends += i64::from(done.is_err());
    }
    panic!("{during:?}: not done after {MANY}");
}

#[tokio::test]
async fn a_disk_that_is_full_during_a_checkpoint() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    for fault in [Fault::Full, Fault::HalfThenFull] {
        server.kill();
        assert!(each_fault(During::Checkpoint, &mut server, &disk, &mut writer, fault).await > 0);
        healthy(&mut server, &disk, 1, &mut writer).await;
    }
    server.stop().unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_during_a_start() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    server.kill();
    assert!(each_fault(During::Start, &mut server, &disk, &mut writer, Fault::Full).await > 0);
    healthy(&mut server, &disk, 1, &mut writer).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_while_a_directory_is_made() {
    let mut server = Server::prepare("127.0.0.1:0", Setup::default()).unwrap();
    let Some(disk) = Disk::under(&mut server) else { return };
    for at in 1..MANY {
        let logged = server.log().len();
        // What the start before has left is there.
        disk.fail(Part::State, Fault::HalfThenFull, at);
        match server.restart(1) {
            Err(_) => ended_because(&mut server, logged, Fault::HalfThenFull),
            Ok(()) if disk.counts().faults == 0 => {
                assert!(at > 1, "nothing was written");
                break;
            }
            // Not of all files RocksDB needs to know that they are written.
            Ok(()) => server.kill(),
        }
    }
    disk.heal();
    let client = connect(server.url()).await.unwrap();
    let mut writer = Writer::create(&client, "a").await;
    writer.write_some(&client, 3).await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    server.kill();
    healthy(&mut server, &disk, 2, &mut writer).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn syncs_that_fail_in_checkpoints_and_starts() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    disk.remember();
    server.kill();
    assert!(each_fault(During::Checkpoint, &mut server, &disk, &mut writer, Fault::SyncFails).await > 0);
    assert!(each_fault(During::Start, &mut server, &disk, &mut writer, Fault::SyncFails).await > 0);
    healthy(&mut server, &disk, 1, &mut writer).await;
    server.stop().unwrap();
}

#[tokio::test]
async fn writes_that_are_short() {
    let Some((mut server, disk, mut writer)) = start("1h").await else { return };
    for part in [Part::State, Part::Log] {
        for at in 1..=3 {
            let client = connect(server.url()).await.unwrap();
            disk.fail(part, Fault::Short, at);
            writer.write_some(&client, 5).await;
            client.batch_execute("CHECKPOINT").await.unwrap();
            writer.write_some(&client, 5).await;
            writer.check(&client).await;
            server.kill();
            // Also while it starts.
            server.restart(at as usize).unwrap();
            writer.check(&connect(server.url()).await.unwrap()).await;
            assert!(disk.counts().faults > 0);
            server.kill();
            healthy(&mut server, &disk, 2, &mut writer).await;
        }
    }
    assert!(!server.log().contains("panicked at"));
    server.stop().unwrap();
}

//! A disk under the server that is full, does half of what it is told, fails to sync, or forgets what was not synced.
//!
//! `WEIR_KILLS` says how often those tests do it that are random; they print a seed.

use tokio_postgres::Client;

use self::disk::{Disk, Fault, Part};
use self::load::Writer;
use crate::server::{Server, Setup, connect};

mod checkpoints; // a full or broken disk under checkpoints, and under a start from one
mod disk; // the disk
mod epochs; // a full or broken disk under the epoch log
mod large; // faults while RocksDB works in the background
mod load; // who writes
mod power; // what was not synced is gone, and how often it is synced
mod undo; // what a power cut takes

/// A server with a disk of its own and a writer, who has written a little; `None`, with a sentence, where there is no C compiler.
async fn start(checkpoint_interval: &'static str) -> Option<(Server, Disk, Writer)> {
    let setup = Setup { checkpoint_interval: Some(checkpoint_interval), ..Setup::default() };
    let mut server = Server::prepare("127.0.0.1:0", setup).unwrap();
    let disk = Disk::under(&mut server)?;
    server.restart(2).unwrap();
    let client = connect(server.url()).await.unwrap();
    let mut writer = Writer::create(&client, "a").await;
    writer.write_some(&client, 3).await;
    Some((server, disk, writer))
}

/// How often something random is done.
fn rounds(usually: u64) -> u64 {
    std::env::var("WEIR_KILLS").ok().map_or(usually, |rounds| rounds.parse().unwrap())
}

/// Starts it over a good disk: what must be there is there.
async fn healthy(server: &mut Server, disk: &Disk, workers: usize, writer: &mut Writer) -> Client {
    disk.heal();
    server.restart(workers).unwrap();
    let client = connect(server.url()).await.unwrap();
    writer.check(&client).await;
    client
}

/// It has ended by itself, or could not start, and said that this is the reason since its log was as long as this.
fn ended_because(server: &mut Server, logged: usize, fault: Fault) {
    let status = server.ended().unwrap();
    let log = server.log();
    let said = &log[logged..];
    let reason = if fault == Fault::SyncFails { "Input/output error" } else { "No space left on device" };
    assert!(!status.success() && said.contains(reason), "{fault:?}: it ended with {status}, and said:\n{said}");
    assert!(!said.contains("panicked at"), "{fault:?}: it panicked:\n{said}");
}

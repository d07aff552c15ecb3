//! `kill -9` at random moments of a mixed load: nothing that was acknowledged is lost, nothing is half there, and views are right.
//!
//! `WEIR_KILLS` says how often (`make soak`: 200). A failure prints the seed; `WEIR_SEED` repeats the load, though not the scheduler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use self::definitions::Definitions;
use self::lines::Lines;
use self::views::{Answer, Answers, VIEWS};
use self::writers::Writer;
use crate::harness::{seed, value};
use crate::server::{Server, connect};

mod definitions; // tables and views that come and go
mod lines; // files that grow
mod shrunk; // what was found, as small as it gets
mod views; // views, and who reads them
mod writers; // who writes to tables

const KILLS: u64 = 30;
const WRITERS: i64 = 4;
const READERS: u64 = 2;
const FILES: usize = 2;

/// All that goes on besides the server.
struct Load {
    random: Rng,
    writers: Vec<Writer>,
    /// The counter that all writers raise.
    shared: i64,
    lines: Lines,
    definitions: Definitions,
    answers: Answers,
    /// What views held when everything had come to rest before the kill; nothing has changed since.
    rest: Option<Vec<Answer>>,
    /// Answers that were asked for at the same commit before and after a restart.
    again: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_plug_is_pulled() {
    let kills = std::env::var("WEIR_KILLS").ok().map_or(KILLS, |kills| kills.parse().unwrap());
    let mut random = Rng::with_seed(seed());
    let files = tempfile::tempdir().unwrap();
    let mut server = Server::start(random.usize(1..=4), "127.0.0.1:0").unwrap();
    let mut load = Load {
        random: random.fork(),
        writers: (1..=WRITERS).map(Writer::new).collect(),
        shared: 0,
        lines: Lines::new(files.path(), FILES),
        definitions: Definitions::default(),
        answers: Answers::default(),
        rest: None,
        again: 0,
    };
    let client = connect(server.url()).await.unwrap();
    writers::create_tables(&client, WRITERS).await;
    load.lines.create_source(&client).await;
    views::create(&client).await;
    drop(client);

    for kill in 1..=kills {
        let quiet = random.u8(..3) == 0;
        let moment = Duration::from_millis(random.u64(1..500));
        load.go_on(&mut server, kill, moment, quiet).await;
        // Now and then once more, while it recovers.
        if random.u8(..5) == 0 {
            server.begin(random.usize(1..=4)).unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(1..200))).await;
            server.kill();
        }
        // Files grow all the same.
        if random.bool() {
            load.lines.append(&mut random);
            load.rest = None;
        }
        let (workers, start) = (random.usize(1..=4), Instant::now());
        server.restart(workers).unwrap();
        let recovered = start.elapsed().as_millis();
        let commit = load.check(&server).await;
        let written: u64 = load.writers.iter().map(|writer| writer.acknowledged).sum();
        let (made, rows, how) = (load.definitions.acknowledged, load.lines.rows, if quiet { "quiet" } else { "busy" });
        eprintln!(
            "kill {kill} of {kills}, {how} after {moment:?}: {written} writes, {made} definitions, {rows} rows, commit {commit}; \
             {workers} workers, ready after {recovered} ms"
        );
    }
    eprintln!("{} answers at commits that had been read before the kill", load.again);
    server.stop().unwrap();
}

impl Load {
    /// Everything at once until the kill; or, where that is `quiet`, until everything has come to rest.
    async fn go_on(&mut self, server: &mut Server, round: u64, moment: Duration, quiet: bool) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for writer in std::mem::take(&mut self.writers) {
            let client = connect(server.url()).await.unwrap();
            writers.push(tokio::spawn(writer.write(client, self.random.fork(), round as i64, stop.clone())));
        }
        let lines = std::mem::replace(&mut self.lines, Lines::new("".as_ref(), 0));
        let lines = tokio::spawn(lines.grow(connect(server.url()).await.unwrap(), self.random.fork(), stop.clone()));
        let definitions = std::mem::take(&mut self.definitions);
        let definitions = tokio::spawn(definitions.go_on(connect(server.url()).await.unwrap(), self.random.fork(), stop.clone()));
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let client = connect(server.url()).await.unwrap();
            readers.push(tokio::spawn(self.answers.clone().go_on_reading(client, self.random.fork())));
        }
        tokio::time::sleep(moment).await;
        if !quiet {
            server.kill();
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            self.writers.push(writer.await.unwrap());
        }
        self.lines = lines.await.unwrap();
        self.definitions = definitions.await.unwrap();
        if quiet {
            let client = connect(server.url()).await.unwrap();
            self.lines.settle(&client).await;
            let mut rest = Vec::new();
            for (view, _) in VIEWS {
                rest.push(self.answers.read(&client, view).await.expect("it is there").0);
            }
            self.rest = Some(rest);
            server.kill();
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }

    /// What must be true after a restart; the commit at which it was found.
    async fn check(&mut self, server: &Server) -> i64 {
        let client = connect(server.url()).await.unwrap();
        let seen = self.answers.latest();
        // At once: it may still be the last commit before the restart.
        let (mut found, mut moved) = (Vec::new(), false);
        for (view, _) in VIEWS {
            let (answer, again) = self.answers.read(&client, view).await.expect("it is there");
            moved |= !again && self.rest.is_some();
            self.again += usize::from(again);
            found.push(answer);
        }
        if moved {
            // Nothing but a checkpoint is a commit of its own where nothing happens: one of this server, or one right before the kill.
            let commit: i64 = value(&client, "SELECT commit FROM weir.snapshot").await.parse().unwrap();
            let checkpoints = format!("SELECT count(*) FROM weir.checkpoints WHERE epoch = {commit}");
            let before = server.log().contains(&format!(" committed={commit} checkpoint={commit} "));
            let mut looks = 0..1000;
            while !before && value(&client, &checkpoints).await != "1" {
                assert!(looks.next().is_some(), "nothing happened but a restart, and there is commit {commit}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert!(self.rest.take().is_none_or(|rest| rest == found), "nothing happened but a restart, and views changed");
        let commit: i64 = value(&client, "SELECT commit FROM weir.snapshot").await.parse().unwrap();
        assert!(commit >= seen, "commit {seen} was read before the restart, and after it there is {commit}");
        // Nobody asks at older ones any more.
        self.answers.forget_before(commit);
        self.lines.settle(&client).await;
        writers::settle(&client, &mut self.writers, &mut self.shared).await;
        for (view, query) in VIEWS {
            views::check(&client, view, query).await;
        }
        self.definitions.settle(&client).await;
        let log = server.log();
        assert!(!log.contains("panicked at"), "the server panicked");
        commit
    }
}

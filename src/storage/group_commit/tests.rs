//! Tests of group commit: what shares a sync, who waits, and what everybody hears after an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::faulty::{Fault, FaultyFiles, Operation};
use crate::files::{Files, Kind, Lock, ReadFile, WriteFile};
use crate::log::Options;

/// So that what never comes fails a test and does not hang it.
const LONG: Duration = Duration::from_secs(20);

fn dir() -> &'static Path {
    Path::new("/")
}

fn log_on(files: impl Files + 'static) -> Log {
    Log::open(Arc::new(files), dir(), Options::default()).unwrap().0
}

fn numbers(log: &Log) -> Vec<u64> {
    log.records(0).unwrap().map(|record| record.unwrap().number).collect()
}

/// Sends the number and what came of it.
fn tell(to: &Sender<(u64, Result<()>)>, number: u64) -> Done {
    let to = to.clone();
    Box::new(move |result| to.send((number, result)).unwrap())
}

/// A disk whose syncs say when they begin, and wait for a word.
#[derive(Clone)]
struct Gated {
    files: FaultyFiles,
    began: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
    open: Arc<AtomicBool>,
}

impl Gated {
    fn new() -> (Self, Receiver<()>, Sender<()>) {
        let ((began, beginnings), (words, go)) = (channel(), channel());
        let go = Arc::new(Mutex::new(go));
        (Gated { files: FaultyFiles::new(1), began, go, open: Arc::default() }, beginnings, words)
    }
}

struct GatedFile(Gated, Box<dyn WriteFile>);

impl Files for Gated {
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(GatedFile(self.clone(), self.files.create(path)?)))
    }
    fn open_write(&self, path: &Path) -> std::io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(GatedFile(self.clone(), self.files.open_write(path)?)))
    }
    fn open_read(&self, path: &Path) -> std::io::Result<Box<dyn ReadFile>> {
        self.files.open_read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.files.remove(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        self.files.list(dir)
    }
    fn kind(&self, path: &Path) -> std::io::Result<Option<Kind>> {
        self.files.kind(path)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        self.files.create_dir(path)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.files.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Lock> {
        self.files.lock(path)
    }
}

impl WriteFile for GatedFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.1.write_all_at(bytes, offset)
    }
    fn sync_data(&mut self) -> std::io::Result<()> {
        if !self.0.open.load(Ordering::Relaxed) {
            self.0.began.send(()).unwrap();
            self.0.go.lock().unwrap().recv_timeout(LONG).map_err(std::io::Error::other)?;
        }
        self.1.sync_data()
    }
    fn truncate(&mut self, len: u64) -> std::io::Result<()> {
        self.1.truncate(len)
    }
}

#[test]
fn records_that_wait_share_one_sync_and_hear_of_it_in_order() {
    let (files, beginnings, words) = Gated::new();
    let group = GroupCommit::start(log_on(files.clone())).unwrap();
    let (heard, results) = channel();
    group.submit(1, b"one".to_vec(), tell(&heard, 1));
    beginnings.recv_timeout(LONG).unwrap();
    for number in 2..=10 {
        group.submit(number, vec![0; 10], tell(&heard, number));
    }
    assert!(results.try_recv().is_err(), "nobody hears anything before the sync");
    assert_eq!(group.counters().waiting_records, 9);
    words.send(()).unwrap();
    assert_eq!(results.recv_timeout(LONG).unwrap(), (1, Ok(())));
    beginnings.recv_timeout(LONG).unwrap();
    assert!(results.try_recv().is_err());
    words.send(()).unwrap();
    for number in 2..=10 {
        assert_eq!(results.recv_timeout(LONG).unwrap(), (number, Ok(())));
    }
    let counters = group.counters();
    assert_eq!((counters.records, counters.bytes, counters.syncs, counters.log_segments), (10, 93, 2, 1));
    assert!(counters.sync_nanos_max > 0 && counters.sync_nanos_sum >= counters.sync_nanos_max);
    assert_eq!(files.files.count(Operation::Sync), 2);
    let log = group.stop().unwrap();
    assert_eq!(counters.log_bytes, log.bytes());
    assert_eq!(numbers(&log), (1..=10).collect::<Vec<_>>());
}

#[test]
fn who_submits_to_a_full_queue_waits() {
    for room in [Room { records: 3, bytes: 1000 }, Room { records: 100, bytes: 30 }] {
        let (files, beginnings, words) = Gated::new();
        let group = Arc::new(GroupCommit::start_with(log_on(files.clone()), room).unwrap());
        let (heard, results) = channel();
        group.submit(1, vec![1; 10], tell(&heard, 1));
        beginnings.recv_timeout(LONG).unwrap();
        let theirs = group.clone();
        let submitting = thread::spawn(move || {
            for number in 2..=20 {
                // The last one is larger than all room, and is written alone.
                theirs.submit(number, vec![1; if number == 20 { 2000 } else { 10 }], tell(&heard, number));
            }
        });
        // Three fit; the thread waits with the fourth.
        while group.counters().waiting_records < 3 || group.counters().waiting_for_room < 1 {
            assert!(!submitting.is_finished(), "it did not wait");
            thread::yield_now();
        }
        assert_eq!(group.counters().waiting_records, 3);
        files.open.store(true, Ordering::Relaxed);
        words.send(()).unwrap();
        submitting.join().unwrap();
        for number in 1..=20 {
            assert_eq!(results.recv_timeout(LONG).unwrap(), (number, Ok(())));
        }
        assert_eq!(Arc::into_inner(group).unwrap().stop().unwrap().last(), Some(20));
    }
}

#[test]
fn after_an_error_everybody_hears_the_same() {
    let (files, beginnings, words) = Gated::new();
    let group = GroupCommit::start(log_on(files.clone())).unwrap();
    let (heard, results) = channel();
    group.submit(1, b"safe".to_vec(), tell(&heard, 1));
    beginnings.recv_timeout(LONG).unwrap();
    group.submit(2, b"lost".to_vec(), tell(&heard, 2));
    group.submit(3, b"lost".to_vec(), tell(&heard, 3));
    words.send(()).unwrap();
    assert_eq!(results.recv_timeout(LONG).unwrap(), (1, Ok(())));
    beginnings.recv_timeout(LONG).unwrap();
    files.files.fail(Some(Operation::Sync), 1, Fault::NoSpace);
    words.send(()).unwrap();
    let (number, error) = results.recv_timeout(LONG).unwrap();
    let error = error.unwrap_err();
    assert_eq!((number, error.sqlstate().0), (2, "53100"));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (3, Err(error.clone())));
    let changes = files.files.changes();
    group.submit(4, b"too late".to_vec(), tell(&heard, 4));
    group.drop_before(1, tell(&heard, 0));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (4, Err(error.clone())));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (0, Err(error.clone())));
    assert_eq!(files.files.changes(), changes, "nothing was touched any more");
    assert_eq!((group.counters().records, group.counters().syncs), (1, 1));
    assert_eq!(group.stop().unwrap().failed(), Some(&error));
}

#[test]
fn stopping_writes_what_waits() {
    for stopped in [true, false] {
        let files = FaultyFiles::new(1);
        let group = GroupCommit::start(log_on(files.clone())).unwrap();
        let (heard, results) = channel();
        for number in 1..=500 {
            group.submit(number, vec![7; 20], tell(&heard, number));
        }
        if stopped {
            assert_eq!(group.stop().unwrap().last(), Some(500));
        } else {
            drop(group);
        }
        drop(heard);
        assert_eq!(results.into_iter().collect::<Vec<_>>(), (1..=500).map(|number| (number, Ok(()))).collect::<Vec<_>>());
        files.crash();
        assert_eq!(numbers(&log_on(files)), (1..=500).collect::<Vec<_>>());
    }
}

#[test]
fn old_segments_are_dropped_behind_the_records() {
    let log = Log::open(Arc::new(FaultyFiles::new(1)), dir(), Options { segment_bytes: 1 }).unwrap().0;
    let group = GroupCommit::start(log).unwrap();
    let (heard, results) = channel();
    for number in 1..=10 {
        group.submit(number, vec![7; 20], tell(&heard, number));
        assert_eq!(results.recv_timeout(LONG).unwrap(), (number, Ok(())));
    }
    assert_eq!(group.counters().log_segments, 10);
    group.drop_before(8, tell(&heard, 0));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (0, Ok(())));
    assert_eq!(group.counters().log_segments, 3);
    assert_eq!(group.stop().unwrap().first(), Some(8));
}

#[test]
fn a_callback_that_panics_ends_the_thread_and_everybody_hears_of_it() {
    let (files, beginnings, words) = Gated::new();
    let group = GroupCommit::start(log_on(files)).unwrap();
    let (heard, results) = channel();
    group.submit(1, Vec::new(), tell(&heard, 1));
    beginnings.recv_timeout(LONG).unwrap();
    group.submit(2, Vec::new(), Box::new(|_| panic!("on purpose")));
    group.submit(3, Vec::new(), tell(&heard, 3));
    words.send(()).unwrap();
    beginnings.recv_timeout(LONG).unwrap();
    group.submit(4, Vec::new(), tell(&heard, 4));
    words.send(()).unwrap();
    assert_eq!(results.recv_timeout(LONG).unwrap(), (1, Ok(())));
    for number in [3, 4] {
        assert_eq!(results.recv_timeout(LONG).unwrap(), (number, Err(gone())));
    }
    group.submit(5, Vec::new(), tell(&heard, 5));
    assert_eq!(results.recv_timeout(LONG).unwrap(), (5, Err(gone())));
    assert_eq!(group.stop().err(), Some(gone()));
}

#[test]
#[should_panic(expected = "numbers in the log rise: 5 after Some(5)")]
fn numbers_rise_over_restarts_too() {
    let files = FaultyFiles::new(1);
    let mut log = log_on(files.clone());
    log.append(5, b"").unwrap();
    log.sync().unwrap();
    let group = GroupCommit::start(log).unwrap();
    group.submit(5, Vec::new(), Box::new(|_| {}));
}

/// The plug is pulled while the thread writes; what was heard of is there.
#[test]
fn what_was_acknowledged_before_a_crash_is_there_after_it() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let files = FaultyFiles::new(rng.u64(..));
    let mut written: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut next = 1;
    let mut lost = 0;
    for round in 0..200 {
        let log = Log::open(Arc::new(files.process()), dir(), Options { segment_bytes: 3000 }).unwrap().0;
        let found: BTreeMap<u64, Vec<u8>> = log.records(0).unwrap().map(|record| record.unwrap()).map(|r| (r.number, r.bytes)).collect();
        // What was acknowledged was kept below; of the rest, there is any number from the beginning.
        assert!(found.iter().all(|(number, bytes)| written.get(number) == Some(bytes)), "round {round}");
        lost += written.len() - found.len();
        assert!(written.keys().take(found.len()).eq(found.keys()), "round {round}");
        written = found;
        let group = GroupCommit::start(log).unwrap();
        let (heard, results) = channel();
        let submitted = rng.usize(1..60);
        // After how many of them the plug is pulled: the thread is somewhere behind.
        let until = rng.usize(0..submitted);
        for place in 0..submitted {
            if place == until {
                files.crash();
            }
            let bytes = vec![rng.u8(..); rng.usize(0..300)];
            written.insert(next, bytes.clone());
            group.submit(next, bytes, tell(&heard, next));
            next += 1;
        }
        drop(group);
        drop(heard);
        let acknowledged = results.into_iter().filter(|(_, result)| result.is_ok()).map(|(number, _)| number).max();
        let log = Log::open(Arc::new(files.process()), dir(), Options { segment_bytes: 3000 }).unwrap().0;
        assert!(log.last() >= acknowledged, "round {round}: {:?} of {acknowledged:?}", log.last());
        // Numbers of lost records are not used again, so that they cannot be taken for new ones.
    }
    assert!(lost > 100, "{lost}");
}

//! Tests of the log: what it writes, what it gives back, and what it refuses.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::faulty::{Fault, FaultyFiles, Operation};
use crate::files::{Kind, Lock, ReadFile, RealFiles};

mod corruption; // every byte is changed once
mod crashes; // the plug is pulled at random
mod errors; // writing fails
mod fixture; // files that an earlier version wrote

const DIR: &str = "/log";

fn dir() -> &'static Path {
    Path::new(DIR)
}

/// Small segments, so that there are several.
fn options() -> Options {
    Options { segment_bytes: 400 }
}

fn disk(seed: u64) -> FaultyFiles {
    let files = FaultyFiles::new(seed);
    files.create_dir(dir()).unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    files
}

fn open(files: &FaultyFiles) -> Result<(Log, Recovered)> {
    Log::open(Arc::new(files.clone()), dir(), options())
}

fn payload(number: u64) -> Vec<u8> {
    // No zeros, so that a flipped bit is never taken for a sector that was not written.
    format!("record {number} ").repeat(1 + number as usize % 5).into_bytes()
}

/// Appends these records, each synced on its own.
fn write(log: &mut Log, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        log.append(number, &payload(number)).unwrap();
        log.sync().unwrap();
    }
}

fn numbers(log: &Log, from: u64) -> Vec<u64> {
    let records: Vec<Record> = log.records(from).unwrap().collect::<Result<_>>().unwrap();
    for record in &records {
        assert_eq!(record.bytes, payload(record.number), "record {}", record.number);
    }
    records.iter().map(|record| record.number).collect()
}

fn names(files: &FaultyFiles) -> Vec<String> {
    files.list(dir()).unwrap()
}

#[test]
fn what_was_synced_is_there_after_it_was_opened_again() {
    let files = disk(1);
    let (mut log, recovered) = open(&files).unwrap();
    assert_eq!(recovered, Recovered { first: None, last: None, records: 0, bytes: 0, segments: 0, cut: None });
    assert_eq!(log.last(), None);
    // Numbers rise, and need not be neighbours.
    write(&mut log, [3, 5, 6, 1000]);
    assert_eq!(numbers(&log, 0), [3, 5, 6, 1000]);
    log.append(1001, b"").unwrap();
    log.append(1002, b"never synced").unwrap();
    assert_eq!(log.last(), Some(1000), "what is not synced is not told");
    drop(log);
    files.crash();
    let (mut log, recovered) = open(&files).unwrap();
    assert_eq!((recovered.first, recovered.last, recovered.records, recovered.cut), (Some(3), Some(1000), 4, None));
    write(&mut log, 1001..1010);
    assert_eq!(numbers(&log, 1000), (1000..1010).collect::<Vec<_>>());
}

#[test]
fn an_empty_record_is_a_record_and_a_large_one_fits_into_no_window() {
    let dir = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_000u32).map(|byte| byte as u8).collect();
    let (mut log, _) = Log::open(Arc::new(RealFiles), dir.path(), Options::default()).unwrap();
    log.append(0, b"").unwrap();
    log.append(1, &large).unwrap();
    log.append(2, b"small").unwrap();
    log.sync().unwrap();
    let (log, recovered) = Log::open(Arc::new(RealFiles), dir.path(), Options::default()).unwrap();
    assert_eq!((recovered.records, recovered.segments), (3, 1));
    assert_eq!(recovered.bytes, 64 + 3 * 32 + 3_000_000 + 5);
    let records: Vec<Record> = log.records(0).unwrap().collect::<Result<_>>().unwrap();
    assert!(records[0].bytes.is_empty() && records[1].bytes == large && records[2].bytes == b"small");
}

#[test]
fn segments_are_begun_when_one_is_full_and_dropped_when_all_in_them_is_old() {
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    write(&mut log, 1..=40);
    let before = names(&files);
    assert!(before.len() > 3, "{before:?}");
    assert_eq!(log.segments(), before.len());
    let second: u64 = before[1].trim_end_matches(".log").parse().unwrap();
    log.drop_before(second - 1).unwrap();
    assert_eq!(names(&files), before, "the last record of the first segment is still wanted");
    log.drop_before(second).unwrap();
    assert_eq!(names(&files), before[1..]);
    assert_eq!(log.first(), Some(second));
    assert_eq!(numbers(&log, second), (second..=40).collect::<Vec<_>>());
    let missing = log.records(second - 1).err().unwrap();
    assert_eq!(missing.sqlstate(), DATA_CORRUPTED, "{missing}");
    // The last segment tells where the log is.
    log.drop_before(u64::MAX).unwrap();
    assert_eq!(names(&files), before[before.len() - 1..]);
    files.crash();
    let (mut log, recovered) = open(&files).unwrap();
    assert_eq!((recovered.last, recovered.segments), (Some(40), 1));
    write(&mut log, 41..=60);
    assert_eq!(numbers(&log, 41), (41..=60).collect::<Vec<_>>());
}

#[test]
fn a_reader_sees_what_was_there_when_it_began_and_reads_no_more_than_it_is_asked_for() {
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    write(&mut log, 1..=30);
    let mut reader = log.records(10).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().number, 10);
    let reads = files.count(Operation::Read);
    write(&mut log, 31..=40);
    assert_eq!(files.count(Operation::Read), reads, "segments are read when it is their turn");
    assert_eq!(reader.map(|record| record.unwrap().number).collect::<Vec<_>>(), (11..=30).collect::<Vec<_>>());
    assert!(files.count(Operation::Read) > reads);
    assert_eq!(log.records(41).unwrap().count(), 0);
}

#[test]
#[should_panic(expected = "numbers in the log rise: 7 after Some(7)")]
fn numbers_rise() {
    let (mut log, _) = open(&disk(1)).unwrap();
    log.append(7, b"").unwrap();
    let _ = log.append(7, b"");
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_log_goes_on() {
    let (mut log, _) = open(&disk(1)).unwrap();
    // Nobody touches these bytes, so they take no memory.
    let error = log.append(1, &vec![0; LOG_RECORD_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED, "{error}");
    write(&mut log, [1]);
    assert_eq!(numbers(&log, 0), [1]);
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let files = disk(1);
    files.create(&dir().join("README")).unwrap();
    let (mut log, _) = open(&files).unwrap();
    write(&mut log, [1]);
    drop(log);
    assert_eq!(open(&files).unwrap().1.records, 1);
    assert!(names(&files).contains(&"README".to_string()));
    files.create(&dir().join("copy of 1.log")).unwrap();
    assert_eq!(open(&files).err().unwrap().sqlstate(), DATA_CORRUPTED);
}

/// The real files, with the syncs counted.
#[derive(Clone, Default)]
struct Counted {
    writes: Arc<std::sync::atomic::AtomicU64>,
    syncs: Arc<std::sync::atomic::AtomicU64>,
    dir_syncs: Arc<std::sync::atomic::AtomicU64>,
}

struct CountedFile(Counted, Box<dyn WriteFile>);

fn add(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

impl Files for Counted {
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(CountedFile(self.clone(), RealFiles.create(path)?)))
    }
    fn open_write(&self, path: &Path) -> std::io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(CountedFile(self.clone(), RealFiles.open_write(path)?)))
    }
    fn open_read(&self, path: &Path) -> std::io::Result<Box<dyn ReadFile>> {
        RealFiles.open_read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        RealFiles.remove(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        RealFiles.list(dir)
    }
    fn kind(&self, path: &Path) -> std::io::Result<Option<Kind>> {
        RealFiles.kind(path)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        RealFiles.create_dir(path)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        add(&self.dir_syncs);
        RealFiles.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Lock> {
        RealFiles.lock(path)
    }
}

impl WriteFile for CountedFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        add(&self.0.writes);
        self.1.write_all_at(bytes, offset)
    }
    fn sync_data(&mut self) -> std::io::Result<()> {
        add(&self.0.syncs);
        self.1.sync_data()
    }
    fn truncate(&mut self, len: u64) -> std::io::Result<()> {
        self.1.truncate(len)
    }
}

#[test]
fn a_sync_is_one_write_and_one_fdatasync_however_many_records_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let files = Counted::default();
    let counts = || {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        (of(&files.writes), of(&files.syncs), of(&files.dir_syncs))
    };
    let (mut log, _) = Log::open(Arc::new(files.clone()), dir.path(), Options { segment_bytes: 10_000 }).unwrap();
    assert_eq!(counts(), (0, 0, 1), "opening makes sure of the names");
    log.sync().unwrap();
    assert_eq!(counts(), (0, 0, 1), "nothing to write");
    for number in 0..100 {
        log.append(number, &[7; 50]).unwrap();
    }
    assert_eq!(counts(), (0, 0, 1), "appending does not write");
    log.sync().unwrap();
    assert_eq!(counts(), (1, 1, 2), "the first file has a name to sync too");
    log.append(100, &[7; 5000]).unwrap();
    log.sync().unwrap();
    assert_eq!(counts(), (2, 2, 2));
    log.append(101, b"in the next file").unwrap();
    log.sync().unwrap();
    assert_eq!(counts(), (3, 3, 3));
    assert_eq!(log.segments(), 2);
}

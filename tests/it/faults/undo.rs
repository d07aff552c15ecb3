//! Takes back what no sync has made safe: the strictest reading of what a file system may lose in a power cut.
//!
//! Of a file that are the writes since its last sync, also those that made it longer or shorter. Of a directory it is each name that came, went
//! or got another file since the directory was synced, however often the file itself was. Directories themselves stay.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A record of the journal, `struct record` of `shim.c` with the bytes behind it.
struct Record {
    kind: i64,
    /// Of the file; of a name, of the directory that it is in.
    inode: u64,
    /// Of a write: where. Of a name: under which number what it stood for is kept, 0 if it was free.
    at: u64,
    /// Of the file, before the write.
    size: u64,
    /// Of a write: what was there. Of a name: the path.
    bytes: Vec<u8>,
}

const WRITTEN: i64 = 1;
const SYNCED: i64 = 2;
const NAMED: i64 = 3;

/// Undoes what the journal says was not synced; how much that was. With `random`, of each file only an end of it, and of some directories
/// nothing.
pub fn undo(journal: &Path, kept: &Path, data: &Path, random: Option<&mut fastrand::Rng>) -> usize {
    let mut unsafe_yet: Vec<Record> = Vec::new();
    let journal = match fs::read(journal) {
        Ok(journal) => journal,
        // A server that was killed before it wrote anything has not begun one.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    for record in read(&journal) {
        match record.kind {
            SYNCED => unsafe_yet.retain(|other| other.inode != record.inode),
            _ => unsafe_yet.push(record),
        }
    }
    if let Some(random) = random {
        keep_some(&mut unsafe_yet, random);
    }
    let named = |record: &&Record| record.kind == NAMED;
    for record in unsafe_yet.iter().rev().filter(named) {
        let path = Path::new(std::ffi::OsStr::from_bytes(&record.bytes));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
        if record.at != 0 {
            fs::hard_link(kept.join(record.at.to_string()), path).unwrap();
        }
    }
    let mut files = BTreeMap::new();
    find(data, &mut files);
    for record in unsafe_yet.iter().rev().filter(|record| record.kind == WRITTEN) {
        // One whose name is gone is gone.
        let Some(path) = files.get(&record.inode) else { continue };
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(record.size).unwrap();
        file.write_all_at(&record.bytes, if record.bytes.is_empty() { 0 } else { record.at }).unwrap();
    }
    unsafe_yet.len()
}

/// Half of the time of each file the first of its writes stay, and of each directory all names.
fn keep_some(records: &mut Vec<Record>, random: &mut fastrand::Rng) {
    let mut of: BTreeMap<u64, (usize, bool)> = BTreeMap::new();
    for record in &*records {
        let (count, named) = of.entry(record.inode).or_default();
        (*count, *named) = (*count + 1, record.kind == NAMED);
    }
    let stay = |(inode, (count, named))| {
        let some = if named { count } else { random.usize(..=count) };
        (inode, if random.bool() { some } else { 0 })
    };
    let mut stay: BTreeMap<u64, usize> = of.into_iter().map(stay).collect();
    records.retain(|record| {
        let left = stay.get_mut(&record.inode).expect("all were counted");
        let stays = *left > 0;
        *left = left.saturating_sub(1);
        !stays
    });
}

/// All records; the last one may be cut, and then what it tells of was not begun.
fn read(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(5 * 8) {
        let mut numbers = head.chunks(8).map(|number| i64::from_ne_bytes(number.try_into().unwrap()));
        let mut number = || numbers.next().unwrap();
        let (kind, inode, at, size, len) = (number(), number() as u64, number() as u64, number() as u64, number() as usize);
        assert!([WRITTEN, SYNCED, NAMED].contains(&kind), "a record of kind {kind}");
        let Some((content, rest)) = rest.split_at_checked(len) else { break };
        records.push(Record { kind, inode, at, size, bytes: content.to_vec() });
        bytes = rest;
    }
    records
}

/// The files in a directory by their number.
fn find(dir: &Path, files: &mut BTreeMap<u64, PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => find(&entry.path(), files),
            metadata => drop(files.insert(metadata.ino(), entry.path())),
        }
    }
}

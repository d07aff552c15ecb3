//! A byte changes on disk, or the end of a file is lost: the store says that it is damaged, or has what it should have.
//!
//! A failure prints the seed; `WEIR_SEED` repeats it, `WEIR_RUNS` asks for more.

use std::collections::BTreeMap;

use super::*;

/// Files of a store, and what was in it after each commit that is not in files of the tree yet, the newest last.
struct Store {
    files: BTreeMap<String, Vec<u8>>,
    states: Vec<Entries>,
}

fn commit(store: &RocksStore, rng: &mut Rng, number: u64) {
    let mut batches = [store.begin()];
    random_changes(rng, &mut batches);
    let [mut batch] = batches;
    batch.put(Space::Meta, b"last", &number.to_be_bytes());
    let value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(9000).collect();
    // It stays: other keys and ranges are before it.
    batch.put(Space::Runs, &[&[0xff][..], &number.to_be_bytes()].concat(), &value);
    // Deleted ranges are in a part of a file of their own.
    batch.delete_range(Space::State, &[0, 0, 0, 0, 0, 0, 0, 1, rng.u8(0..15)], &[0, 0, 0, 0, 0, 0, 0, 1, rng.u8(15..30)]);
    batch.commit().unwrap();
}

/// A store with files of every kind, some commits in them and some in the log only. Files may be written after the last opening too.
fn make_store(rng: &mut Rng, flushes: bool) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut number = 0;
    for _ in 0..3 {
        // What the log has goes to files when it is opened.
        let store = RocksStore::open(&path).unwrap();
        for _ in 0..rng.usize(2..6) {
            number += 1;
            commit(&store, rng, number);
        }
        // Or before that, so that there are several changes of MANIFEST.
        if rng.bool() {
            flush(&store).unwrap();
        }
    }
    let store = RocksStore::open(&path).unwrap();
    let mut states = vec![entries(&store).unwrap()];
    for _ in 0..rng.usize(2..8) {
        number += 1;
        commit(&store, rng, number);
        states.push(entries(&store).unwrap());
        if flushes && rng.u8(0..6) == 0 {
            flush(&store).unwrap();
        }
    }
    drop(store);
    let names = RealFiles.list(&path).unwrap();
    Store { files: names.into_iter().map(|name| (name.clone(), fs::read(path.join(name)).unwrap())).collect(), states }
}

/// `sst`, `blob`, `log`, or the name without its number.
fn kind_of(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((_, ending)) => ending,
        None => name.split('-').next().unwrap_or(name),
    }
}

impl Store {
    /// What a store with these files has, and where its last commit is among those that it should have.
    fn outcome(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<Option<usize>> {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let found = entries(&RocksStore::open(dir.path())?)?;
        Ok(self.states.iter().rposition(|state| *state == found))
    }

    /// Checks the outcome of a change to one file.
    fn check(&self, name: &str, changed: Option<Vec<u8>>, what: &str) -> bool {
        let mut files = self.files.clone();
        match changed {
            Some(bytes) => drop(files.insert(name.to_string(), bytes)),
            None => drop(files.remove(name)),
        }
        match self.outcome(&files) {
            Err(error) => {
                assert!(["XX001", "58030"].contains(&error.sqlstate().0), "{name} {what}: {error:?}");
                assert!(error.message().contains("checkpoint store \""), "{name} {what}: {error:?}");
                true
            }
            // The end of the log may be lost, see `options.rs`.
            Ok(Some(state)) if kind_of(name) == "log" || state == self.states.len() - 1 => false,
            Ok(found) => panic!("{name} {what}: wrong entries, of commit {found:?} of {}", self.states.len()),
        }
    }
}

fn for_each_run(run: impl Fn(&mut Rng)) {
    let runs = std::env::var("WEIR_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2);
    let mut rng = Rng::with_seed(seed());
    for _ in 0..runs {
        run(&mut rng);
    }
}

#[test]
fn a_byte_that_changes_is_found_or_does_not_matter() {
    for_each_run(|rng| {
        let store = make_store(rng, true);
        let mut found: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for (name, bytes) in store.files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            for _ in 0..6 {
                let at = rng.usize(0..bytes.len());
                // Often where the structure of a file is.
                let at = if rng.bool() { bytes.len() - 1 - at % bytes.len().min(100) } else { at };
                let mut changed = bytes.clone();
                changed[at] ^= if rng.bool() { 1 << rng.u8(0..8) } else { rng.u8(1..) };
                let what = format!("byte {at} of {}: {} is {}", bytes.len(), bytes[at], changed[at]);
                found.entry(kind_of(name)).or_default()[usize::from(store.check(name, Some(changed), &what))] += 1;
            }
        }
        println!("[passed over, refused]: {found:?}");
        for kind in ["sst", "blob", "log", "MANIFEST", "CURRENT", "GUARD"] {
            assert!(found.get(kind).is_some_and(|[_, refused]| *refused > 0), "{kind}: {found:?}");
        }
    });
}

#[test]
fn a_file_that_is_cut_or_gone_is_found_or_does_not_matter() {
    for_each_run(|rng| {
        let store = make_store(rng, true);
        let mut missed: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, bytes) in &store.files {
            *missed.entry(kind_of(name)).or_default() += usize::from(store.check(name, None, "is gone"));
            for _ in 0..3 {
                let len = rng.usize(0..bytes.len().max(1));
                store.check(name, Some(bytes[..len].to_vec()), &format!("cut to {len} of {}", bytes.len()));
            }
        }
        // What a file has may all have been deleted since.
        for kind in ["sst", "blob", "log", "MANIFEST", "CURRENT"] {
            assert!(missed.get(kind).is_some_and(|times| *times > 0), "{kind}: {missed:?}");
        }
    });
}

/// What decides on the recovery mode.
#[test]
fn of_a_cut_log_the_last_commit_is_gone_and_other_damage_is_refused() {
    for_each_run(|rng| {
        let store = make_store(rng, false);
        let (name, bytes) = store.files.iter().filter(|(name, _)| kind_of(name) == "log").max_by_key(|(_, bytes)| bytes.len()).unwrap();
        let with = |bytes: Vec<u8>| {
            let mut files = store.files.clone();
            files.insert(name.clone(), bytes);
            store.outcome(&files)
        };
        // A commit has a value of 9000 bytes, so this is in the middle of the last one.
        let cut = with(bytes[..bytes.len() - rng.usize(1..5000)].to_vec());
        assert_eq!(cut.unwrap(), Some(store.states.len() - 2));
        let mut changed = bytes.clone();
        let at = rng.usize(1000..8000);
        changed[at] ^= 1 << rng.u8(0..8);
        let error = with(changed).unwrap_err();
        assert_eq!(error.sqlstate(), DATA_CORRUPTED, "byte {at}: {error:?}");
    });
}

/// Sectors that were lost by the disk, or by a file system after a crash, read as zeros.
#[test]
fn a_sector_of_zeros_is_found_or_does_not_matter() {
    for_each_run(|rng| {
        let store = make_store(rng, true);
        for (name, bytes) in store.files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            for _ in 0..3 {
                let from = rng.usize(0..bytes.len()) / 512 * 512;
                let mut changed = bytes.clone();
                changed[from..].iter_mut().take(512).for_each(|byte| *byte = 0);
                store.check(name, Some(changed), &format!("zeros at {from} of {}", bytes.len()));
            }
        }
    });
}

//! Tests of the store: what its contract promises, held against the store in memory, and what it says when it cannot be opened.

use std::collections::BTreeMap;

use fastrand::Rng;
use weir_common::state_store::MemoryStore;

use super::*;
use crate::error::{DATA_CORRUPTED, DISK_FULL, OBJECT_IN_USE};

mod corruption; // bytes that change on disk
mod kill; // a process that commits is killed

type Entries = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// After any key that the tests make.
const END: &[u8] = &[0xff; 16];

fn seed() -> u64 {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    seed
}

fn told(error: &Error) -> String {
    format!("{} {}", error.sqlstate().0, error.message())
}

fn scanned(store: &dyn StateStore, space: Space, from: &[u8], to: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut entries = vec![];
    store.scan(space, from, to, &mut |key, value| {
        entries.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(entries)
}

/// Writes to files what is in memory and the log, and begins a new log.
fn flush(store: &RocksStore) -> Result<(), rocksdb::Error> {
    let families = Space::ALL.map(|space| store.0.family(space).unwrap());
    store.0.db.flush_cfs_opt(&families.each_ref().map(|family| *family), &rocksdb::FlushOptions::default())
}

fn entries(store: &dyn StateStore) -> Result<Entries> {
    let mut all = Entries::new();
    for space in Space::ALL {
        all.extend(scanned(store, space, b"", END)?.into_iter().map(|(key, value)| ((space, key), value)));
    }
    Ok(all)
}

/// Few enough keys that changes meet.
fn random_key(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..20) {
        0 => vec![],
        1 => (0..rng.usize(1..40)).map(|_| rng.u8(..0xff)).collect(),
        _ => [&rng.u64(0..4).to_be_bytes()[..], &[rng.u8(0..30)]].concat(),
    }
}

fn random_value(rng: &mut Rng, space: Space) -> Vec<u8> {
    let len = match space {
        Space::Runs => [rng.usize(0..100), rng.usize(3000..6000), rng.usize(10_000..200_000)][rng.usize(0..3)],
        _ => rng.usize(0..60),
    };
    // Half of it compresses.
    (0..len).map(|at| if at < len / 2 { rng.u8(..) } else { 7 }).collect()
}

fn random_changes(rng: &mut Rng, batches: &mut [Box<dyn StateBatch>]) {
    for _ in 0..rng.usize(0..60) {
        let space = Space::ALL[rng.usize(0..3)];
        let (key, to) = (random_key(rng), random_key(rng));
        match rng.u8(0..10) {
            0 => batches.iter_mut().for_each(|batch| batch.delete_range(space, &key, &to)),
            1 | 2 => batches.iter_mut().for_each(|batch| batch.delete(space, &key)),
            _ => {
                let value = random_value(rng, space);
                batches.iter_mut().for_each(|batch| batch.put(space, &key, &value));
            }
        }
    }
}

#[test]
fn it_does_what_the_store_in_memory_does() {
    let mut rng = Rng::with_seed(seed());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/state");
    let memory = MemoryStore::default();
    let mut disk = RocksStore::open(&path).unwrap();
    for round in 0..120 {
        let mut batches = [memory.begin(), disk.begin()];
        random_changes(&mut rng, &mut batches);
        let before = entries(&memory).unwrap();
        assert!(entries(&disk).unwrap() == before, "round {round}: a batch that is not committed shows");
        let [remembered, written] = batches;
        if rng.u8(0..8) > 0 {
            remembered.commit().unwrap();
            written.commit().unwrap();
        } else {
            drop((remembered, written));
        }
        if rng.u8(0..10) == 0 {
            drop(disk);
            disk = RocksStore::open(&path).unwrap();
        }
        assert!(entries(&disk).unwrap() == entries(&memory).unwrap(), "round {round}");
        for _ in 0..10 {
            let (space, from, to) = (Space::ALL[rng.usize(0..3)], random_key(&mut rng), random_key(&mut rng));
            assert!(scanned(&disk, space, &from, &to).unwrap() == scanned(&memory, space, &from, &to).unwrap(), "round {round}");
            assert!(disk.get(space, &from).unwrap() == memory.get(space, &from).unwrap(), "round {round}");
        }
    }
    assert!(entries(&disk).unwrap().len() > 20, "so that there was something to compare");
}

#[test]
fn of_two_changes_of_one_key_the_later_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let mut batch = store.begin();
    assert!(batch.bytes() < 100);
    for key in [b"a", b"b", b"c", b"d"] {
        batch.put(Space::State, key, b"old");
    }
    batch.commit().unwrap();
    let mut batch = store.begin();
    batch.delete_range(Space::State, b"a", b"c");
    batch.put(Space::State, b"b", b"new");
    batch.put(Space::State, b"c", b"new");
    batch.delete_range(Space::State, b"c", b"d");
    // Ranges without anything in them.
    batch.delete_range(Space::State, b"z", b"d");
    batch.delete_range(Space::State, b"d", b"d");
    assert!(batch.bytes() > 10);
    batch.commit().unwrap();
    let wanted = [(b"b".to_vec(), b"new".to_vec()), (b"d".to_vec(), b"old".to_vec())];
    assert_eq!(scanned(&store, Space::State, b"", END).unwrap(), wanted);
    drop(store);
    assert_eq!(scanned(&RocksStore::open(dir.path()).unwrap(), Space::State, b"", END).unwrap(), wanted);
}

#[test]
fn a_scan_shows_one_moment_and_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let put = |keys: &[&[u8]]| {
        let mut batch = store.begin();
        keys.iter().for_each(|key| batch.put(Space::State, key, b""));
        batch.commit().unwrap();
    };
    put(&[b"a", b"c", b"e"]);
    let mut seen = vec![];
    let scan = store.scan(Space::State, b"a", b"e", &mut |key, _| {
        put(&[b"b", b"d"]);
        seen.push(key.to_vec());
        Ok(())
    });
    scan.unwrap();
    assert_eq!(seen, [b"a", b"c"]);
    let ended = store.scan(Space::State, b"b", END, &mut |key, _| Err(Error::internal(format!("{}", key[0] as char))));
    assert_eq!(ended.unwrap_err().message(), "b");
}

#[test]
fn what_is_deleted_takes_no_room_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let mut rng = Rng::with_seed(1);
    for round in 0..20_u64 {
        let mut batch = store.begin();
        for piece in 0..8_u64 {
            let value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(250_000).collect();
            batch.put(Space::Runs, &[round.to_be_bytes(), piece.to_be_bytes()].concat(), &value);
        }
        batch.delete_range(Space::Runs, b"", &round.to_be_bytes());
        batch.commit().unwrap();
        flush(&store).unwrap();
    }
    store.0.db.wait_for_compact(&rocksdb::WaitForCompactOptions::default()).unwrap();
    assert_eq!(scanned(&store, Space::Runs, b"", END).unwrap().len(), 8);
    let bytes = store.disk_bytes();
    assert!((2_000_000..16_000_000).contains(&bytes), "of 40 MB the last 2 MB are needed: {bytes}");
}

#[test]
fn a_copy_has_what_was_committed_and_lives_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(&dir.path().join("state")).unwrap();
    let mut rng = Rng::with_seed(seed());
    for _ in 0..5 {
        let mut batches = [store.begin()];
        random_changes(&mut rng, &mut batches);
        let [mut batch] = batches;
        batch.put(Space::Runs, b"long", &[1; 100_000]);
        batch.commit().unwrap();
    }
    let wanted = entries(&store).unwrap();
    let to = dir.path().join("copy");
    store.copy_to(&to).unwrap();
    let error = store.copy_to(&to).unwrap_err();
    assert_eq!(told(&error), format!("58P02 directory \"{}\" already exists", to.display()));
    let nowhere = dir.path().join("no/copy");
    let error = store.copy_to(&nowhere).unwrap_err();
    let (from, nowhere) = (dir.path().join("state"), nowhere.display().to_string());
    let wanted_words = format!("58030 could not copy checkpoint store \"{}\" to \"{nowhere}\": No such file or directory", from.display());
    assert_eq!(told(&error), wanted_words);

    let mut batch = store.begin();
    batch.delete_range(Space::Runs, b"", END);
    batch.put(Space::Meta, b"later", b"");
    batch.commit().unwrap();
    let copy = RocksStore::open(&to).unwrap();
    assert!(entries(&copy).unwrap() == wanted);
    let mut batch = copy.begin();
    batch.delete_range(Space::State, b"", END);
    batch.commit().unwrap();
    drop(copy);
    let copy = RocksStore::open(&to).unwrap();
    assert!(entries(&copy).unwrap().keys().all(|(space, _)| *space != Space::State));
    assert!(store.get(Space::Meta, b"later").unwrap().is_some());
}

#[test]
fn it_is_opened_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let error = RocksStore::open(dir.path()).err().unwrap();
    assert_eq!(told(&error), format!("55006 checkpoint store \"{}\" is in use", dir.path().display()));
    // Whoever has a batch has it.
    let batch = store.begin();
    drop(store);
    assert_eq!(RocksStore::open(dir.path()).err().unwrap().sqlstate(), OBJECT_IN_USE);
    drop(batch);
    RocksStore::open(dir.path()).unwrap();
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = RocksStore::open(&file).err().unwrap();
    assert_eq!(told(&error), format!("42809 checkpoint store \"{}\" is not a directory", file.display()));
    let error = RocksStore::open(&file.join("state")).err().unwrap();
    assert!(["42809", "58030"].contains(&error.sqlstate().0), "{error}");
    let error = RocksStore::open(dir.path()).err().unwrap();
    assert_eq!(error.sqlstate(), DATA_CORRUPTED);
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

/// What an interrupted `make` left is no store, and is in nobody's way.
#[test]
fn a_store_that_was_half_made_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let half = dir.path().join("state.new");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("MANIFEST-000001"), "x").unwrap();
    let store = RocksStore::open(&dir.path().join("state/")).unwrap();
    assert!(entries(&store).unwrap().is_empty());
    assert_eq!(RealFiles.list(dir.path()).unwrap(), ["state"]);
}

/// Root may write everywhere, so this test runs itself once more without that privilege, if it has it.
#[test]
fn a_directory_that_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let name = "rocks_store::tests::a_directory_that_cannot_be_written_is_told";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(RocksStore::open(&path).unwrap());
    let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    let privileged = fs::write(path.join("x"), "").is_ok();
    if privileged {
        let all_but = "-dac_override,-dac_read_search";
        let alone = crate::files::tests::alone();
        let mut again = std::process::Command::new("setpriv");
        again.args([&format!("--bounding-set={all_but}"), &format!("--inh-caps={all_but}")]).arg(std::env::current_exe().unwrap());
        let again = again.args(["--exact", name]).env("WEIR_UNPRIVILEGED", "1").output();
        drop(alone);
        let again = again.expect("setpriv is in util-linux, which every Linux has");
        assert!(std::env::var_os("WEIR_UNPRIVILEGED").is_none(), "the privilege is still there");
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
        return;
    }
    let error = RocksStore::open(&path).err().unwrap();
    allow(0o755);
    assert_eq!(told(&error), format!("42501 could not open checkpoint store \"{}\": Permission denied", path.display()));
    assert!(error.hint().is_some());
    RocksStore::open(&path).unwrap();
}

#[test]
fn a_full_disk_is_told_and_nothing_is_taken_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path()).unwrap();
    let commit = |key: &[u8]| {
        let mut batch = store.begin();
        batch.put(Space::State, key, &[1; 1000]);
        batch.commit()
    };
    commit(b"a").unwrap();
    // The next log will be a file that is full.
    let last = RealFiles.list(dir.path()).unwrap().iter().filter_map(|name| name.get(..6)?.parse::<u32>().ok()).max().unwrap();
    for number in last + 1..last + 40 {
        std::os::unix::fs::symlink("/dev/full", dir.path().join(format!("{number:06}.log"))).unwrap();
    }
    let _ = flush(&store);
    let error = commit(b"b").unwrap_err();
    assert_eq!(error.sqlstate(), DISK_FULL, "{error}");
    let wanted = format!("could not write to checkpoint store \"{}\": No space left on device", dir.path().display());
    assert_eq!(error.message(), wanted);
    assert_eq!(error.hint(), Some("Check free disk space."));
    let error = commit(b"c").unwrap_err();
    assert!(error.message().ends_with("takes nothing more after an error of writing"), "{error}");
    assert_eq!(store.get(Space::State, b"a").unwrap().map(|value| value.len()), Some(1000), "reading goes on");
}

#[test]
fn damage_is_told_with_the_code_of_postgres_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    drop(RocksStore::open(&path).unwrap());
    let names = RealFiles.list(&path).unwrap();
    let manifest = path.join(names.iter().find(|name| name.starts_with("MANIFEST-")).unwrap());
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, &bytes[..bytes.len() - 1]).unwrap();
    let error = RocksStore::open(&path).err().unwrap();
    assert_eq!(told(&error), format!("XX001 checkpoint store \"{}\" is damaged: MANIFEST is not as it was written", path.display()));
    fs::write(&manifest, &bytes).unwrap();
    drop(RocksStore::open(&path).unwrap());
    fs::remove_file(path.join("CURRENT")).unwrap();
    let error = RocksStore::open(&path).err().unwrap();
    assert!(told(&error).starts_with(&format!("XX001 checkpoint store \"{}\" is damaged: ", path.display())), "{error}");
    assert_eq!(error.hint(), Some("Restore a backup."));
}

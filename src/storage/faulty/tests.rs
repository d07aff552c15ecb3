//! Tests of the faulty disk: it loses what may be lost, and nothing else.

use std::collections::BTreeSet;

use super::*;

const FILE: &str = "/file";

fn path() -> &'static Path {
    Path::new(FILE)
}

/// A disk with a synced file of these bytes.
fn disk_with(seed: u64, bytes: &[u8]) -> (FaultyFiles, Box<dyn WriteFile>) {
    let files = FaultyFiles::new(seed);
    let mut file = files.create(path()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    (files, file)
}

#[test]
fn what_was_synced_survives_and_what_was_not_does_so_at_random() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..300 {
        let (files, mut file) = disk_with(seed, &[1; 700]);
        file.write_all_at(&[2; 2000], 700).unwrap();
        files.crash();
        let bytes = files.read(path()).unwrap();
        assert_eq!(bytes[..700], [1; 700], "seed {seed}");
        assert!(bytes.len() <= 2700);
        // Each sector is new, or was never written.
        for sector in bytes[700..].chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == 0 || *byte == 2), "seed {seed}");
        }
        outcomes.insert((bytes.len(), bytes.get(700).copied(), bytes.get(2047).copied(), bytes.get(2600).copied()));
        assert!(file.write_all_at(b"x", 0).is_err(), "opened before the crash");
    }
    assert!(outcomes.iter().any(|outcome| outcome.0 == 700), "all lost");
    assert!(outcomes.contains(&(2700, Some(2), Some(2), Some(2))), "all kept");
    assert!(outcomes.iter().any(|outcome| outcome.1 == Some(0) && outcome.3 == Some(2)), "out of order");
    assert!(outcomes.iter().any(|outcome| outcome.0 > 700 && outcome.0 < 2700 && outcome.1 == Some(2)), "torn");
}

const SECTOR: usize = 512;

#[test]
fn names_survive_only_a_sync_of_their_directory() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let (files, _) = disk_with(seed, b"old");
        let mut other = files.create(Path::new("/other")).unwrap();
        other.write_all_at(b"new", 0).unwrap();
        other.sync_data().unwrap();
        files.rename(Path::new("/other"), path()).unwrap();
        assert_eq!(files.read(path()).unwrap(), b"new");
        files.crash();
        // The rename is whole: the name is never gone.
        let bytes = files.read(path()).unwrap();
        assert!(bytes == b"old" || bytes == b"new");
        seen.insert((bytes, files.list(Path::new("/")).unwrap().len()));
    }
    assert_eq!(seen.len(), 3, "{seen:?}");

    let (files, _) = disk_with(0, b"old");
    files.remove(path()).unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    files.crash();
    assert!(files.list(Path::new("/")).unwrap().is_empty());
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_and_saves_nothing() {
    let mut lost = 0;
    for seed in 0..50 {
        let (files, mut file) = disk_with(seed, &[1; SECTOR]);
        file.write_all_at(&[2; SECTOR], SECTOR as u64).unwrap();
        files.fail(Some(Operation::Sync), 1, Fault::Io);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        files.kill();
        assert_eq!(files.read(path()).unwrap().len(), 2 * SECTOR, "readers still see it");
        files.crash();
        lost += usize::from(files.read(path()).unwrap().get(SECTOR) != Some(&2));
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn faults_come_when_they_were_planned() {
    let (files, mut file) = disk_with(1, b"");
    files.fail(Some(Operation::Write), 2, Fault::NoSpace);
    file.write_all_at(b"a", 0).unwrap();
    assert_eq!(file.write_all_at(b"b", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_all_at(b"c", 1).unwrap();
    assert_eq!(files.read(path()).unwrap(), b"ac");
    files.fail_from(None, 1, Fault::ReadOnly);
    for _ in 0..3 {
        assert_eq!(file.sync_data().unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    }
    files.heal();
    file.sync_data().unwrap();
    files.fail(Some(Operation::Write), 1, Fault::ShortWrite);
    assert_eq!(file.write_all_at(&[7; 1000], 2).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(files.read(path()).unwrap().len() <= 1002);
    assert_eq!(files.count(Operation::Write), 5);
}

#[test]
fn a_lock_goes_with_its_process() {
    let files = FaultyFiles::new(1);
    let first = files.lock(path()).unwrap();
    assert!(matches!(files.lock(path()).unwrap(), Lock::Taken(_)));
    files.kill();
    let second = files.lock(path()).unwrap();
    assert!(matches!(second, Lock::Held(_)));
    drop(first);
    assert!(matches!(files.lock(path()).unwrap(), Lock::Taken(_)), "the old holder gives nothing away");
}

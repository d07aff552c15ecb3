//! Tests of the real files.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;

/// For tests with locks on real files: a process that another test starts holds our open files, locks included, until it has become
/// what it shall run.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_file_is_written_in_places_cut_renamed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let mut file = RealFiles.create(&a).unwrap();
    file.write_all_at(b"hello world", 0).unwrap();
    file.write_all_at(b"W", 6).unwrap();
    file.truncate(8).unwrap();
    file.sync_data().unwrap();
    RealFiles.sync_dir(dir.path()).unwrap();
    assert_eq!(RealFiles.create(&a).err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
    RealFiles.rename(&a, &b).unwrap();
    assert_eq!(RealFiles.list(dir.path()).unwrap(), ["b"]);
    assert_eq!(RealFiles.read(&b).unwrap(), b"hello Wo");
    assert_eq!(RealFiles.kind(&a).unwrap(), None);
    assert_eq!(RealFiles.kind(&b).unwrap(), Some(Kind::File));
    assert_eq!(RealFiles.kind(dir.path()).unwrap(), Some(Kind::Directory));
    let past = RealFiles.open_read(&b).unwrap().read_exact_at(&mut [0; 4], 6);
    assert_eq!(past.err().map(|error| error.kind()), Some(io::ErrorKind::UnexpectedEof));
    RealFiles.open_write(&b).unwrap().write_all_at(b"!", 8).unwrap();
    assert_eq!(RealFiles.read(&b).unwrap(), b"hello Wo!");
    RealFiles.remove(&b).unwrap();
    assert_eq!(RealFiles.list(dir.path()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_lock_is_held_until_it_is_dropped_and_names_its_process() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let held = RealFiles.lock(&path).unwrap();
    assert!(matches!(held, Lock::Held(_)));
    assert!(matches!(RealFiles.lock(&path).unwrap(), Lock::Taken(Some(process)) if process == std::process::id()));
    drop(held);
    assert!(matches!(RealFiles.lock(&path).unwrap(), Lock::Held(_)));
}

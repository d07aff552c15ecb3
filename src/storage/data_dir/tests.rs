//! Tests of the data directory: who may open it, what is refused, and what a crash leaves.

use super::*;
use crate::faulty::{Fault, FaultyFiles, Operation};
use crate::files::RealFiles;

const DIR: &str = "/var/weir";

fn open(files: &FaultyFiles) -> Result<DataDir> {
    DataDir::open(Arc::new(files.process()), Path::new(DIR))
}

fn put(files: &FaultyFiles, path: &str, bytes: &[u8]) {
    let mut file = files.create(Path::new(path)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

fn told(error: &Error) -> String {
    format!("{} {}", error.sqlstate().0, error.message())
}

#[test]
fn a_directory_is_made_with_all_above_it_and_opened_again() {
    let _alone = crate::files::tests::alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let data = DataDir::open(Arc::new(RealFiles), &path).unwrap();
    assert_eq!(std::fs::read_to_string(path.join("FORMAT")).unwrap(), "Weir data directory\nformat 2\n");
    let log = data.subdirectory("log").unwrap();
    assert!(log.is_dir());
    drop(data);
    let data = DataDir::open(Arc::new(RealFiles), &path).unwrap();
    assert_eq!(data.subdirectory("log").unwrap(), log);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 3, "FORMAT, LOCK, log");
}

#[test]
fn one_process_at_a_time_has_it() {
    let _alone = crate::files::tests::alone();
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(Arc::new(RealFiles), dir.path()).unwrap();
    let error = DataDir::open(Arc::new(RealFiles), dir.path()).err().unwrap();
    assert_eq!(told(&error), format!("55006 data directory \"{}\" is in use by another process", dir.path().display()));
    assert!(error.detail().is_some_and(|detail| detail.starts_with(&format!("Process {} ", std::process::id()))), "{error}");
    drop(data);
    DataDir::open(Arc::new(RealFiles), dir.path()).unwrap();
}

#[test]
fn a_killed_process_leaves_no_lock() {
    let files = FaultyFiles::new(1);
    let data = open(&files).unwrap();
    assert_eq!(open(&files).err().unwrap().sqlstate(), OBJECT_IN_USE);
    files.kill();
    open(&files).unwrap();
    drop(data);
}

/// A lock of another process, which is killed, on the real files.
#[test]
fn the_system_takes_the_lock_of_a_killed_process_back() {
    let _alone = crate::files::tests::alone();
    let dir = tempfile::tempdir().unwrap();
    drop(DataDir::open(Arc::new(RealFiles), dir.path()).unwrap());
    let lock = dir.path().join("LOCK");
    // The shell takes the lock, says so, and becomes a program that waits to be killed.
    let mut other = std::process::Command::new("sh")
        .args(["-c", "exec 9<>\"$0\"; flock --exclusive 9; echo held; exec cat"])
        .arg(&lock)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut said).expect("flock is in util-linux, which every Linux has");
    assert_eq!(&said, b"held\n");
    assert_eq!(DataDir::open(Arc::new(RealFiles), dir.path()).err().unwrap().sqlstate(), OBJECT_IN_USE);
    other.kill().unwrap();
    other.wait().unwrap();
    DataDir::open(Arc::new(RealFiles), dir.path()).unwrap();
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let files = FaultyFiles::new(1);
    files.create_dir(Path::new("/var")).unwrap();
    files.create_dir(Path::new(DIR)).unwrap();
    put(&files, "/var/weir/PG_VERSION", b"15\n");
    let error = open(&files).err().unwrap();
    assert_eq!(told(&error), "55000 directory \"/var/weir\" is not empty, and is not a data directory of Weir");
    assert_eq!(error.detail(), Some("It holds \"PG_VERSION\", and no file FORMAT."));
    assert_eq!(files.list(Path::new(DIR)).unwrap(), ["PG_VERSION"]);

    let error = DataDir::open(Arc::new(files), Path::new("/var/weir/PG_VERSION")).err().unwrap();
    assert_eq!(told(&error), "42809 data directory \"/var/weir/PG_VERSION\" is not a directory");
}

#[test]
fn a_fresh_mount_is_empty_enough() {
    let files = FaultyFiles::new(1);
    files.create_dir(Path::new("/var")).unwrap();
    files.create_dir(Path::new(DIR)).unwrap();
    files.create_dir(Path::new("/var/weir/lost+found")).unwrap();
    open(&files).unwrap();
}

#[test]
fn other_formats_are_refused_with_a_sentence() {
    for (text, wanted) in [
        ("Weir data directory\nformat 1\n", None),
        ("Weir data directory\nformat 2\nmore\n", None),
        (
            "Weir data directory\nformat 3\nmore\n",
            Some("55000 data directory \"/var/weir\" has format 3, and this version of Weir knows format 2"),
        ),
        ("Weir data directory\nformat 0\n", Some("XX001 file \"/var/weir/FORMAT\" is damaged")),
        ("Weir data directory\nformat x\n", Some("XX001 file \"/var/weir/FORMAT\" is damaged")),
        ("Weir dataxdirectory\nformat 1\n", Some("XX001 file \"/var/weir/FORMAT\" is damaged")),
        ("", Some("XX001 file \"/var/weir/FORMAT\" is damaged")),
    ] {
        let files = FaultyFiles::new(1);
        files.create_dir(Path::new("/var")).unwrap();
        files.create_dir(Path::new(DIR)).unwrap();
        put(&files, "/var/weir/FORMAT", text.as_bytes());
        assert_eq!(open(&files).err().map(|error| told(&error)).as_deref(), wanted, "{text:?}");
    }
}

/// A directory as version 1 left it.
fn of_format_1(seed: u64) -> FaultyFiles {
    let files = FaultyFiles::new(seed);
    drop(open(&files).unwrap().subdirectory("log").unwrap());
    files.kill();
    let mut file = files.open_write(Path::new("/var/weir/FORMAT")).unwrap();
    file.write_all_at(b"Weir data directory\nformat 1\n", 0).unwrap();
    file.sync_data().unwrap();
    files
}

fn format_of(files: &FaultyFiles) -> String {
    String::from_utf8(files.read(Path::new("/var/weir/FORMAT")).unwrap()).unwrap()
}

/// Opens a directory and gives it this version's format; the format that it had.
fn upgrade(files: &FaultyFiles) -> Result<Option<u32>> {
    let mut data = open(files)?;
    let before = data.older_format();
    data.upgrade()?;
    assert_eq!(data.older_format(), None);
    Ok(before)
}

#[test]
fn a_directory_of_an_older_format_is_upgraded_once() {
    let files = of_format_1(1);
    // Whoever opens it looks at it first; until then it is what it was.
    assert_eq!(open(&files).unwrap().older_format(), Some(1));
    files.crash();
    assert_eq!(format_of(&files), "Weir data directory\nformat 1\n");
    assert_eq!(upgrade(&files).unwrap(), Some(1));
    // It is durable at once.
    files.crash();
    assert_eq!(format_of(&files), "Weir data directory\nformat 2\n");
    assert_eq!(upgrade(&files).unwrap(), None);
    assert_eq!(files.list(Path::new(DIR)).unwrap(), ["FORMAT", "LOCK", "log"]);
    // A new one is not upgraded from anything.
    assert_eq!(upgrade(&FaultyFiles::new(1)).unwrap(), None);
}

/// Opens a directory that `make` makes from a seed while one operation of so many fails, which must be told; then a crash or a
/// kill, and it can be opened. `check` gets the files, what FORMAT said before that, if it was there, the directory, and when it was.
fn despite_faults<T>(
    operations: u64,
    make: impl Fn(u64) -> FaultyFiles,
    open: impl Fn(&FaultyFiles) -> Result<T>,
    mut check: impl FnMut(&FaultyFiles, Option<&str>, T, &str),
) {
    for nth in 1..=operations {
        for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
            for seed in 0..20 {
                let when = format!("{fault:?} at {nth}, seed {seed}");
                let files = make(seed);
                files.fail(None, nth, fault);
                assert!(open(&files).is_err(), "{when}");
                if seed % 2 == 0 {
                    files.crash()
                } else {
                    files.kill()
                }
                let left = files.read(Path::new("/var/weir/FORMAT")).ok().map(|bytes| String::from_utf8(bytes).unwrap());
                let data = open(&files).unwrap_or_else(|error| panic!("{when}: {error}"));
                check(&files, left.as_deref(), data, &when);
            }
        }
    }
}

#[test]
fn whatever_happens_while_it_is_upgraded_it_can_be_opened_afterwards() {
    let files = of_format_1(1);
    let before = files.changes();
    upgrade(&files).unwrap();
    let operations = files.changes() - before;
    assert!(operations >= 5, "a lock, a file, its bytes, their sync, its name: {operations}");
    let mut seen = [0; 2];
    despite_faults(operations, of_format_1, upgrade, |files, left, before, when| {
        match before {
            Some(1) => assert_eq!(left, Some("Weir data directory\nformat 1\n")),
            None => assert_eq!(left, Some("Weir data directory\nformat 2\n")),
            other => panic!("{other:?}"),
        }
        seen[usize::from(before.is_none())] += 1;
        files.crash();
        assert_eq!(format_of(files), "Weir data directory\nformat 2\n", "{when}");
    });
    assert!(seen.iter().all(|times| *times > 0), "both sides of the rename: {seen:?}");
}

#[test]
fn a_disk_that_is_full_or_read_only_is_told() {
    let words = |operation: Option<Operation>, fault: Fault| {
        let files = FaultyFiles::new(1);
        files.fail_from(operation, 1, fault);
        let error = open(&files).err().unwrap();
        assert!(error.hint().is_some(), "{error}");
        told(&error)
    };
    assert_eq!(words(None, Fault::ReadOnly), "42501 could not create directory \"/var\": Read-only file system");
    assert_eq!(words(Some(Operation::Lock), Fault::Denied), "42501 could not lock file \"/var/weir/LOCK\": Permission denied");
    assert_eq!(
        words(Some(Operation::Write), Fault::ShortWrite),
        "53100 could not write to file \"/var/weir/FORMAT.tmp\": No space left on device"
    );
}

#[test]
fn whatever_happens_while_it_is_made_it_can_be_opened_afterwards() {
    let files = FaultyFiles::new(1);
    open(&files).unwrap();
    let operations = files.changes();
    despite_faults(operations, FaultyFiles::new, open, |files, _, data, when| {
        let log = data.subdirectory("log").unwrap();
        // Once it is open, it is there for good.
        files.crash();
        assert_eq!(files.kind(&log).unwrap(), Some(Kind::Directory), "{when}");
        open(files).unwrap();
    });
}

#[test]
fn what_was_made_is_there_after_a_crash() {
    for seed in 0..40 {
        let files = FaultyFiles::new(seed);
        open(&files).unwrap();
        files.crash();
        assert!(files.list(Path::new(DIR)).unwrap().contains(&FORMAT.to_string()), "seed {seed}");
        let data = open(&files).unwrap();
        // It is made, and its name is not synced: the next one who asks for it must not believe that it is.
        files.fail(Some(Operation::SyncDir), 1, Fault::Io);
        assert_eq!(data.subdirectory("log").err().map(|error| error.sqlstate()), Some(SqlState::IO_ERROR));
        files.fail(Some(Operation::CreateDir), 1, Fault::Io);
        let log = data.subdirectory("log").unwrap();
        files.crash();
        assert_eq!(files.kind(&log).unwrap(), Some(Kind::Directory), "seed {seed}");
    }
}

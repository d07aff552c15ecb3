//! A disk that can be told to fail, under a server: the library of `shim.c`, and what it counts.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::undo;
use crate::server::Server;

/// Part of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Log = 1,
    State = 2,
}

/// What goes wrong, at a write or a sync that is counted from when this is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From that write on all fail: no space is left.
    Full = 1,
    /// Half of that write is done, and all that follow fail.
    HalfThenFull = 2,
    /// From that write on, each writes half of what it was given and returns that, as it may.
    Short = 3,
    /// That sync fails, and what was written before it stays unsafe.
    SyncFails = 4,
    /// From that sync on none does anything, and each says that it did: for tests of this disk itself.
    SyncLies = 5,
}

/// What was done so far in `[log, state]`.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub syncs: [i64; 2],
    /// Writes and syncs that failed or were cut, in both.
    pub faults: i64,
}

/// The disk of one server.
pub struct Disk {
    dir: TempDir,
    control: File,
}

// Numbers in `control`, each of 8 bytes: as `struct control` has them.
const WHERE: u64 = 0;
const KIND: u64 = 1;
const LEFT: u64 = 2;
const REMEMBER: u64 = 3;
const SYNCS: u64 = 6;
const FAULTS: u64 = 8;
const NUMBERS: usize = 9;

impl Disk {
    /// Puts one under a server, which is started later; `None`, with a sentence, where there is no C compiler.
    pub fn under(server: &mut Server) -> Option<Disk> {
        if Command::new("cc").arg("--version").output().is_err() {
            eprintln!("skipped: there is no C compiler called cc (Debian package gcc)");
            return None;
        }
        let beside = server.data().parent().unwrap().parent().unwrap().to_path_buf();
        let dir = tempfile::Builder::new().prefix("weir-faults-").tempdir_in(beside).unwrap();
        let library = dir.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).args(["-ldl", "-lpthread"]);
        let compiled = compiler.output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        fs::create_dir(dir.path().join("kept")).unwrap();
        fs::write(dir.path().join("control"), [0; 8 * NUMBERS]).unwrap();
        let control = File::options().read(true).write(true).open(dir.path().join("control")).unwrap();
        let environment = [("LD_PRELOAD", library), ("WEIR_FAULTS", dir.path().to_path_buf()), ("WEIR_FAULTS_DATA", server.data())];
        server.setup.environment.extend(environment.map(|(name, path)| (name, path.into_os_string())));
        Some(Disk { dir, control })
    }

    /// From now on something goes wrong at the write or sync of this number, the first being 1.
    pub fn fail(&self, part: Part, fault: Fault, at: i64) {
        self.heal();
        self.set(WHERE, part as i64);
        self.set(LEFT, at);
        self.set(FAULTS, 0);
        self.set(KIND, fault as i64);
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        self.set(KIND, 0);
    }

    /// From the next start on, [`Disk::forget`] can be called.
    pub fn remember(&self) {
        self.set(REMEMBER, 1);
    }

    /// What was done so far, by all servers that were over this disk; faults since the last [`Disk::fail`].
    pub fn counts(&self) -> Counts {
        Counts { syncs: [self.get(SYNCS), self.get(SYNCS + 1)], faults: self.get(FAULTS) }
    }

    /// What a power cut does, once the server was killed: what was not synced is gone, all of it or, where there is `random`, any
    /// end of it. How many writes and names that were.
    pub fn forget(&self, data: &Path, random: Option<&mut fastrand::Rng>) -> usize {
        let undone = undo::undo(&self.journal(), &self.kept(), data, random);
        self.forget_nothing();
        undone
    }

    /// What a restart of the machine in good order does: all that was written is there.
    pub fn forget_nothing(&self) {
        match fs::remove_file(self.journal()) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        fs::remove_dir_all(self.kept()).unwrap();
        fs::create_dir(self.kept()).unwrap();
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn kept(&self) -> PathBuf {
        self.dir.path().join("kept")
    }

    fn set(&self, number: u64, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), 8 * number).unwrap();
    }

    fn get(&self, number: u64) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, 8 * number).unwrap();
        i64::from_ne_bytes(bytes)
    }
}

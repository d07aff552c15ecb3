//! The data directory: where a server keeps everything, which one server at a time owns, and which says what format it has.
//!
//! `DIR/FORMAT` is two lines of text, the last thing that is written when the directory is made, so a directory that has it is
//! complete. `DIR/LOCK` is locked (flock) while a server runs; the system takes the lock back however the server ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState};

use crate::error::{DATA_CORRUPTED, INSUFFICIENT_PRIVILEGE, OBJECT_IN_USE, file_error};
use crate::files::{Files, Kind, Lock};

/// The format that this version writes. Older ones that it knows become this one when they have been opened.
///
/// - 1: the epoch log in `log/`.
/// - 2: beside it the store of checkpoints in `state/`, which may be missing.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest format that this version knows.
const OLDEST_FORMAT: u32 = 1;

const FORMAT: &str = "FORMAT";
const FORMAT_TEMPORARY: &str = "FORMAT.tmp";
pub(crate) const LOCK: &str = "LOCK";
/// What file systems put into the directory that they are mounted on.
const LOST_AND_FOUND: &str = "lost+found";
const FORMAT_TITLE: &str = "Weir data directory";

/// A data directory that this process owns until it is dropped.
pub struct DataDir {
    files: Arc<dyn Files>,
    path: PathBuf,
    format: u32,
    _lock: Box<dyn Send + Sync>,
}

impl DataDir {
    /// Opens the directory, made if it is missing or empty. One of an older format keeps it until [`DataDir::upgrade`]. Refused are a
    /// directory that another process has open, one that holds anything else, and one of a format that is not known.
    pub fn open(files: Arc<dyn Files>, path: &Path) -> Result<Self> {
        make(&*files, path)?;
        // Before the lock is made: nothing is put into a directory of somebody else.
        let names = list(&*files, path)?;
        if !names.iter().any(|name| name == FORMAT) {
            refuse_strangers(path, &names)?;
        }
        let lock = lock(&*files, path)?;
        // Somebody may have been faster.
        let names = list(&*files, path)?;
        let found = match names.iter().any(|name| name == FORMAT) {
            true => Some(read_format(&*files, path)?),
            false => {
                refuse_strangers(path, &names)?;
                None
            }
        };
        if found.is_none() {
            write_format(&*files, path, &names)?;
        }
        // The one who wrote it may have ended before this.
        sync_dir(&*files, path)?;
        Ok(DataDir { files, path: path.to_path_buf(), format: found.unwrap_or(FORMAT_VERSION), _lock: lock })
    }

    /// Gives a directory of an older format this version's, and older versions refuse it from then on. Whoever calls it has
    /// found everything in it to be as that format has it, and puts nothing of this version's into it before.
    pub fn upgrade(&mut self) -> Result<()> {
        if self.format < FORMAT_VERSION {
            write_format(&*self.files, &self.path, &list(&*self.files, &self.path)?)?;
            sync_dir(&*self.files, &self.path)?;
            self.format = FORMAT_VERSION;
        }
        Ok(())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format that it has, if it is an older one.
    pub fn older_format(&self) -> Option<u32> {
        Some(self.format).filter(|format| *format < FORMAT_VERSION)
    }

    /// What its files are reached through.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// A directory inside it, made if it is missing.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        make(&*self.files, &path)?;
        // Also if it is there: who made it may have ended before this.
        sync_dir(&*self.files, &self.path)?;
        Ok(path)
    }
}

/// Makes a directory and those above it, as far as they are missing, so that they survive a crash.
pub(crate) fn make(files: &dyn Files, path: &Path) -> Result<()> {
    match files.kind(path).map_err(|error| file_error("access directory", path, &error))? {
        Some(Kind::Directory) => Ok(()),
        Some(Kind::File) => {
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("data directory \"{}\" is not a directory", path.display())))
        }
        None => {
            let above = above(path);
            make(files, above)?;
            files.create_dir(path).map_err(|error| file_error("create directory", path, &error))?;
            sync_dir(files, above)
        }
    }
}

/// The directory that a path is in.
pub(crate) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        // The root, and where a relative path begins, are in themselves.
        _ if path.is_absolute() => path,
        _ => Path::new("."),
    }
}

fn list(files: &dyn Files, path: &Path) -> Result<Vec<String>> {
    files.list(path).map_err(|error| file_error("open directory", path, &error))
}

pub(crate) fn sync_dir(files: &dyn Files, path: &Path) -> Result<()> {
    files.sync_dir(path).map_err(|error| file_error("fsync directory", path, &error))
}

fn lock(files: &dyn Files, dir: &Path) -> Result<Box<dyn Send + Sync>> {
    let path = dir.join(LOCK);
    match files.lock(&path).map_err(|error| file_error("lock file", &path, &error))? {
        Lock::Held(lock) => Ok(lock),
        Lock::Taken(process) => {
            let error = Error::new(OBJECT_IN_USE, format!("data directory \"{}\" is in use by another process", dir.display()))
                .with_hint("Stop the other server, or start this one with another directory.");
            Err(match process {
                Some(process) => error.with_detail(format!("Process {process} has locked \"{}\".", path.display())),
                None => error,
            })
        }
    }
}

/// A directory without FORMAT must have nothing in it but what an interrupted start leaves behind.
fn refuse_strangers(dir: &Path, names: &[String]) -> Result<()> {
    let ours = [LOCK, FORMAT_TEMPORARY, LOST_AND_FOUND];
    match names.iter().find(|name| !ours.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("directory \"{}\" is not empty, and is not a data directory of Weir", dir.display()),
        )
        .with_detail(format!("It holds \"{name}\", and no file {FORMAT}."))
        .with_hint("Use an empty directory, or one that Weir made.")),
    }
}

/// Gives the directory this version's format: the file is replaced whole or not at all, and the caller syncs its name.
fn write_format(files: &dyn Files, dir: &Path, names: &[String]) -> Result<()> {
    // Who made the directory, or one above it, may have ended before these. One that cannot be read is none that we have made.
    let mut below = dir;
    while above(below) != below {
        below = above(below);
        match sync_dir(files, below) {
            Err(error) if error.sqlstate() != INSUFFICIENT_PRIVILEGE => return Err(error),
            _ => {}
        }
    }
    let (temporary, path) = (dir.join(FORMAT_TEMPORARY), dir.join(FORMAT));
    if names.iter().any(|name| name == FORMAT_TEMPORARY) {
        files.remove(&temporary).map_err(|error| file_error("remove file", &temporary, &error))?;
    }
    let text = format!("{FORMAT_TITLE}\nformat {FORMAT_VERSION}\n");
    let mut file = files.create(&temporary).map_err(|error| file_error("create file", &temporary, &error))?;
    file.write_all_at(text.as_bytes(), 0).map_err(|error| file_error("write to file", &temporary, &error))?;
    file.sync_data().map_err(|error| file_error("fsync file", &temporary, &error))?;
    files.rename(&temporary, &path).map_err(|error| file_error("rename file", &temporary, &error))
}

/// The format that the directory has; an error if it is none that this version knows.
fn read_format(files: &dyn Files, dir: &Path) -> Result<u32> {
    let path = dir.join(FORMAT);
    let bytes = files.read(&path).map_err(|error| file_error("read file", &path, &error))?;
    match version(&bytes) {
        Some(known @ OLDEST_FORMAT..=FORMAT_VERSION) => Ok(known),
        Some(newer) if newer > FORMAT_VERSION => Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("data directory \"{}\" has format {newer}, and this version of Weir knows format {FORMAT_VERSION}", dir.display()),
        )
        .with_hint("Use the version of Weir that wrote it, or a newer one.")),
        _ => Err(Error::new(DATA_CORRUPTED, format!("file \"{}\" is damaged", path.display()))
            .with_detail(format!("Expected \"{FORMAT_TITLE}\" and \"format {FORMAT_VERSION}\", each on a line."))
            .with_hint("Restore a backup.")),
    }
}

/// The number that a FORMAT file tells. What newer versions add below it does not matter here.
fn version(bytes: &[u8]) -> Option<u32> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != FORMAT_TITLE {
        return None;
    }
    lines.next()?.strip_prefix("format ")?.parse().ok()
}

#[cfg(test)]
mod tests;

//! Copies of directories that survive a crash: whole under their name, or not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use weir_common::error::{Error, Result};

use crate::data_dir::{LOCK, above, sync_dir};
use crate::error::{DUPLICATE_FILE, file_error};
use crate::files::RealFiles;

/// A directory that is being made, and gets its name when it is complete.
pub struct Unfinished {
    path: PathBuf,
    wanted: PathBuf,
}

impl Unfinished {
    /// Begins a directory; nothing else may have its name, or the one that it has until it is complete, with `.partial` behind it.
    pub fn begin(wanted: &Path) -> Result<Self> {
        let mut path = wanted.as_os_str().to_os_string();
        path.push(".partial");
        let path = PathBuf::from(path);
        for there in [wanted, &path] {
            if is_there(there)? {
                let error = Error::new(DUPLICATE_FILE, format!("directory \"{}\" already exists", there.display()));
                return Err(error.with_hint(if there == wanted {
                    "Choose another one."
                } else {
                    "It is what is left of an attempt that did not end; remove it."
                }));
            }
        }
        Ok(Unfinished { path, wanted: wanted.to_path_buf() })
    }

    /// Where it is made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is complete: it gets its name.
    pub fn finish(self) -> Result<()> {
        sync_dir(&RealFiles, &self.path)?;
        fs::rename(&self.path, &self.wanted).map_err(|error| file_error("rename directory", &self.path, &error))?;
        sync_dir(&RealFiles, above(&self.wanted))
    }
}

/// Copies all files of a directory, and of those in it, into a new one, without the lock; what was copied is synced.
pub fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| file_error("create directory", to, &error))?;
    let failed = |error: io::Error| file_error("open directory", from, &error);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(failed)?.is_dir() {
            copy_directory(&path, &target)?;
        } else if entry.file_name() != LOCK {
            fs::copy(&path, &target).map_err(|error| file_error("copy file", &path, &error))?;
            let synced = fs::File::open(&target).and_then(|file| file.sync_all());
            synced.map_err(|error| file_error("fsync file", &target, &error))?;
        }
    }
    sync_dir(&RealFiles, to)
}

/// Whether there is anything of this name besides an empty directory.
pub fn is_there(path: &Path) -> Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(true),
        Err(error) => Err(file_error("open directory", path, &error)),
    }
}

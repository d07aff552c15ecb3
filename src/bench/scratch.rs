//! A temporary directory, removed when it is not needed any more.

use std::path::{Path, PathBuf};

use weir_common::error::{Error, Result, SqlState};

/// A directory for one measurement; it goes with it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one below the system's directory for temporary files (`TMPDIR`).
    pub fn make() -> Result<Scratch> {
        for number in 0.. {
            let path = std::env::temp_dir().join(format!("weir-bench-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch(path)),
                // Somebody with the same number has left it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::new(SqlState::IO_ERROR, format!("could not make \"{}\": {error}", path.display()))),
            }
        }
        Err(Error::internal("there are more temporary directories than numbers"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left there does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

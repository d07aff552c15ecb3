//! Backups: a directory that a server could be started on, made while another one runs; and back.

use std::path::Path;
use std::sync::Arc;

use weir_common::epoch_log::EpochRecord;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::Epoch;
use weir_common::state_store::StateStore;
use weir_engine::checkpoint;
use weir_storage::backup::{Unfinished, copy_directory, is_there};
use weir_storage::data_dir::DataDir;
use weir_storage::files::RealFiles;
use weir_storage::log::{Log, Options};
use weir_storage::rocks_store::RocksStore;

use crate::durable::kept::{self, LOG, STATE};

/// Puts the last checkpoint of a store into a new directory; says which commit it has. Blocks.
pub fn make(store: &dyn StateStore, wanted: &Path) -> Result<Epoch> {
    if !wanted.is_absolute() {
        let message = format!("\"{}\" is not an absolute path", wanted.display());
        return Err(
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("The server has a directory of its own to start from.")
        );
    }
    let backup = Unfinished::begin(wanted)?;
    let dir = DataDir::open(Arc::new(RealFiles), backup.path())?;
    store.copy_to(&dir.path().join(STATE))?;
    let commit = checkpoint::position(&RocksStore::open(&dir.path().join(STATE))?)?.unwrap_or(0);
    // The log of the copy ends where the checkpoint was taken: that is what is compared when it is opened.
    let (mut log, _) = Log::open(dir.files().clone(), &dir.subdirectory(LOG)?, Options::default())?;
    if commit > 0 {
        log.append(commit, &kept::encode(&EpochRecord { epoch: commit, ..EpochRecord::default() })?)?;
        log.sync()?;
    }
    drop((log, dir));
    backup.finish()?;
    Ok(commit)
}

/// Makes a data directory of a backup; says which commit it has. Blocks.
pub fn restore(backup: &Path, data: &Path) -> Result<Epoch> {
    if !is_there(&backup.join(STATE))? {
        return Err(Error::new(SqlState::UNDEFINED_FILE, format!("\"{}\" is no backup: it holds no checkpoint", backup.display())));
    }
    let unfinished = Unfinished::begin(data)?;
    copy_directory(backup, unfinished.path())?;
    // What cannot be opened is not put in place.
    let dir = DataDir::open(Arc::new(RealFiles), unfinished.path())?;
    let commit = checkpoint::position(&RocksStore::open(&dir.path().join(STATE))?)?.unwrap_or(0);
    Log::open(dir.files().clone(), &dir.path().join(LOG), Options::default())?;
    drop(dir);
    unfinished.finish()?;
    Ok(commit)
}

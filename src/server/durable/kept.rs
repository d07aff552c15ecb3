//! What a data directory keeps: the last checkpoint and the epoch log, opened, and the log as the engine writes it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use weir_common::epoch_log::{Definition, EpochLog, EpochRecord, Synced};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId};
use weir_engine::{Engine, checkpoint};
use weir_storage::data_dir::DataDir;
use weir_storage::files::RealFiles;
use weir_storage::group_commit::GroupCommit;
use weir_storage::log::{Log, Options};
use weir_storage::rocks_store::RocksStore;

use crate::durable::format1;

#[cfg(test)]
mod tests;

/// The directory of the epoch log.
pub const LOG: &str = "log";
/// The directory of the checkpoints.
pub const STATE: &str = "state";
/// The first byte of a record: how the rest is written. 6 is postcard of [`EpochRecord`]; 5 is the same without its last two lists, 4 without
/// its last three, 3 without its last four, 2 without its last six; for 1 see [`format1`].
const RECORD_FORMAT: u8 = 6;

/// An opened data directory.
pub struct Kept {
    /// Holds the directory's lock.
    pub dir: DataDir,
    /// Checkpoints.
    pub store: RocksStore,
    /// What was logged since the last one.
    pub records: Box<dyn Iterator<Item = Result<EpochRecord>> + Send>,
    /// The relations that these records drop.
    pub dropped: BTreeSet<RelationId>,
    /// Takes what comes.
    pub log: Arc<GroupCommit>,
}

impl Kept {
    /// Opens the directory, made if it is missing; damage is an error.
    pub fn open(path: &Path) -> Result<Kept> {
        let mut dir = DataDir::open(Arc::new(RealFiles), path)?;
        let (log, recovered) = Log::open(dir.files().clone(), &dir.subdirectory(LOG)?, Options::default())?;
        if let Some(cut) = recovered.cut {
            let (file, offset, bytes) = (cut.path.display(), cut.offset, cut.bytes);
            tracing::warn!(%file, offset, bytes, "cut off the end of the epoch log, which a crash had torn; nobody was told that it was done");
        }
        if let Some(version) = dir.older_format() {
            // The version that made it can still open it if anything is wrong.
            for record in log.records(log.first().unwrap_or(Engine::FIRST_EPOCH))? {
                decode(&record?.bytes)?;
            }
            dir.upgrade()?;
            tracing::info!(version, "upgraded the data directory, which an earlier version of Weir has made");
        }
        let store = RocksStore::open(&dir.subdirectory(STATE)?)?;
        let checkpoint = checkpoint::position(&store)?.unwrap_or(0);
        if log.last().unwrap_or(0) < checkpoint {
            let (last, dir) = (log.last().unwrap_or(0), path.display());
            return Err(Error::new(SqlState::DATA_CORRUPTED, format!("the epoch log in \"{dir}\" has lost commits"))
                .with_detail(format!("The last checkpoint is of commit {checkpoint}, and the log ends at {last}."))
                .with_hint("Put back the files of the log, or restore a backup."));
        }
        if checkpoint == 0 && log.first().is_some_and(|first| first > Engine::FIRST_EPOCH) {
            let dir = path.display();
            return Err(Error::new(SqlState::DATA_CORRUPTED, format!("the last checkpoint in \"{dir}\" is lost"))
                .with_detail(format!("The epoch log begins at commit {}.", log.first().unwrap_or(0)))
                .with_hint("Put back the directory \"state\", or restore a backup."));
        }
        let records = || -> Result<_> { Ok(log.records(checkpoint + 1)?.map(|record| decode(&record?.bytes))) };
        let mut dropped = BTreeSet::new();
        for record in records()? {
            for definition in record?.definitions {
                if let Definition::Dropped(relations) = definition {
                    dropped.extend(relations);
                }
            }
        }
        let records = Box::new(records()?);
        Ok(Kept { dir, store, records, dropped, log: Arc::new(GroupCommit::start(log)?) })
    }
}

/// The epoch log on disk: one sync for all records that wait.
pub struct DiskLog(pub Arc<GroupCommit>);

impl EpochLog for DiskLog {
    fn append(&mut self, record: EpochRecord, synced: Synced) {
        match encode(&record) {
            Ok(bytes) => self.0.submit(record.epoch, bytes, synced),
            Err(error) => synced(Err(error)),
        }
    }

    fn drop_before(&mut self, epoch: Epoch) {
        let told = |result: Result<()>| {
            if let Err(error) = result {
                // The next write tells everybody.
                tracing::error!(%error, "the beginning of the epoch log, which is not needed any more, cannot be removed");
            }
        };
        self.0.drop_before(epoch, Box::new(told));
    }
}

/// A record as the log has it.
pub fn encode(record: &EpochRecord) -> Result<Vec<u8>> {
    postcard::to_extend(record, vec![RECORD_FORMAT]).map_err(|error| Error::internal(format!("an epoch cannot be written: {error}")))
}

fn decode(bytes: &[u8]) -> Result<EpochRecord> {
    let damaged = |why: String| Error::new(SqlState::DATA_CORRUPTED, format!("a record of the epoch log cannot be read: {why}"));
    match bytes.split_first() {
        Some((&RECORD_FORMAT, rest)) => postcard::from_bytes(rest).map_err(|error| damaged(error.to_string())),
        // A list of nothing is a zero.
        Some((format @ 2..RECORD_FORMAT, rest)) => {
            let missing = [6, 4, 3, 2][usize::from(*format) - 2];
            postcard::from_bytes(&[rest, &[0; 6][..missing]].concat()).map_err(|error| damaged(error.to_string()))
        }
        Some((1, rest)) => format1::decode(rest),
        Some((format, _)) => Err(damaged(format!("it has format {format}")).with_hint("A newer version of Weir may have written it.")),
        None => Err(damaged("it is empty".into())),
    }
}

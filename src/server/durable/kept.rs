//! What a data directory keeps: the epoch log, opened, and as the engine writes it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use weir_common::epoch_log::{Definition, EpochLog, EpochRecord, Synced};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_storage::data_dir::DataDir;
use weir_storage::files::RealFiles;
use weir_storage::group_commit::GroupCommit;
use weir_storage::log::{Log, Options};

/// The directory of the epoch log.
const LOG: &str = "log";
/// The first byte of a record: how the rest is written. 1 is postcard of [`EpochRecord`].
const RECORD_FORMAT: u8 = 1;

/// An opened data directory.
pub struct Kept {
    /// Holds the directory's lock.
    pub dir: DataDir,
    /// What was logged before.
    pub records: Box<dyn Iterator<Item = Result<EpochRecord>> + Send>,
    /// The relations that these records drop.
    pub dropped: BTreeSet<RelationId>,
    /// Takes what comes.
    pub log: Arc<GroupCommit>,
}

impl Kept {
    /// Opens the directory, made if it is missing; damage is an error.
    pub fn open(path: &Path) -> Result<Kept> {
        let dir = DataDir::open(Arc::new(RealFiles), path)?;
        let (log, recovered) = Log::open(dir.files().clone(), &dir.subdirectory(LOG)?, Options::default())?;
        if let Some(cut) = recovered.cut {
            let (file, offset, bytes) = (cut.path.display(), cut.offset, cut.bytes);
            tracing::warn!(%file, offset, bytes, "cut off the end of the epoch log, which a crash had torn; nobody was told that it was done");
        }
        let records = || -> Result<_> { Ok(log.records(0)?.map(|record| decode(&record?.bytes))) };
        let mut dropped = BTreeSet::new();
        for record in records()? {
            for definition in record?.definitions {
                if let Definition::Dropped(relations) = definition {
                    dropped.extend(relations);
                }
            }
        }
        let records = Box::new(records()?);
        Ok(Kept { dir, records, dropped, log: Arc::new(GroupCommit::start(log)?) })
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
}

fn encode(record: &EpochRecord) -> Result<Vec<u8>> {
    postcard::to_extend(record, vec![RECORD_FORMAT]).map_err(|error| Error::internal(format!("an epoch cannot be written: {error}")))
}

fn decode(bytes: &[u8]) -> Result<EpochRecord> {
    let damaged = |why: String| Error::new(SqlState::DATA_CORRUPTED, format!("a record of the epoch log cannot be read: {why}"));
    match bytes.split_first() {
        Some((&RECORD_FORMAT, rest)) => postcard::from_bytes(rest).map_err(|error| damaged(error.to_string())),
        Some((format, _)) => Err(damaged(format!("it has format {format}")).with_hint("A newer version of Weir may have written it.")),
        None => Err(damaged("it is empty".into())),
    }
}

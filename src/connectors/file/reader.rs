//! Files into batches, dead letters and positions, whatever they hold.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use weir_common::dead_letter::DeadLetter;
use weir_common::error::{Error, Result};
use weir_common::limits::READER_IDLE_MILLIS_MAX;
use weir_common::origins::OriginsBuilder;
use weir_common::source::{Read, SourceBatch, SourceReader};

use crate::file::files::{Files, Opening, Stand, Turn};

/// Bytes of records after which a batch is full, however few its rows: what a queue of batches holds stays bounded.
pub(crate) const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Between two looks for more, while there is nothing.
const POLL: Duration = Duration::from_millis(10);

/// What files hold, and how it is read.
pub(crate) trait Content: Send {
    /// A file that is being read.
    type File: Send;

    /// Opens a file.
    fn open(&self, opening: Opening) -> Result<Self::File>;

    /// Adds rows with their origins, and dead letters, to the batch until it is full, which it says, or the file has none for now.
    fn read(&mut self, file: &mut Self::File, gathered: &mut Gathered) -> Result<bool>;

    /// How far a file has been read.
    fn stand(file: &Self::File) -> Stand;

    /// A file will not grow any more.
    fn stop_growing(file: &mut Self::File);

    /// Rows in the batch.
    fn rows(&self) -> usize;

    /// The rows of the batch; the next one is empty.
    fn finish(&mut self) -> Result<RecordBatch>;
}

/// What has been put together for a batch besides its rows.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Of the rows.
    pub(crate) origins: OriginsBuilder,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) bytes: u64,
}

/// Reads files.
///
/// # Invariants
/// - batches, dead letters and positions of files that do not change depend on their bytes only, not on how reads cut them.
pub(crate) struct FileReader<C: Content> {
    files: Box<dyn Files>,
    content: C,
    current: Option<C::File>,
    /// Nothing follows any more.
    ended: bool,
    /// What cannot be read on; told after the rows before it.
    failed: Option<Error>,
    /// There was nothing more in the current file, and it may not be the same any more.
    waiting: bool,
    /// It has been told that there is nothing for now.
    idle: bool,
}

impl<C: Content> FileReader<C> {
    pub(crate) fn new(files: Box<dyn Files>, content: C) -> Self {
        FileReader { files, content, current: None, ended: false, failed: None, waiting: false, idle: false }
    }

    /// Adds to the batch what there is, until it is full; says whether there may be more in a moment.
    fn gather(&mut self, gathered: &mut Gathered) -> Result<bool> {
        loop {
            if let Some(current) = &mut self.current
                && !self.waiting
                && self.content.read(current, gathered)?
            {
                return Ok(true);
            }
            self.stand();
            self.waiting = true;
            let turn = self.files.next()?;
            self.waiting = matches!(turn, Turn::Wait { .. });
            match turn {
                Turn::Open(opening) => {
                    self.current = None;
                    self.current = Some(self.content.open(opening)?);
                }
                Turn::More { last } => self.current.iter_mut().filter(|_| last).for_each(C::stop_growing),
                Turn::Wait { soon } => return Ok(soon),
                Turn::End => {
                    self.ended = true;
                    return Ok(false);
                }
            }
        }
    }

    fn stand(&mut self) {
        if let Some(current) = &self.current {
            self.files.stand(C::stand(current));
        }
    }
}

impl<C: Content> SourceReader for FileReader<C> {
    fn next(&mut self) -> Result<Read> {
        let mut gathered = Gathered::default();
        for _ in 0..READER_IDLE_MILLIS_MAX / POLL.as_millis() as u64 {
            let mut soon = false;
            if self.failed.is_none() && !self.ended {
                match self.gather(&mut gathered) {
                    Ok(more) => soon = more,
                    Err(error) => self.failed = Some(error),
                }
            }
            if self.content.rows() > 0 || !gathered.dead.is_empty() {
                self.idle = false;
                self.stand();
                let Gathered { origins, dead, bytes } = gathered;
                let (rows, origins, position) = (self.content.finish()?, Some(Arc::new(origins.finish())), self.files.position()?);
                return Ok(Read::Batch(SourceBatch { partition: 0, rows, origins, dead, position, bytes }));
            }
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            if self.ended {
                return Ok(Read::End);
            }
            if !self.idle && !soon {
                break;
            }
            thread::sleep(POLL);
        }
        self.idle = true;
        Ok(Read::Idle)
    }
}

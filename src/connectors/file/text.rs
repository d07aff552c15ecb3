//! Files of text into batches, dead letters and positions.

use std::thread;
use std::time::Duration;

use weir_common::dead_letter::DeadLetter;
use weir_common::error::{Error, Result};
use weir_common::limits::{BATCH_ROWS_MAX, READER_IDLE_MILLIS_MAX};
use weir_common::source::{Read, SourceBatch, SourceReader};

use crate::file::files::{Files, Turn};
use crate::file::records::{Decoder, Outcome, Records};

/// Bytes of lines after which a batch is full, however few its rows: what a queue of batches holds stays bounded.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Between two looks for more, while there is nothing.
const POLL: Duration = Duration::from_millis(10);

/// Reads files of text.
///
/// # Invariants
/// - batches, dead letters and positions of files that do not change depend on their bytes only, not on how reads cut them.
pub(crate) struct TextReader {
    relation: String,
    files: Box<dyn Files>,
    decoder: Decoder,
    current: Option<Records>,
    /// Nothing follows any more.
    ended: bool,
    /// What cannot be read on; told after the rows before it.
    failed: Option<Error>,
    /// There was nothing more in the current file, and it may not be the same any more.
    waiting: bool,
    /// It has been told that there is nothing for now.
    idle: bool,
}

/// What has been put together for a batch besides its rows.
#[derive(Default)]
struct Gathered {
    dead: Vec<DeadLetter>,
    bytes: u64,
}

impl TextReader {
    pub(crate) fn new(relation: String, files: Box<dyn Files>, decoder: Decoder) -> Self {
        TextReader { relation, files, decoder, current: None, ended: false, failed: None, waiting: false, idle: false }
    }

    /// Adds to the batch what there is, until it is full; says whether there may be more in a moment.
    fn gather(&mut self, gathered: &mut Gathered) -> Result<bool> {
        loop {
            if let Some(current) = &mut self.current
                && !self.waiting
            {
                let start = current.mark().bytes;
                let full = decode(current, &mut self.decoder, gathered, &self.relation);
                gathered.bytes += current.mark().bytes - start;
                if full? {
                    return Ok(true);
                }
            }
            self.stand();
            self.waiting = true;
            let turn = self.files.next()?;
            self.waiting = matches!(turn, Turn::Wait { .. });
            match turn {
                Turn::Open(opening) => self.current = Some(Records::open(opening, &self.decoder)?),
                Turn::More { last } => self.current.iter_mut().filter(|_| last).for_each(Records::stop_growing),
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
            self.files.stand(current.stand());
        }
    }
}

impl SourceReader for TextReader {
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
            if self.decoder.rows() > 0 || !gathered.dead.is_empty() {
                self.idle = false;
                self.stand();
                let Gathered { dead, bytes } = gathered;
                return Ok(Read::Batch(SourceBatch { rows: self.decoder.finish()?, dead, position: self.files.position()?, bytes }));
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

/// Decodes records until the batch is full, which it says, or the file has none for now.
fn decode(records: &mut Records, decoder: &mut Decoder, gathered: &mut Gathered, relation: &str) -> Result<bool> {
    let limit = records.mark().bytes + BATCH_BYTES_MAX.saturating_sub(gathered.bytes);
    while decoder.rows() + gathered.dead.len() < BATCH_ROWS_MAX && records.mark().bytes < limit {
        match records.decode(decoder)? {
            Outcome::Row => {}
            Outcome::Dead { reason, error, payload } => gathered.dead.push(records.letter(relation, reason, error, &payload)),
            Outcome::Nothing => return Ok(false),
        }
    }
    Ok(true)
}

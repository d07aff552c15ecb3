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
        TextReader { relation, files, decoder, current: None, ended: false, failed: None, idle: false }
    }

    /// Adds to the batch what there is, until it is full.
    fn gather(&mut self, gathered: &mut Gathered) -> Result<()> {
        loop {
            if let Some(current) = &mut self.current {
                let start = current.mark().bytes;
                let full = decode(current, &mut self.decoder, gathered, &self.relation);
                gathered.bytes += current.mark().bytes - start;
                if full? {
                    return Ok(());
                }
            }
            self.stand();
            match self.files.next()? {
                Turn::Open(opening) => self.current = Some(Records::open(opening, &self.decoder)?),
                Turn::More { last } => self.current.iter_mut().filter(|_| last).for_each(Records::stop_growing),
                Turn::Wait => return Ok(()),
                Turn::End => {
                    self.ended = true;
                    return Ok(());
                }
            }
        }
    }

    fn stand(&mut self) {
        if let Some(current) = &self.current {
            self.files.stand(current.mark(), current.ended());
        }
    }
}

impl SourceReader for TextReader {
    fn next(&mut self) -> Result<Read> {
        let mut gathered = Gathered::default();
        for _ in 0..READER_IDLE_MILLIS_MAX / POLL.as_millis() as u64 {
            if self.failed.is_none()
                && !self.ended
                && let Err(error) = self.gather(&mut gathered)
            {
                self.failed = Some(error);
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
            if !std::mem::replace(&mut self.idle, true) {
                break;
            }
            thread::sleep(POLL);
        }
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

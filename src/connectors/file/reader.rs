//! Lines into batches, dead letters and positions.

use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::{BATCH_ROWS_MAX, LINE_BYTES_MAX};
use weir_common::source::{Position, Read, SourceBatch, SourceReader};

use crate::file::gunzip::Damage;
use crate::file::input::Input;
use crate::file::lines::{Line, Lines};
use crate::json::JsonDecoder;

/// Bytes of lines after which a batch is full, however few its rows: what a queue of batches holds stays bounded.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a file from its start to its end.
///
/// # Invariants
/// - batches, dead letters and positions depend on the file's bytes only, not on how reads cut them.
pub(crate) struct FileReader {
    relation: String,
    path: String,
    lines: Lines<Input>,
    decoder: JsonDecoder,
    /// The file could not be read on; told after the rows before it.
    failed: Option<Error>,
}

impl FileReader {
    pub(crate) fn new(relation: String, path: String, input: Input, decoder: JsonDecoder) -> Self {
        FileReader { relation, path, lines: Lines::new(input), decoder, failed: None }
    }
}

impl SourceReader for FileReader {
    fn next(&mut self) -> Result<Read> {
        let start = self.lines.bytes();
        let mut dead: Vec<DeadLetter> = Vec::new();
        while self.decoder.rows() + dead.len() < BATCH_ROWS_MAX && self.lines.bytes() - start < BATCH_BYTES_MAX {
            let Some(line) = self.lines.next() else { break };
            let mut letter = match line {
                Line::Whole(line) => match self.decoder.decode(line) {
                    Ok(()) => continue,
                    Err(error) => DeadLetter::of_bytes(&self.relation, Reason::Decode, error, line),
                },
                Line::TooLong { head, bytes } => {
                    let error = format!("the line has {bytes} bytes, more than {LINE_BYTES_MAX}");
                    DeadLetter::of_bytes(&self.relation, Reason::TooLong, error, &head)
                }
                Line::Broken { tail, failure } => match Damage::of(&failure) {
                    Some(damage) => DeadLetter::of_bytes(&self.relation, Reason::Truncated, damage.to_string(), tail),
                    None => {
                        let message = format!("could not read file \"{}\": {failure}", self.path);
                        self.failed = Some(Error::new(SqlState::IO_ERROR, message));
                        break;
                    }
                },
            };
            letter.partition = Some(self.path.clone());
            letter.offset = Some(self.lines.number() as i64);
            dead.push(letter);
        }
        if self.decoder.rows() == 0 && dead.is_empty() {
            return self.failed.clone().map_or(Ok(Read::End), Err);
        }
        let at_end = self.failed.is_none() && self.lines.at_end();
        let position = if at_end { format!("{}:end", self.path) } else { format!("{}:{}", self.path, self.lines.number()) };
        let bytes = self.lines.bytes() - start;
        Ok(Read::Batch(SourceBatch { rows: self.decoder.finish()?, dead, position: Position(position), bytes }))
    }
}

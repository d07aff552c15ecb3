//! Lines into batches, dead letters and positions.

use std::io;

use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::{BATCH_ROWS_MAX, LINE_BYTES_MAX};
use weir_common::source::{Position, Read, SourceBatch, SourceReader};

use crate::file::gunzip::Damage;
use crate::file::input::Input;
use crate::file::lines::{Line, Lines};
use crate::file::place::{self, Mark, Place};
use crate::json::JsonDecoder;

/// Bytes of lines after which a batch is full, however few its rows: what a queue of batches holds stays bounded.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a file to its end.
///
/// # Invariants
/// - batches, dead letters and positions depend on the file's bytes only, not on how reads cut them.
pub(crate) struct FileReader {
    relation: String,
    path: String,
    lines: Lines<Input>,
    decoder: JsonDecoder,
    /// The file is damaged from here on, and that has been told.
    ended: bool,
    /// The file could not be read on; told after the rows before it.
    failed: Option<Error>,
}

impl FileReader {
    /// A reader of `path` from a position on.
    pub(crate) fn open(relation: String, path: String, decoder: JsonDecoder, from: &Position) -> Result<Self> {
        let mut input = Input::open(&path)?;
        let (at, ended) = if from.is_start() { (Mark::default(), false) } else { resume(&path, &mut input, from)? };
        Ok(FileReader { relation, path, lines: Lines::new(input, at), decoder, ended, failed: None })
    }

    fn cannot_read(&self, failure: &io::Error) -> Error {
        Error::new(SqlState::IO_ERROR, format!("could not read file \"{}\": {failure}", self.path))
    }
}

/// Goes to a position in the file, and says whether it is one behind damage.
fn resume(path: &str, input: &mut Input, from: &Position) -> Result<(Mark, bool)> {
    let place = Place::parse(from)?;
    if place.name != path {
        return Err(place::cannot_continue(from, format!("the source reads file \"{path}\"")));
    }
    let failed = |failure| place::cannot_continue(from, failure);
    if !input.skip(place.at.bytes).map_err(failed)? {
        return Err(place::cannot_continue(from, "the file is shorter"));
    }
    if input.head(place.at.bytes).map_err(failed)? != place.head {
        return Err(place::cannot_continue(from, "another file is in its place"));
    }
    Ok((place.at, place.ended))
}

impl SourceReader for FileReader {
    fn next(&mut self) -> Result<Read> {
        let start = self.lines.mark().bytes;
        let mut dead: Vec<DeadLetter> = Vec::new();
        while !self.ended && self.decoder.rows() + dead.len() < BATCH_ROWS_MAX && self.lines.mark().bytes - start < BATCH_BYTES_MAX {
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
                    Some(damage) => {
                        self.ended = true;
                        DeadLetter::of_bytes(&self.relation, Reason::Truncated, damage.to_string(), tail)
                    }
                    None => {
                        self.failed = Some(self.cannot_read(&failure));
                        break;
                    }
                },
            };
            letter.partition = Some(self.path.clone());
            letter.offset = Some(self.lines.mark().lines as i64);
            dead.push(letter);
        }
        if self.decoder.rows() == 0 && dead.is_empty() {
            return self.failed.clone().map_or(Ok(Read::End), Err);
        }
        let at = self.lines.mark();
        let head = self.lines.input().head(at.bytes).map_err(|failure| self.cannot_read(&failure))?;
        let position = Position(Place { name: self.path.clone(), at, ended: self.ended, head }.to_string());
        Ok(Read::Batch(SourceBatch { rows: self.decoder.finish()?, dead, position, bytes: at.bytes - start }))
    }
}

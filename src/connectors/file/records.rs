//! The records of one file of text, decoded one after the other.

use std::io;

use arrow::record_batch::RecordBatch;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::{DEAD_LETTER_PAYLOAD_BYTES_MAX, LINE_BYTES_MAX};

use crate::csv::CsvDecoder;
use crate::csv::dialect::Dialect;
use crate::csv::fields::Behind;
use crate::file::files::{Opening, Stand};
use crate::file::gunzip::Damage;
use crate::file::input::{Input, Packing, cannot_read};
use crate::file::lines::{Blank, Joined, Line, Lines};
use crate::file::place::Mark;
use crate::json::JsonDecoder;

/// What records are decoded by.
pub(crate) enum Decoder {
    Json(JsonDecoder),
    Csv(CsvDecoder),
}

impl Decoder {
    /// Rows since the last batch.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Decoder::Json(decoder) => decoder.rows(),
            Decoder::Csv(decoder) => decoder.rows(),
        }
    }

    /// The rows since the last batch.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        match self {
            Decoder::Json(decoder) => decoder.finish(),
            Decoder::Csv(decoder) => decoder.finish(),
        }
    }

    /// Which lines are no records.
    fn blank(&self) -> Blank {
        match self {
            Decoder::Json(_) => Blank::Space,
            // An empty line is a record of one empty field.
            Decoder::Csv(decoder) if decoder.fields() == 1 => Blank::Never,
            Decoder::Csv(_) => Blank::Empty,
        }
    }
}

/// The file that is being read.
pub(crate) struct Records {
    name: String,
    lines: Lines<Input>,
    header: Header,
    /// The file is damaged from here on, and that has been told.
    ended: bool,
}

/// Where the names of a file's fields stand.
enum Header {
    /// There are none, or they are known.
    Known,
    /// In the next record.
    Next,
    /// In the first record of the file, which is not the next one.
    First(Box<Lines<Input>>),
}

/// What came of one record.
pub(crate) enum Outcome {
    /// A row of the decoder's.
    Row,
    /// None.
    Dead { reason: Reason, error: String, payload: Vec<u8> },
    /// There is no record, for now.
    Nothing,
}

/// A CSV record, which the lines hold.
enum Framed {
    /// A line, with quotes in it or not, or several lines.
    Whole { quoted: bool },
    /// Not to be used.
    Dead(Outcome),
    /// The input broke off.
    Broken(io::Error),
    /// There is none, for now.
    Nothing,
}

impl Records {
    /// Those of a file from a place on.
    pub(crate) fn open(opening: Opening, decoder: &Decoder) -> Result<Records> {
        let Opening { name, file, at, until, growing } = opening;
        let failed = |error| cannot_read(&name, &error);
        let packing = Packing::of(&file).map_err(failed)?.unwrap_or(Packing::Plain);
        let lines = |at: Mark, growing| -> Result<Lines<Input>> {
            let input = Input::open(file.try_clone().map_err(failed)?, packing, at.bytes, until).map_err(failed)?;
            let input = input.ok_or_else(|| cannot_read(&name, &io::ErrorKind::UnexpectedEof.into()))?;
            Ok(Lines::new(input, at, decoder.blank(), growing))
        };
        let header = match decoder {
            Decoder::Csv(decoder) if decoder.dialect().header && at.bytes > 0 => Header::First(Box::new(lines(Mark::default(), false)?)),
            Decoder::Csv(decoder) if decoder.dialect().header => Header::Next,
            _ => Header::Known,
        };
        Ok(Records { lines: lines(at, growing)?, name, header, ended: false })
    }

    /// Reads the header, if there is one, to see that it is right.
    pub(crate) fn check(&mut self, decoder: &mut Decoder) -> Result<()> {
        match decoder {
            Decoder::Csv(decoder) => self.read_header(decoder).map(drop),
            Decoder::Json(_) => Ok(()),
        }
    }

    /// Behind the record that was decoded last.
    pub(crate) fn mark(&self) -> Mark {
        self.lines.mark()
    }

    /// How far the file has been read.
    pub(crate) fn stand(&self) -> Stand {
        Stand { at: self.lines.mark(), ended: self.ended, seen: self.lines.input().seen() }
    }

    /// The file will not grow any more: its last line needs no end.
    pub(crate) fn stop_growing(&mut self) {
        self.lines.stop_growing();
    }

    /// The file's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the first line of the record that was decoded last, from 1.
    #[inline]
    pub(crate) fn number(&self) -> i64 {
        self.lines.number() as i64
    }

    /// A dead letter about the record that was decoded last.
    pub(crate) fn letter(&self, relation: &str, reason: Reason, error: String, payload: &[u8]) -> DeadLetter {
        let letter = DeadLetter::of_bytes(relation, reason, error, payload);
        DeadLetter { partition: Some(self.name.clone()), offset: Some(self.number()), ..letter }
    }

    /// Appends the next record to the decoder's rows, or says what there was instead.
    #[inline]
    pub(crate) fn decode(&mut self, decoder: &mut Decoder) -> Result<Outcome> {
        if self.ended {
            return Ok(Outcome::Nothing);
        }
        match decoder {
            Decoder::Json(decoder) => match self.lines.next() {
                Some(Line::Whole(line)) => match decoder.decode(line) {
                    Ok(()) => Ok(Outcome::Row),
                    Err(error) => Ok(dead(Reason::Decode, error, line)),
                },
                None => Ok(Outcome::Nothing),
                Some(Line::TooLong { head, bytes }) => Ok(too_long(&head, bytes)),
                Some(Line::Broken(failure)) => self.broken(failure),
            },
            Decoder::Csv(decoder) => self.decode_csv(decoder),
        }
    }

    #[inline]
    fn decode_csv(&mut self, decoder: &mut CsvDecoder) -> Result<Outcome> {
        if !matches!(self.header, Header::Known)
            && let Some(outcome) = self.read_header(decoder)?
        {
            return Ok(outcome);
        }
        match frame(&mut self.lines, decoder) {
            Framed::Whole { quoted } => {
                let Err(error) = decoder.decode(self.lines.record(), quoted) else { return Ok(Outcome::Row) };
                if self.lines.is_joined() && error.malformed {
                    // What follows the first line may be good records.
                    self.lines.unjoin();
                }
                Ok(dead(Reason::Decode, error.text, self.lines.record()))
            }
            Framed::Dead(outcome) => Ok(outcome),
            Framed::Nothing => Ok(Outcome::Nothing),
            Framed::Broken(failure) => self.broken(failure),
        }
    }

    /// Tells the decoder which fields there are; anything else that there is instead of a header is an outcome.
    #[cold]
    fn read_header(&mut self, decoder: &mut CsvDecoder) -> Result<Option<Outcome>> {
        let lines = match &mut self.header {
            Header::Known => return Ok(None),
            Header::Next => &mut self.lines,
            Header::First(lines) => lines.as_mut(),
        };
        match frame(lines, decoder) {
            Framed::Whole { .. } => {
                decoder.header(lines.record()).map_err(|error| in_file(&self.name, error))?;
                self.header = Header::Known;
                self.lines.set_blank(if decoder.fields() == 1 { Blank::Never } else { Blank::Empty });
                Ok(None)
            }
            Framed::Nothing => Ok(Some(Outcome::Nothing)),
            Framed::Broken(failure) => self.broken(failure).map(Some),
            Framed::Dead(_) => {
                Err(in_file(&self.name, Error::new(SqlState::BAD_COPY_FILE_FORMAT, "the first record is too long for a CSV header")))
            }
        }
    }

    #[cold]
    fn broken(&mut self, failure: io::Error) -> Result<Outcome> {
        match Damage::of(&failure) {
            Some(damage) => {
                self.ended = true;
                Ok(dead(Reason::Truncated, damage.to_string(), self.lines.record()))
            }
            None => Err(cannot_read(&self.name, &failure)),
        }
    }
}

/// The next CSV record: a line, or as many as it takes for each quote to be closed.
#[inline]
fn frame(lines: &mut Lines<Input>, decoder: &CsvDecoder) -> Framed {
    let dialect = decoder.dialect();
    let behind = match lines.next() {
        Some(Line::Whole(line)) => match dialect.quotes {
            Some(quotes) if memchr::memchr(quotes.quote, line).is_some() => dialect.behind(line, false),
            _ => return Framed::Whole { quoted: false },
        },
        None => return Framed::Nothing,
        Some(Line::TooLong { head, bytes }) => return Framed::Dead(too_long(&head, bytes)),
        Some(Line::Broken(failure)) => return Framed::Broken(failure),
    };
    match behind {
        Behind::Complete => Framed::Whole { quoted: true },
        Behind::Quoted => join(lines, dialect),
    }
}

/// Joins lines until the quote that is open is closed.
#[cold]
fn join(lines: &mut Lines<Input>, dialect: &Dialect) -> Framed {
    let growing = lines.is_growing();
    loop {
        let (reason, error) = match lines.join() {
            Joined::Line(line) => match dialect.behind(line, true) {
                Behind::Quoted => continue,
                Behind::Complete => return Framed::Whole { quoted: true },
            },
            Joined::End if growing => {
                lines.take_back();
                return Framed::Nothing;
            }
            Joined::End => (Reason::Decode, "the record is not CSV: a quote that is never closed".to_string()),
            Joined::TooLong => {
                (Reason::TooLong, format!("the record is not CSV: a quote that is not closed within {LINE_BYTES_MAX} bytes"))
            }
        };
        // What follows the first line may be good records.
        lines.unjoin();
        return Framed::Dead(dead(reason, error, lines.record()));
    }
}

#[cold]
fn dead(reason: Reason, error: String, record: &[u8]) -> Outcome {
    Outcome::Dead { reason, error, payload: record[..record.len().min(DEAD_LETTER_PAYLOAD_BYTES_MAX)].to_vec() }
}

#[cold]
fn too_long(head: &[u8], bytes: u64) -> Outcome {
    dead(Reason::TooLong, format!("the line has {bytes} bytes, more than {LINE_BYTES_MAX}"), head)
}

fn in_file(name: &str, error: Error) -> Error {
    let message = format!("file \"{name}\": {}", error.message());
    let mut named = Error::new(error.sqlstate(), message);
    if let Some(detail) = error.detail() {
        named = named.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        named = named.with_hint(hint);
    }
    named
}

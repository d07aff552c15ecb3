//! The log: numbered records, in order, on disk; what was synced is there after any crash, and nothing else is ever given back.
//!
//! # On disk
//! The log is a directory of **segments**, files named by the number of their first record, `00000000000000000001.log`. All
//! integers are little endian, all checksums CRC-32C.
//!
//! A segment starts with a header of 64 bytes:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `weir log` |
//! | 8 | 4 | checksum of the rest of the header |
//! | 12 | 4 | format version, 1 |
//! | 16 | 8 | index: 1 for the first segment ever, then one more each |
//! | 24 | 8 | number of the first record, as in the name |
//! | 32 | 8 | bytes in the segment before this one, 0 for the first |
//! | 40 | 8 | number of the last record in the segment before this one, 0 for the first |
//! | 48 | 16 | zeros |
//!
//! Then records, without gaps, each with a frame header of 32 bytes and its payload:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | checksum of the segment's first number, this frame's offset in the file, and the rest of the frame header |
//! | 4 | 4 | checksum of the payload |
//! | 8 | 8 | bytes of payload |
//! | 16 | 8 | number of the record, larger than that before |
//! | 24 | 8 | offset in the file at which the batch begins that the record was written in |
//!
//! Number and offset of a frame are in its checksum without being in it, so bytes of a log that are inside a payload, or at another
//! place, are no frame.
//!
//! # Writing
//! [`Log::append`] collects records, [`Log::sync`] writes all of them at once and syncs the file once: they are a **batch**. A batch is
//! written only after the one before it was synced. The first batch of a segment begins with the header, at offset 0; the directory
//! is synced as well before it counts. A segment ends when it has reached its size; nothing is written to it later.
//!
//! Files are not allocated ahead. Measured on 2 shared cores (ext4, 600 bytes per sync): an fdatasync takes 120 to 170 us when the file
//! grows, 100 to 115 us in one that was allocated or filled with zeros, and 3 to 4 ms in any of them while others use the disk. A fifth
//! is not worth an end of the log that has to be guessed.
//!
//! After any error of writing or syncing the log is not written to again ([`Log::append`] and [`Log::sync`] return the first
//! error): after a failed sync nobody knows what is on disk, and the next one may succeed without having saved anything.
//!
//! # Opening
//! Everything is read and checked. Since a batch is only written when the one before it is safe, only the last batch of the last
//! segment can have been torn by a crash, and none of that batch was acknowledged. What a crash does to it: sectors of 512 bytes
//! that were not written are missing at the end of the file, or read as zeros, in any order. So a frame that is wrong is a **torn
//! tail**, and cut off, only if all of this is so:
//!
//! - it is in the last segment, and no segment was begun after that;
//! - it reaches over the end of the file, or some sector of it (its part from the frame on) is all zeros;
//! - no frame after it belongs to a batch that begins after it: such a batch would prove that what is before it was synced.
//!
//! Everything else is **damage** (`XX001`), and the log does not open: a wrong frame in an earlier segment, a wrong frame that
//! a later batch follows, a bit that flipped, a segment that is missing between two others or is shorter than the next one says.
//!
//! What cannot be told: acknowledged records of the very last batch of which whole sectors were lost or zeroed *after* the sync (a disk
//! that lies about syncs, a file that was cut by hand at its end), also those that share such a sector with the beginning of the last
//! batch; a changed byte in the last batch if a sector of that record is all zeros anyway; last segments that were removed. The log then
//! ends earlier, as if they had never been. Whoever has a checkpoint must compare it with [`Log::last`].
//! A file system that fills unwritten sectors with old bytes instead of zeros (ext4 with `data=writeback`) can make a torn tail look like
//! damage; the error says where to cut.
//!
//! What is found in the last batch may never have been synced: the process was killed before the sync, or the sync failed. It is
//! written once more in its place and synced before `open` returns, since a system that has forgotten a failed write would not write
//! it otherwise.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::{LOG_BUFFER_KEPT_BYTES_MAX, LOG_RECORD_BYTES_MAX, LOG_SEGMENT_BYTES};

use crate::error::{DATA_CORRUPTED, file_error};
use crate::files::{Files, WriteFile};

mod format; // headers as bytes
mod segment; // reading a segment, frame by frame
mod recovery; // what is there when the log is opened
mod reader; // records from a number on

pub use reader::{LogReader, Record};
pub use recovery::{Cut, Recovered};

use format::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes after which a segment is full; the batch that reaches it is still in it.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: LOG_SEGMENT_BYTES }
    }
}

/// The log, open for writing. Somebody else must see to it that it is open once ([`crate::data_dir::DataDir`]).
///
/// # Invariants
/// - Numbers of records rise, over all segments.
/// - What is in `batch` is in no file; all that is in `segments` is synced, names included.
/// - Once `failed` is set, no file is written to.
pub struct Log {
    files: Arc<dyn Files>,
    dir: PathBuf,
    options: Options,
    segments: VecDeque<Segment>,
    /// The last of the segments, once it was written to.
    file: Option<Box<dyn WriteFile>>,
    batch: Batch,
    failed: Option<Error>,
}

/// What is known of a file whose records are all synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    index: u64,
    first: u64,
    last: u64,
    bytes: u64,
    /// Number of the last record in the segment before it, which may have been dropped.
    before_last: u64,
}

/// What is written with the next sync.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The segment that it goes into, as it will be then; none while the batch is empty.
    segment: Option<Segment>,
    /// Whether that segment is new.
    rolls: bool,
}

impl Log {
    /// Opens the log in a directory that exists, and says what was found; an empty directory is an empty log.
    ///
    /// An error of SQLSTATE XX001 says that something is not as it was written. Then nothing was changed.
    pub fn open(files: Arc<dyn Files>, dir: &Path, options: Options) -> Result<(Self, Recovered)> {
        let (segments, recovered) = recovery::recover(&*files, dir)?;
        let log = Log { files, dir: dir.to_path_buf(), options, segments, file: None, batch: Batch::default(), failed: None };
        Ok((log, recovered))
    }

    /// Adds a record that the next sync writes; its number must be larger than all before.
    pub fn append(&mut self, number: u64, bytes: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if bytes.len() > LOG_RECORD_BYTES_MAX {
            return Err(too_large(bytes.len()));
        }
        let before = self.batch.segment.map_or(self.last(), |segment| Some(segment.last));
        assert!(before.is_none_or(|before| number > before), "numbers in the log rise: {number} after {before:?}");
        let mut segment = match self.batch.segment {
            Some(segment) => segment,
            None => self.begin_batch(number),
        };
        let start = segment.bytes - self.batch.bytes.len() as u64;
        let frame = FrameHeader::of(number, start, bytes);
        self.batch.bytes.extend_from_slice(&frame.encode(segment.first, segment.bytes));
        self.batch.bytes.extend_from_slice(bytes);
        segment.last = number;
        segment.bytes += (FRAME_HEADER_BYTES + bytes.len()) as u64;
        self.batch.segment = Some(segment);
        Ok(())
    }

    /// Writes what was appended since the last time, and returns when it survives a crash; with nothing to write, at once.
    pub fn sync(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(segment) = self.batch.segment else { return Ok(()) };
        if let Err(error) = self.write_batch(segment) {
            let before = error.hint().map_or(String::new(), |hint| format!("{hint} "));
            let hint = format!("{before}Nothing can be written any more until Weir is started again. What was acknowledged is on disk.");
            let error = error.with_hint(hint);
            self.failed = Some(error.clone());
            return Err(error);
        }
        if !self.batch.rolls {
            self.segments.pop_back();
        }
        self.segments.push_back(segment);
        self.batch.bytes.clear();
        self.batch.bytes.shrink_to(LOG_BUFFER_KEPT_BYTES_MAX);
        self.batch.segment = None;
        Ok(())
    }

    /// Removes the segments that hold only records with smaller numbers. The last one always stays, and tells where the log is.
    pub fn drop_before(&mut self, number: u64) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while self.segments.len() > 1 && self.segments[0].last < number {
            let path = self.path_of(&self.segments[0]);
            self.files.remove(&path).map_err(|error| file_error("remove file", &path, &error))?;
            self.segments.pop_front();
            // One at a time: a crash must not leave an older one behind without the one after it.
            if let Err(error) = self.sync_dir() {
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// The synced records from a number on, read while they are asked for. An error of SQLSTATE XX001 if some of them were dropped.
    pub fn records(&self, from: u64) -> Result<LogReader> {
        reader::open(&self.files, &self.dir, &self.segments, from)
    }

    /// Number of the first synced record that is still there.
    pub fn first(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.first)
    }

    /// Number of the last synced record.
    pub fn last(&self) -> Option<u64> {
        self.segments.back().map(|segment| segment.last)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Files on disk.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The error after which nothing is written any more, if there was one.
    pub fn failed(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Decides which file the batch goes into, and where.
    fn begin_batch(&mut self, number: u64) -> Segment {
        let last = self.segments.back().copied();
        self.batch.rolls = last.is_none_or(|last| last.bytes >= self.options.segment_bytes);
        match last {
            Some(last) if !self.batch.rolls => last,
            _ => {
                let (before_bytes, before_last) = last.map_or((0, 0), |last| (last.bytes, last.last));
                let header = SegmentHeader { index: last.map_or(0, |last| last.index) + 1, first: number, before_bytes, before_last };
                self.batch.bytes.extend_from_slice(&header.encode());
                Segment { index: header.index, first: number, last: number, bytes: SEGMENT_HEADER_BYTES as u64, before_last }
            }
        }
    }

    fn write_batch(&mut self, segment: Segment) -> Result<()> {
        let path = self.path_of(&segment);
        if self.batch.rolls {
            self.file = None;
            self.file = Some(self.files.create(&path).map_err(|error| file_error("create file", &path, &error))?);
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.files.open_write(&path).map_err(|error| file_error("open file", &path, &error))?),
        };
        let start = segment.bytes - self.batch.bytes.len() as u64;
        file.write_all_at(&self.batch.bytes, start).map_err(|error| file_error("write to file", &path, &error))?;
        file.sync_data().map_err(|error| file_error("fsync file", &path, &error))?;
        if self.batch.rolls { self.sync_dir() } else { Ok(()) }
    }

    fn sync_dir(&self) -> Result<()> {
        self.files.sync_dir(&self.dir).map_err(|error| file_error("fsync directory", &self.dir, &error))
    }

    fn path_of(&self, segment: &Segment) -> PathBuf {
        self.dir.join(format::file_name(segment.first))
    }
}

/// A record has more bytes than it may.
pub(crate) fn too_large(bytes: usize) -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("a record of {bytes} bytes is too large for the log"))
        .with_detail(format!("A record can have {LOG_RECORD_BYTES_MAX} bytes."))
        .with_hint("Write less at once.")
}

/// The log is not as it was written.
fn damaged(path: &Path, offset: u64, expected: impl std::fmt::Display) -> Error {
    Error::new(DATA_CORRUPTED, format!("log file \"{}\" is damaged at offset {offset}", path.display()))
        .with_detail(format!("Expected {expected}."))
}

#[cfg(test)]
mod tests;

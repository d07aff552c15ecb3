//! Reading a segment, frame by frame, and looking at what is wrong with it.

use std::path::PathBuf;

use weir_common::error::{Error, Result};

use super::format::{FRAME_HEADER_BYTES, FrameHeader, NoHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::error::file_error;
use crate::files::{Files, ReadFile};

/// Bytes that are read at once, unless a record is larger.
const WINDOW_BYTES: u64 = 256 * 1024;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// Goes through the frames of one segment.
pub(super) struct SegmentReader {
    file: Box<dyn ReadFile>,
    path: PathBuf,
    /// As its name says.
    first: u64,
    /// Bytes that are looked at.
    end: u64,
    /// Bytes of the file that are in memory, from `window_start` on.
    window: Vec<u8>,
    window_start: u64,
    offset: u64,
    last: Option<u64>,
    /// Where the batch of the last frame begins.
    batch: u64,
}

/// What comes next in a segment.
pub(super) enum Next<'a> {
    Record(u64, &'a [u8]),
    End,
    Wrong(Wrong),
}

/// Something that is not as it was written.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub offset: u64,
    pub expected: String,
    /// Up to where bytes would be missing if they were never written; none if that cannot be the reason.
    pub reaches: Option<u64>,
}

impl SegmentReader {
    /// Opens the segment with this first number, up to `end`, or to the end of the file.
    pub fn open(files: &dyn Files, path: PathBuf, first: u64, end: Option<u64>) -> Result<Self> {
        let file = files.open_read(&path).map_err(|error| file_error("open file", &path, &error))?;
        let len = file.len().map_err(|error| file_error("stat file", &path, &error))?;
        let end = end.unwrap_or(len);
        let offset = SEGMENT_HEADER_BYTES as u64;
        Ok(SegmentReader { file, path, first, end, window: Vec::new(), window_start: 0, offset, last: None, batch: 0 })
    }

    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Where the next frame is expected.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the last record that was read.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// Where the batch of the last record that was read begins.
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// The header of the segment.
    pub fn header(&mut self) -> Result<Result<SegmentHeader, NoHeader>> {
        let bytes = self.bytes(0, self.end.min(SEGMENT_HEADER_BYTES as u64))?;
        Ok(SegmentHeader::decode(bytes))
    }

    /// The next record.
    pub fn next(&mut self) -> Result<Next<'_>> {
        if self.offset >= self.end {
            return Ok(Next::End);
        }
        let (at, first, end) = (self.offset, self.first, self.end);
        let body = at + FRAME_HEADER_BYTES as u64;
        if body > end {
            return Ok(Next::Wrong(Wrong { offset: at, expected: "the header of a record".into(), reaches: Some(body) }));
        }
        let Some(frame) = FrameHeader::decode(self.bytes(at, FRAME_HEADER_BYTES as u64)?, first, at) else {
            return Ok(Next::Wrong(Wrong { offset: at, expected: "the header of a record".into(), reaches: Some(body) }));
        };
        // From here on the header is as it was written, so what it says can be relied on, or somebody else wrote it.
        let fits_batch = frame.batch == self.batch || frame.batch == at;
        let fits_number = match self.last {
            Some(last) => frame.number > last,
            None => frame.number == first && frame.batch == 0,
        };
        if !fits_number || !fits_batch {
            let expected = match self.last {
                Some(last) => format!("a number above {last}, in a batch that begins at {} or {at}", self.batch),
                None => format!("number {first}, in a batch that begins at 0"),
            };
            let found = format!("{expected}, not number {} in one that begins at {}", frame.number, frame.batch);
            return Ok(Next::Wrong(Wrong { offset: at, expected: found, reaches: None }));
        }
        let over = frame.len > end - body;
        if over || !frame.fits(self.bytes(body, frame.len)?) {
            let expected = format!("record {} of {} bytes", frame.number, frame.len);
            return Ok(Next::Wrong(Wrong { offset: at, expected, reaches: Some(body.saturating_add(frame.len)) }));
        }
        self.offset = body + frame.len;
        self.last = Some(frame.number);
        self.batch = frame.batch;
        let number = frame.number;
        Ok(Next::Record(number, self.bytes(body, frame.len)?))
    }

    /// Whether bytes between these offsets may never have been written: the file ends before, or a sector reads as zeros.
    pub fn may_be_unwritten(&mut self, from: u64, to: u64) -> Result<bool> {
        if to > self.end {
            return Ok(true);
        }
        let mut sector = from;
        while sector < to {
            // The sector as far as the file goes, without what was there before `from`.
            let next = (sector / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let bytes = self.bytes(sector, next.min(self.end) - sector)?;
            if bytes.iter().all(|byte| *byte == 0) {
                return Ok(true);
            }
            sector = next;
        }
        Ok(false)
    }

    /// Where a frame is, behind this offset, whose batch begins behind it too.
    pub fn later_batch(&mut self, offset: u64) -> Result<Option<u64>> {
        let header = FRAME_HEADER_BYTES as u64;
        let mut at = offset + 1;
        while at + header <= self.end {
            let (first, end, last) = (self.first, self.end, self.last);
            let window = self.bytes(at, (end - at).min(WINDOW_BYTES))?;
            for (skip, bytes) in window.windows(FRAME_HEADER_BYTES).enumerate() {
                let place = at + skip as u64;
                // Nearly everything is refused by these, and the checksum need not be computed.
                let seen = FrameHeader::unchecked(bytes);
                let likely = seen.batch > offset && seen.batch <= place && last.is_none_or(|last| seen.number > last);
                if likely && FrameHeader::decode(bytes, first, place).is_some() {
                    return Ok(Some(place));
                }
            }
            at += window.len() as u64 - header + 1;
        }
        Ok(None)
    }

    /// Bytes of the file, which must be before its end.
    pub fn bytes(&mut self, from: u64, len: u64) -> Result<&[u8]> {
        let have = self.window_start..self.window_start + self.window.len() as u64;
        if from < have.start || from + len > have.end {
            let size = len.max(WINDOW_BYTES.min(self.end - from));
            let size = usize::try_from(size).map_err(|_| Error::internal(format!("a record of {size} bytes")))?;
            // What is larger than usual does not stay.
            if self.window.capacity() > 2 * size {
                self.window = Vec::new();
            }
            self.window.resize(size, 0);
            self.window_start = from;
            if let Err(error) = self.file.read_exact_at(&mut self.window, from) {
                self.window.clear();
                return Err(file_error("read file", &self.path, &error));
            }
        }
        let start = (from - self.window_start) as usize;
        Ok(&self.window[start..start + len as usize])
    }
}

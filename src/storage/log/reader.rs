//! Records from a number on, read from one segment after another while they are asked for.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_common::error::{Error, Result};

use super::segment::{Next, SegmentReader};
use super::{Segment, damaged, format};
use crate::error::DATA_CORRUPTED;
use crate::files::Files;

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub number: u64,
    /// What was appended under this number.
    pub bytes: Vec<u8>,
}

/// The records that were synced when it was made, in order; one segment is open, one record in memory.
///
/// It is independent of the log: records may be appended meanwhile, and are not seen. Segments that are dropped before it came to
/// them are an error.
pub struct LogReader {
    files: Arc<dyn Files>,
    dir: PathBuf,
    rest: VecDeque<Segment>,
    current: Option<SegmentReader>,
    from: u64,
}

pub(super) fn open(files: &Arc<dyn Files>, dir: &Path, segments: &VecDeque<Segment>, from: u64) -> Result<LogReader> {
    if let Some(segment) = segments.front()
        && segment.index > 1
        && from <= segment.before_last
    {
        let message = format!("the log begins with record {}, and does not hold record {from} any more", segment.first);
        return Err(Error::new(DATA_CORRUPTED, message)
            .with_detail(format!("Records up to {} were dropped.", segment.before_last))
            .with_hint("Files of the log are missing, or the checkpoint is older than the log. Restore a backup."));
    }
    let rest = segments.iter().filter(|segment| segment.last >= from).copied().collect();
    Ok(LogReader { files: files.clone(), dir: dir.to_path_buf(), rest, current: None, from })
}

impl LogReader {
    fn read(&mut self) -> Result<Option<Record>> {
        loop {
            let Some(reader) = &mut self.current else {
                let Some(segment) = self.rest.front() else { return Ok(None) };
                let path = self.dir.join(format::file_name(segment.first));
                self.current = Some(SegmentReader::open(&*self.files, path, segment.first, Some(segment.bytes))?);
                continue;
            };
            let found = match reader.next()? {
                Next::Record(number, bytes) if number >= self.from => Ok(Some(Record { number, bytes: bytes.to_vec() })),
                Next::Record(..) => continue,
                Next::End => Ok(None),
                Next::Wrong(wrong) => Err(wrong),
            };
            match found {
                Ok(Some(record)) => return Ok(Some(record)),
                Ok(None) => {
                    self.current = None;
                    self.rest.pop_front();
                }
                Err(wrong) => return Err(damaged(reader.path(), wrong.offset, wrong.expected)),
            }
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read();
        if next.is_err() {
            // An error is told once, and is the end.
            self.rest.clear();
            self.current = None;
        }
        next.transpose()
    }
}

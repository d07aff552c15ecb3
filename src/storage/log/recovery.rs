//! What is there when the log is opened: everything is checked, a torn tail is cut off, damage is refused.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use weir_common::error::{Error, Result, SqlState};

use super::format::{self, NoHeader, SegmentHeader};
use super::segment::{Next, SegmentReader, Wrong};
use super::{Segment, damaged};
use crate::error::file_error;
use crate::files::Files;

/// What was found in a log that was opened: for the message that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Number of the first record.
    pub first: Option<u64>,
    /// Number of the last record.
    pub last: Option<u64>,
    /// Records.
    pub records: u64,
    /// Bytes on disk, after the cut.
    pub bytes: u64,
    /// Files, after the cut.
    pub segments: usize,
    /// What a crash had torn, and was cut off; none of it was ever acknowledged.
    pub cut: Option<Cut>,
}

/// Bytes that were cut off the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file; it is removed if nothing is left of it.
    pub path: PathBuf,
    /// Where the cut is.
    pub offset: u64,
    /// How much was behind it.
    pub bytes: u64,
    /// What should have been at that place.
    pub expected: String,
}

/// What a segment was found to be.
struct Found {
    /// Its header and records, unless a crash left none.
    whole: Option<(SegmentHeader, Segment)>,
    records: u64,
    /// Where its last batch begins.
    batch: u64,
    cut: Option<Cut>,
}

/// Reads the whole log, and makes it end where its last whole record does.
pub(super) fn recover(files: &dyn Files, dir: &Path) -> Result<(VecDeque<Segment>, Recovered)> {
    let firsts = list(files, dir)?;
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let (mut records, mut batch, mut cut) = (0, 0, None);
    for (place, first) in firsts.iter().enumerate() {
        let path = dir.join(format::file_name(*first));
        let mut reader = SegmentReader::open(files, path.clone(), *first, None)?;
        let found = read(&mut reader, *first, place + 1 == firsts.len())?;
        records += found.records;
        cut = found.cut;
        if let Some((header, segment)) = found.whole {
            if let Some(before) = segments.back() {
                follows(before, &header, dir, &path)?;
            }
            batch = found.batch;
            segments.push_back(segment);
        }
    }
    // Nothing is wrong with the log; only now is it changed.
    mend(files, dir, segments.back(), batch, cut.as_ref())?;
    let recovered = Recovered {
        first: segments.front().map(|segment| segment.first),
        last: segments.back().map(|segment| segment.last),
        records,
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        segments: segments.len(),
        cut,
    };
    Ok((segments, recovered))
}

/// The first numbers of the segments, in order.
fn list(files: &dyn Files, dir: &Path) -> Result<Vec<u64>> {
    let names = files.list(dir).map_err(|error| file_error("open directory", dir, &error))?;
    let mut firsts = Vec::new();
    for name in names {
        match format::first_of_name(&name) {
            Some(Some(first)) => firsts.push(first),
            Some(None) => return Err(damaged(&dir.join(&name), 0, "a name of 20 digits, the number of the first record")),
            None => {}
        }
    }
    Ok(firsts)
}

/// Reads one segment; `newest` if no segment was begun after it.
fn read(reader: &mut SegmentReader, first: u64, newest: bool) -> Result<Found> {
    let header = match reader.header()? {
        Ok(header) => header,
        Err(NoHeader::Version(version)) => return Err(unknown_version(reader.path(), version)),
        Err(NoHeader::Wrong) => {
            let reaches = Some(format::SEGMENT_HEADER_BYTES as u64);
            let cut = torn(reader, Wrong { offset: 0, expected: "the header of a log file".into(), reaches }, newest)?;
            return Ok(Found { whole: None, records: 0, batch: 0, cut: Some(cut) });
        }
    };
    if header.first != first {
        return Err(damaged(
            reader.path(),
            0,
            format!("the header of the file that begins with record {first}, not with {}", header.first),
        ));
    }
    let mut records = 0;
    let wrong = loop {
        match reader.next()? {
            Next::Record(..) => records += 1,
            Next::End if records > 0 => break None,
            // The header is never written alone.
            Next::End => break Some(Wrong { offset: reader.offset(), expected: "a record".into(), reaches: Some(u64::MAX) }),
            Next::Wrong(wrong) => break Some(wrong),
        }
    };
    let cut = wrong.map(|wrong| torn(reader, wrong, newest)).transpose()?;
    let Some(last) = reader.last() else {
        let cut = cut.map(|cut| Cut { offset: 0, bytes: reader.end(), ..cut });
        return Ok(Found { whole: None, records: 0, batch: 0, cut });
    };
    let segment = Segment { index: header.index, first, last, bytes: reader.offset(), before_last: header.before_last };
    Ok(Found { whole: Some((header, segment)), records, batch: reader.batch(), cut })
}

/// What to cut off where something is wrong; an error if a crash cannot be the reason.
fn torn(reader: &mut SegmentReader, wrong: Wrong, newest: bool) -> Result<Cut> {
    let path = reader.path().clone();
    let damage = damaged(&path, wrong.offset, &wrong.expected);
    if !newest {
        return Err(damage.with_hint("Later files of the log are there, so this was on disk once. Restore a backup."));
    }
    let unwritten = match wrong.reaches {
        Some(reaches) => reader.may_be_unwritten(wrong.offset, reaches)?,
        None => false,
    };
    if !unwritten {
        return Err(damage.with_hint(format!(
            "The bytes are there, and are not what was written: the disk or something else changed them. Restore a backup. If the machine \
             lost its power while Weir was writing, and the file system fills what was not written with old bytes, what follows was never \
             acknowledged: cut the file to {} bytes.",
            wrong.offset
        )));
    }
    if let Some(later) = reader.later_batch(wrong.offset)? {
        return Err(damage.with_hint(format!(
            "What is at offset {later} was written after this had been synced, so this was on disk once. Restore a backup."
        )));
    }
    Ok(Cut { path, offset: wrong.offset, bytes: reader.end() - wrong.offset, expected: wrong.expected })
}

/// Checks that a segment is the one that was written after another.
fn follows(before: &Segment, header: &SegmentHeader, dir: &Path, path: &Path) -> Result<()> {
    if header.index != before.index + 1 {
        let expected = format!("log file number {} after number {}, not number {}", before.index + 1, before.index, header.index);
        return Err(damaged(path, 0, expected).with_hint("Files of the log are missing. Restore them, or a backup."));
    }
    if header.before_bytes != before.bytes || header.before_last != before.last {
        let expected =
            format!("{} bytes that end with record {}, not {} with {}", header.before_bytes, header.before_last, before.bytes, before.last);
        let offset = header.before_bytes.min(before.bytes);
        return Err(damaged(&dir.join(format::file_name(before.first)), offset, expected).with_hint("Restore a backup."));
    }
    if header.first <= before.last {
        return Err(damaged(path, 0, format!("a first record above number {}, not {}", before.last, header.first)));
    }
    Ok(())
}

/// Cuts off what is torn, and makes sure that what was found is on disk: nobody knows whether its last batch ever was.
fn mend(files: &dyn Files, dir: &Path, last: Option<&Segment>, batch: u64, cut: Option<&Cut>) -> Result<()> {
    let left = cut.filter(|cut| cut.offset > 0);
    if let Some(cut) = cut
        && left.is_none()
    {
        files.remove(&cut.path).map_err(|error| file_error("remove file", &cut.path, &error))?;
    }
    if let Some(segment) = last {
        let path = dir.join(format::file_name(segment.first));
        let mut reader = SegmentReader::open(files, path.clone(), segment.first, Some(segment.bytes))?;
        let mut file = files.open_write(&path).map_err(|error| file_error("open file", &path, &error))?;
        // If a sync failed, the system may show bytes that it will never write; only writing them again helps.
        let mut at = batch;
        while at < segment.bytes {
            let bytes = reader.bytes(at, (segment.bytes - at).min(64 * 1024))?;
            file.write_all_at(bytes, at).map_err(|error| file_error("write to file", &path, &error))?;
            at += bytes.len() as u64;
        }
        if left.is_some() {
            file.truncate(segment.bytes).map_err(|error| file_error("truncate file", &path, &error))?;
        }
        file.sync_data().map_err(|error| file_error("fsync file", &path, &error))?;
    }
    // Also if nothing is here: an earlier try may have removed a torn file and come no further.
    files.sync_dir(dir).map_err(|error| file_error("fsync directory", dir, &error))
}

fn unknown_version(path: &Path, version: u32) -> Error {
    let message =
        format!("log file \"{}\" has format {version}, and this version of Weir knows format {}", path.display(), format::VERSION);
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint("Use the version of Weir that wrote it, or a newer one.")
}

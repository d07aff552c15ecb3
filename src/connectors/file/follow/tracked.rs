//! A file that is followed: which one it is, whatever its name, and how far it has been read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Instant, SystemTime};

use crate::file::files::Stand;
use crate::file::input::Packing;
use crate::file::place::{HEAD_BYTES, Head, Mark, Place};

/// What stays the same when a file is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(super) fn inode(self) -> u64 {
        self.inode
    }
}

/// A file that is followed.
pub(super) struct Tracked {
    pub(super) id: FileId,
    /// Its latest name.
    pub(super) name: String,
    /// Open while it is among the files that were read last: so it can be read to its end also when it has lost its name.
    pub(super) file: Option<File>,
    /// How it grows, once its first bytes are known.
    pub(super) growth: Option<Growth>,
    pub(super) stand: Stand,
    /// Of what has been read.
    head: Head,
    /// Bytes that it is of.
    head_bytes: u64,
    /// As of the last look.
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
    /// The same when it was looked at whether what was read is still there.
    checked: Option<SystemTime>,
    /// It was the same in two looks.
    pub(super) settled: bool,
    /// Since when it has no name that matches.
    pub(super) gone: Option<Instant>,
    /// It has been read to its end, and will not be looked at again.
    pub(super) finished: bool,
    /// When it was the current file for the last time.
    pub(super) used: u64,
    /// Where reading stops, although there may be more.
    until: Option<Until>,
}

/// Where reading of a file stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// At the end that it had, or has.
    End,
    /// Before it.
    At(u64),
}

/// How a file grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// By lines at its end.
    Appended,
    /// Not at all: it is put in place as a whole.
    Whole,
}

/// What became of a file's content since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// What was read is still there.
    None,
    /// The file is shorter than what was read.
    Truncated,
    /// It starts otherwise.
    Overwritten,
}

impl Tracked {
    /// A file of which nothing has been read.
    pub(super) fn new(name: String, metadata: &Metadata) -> Tracked {
        Tracked {
            id: FileId::of(metadata),
            name,
            file: None,
            growth: None,
            stand: Stand::default(),
            head: Head::default(),
            head_bytes: 0,
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            checked: None,
            settled: false,
            gone: None,
            finished: false,
            used: 0,
            until: None,
        }
    }

    /// Reads no further than to a place.
    pub(super) fn stop_at(&mut self, until: Until) {
        self.until = Some(until);
    }

    /// The mark before which reading stops, if it does not stop at the end.
    pub(super) fn limit(&self) -> Option<u64> {
        match self.until? {
            Until::End => None,
            Until::At(mark) => Some(mark),
        }
    }

    /// Takes note of how it is found under a name.
    pub(super) fn look(&mut self, name: &str, metadata: &Metadata) {
        if self.name != name {
            self.name = name.to_string();
        }
        self.gone = None;
        let modified = metadata.modified().ok();
        self.settled = self.bytes == metadata.len() && self.modified == modified;
        (self.bytes, self.modified) = (metadata.len(), modified);
    }

    /// Whether something of it has been read.
    pub(super) fn is_started(&self) -> bool {
        self.stand.at.bytes > 0 || self.stand.ended
    }

    /// Whether there is something in it that nobody has looked at.
    pub(super) fn is_ready(&self) -> bool {
        if self.stand.ended || self.finished {
            return false;
        }
        if let Some(Until::At(mark)) = self.until {
            return self.stand.at.bytes < mark;
        }
        match self.growth {
            Some(Growth::Whole) => self.settled || self.gone.is_some() || self.until.is_some(),
            // What was rewritten may be as long as before.
            Some(Growth::Appended) => self.bytes != self.stand.seen || self.modified != self.checked,
            None => self.bytes != self.stand.seen,
        }
    }

    /// Opens it, unless it is open, and finds out how it grows; an error where its name means another file by now.
    pub(super) fn open(&mut self, whole: bool) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = File::open(&self.name)?;
                if FileId::of(&file.metadata()?) != self.id {
                    return Err(io::ErrorKind::NotFound.into());
                }
                file
            }
        };
        if self.growth.is_none() {
            self.growth = match Packing::of(&file)? {
                _ if whole => Some(Growth::Whole),
                Some(Packing::Gzip) => Some(Growth::Whole),
                Some(Packing::Plain) => Some(Growth::Appended),
                None => None,
            };
        }
        Ok(self.file.insert(file))
    }

    /// Takes note of how long it is, if it is open and grows.
    pub(super) fn measure(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && self.growth != Some(Growth::Whole)
        {
            let metadata = file.metadata()?;
            (self.bytes, self.modified) = (metadata.len(), metadata.modified().ok());
        }
        Ok(())
    }

    /// What became of what was read of it; the file has to be open.
    pub(super) fn change(&mut self) -> io::Result<Change> {
        self.checked = self.modified;
        if self.growth == Some(Growth::Appended) && self.bytes < self.stand.at.bytes {
            return Ok(Change::Truncated);
        }
        match &self.file {
            Some(file) if Head::of(file, self.head_bytes)? != self.head => Ok(Change::Overwritten),
            _ => Ok(Change::None),
        }
    }

    /// Nothing of it has been read.
    pub(super) fn reset(&mut self) {
        self.stand = Stand::default();
        (self.head, self.head_bytes) = (Head::default(), 0);
    }

    /// How many bytes of its head are known for certain, when it has been read so far.
    fn vouched(&self, at: Mark, ended: bool) -> u64 {
        match self.growth {
            Some(Growth::Whole) if !ended => HEAD_BYTES,
            _ => at.bytes.min(HEAD_BYTES),
        }
    }

    /// It is a file that is not read again, and has been read to its end.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let at = Mark { bytes: self.bytes, lines: self.stand.at.lines };
        self.note(Stand { at, ended: true, seen: 0 })
    }

    /// It has been read up to here.
    pub(super) fn note(&mut self, stand: Stand) -> io::Result<()> {
        self.stand = stand;
        let vouched = self.vouched(stand.at, stand.ended);
        if let Some(file) = &self.file
            && vouched != self.head_bytes
        {
            (self.head, self.head_bytes) = (Head::of(file, vouched)?, vouched);
        }
        Ok(())
    }

    /// Whether it has all that was read up to a place: it can be opened, is as long, and starts in the same way.
    pub(super) fn holds(&mut self, place: &Place, whole: bool) -> bool {
        if self.bytes < place.at.bytes || self.open(whole).is_err() {
            return false;
        }
        let vouched = self.vouched(place.at, place.ended);
        self.file.as_ref().is_some_and(|file| Head::of(file, vouched).is_ok_and(|head| head == place.head))
    }

    /// It was read up to a place, if it is the file of that place: it starts in the same way.
    pub(super) fn resume(&mut self, place: &Place) -> io::Result<bool> {
        let vouched = self.vouched(place.at, place.ended);
        let Some(file) = &self.file else { return Ok(false) };
        if Head::of(file, vouched)? != place.head {
            return Ok(false);
        }
        (self.head, self.head_bytes) = (place.head, vouched);
        self.stand = Stand { at: place.at, ended: place.ended, seen: place.at.bytes };
        Ok(true)
    }

    /// It counts as read up to where it ends now.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        let ended = self.growth == Some(Growth::Whole);
        self.note(Stand { at: Mark { bytes: self.bytes, lines: 0 }, ended, seen: self.bytes })
    }

    /// The place that it has been read up to.
    pub(super) fn place(&self) -> Place {
        let Stand { at, ended, .. } = self.stand;
        Place { name: self.name.clone(), at, ended, head: self.head, inode: Some(self.id.inode()) }
    }
}

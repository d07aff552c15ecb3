//! Files that are followed: what is appended to them, new ones, truncation and rotation.
//!
//! A file is the same file as long as its inode is, whatever its name; it is read from where it was left, in the order of names where
//! several have something. Looking at directories costs more than looking at open files, so that is done more rarely, the more so the
//! more files there are.

mod tracked; // one such file

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use weir_common::error::Result;
use weir_common::limits::FOLLOWED_FILES_MAX;
use weir_common::source::Position;

use self::tracked::{Change, FileId, Growth, Tracked, Until};
use crate::file::files::{Files, Opening, Stand, Turn};
use crate::file::input::{cannot_open, cannot_read};
use crate::file::paths::Paths;
use crate::file::place::{self, Place, Places};

/// Between two looks at the names that there are, at least.
const SCAN_PAUSE_MIN: Duration = Duration::from_millis(80);
/// And at most.
const SCAN_PAUSE_MAX: Duration = Duration::from_secs(10);
/// What such a look costs is at most this part of the time.
const SCAN_SHARE: u32 = 50;
/// How long a file that has lost its name is looked at: who writes to it may not know yet.
const GONE_WAIT: Duration = Duration::from_secs(5);

/// Files that are followed.
///
/// # Invariants
/// - `tracked` is in the order of names, and has no two of one id.
pub(crate) struct Follow {
    relation: String,
    paths: Paths,
    /// Files do not grow, whatever they hold.
    whole: bool,
    tracked: Vec<Tracked>,
    current: Option<FileId>,
    /// The reader still has the current file open, at the place where it was left.
    kept: bool,
    /// Files up to this name are read unless they are tracked and open, as far as a position can tell.
    through: Option<String>,
    scanned: Instant,
    pause: Duration,
    uses: u64,
    /// It stops at a position.
    bounded: bool,
}

impl Follow {
    /// Follows the files of `paths` from a position on; `whole` says that files are not text.
    pub(crate) fn open(relation: String, paths: Paths, whole: bool, from: &Position) -> Result<Follow> {
        let mut follow = Follow {
            relation,
            paths,
            whole,
            tracked: Vec::new(),
            current: None,
            kept: false,
            through: None,
            scanned: Instant::now(),
            pause: SCAN_PAUSE_MIN,
            uses: 0,
            bounded: false,
        };
        follow.scan()?;
        if !from.is_start() {
            follow.resume(from)?;
        }
        Ok(follow)
    }

    /// Reads no further than to a later position, and comes to an end there.
    pub(crate) fn stop_at(&mut self, to: &Position) -> Result<()> {
        let places = Places::parse(to)?;
        let mut named = vec![false; self.tracked.len()];
        for place in &places.files {
            let found = self.tracked.iter().position(|file| Some(file.id.inode()) == place.inode);
            let Some(at) = found.or_else(|| self.put_back(place)) else {
                return Err(place::cannot_continue(to, format!("file \"{}\" is gone", place.name)));
            };
            named[at] = true;
            self.tracked[at].stop_at(if place.ended { Until::End } else { Until::At(place.at.bytes) });
        }
        for (file, named) in self.tracked.iter_mut().zip(named) {
            let before = places.through.as_ref().is_some_and(|through| file.name <= *through);
            if !named {
                file.stop_at(if before { Until::End } else { Until::At(0) });
            }
        }
        self.bounded = true;
        Ok(())
    }

    /// Looks which files there are.
    fn scan(&mut self) -> Result<()> {
        let start = Instant::now();
        let found = match self.paths.files() {
            Ok(found) => found,
            Err(error) if error.sqlstate() == weir_common::error::SqlState::UNDEFINED_FILE => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut known: HashMap<FileId, usize> = self.tracked.iter().enumerate().map(|(at, file)| (file.id, at)).collect();
        let mut there = vec![false; self.tracked.len()];
        for (name, metadata) in found {
            match known.get(&FileId::of(&metadata)) {
                // A file that has two names is read once.
                Some(at) if there[*at] => {}
                Some(at) => {
                    there[*at] = true;
                    self.look(*at, &name, &metadata);
                }
                None => {
                    known.insert(FileId::of(&metadata), there.len());
                    there.push(true);
                    self.tracked.push(Tracked::new(name, &metadata));
                }
            }
        }
        for (file, there) in self.tracked.iter_mut().zip(there) {
            if !there && file.gone.is_none() {
                file.gone = Some(start);
            }
        }
        // One that is not open cannot be read without its name.
        self.tracked.retain(|file| file.gone.is_none() || file.file.is_some() && !file.finished);
        self.tracked.sort_by(|left, right| left.name.cmp(&right.name));
        self.scanned = Instant::now();
        self.pause = (start.elapsed() * SCAN_SHARE).clamp(SCAN_PAUSE_MIN, SCAN_PAUSE_MAX);
        Ok(())
    }

    fn look(&mut self, at: usize, name: &str, metadata: &std::fs::Metadata) {
        let file = &mut self.tracked[at];
        if file.name != name {
            tracing::info!(source = self.relation, file = name, before = file.name, "a followed file was renamed");
        }
        let ended = file.stand.ended && file.growth == Some(Growth::Whole);
        let before = (file.bytes, file.modified);
        file.look(name, metadata);
        if ended && before != (file.bytes, file.modified) {
            tracing::warn!(source = self.relation, file = name, "a packed file was changed after it was read, and is not read again");
        }
    }

    /// Goes on where a reader stood; files that are not there any more are told of.
    fn resume(&mut self, from: &Position) -> Result<()> {
        let places = Places::parse(from)?;
        if places.files.iter().any(|place| place.inode.is_none()) {
            return Err(place::cannot_continue(from, "it is a position of files that are read once"));
        }
        for place in &places.files {
            if !self.resume_file(place)? && !self.resume_renamed(place) && !self.resume_put_back(place)? {
                let file = place.name.as_str();
                tracing::warn!(source = self.relation, file, "a followed file is gone, with what had not been read of it");
            }
        }
        self.through = places.through;
        for file in &mut self.tracked {
            if file.file.is_none() && self.through.as_ref().is_some_and(|through| file.name <= *through) {
                if let Err(error) = file.open(self.whole) {
                    return Err(cannot_open(&file.name, &error));
                }
                file.skip().map_err(|error| cannot_read(&file.name, &error))?;
                file.file = None;
            }
        }
        Ok(())
    }

    /// Finds the file of a place among those that there are.
    fn resume_file(&mut self, place: &Place) -> Result<bool> {
        let Some(file) = self.tracked.iter_mut().find(|file| Some(file.id.inode()) == place.inode) else { return Ok(false) };
        let name = file.name.clone();
        file.open(self.whole).map_err(|error| cannot_open(&name, &error))?;
        if file.resume(place).map_err(|error| cannot_read(&name, &error))? {
            self.uses += 1;
            file.used = self.uses;
        } else {
            tracing::warn!(
                source = self.relation,
                file = name,
                "another file is in the place of a followed one, and is read from its start"
            );
        }
        Ok(true)
    }

    /// Finds what was put back under its name, such as a copy.
    fn resume_put_back(&mut self, place: &Place) -> Result<bool> {
        let Some(at) = self.put_back(place) else { return Ok(false) };
        let file = &mut self.tracked[at];
        self.uses += 1;
        file.used = self.uses;
        file.resume(place).map_err(|error| cannot_read(&place.name, &error))
    }

    /// The file that has the name of a place, and begins as the one did that was read: it is that one.
    fn put_back(&mut self, place: &Place) -> Option<usize> {
        let whole = self.whole;
        let at = self.tracked.iter().position(|file| file.name == place.name)?;
        self.tracked[at].holds(place, whole).then_some(at)
    }

    /// Finds it under a name beside its own that does not match.
    fn resume_renamed(&mut self, place: &Place) -> bool {
        let directory = Path::new(&place.name).parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(entries) = std::fs::read_dir(directory) else { return false };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let Some(name) = entry.path().to_str().map(str::to_string) else { continue };
            let mut file = Tracked::new(name, &metadata);
            let found = metadata.is_file()
                && Some(file.id.inode()) == place.inode
                && file.open(self.whole).is_ok()
                && file.resume(place).is_ok_and(|same| same);
            if found {
                tracing::info!(source = self.relation, file = file.name, before = place.name, "a followed file was renamed");
                file.name = place.name.clone();
                file.gone = Some(Instant::now());
                self.tracked.push(file);
                self.tracked.sort_by(|left, right| left.name.cmp(&right.name));
                return true;
            }
        }
        false
    }

    /// The file to read from next: one that has lost its name, then those that nothing has been read of, then those that have grown,
    /// each in the order of names and the current one last.
    fn choose(&self) -> Option<usize> {
        let start = self.current.and_then(|id| self.tracked.iter().position(|file| file.id == id)).map_or(0, |current| current + 1);
        let mut ready = (0..self.tracked.len()).map(|at| (start + at) % self.tracked.len()).filter(|at| self.tracked[*at].is_ready());
        let rank = |at: &usize| {
            let file = &self.tracked[*at];
            if file.gone.is_some() {
                (0, 0)
            } else if !file.is_started() && file.stand.seen == 0 {
                (1, *at)
            } else {
                (2, 0)
            }
        };
        // The first of several that are alike.
        let first = ready.next()?;
        Some(ready.fold(first, |best, at| if rank(&at) < rank(&best) { at } else { best }))
    }

    /// A file that has lost its name long enough ago, to be read to its very end.
    fn leave(&mut self) -> Option<usize> {
        let now = Instant::now();
        let over = |file: &Tracked| file.gone.is_some_and(|since| now.duration_since(since) >= GONE_WAIT);
        self.tracked.retain(|file| !over(file) || !file.stand.ended);
        self.tracked.iter().position(|file| over(file) && !file.finished)
    }

    /// Reads from this file; `last` says that it will not be looked at again.
    fn turn_to(&mut self, at: usize, last: bool) -> Result<Option<Turn>> {
        let file = &mut self.tracked[at];
        let name = file.name.clone();
        match file.open(self.whole) {
            Ok(_) => {}
            // It went away in this moment; the next look at the names tells.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.tracked.remove(at);
                return Ok(None);
            }
            Err(error) => return Err(cannot_open(&name, &error)),
        }
        let failed = |error| cannot_read(&name, &error);
        file.measure().map_err(failed)?;
        if file.growth.is_none() && !last {
            // Too short to tell what it is.
            file.stand.seen = file.bytes;
            return Ok(None);
        }
        if file.growth == Some(Growth::Whole) && !file.settled && file.gone.is_none() && !self.bounded {
            file.file = None;
            return Ok(None);
        }
        let change = file.change().map_err(failed)?;
        if change != Change::None {
            let (was, is) = (file.stand.at.bytes, file.bytes);
            let what = if change == Change::Truncated { "truncated" } else { "overwritten" };
            tracing::warn!(source = self.relation, file = name, was, is, "a followed file was {what}, and is read anew from its start");
            file.reset();
        }
        let same = self.kept && self.current == Some(file.id) && change == Change::None && file.bytes >= file.stand.seen;
        self.uses += 1;
        file.used = self.uses;
        file.finished = last;
        if let Some(since) = &mut file.gone {
            *since = Instant::now();
        }
        self.current = Some(file.id);
        self.kept = true;
        let growing = file.growth == Some(Growth::Appended) && !last;
        let turn = if same {
            Turn::More { last }
        } else {
            let clone = file.open(self.whole).and_then(std::fs::File::try_clone).map_err(failed)?;
            Turn::Open(Opening { name, file: clone, at: file.stand.at, until: file.limit(), growing })
        };
        self.close_some();
        Ok(Some(turn))
    }

    /// Closes files beyond the limit, those first that were read longest ago.
    fn close_some(&mut self) {
        let open = || self.tracked.iter().filter(|file| file.file.is_some());
        if open().count() <= FOLLOWED_FILES_MAX {
            return;
        }
        let oldest = open().filter(|file| file.gone.is_none()).min_by_key(|file| file.used).map(|file| file.id);
        if let Some(file) = self.tracked.iter_mut().find(|file| Some(file.id) == oldest) {
            file.file = None;
            if file.is_started() && self.through.as_ref().is_none_or(|through| *through < file.name) {
                self.through = Some(file.name.clone());
            }
        }
    }
}

impl Files for Follow {
    fn next(&mut self) -> Result<Turn> {
        // Who asks has come to the end of the current file.
        if let Some(file) = self.tracked.iter_mut().find(|file| Some(file.id) == self.current)
            && self.kept
            && file.growth == Some(Growth::Whole)
            && !file.stand.ended
        {
            file.end().map_err(|error| cannot_read(&file.name, &error))?;
        }
        // What has been read to its very end is forgotten.
        if let Some(current) = self.tracked.iter().position(|file| file.finished) {
            self.kept &= self.current != Some(self.tracked[current].id);
            self.tracked.remove(current);
        }
        let mut looked = self.scanned.elapsed() < self.pause;
        loop {
            for file in &mut self.tracked {
                file.measure().map_err(|error| cannot_read(&file.name, &error))?;
            }
            while let Some(at) = self.choose() {
                if let Some(turn) = self.turn_to(at, false)? {
                    return Ok(turn);
                }
            }
            if self.bounded {
                return Ok(Turn::End);
            }
            if let Some(at) = self.leave()
                && let Some(turn) = self.turn_to(at, true)?
            {
                return Ok(turn);
            }
            if looked {
                let unsettled = |file: &Tracked| !file.stand.ended && !file.settled && file.growth == Some(Growth::Whole);
                return Ok(Turn::Wait { soon: self.tracked.iter().any(unsettled) });
            }
            self.scan()?;
            looked = true;
        }
    }

    fn stand(&mut self, stand: Stand) {
        let Some(file) = self.tracked.iter_mut().find(|file| Some(file.id) == self.current && !file.stand.ended) else { return };
        let noted = if stand.ended { file.end() } else { file.note(stand) };
        if let Err(error) = noted {
            tracing::warn!(source = self.relation, file = file.name, %error, "a followed file cannot be read again");
        }
    }

    fn position(&mut self) -> Result<Position> {
        let files = self.tracked.iter().filter(|file| file.file.is_some() && file.is_started()).map(Tracked::place).collect();
        Ok(Position(Places { through: self.through.clone(), files }.to_string()))
    }
}

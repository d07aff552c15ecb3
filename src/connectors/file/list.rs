//! Files that are read once, in the order of their names.

use std::fs::File;
use std::vec;

use weir_common::error::Result;
use weir_common::source::Position;

use crate::file::files::{Files, Opening, Stand, Turn};
use crate::file::input::{Packing, cannot_open, cannot_read};
use crate::file::paths::Paths;
use crate::file::place::{self, HEAD_BYTES, Head, Mark, Place, Places};

/// Files that are read once.
pub(crate) struct List {
    names: vec::IntoIter<String>,
    whole: bool,
    current: Option<Current>,
    /// To be read first.
    first: Option<Opening>,
    /// The file that is not read to its end, and how far it is.
    until: Option<(String, u64)>,
}

struct Current {
    name: String,
    file: File,
    /// All of its head is known from the start, because it is read as a whole.
    whole: bool,
    at: Mark,
    ended: bool,
}

impl List {
    /// The files that there are; those in front of a position are read already. `whole` says that files are not plain text.
    pub(crate) fn open(paths: &Paths, whole: bool, from: &Position) -> Result<List> {
        let mut names: Vec<String> = paths.files()?.into_iter().map(|(name, _)| name).collect();
        if names.is_empty() {
            return Err(paths.no_match());
        }
        if from.is_start() {
            return Ok(List { names: names.into_iter(), whole, current: None, first: None, until: None });
        }
        let Places { through: None, files } = Places::parse(from)? else {
            return Err(place::cannot_continue(from, "it is a position of files that are followed"));
        };
        let [place] = files.as_slice() else {
            return Err(place::cannot_continue(from, "it is a position of files that are followed"));
        };
        let Some(at) = names.iter().position(|name| *name == place.name) else {
            return Err(place::cannot_continue(from, format!("file \"{}\" is not among those of \"{}\"", place.name, paths.text())));
        };
        let rest = names.split_off(at + 1);
        let mut current = Current::open(place.name.clone(), whole)?;
        let failed = |error| cannot_read(&place.name, &error);
        if (place.ended || !current.whole) && current.file.metadata().map_err(failed)?.len() < place.at.bytes {
            return Err(place::cannot_continue(from, "the file is shorter"));
        }
        (current.at, current.ended) = (place.at, place.ended);
        if current.head()? != place.head {
            return Err(place::cannot_continue(from, "another file is in its place"));
        }
        let first = if place.ended { None } else { Some(current.opening()?) };
        Ok(List { names: rest.into_iter(), whole, current: Some(current), first, until: None })
    }

    /// Reads no further than to a later position.
    pub(crate) fn stop_at(&mut self, to: &Position) -> Result<()> {
        let place = match Places::parse(to)? {
            Places { through: None, files } => files.into_iter().next(),
            _ => None,
        };
        let Some(place) = place else { return Err(place::cannot_continue(to, "it is a position of files that are followed")) };
        let names: Vec<String> = self.names.by_ref().take_while(|name| *name <= place.name).collect();
        let last = names.last().or(self.current.as_ref().map(|current| &current.name));
        if last != Some(&place.name) {
            return Err(place::cannot_continue(to, format!("file \"{}\" is gone", place.name)));
        }
        self.names = names.into_iter();
        self.until = (!place.ended).then_some((place.name, place.at.bytes));
        if let Some(first) = &mut self.first {
            first.until = limit(&self.until, &first.name);
        }
        Ok(())
    }
}

/// Where reading of a file stops before its end.
fn limit(until: &Option<(String, u64)>, name: &str) -> Option<u64> {
    until.as_ref().filter(|(last, _)| last == name).map(|(_, bytes)| *bytes)
}

impl Files for List {
    fn next(&mut self) -> Result<Turn> {
        if let Some(first) = self.first.take() {
            return Ok(Turn::Open(first));
        }
        let Some(name) = self.names.next() else { return Ok(Turn::End) };
        let until = limit(&self.until, &name);
        let current = self.current.insert(Current::open(name, self.whole)?);
        Ok(Turn::Open(Opening { until, ..current.opening()? }))
    }

    fn stand(&mut self, stand: Stand) {
        if let Some(current) = &mut self.current {
            (current.at, current.ended) = (stand.at, stand.ended);
            if let (true, Ok(metadata)) = (stand.ended, current.file.metadata()) {
                current.at.bytes = metadata.len();
            }
        }
    }

    fn position(&mut self) -> Result<Position> {
        let Some(current) = &self.current else { return Ok(Position::default()) };
        let place = Place { name: current.name.clone(), at: current.at, ended: current.ended, head: current.head()?, inode: None };
        Ok(Position(Places { through: None, files: vec![place] }.to_string()))
    }
}

impl Current {
    fn open(name: String, whole: bool) -> Result<Current> {
        let file = File::open(&name).map_err(|error| cannot_open(&name, &error))?;
        let packing = Packing::of(&file).map_err(|error| cannot_read(&name, &error))?;
        Ok(Current { name, file, whole: whole || packing == Some(Packing::Gzip), at: Mark::default(), ended: false })
    }

    fn opening(&self) -> Result<Opening> {
        let file = self.file.try_clone().map_err(|error| cannot_read(&self.name, &error))?;
        Ok(Opening { name: self.name.clone(), file, at: self.at, until: None, growing: false })
    }

    fn head(&self) -> Result<Head> {
        Head::of(&self.file, if self.whole && !self.ended { HEAD_BYTES } else { self.at.bytes })
            .map_err(|error| cannot_read(&self.name, &error))
    }
}

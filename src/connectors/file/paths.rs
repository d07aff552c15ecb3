//! `path = '..'`: one file, or a pattern of a shell that any number of files match.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

use glob::{MatchOptions, glob_with};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::SOURCE_FILES_MAX;

use crate::file::input::cannot_open;

/// As in a shell: `*` stays inside of a directory, and does not match names that start with a dot.
const MATCH: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Names of files.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    text: String,
    pattern: bool,
}

impl Paths {
    /// What a path says; an error where it is a pattern that is not well formed, or no path.
    pub(crate) fn new(text: &str) -> Result<Paths> {
        if text.contains("://") {
            return Err(Error::unsupported(format!("path \"{text}\" is a URL, which is not supported"))
                .with_hint("Connector \"file\" reads files of the server's machine; write a plain path."));
        }
        let pattern = text.contains(['*', '?', '[']);
        if pattern {
            glob::Pattern::new(text).map_err(|error| {
                let message = format!("path \"{text}\" is not a pattern: {} at character {}", error.msg, error.pos + 1);
                Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                    .with_hint("A pattern knows *, ?, [abc], [!abc] and **; in a plain name, write [[] for [, [*] for *, and [?] for ?.")
            })?;
        }
        Ok(Paths { text: text.to_string(), pattern })
    }

    /// The path as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether several files may match it.
    pub(crate) fn is_pattern(&self) -> bool {
        self.pattern
    }

    /// The files that there are, in the order of their names. Of a pattern, what is no regular file is left out.
    pub(crate) fn files(&self) -> Result<Vec<(String, Metadata)>> {
        if !self.pattern {
            return Ok(vec![(self.text.clone(), metadata(&self.text)?)]);
        }
        let listed = glob_with(&self.text, MATCH).map_err(|error| Error::internal(error.to_string()))?;
        let mut files = Vec::new();
        for found in listed {
            let path = found.map_err(|error| cannot_open(&error.path().display().to_string(), error.error()))?;
            let Some(name) = path.to_str() else {
                let message = format!("the name of file \"{}\" is not valid UTF-8", path.display());
                return Err(Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message));
            };
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => files.push((name.to_string(), metadata)),
                Ok(_) => {}
                // It went away, or it is a link to nothing.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(cannot_open(name, &error)),
            }
            if files.len() > SOURCE_FILES_MAX {
                let message = format!("more than {SOURCE_FILES_MAX} files match \"{}\"", self.text);
                return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Make a source of each part of them."));
            }
        }
        files.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(files)
    }

    /// The error of a pattern that no file matches.
    pub(crate) fn no_match(&self) -> Error {
        let here = std::env::current_dir().map_or_else(|_| String::from("its working directory"), |dir| dir.display().to_string());
        Error::new(SqlState::UNDEFINED_FILE, format!("no file matches \"{}\"", self.text)).with_hint(
            match Path::new(&self.text).is_relative() {
                true => format!("A relative path starts at {here} on the server's machine. With follow = 'true', files may come later."),
                false => "The server looks on its own machine. With follow = 'true', files may come later.".to_string(),
            },
        )
    }
}

/// The metadata of a path that must be a regular file. To be asked before opening it: to open a FIFO waits for a writer.
fn metadata(path: &str) -> Result<Metadata> {
    let metadata = std::fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
    if metadata.is_dir() {
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{path}\" is a directory"))
            .with_hint(format!("Name a file in it, or several by a pattern such as '{}/*'.", path.trim_end_matches('/'))));
    }
    if !metadata.is_file() {
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{path}\" is not a regular file")));
    }
    Ok(metadata)
}

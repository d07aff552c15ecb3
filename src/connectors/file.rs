//! Connector `file`: one finite file of JSON lines on the server's machine, plain or gzip.

pub(crate) mod gunzip; // gzip that says how far it got
pub(crate) mod files; // which file is read next
mod follow; // files that are followed
pub(crate) mod input; // opening a file, and what may be wrong with it
pub(crate) mod lines; // bytes into lines, in bounded memory
pub(crate) mod place; // where a reader stands, as text
mod list; // files that are read once
mod paths; // one file, or a pattern
mod records; // the records of one file, decoded
pub(crate) mod reader; // files into batches, dead letters and positions
mod text; // JSON lines and CSV

use std::fs;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_common::error::{Result, SqlState};
use weir_common::source::{Position, Source, SourceReader, SourceRef};

use crate::connector::{Connector, Declaration};
use crate::csv::CsvDecoder;
use crate::file::files::{Files, Opening};
use crate::file::follow::Follow;
use crate::file::input::cannot_open;
use crate::file::list::List;
use crate::file::paths::Paths;
use crate::file::place::Mark;
use crate::file::reader::FileReader;
use crate::file::records::{Decoder, Records};
use crate::file::text::Text;
use crate::format::Encoding;
use crate::json::JsonDecoder;
use crate::parquet::{Parquet, ParquetFile};

/// The connector `file`.
pub struct File;

impl Connector for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn options(&self) -> &'static [&'static str] {
        &["path", "follow"]
    }

    fn source(&self, declaration: &Declaration<'_>) -> Result<SourceRef> {
        let source = FileSource {
            name: declaration.name.to_string(),
            schema: declaration.schema.clone(),
            encoding: declaration.format()?.encoding()?,
            paths: Paths::new(declaration.options.required("path")?)?,
            follow: declaration.options.boolean("follow", false)?,
        };
        // Columns that it cannot make are an error here.
        source.decoder()?;
        Ok(Arc::new(source))
    }
}

/// Files, declared as a source.
#[derive(Debug)]
struct FileSource {
    name: String,
    schema: SchemaRef,
    encoding: Encoding,
    paths: Paths,
    /// More may come: what is appended, and new files.
    follow: bool,
}

impl FileSource {
    /// What decodes records, where files are of records.
    fn decoder(&self) -> Result<Option<Decoder>> {
        Ok(match &self.encoding {
            Encoding::Json => Some(Decoder::Json(JsonDecoder::new(self.schema.clone())?)),
            Encoding::Csv(dialect) => Some(Decoder::Csv(CsvDecoder::new(self.schema.clone(), dialect.clone())?)),
            Encoding::Parquet => None,
        })
    }
}

impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finite(&self) -> bool {
        !self.follow
    }

    fn catches_up(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let name = match self.paths.files() {
            Ok(files) => files.into_iter().next().map(|(name, _)| name),
            Err(error) if self.follow && error.sqlstate() == SqlState::UNDEFINED_FILE => None,
            Err(error) => return Err(error),
        };
        let Some(name) = name else { return if self.follow { Ok(()) } else { Err(self.paths.no_match()) } };
        let file = fs::File::open(&name).map_err(|error| cannot_open(&name, &error))?;
        let opening = Opening { name, file, at: Mark::default(), until: None, growing: self.follow };
        match self.decoder()? {
            None => ParquetFile::open(opening, &self.schema).map(drop),
            Some(mut decoder) => Records::open(opening, &decoder)?.check(&mut decoder),
        }
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let whole = self.is_whole();
        let files: Box<dyn Files> = match self.follow {
            true => Box::new(Follow::open(self.name.clone(), self.paths.clone(), whole, from)?),
            false => Box::new(List::open(&self.paths, whole, from)?),
        };
        self.reader(files)
    }

    fn between(&self, from: &Position, to: &Position) -> Result<Option<Box<dyn SourceReader>>> {
        if !self.follow {
            if !self.paths.is_pattern() {
                return Ok(None);
            }
            // A file that came later, and whose name sorts before, would be counted for another.
            let mut files = List::open(&self.paths, self.is_whole(), from)?;
            files.stop_at(to)?;
            return self.reader(Box::new(files)).map(Some);
        }
        let mut files = Follow::open(self.name.clone(), self.paths.clone(), self.is_whole(), from)?;
        files.stop_at(to)?;
        self.reader(Box::new(files)).map(Some)
    }
}

impl FileSource {
    /// Whether files are put in place as a whole, and not by lines.
    fn is_whole(&self) -> bool {
        matches!(self.encoding, Encoding::Parquet)
    }

    fn reader(&self, files: Box<dyn Files>) -> Result<Box<dyn SourceReader>> {
        Ok(match self.decoder()? {
            Some(decoder) => Box::new(FileReader::new(files, Text::new(self.name.clone(), decoder))),
            None => Box::new(FileReader::new(files, Parquet::new(self.name.clone(), self.schema.clone()))),
        })
    }
}

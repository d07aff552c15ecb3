//! Connector `file`: one finite file of JSON lines on the server's machine, plain or gzip.

pub(crate) mod gunzip; // gzip that says how far it got
mod files; // which file is read next
pub(crate) mod input; // opening a file, and what may be wrong with it
pub(crate) mod lines; // bytes into lines, in bounded memory
pub(crate) mod place; // where a reader stands, as text
mod list; // files that are read once
mod paths; // one file, or a pattern
mod records; // the records of one file, decoded
mod text; // records into batches, dead letters and positions

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_common::error::{Error, Result};
use weir_common::source::{Position, Source, SourceReader, SourceRef};

use crate::connector::{Connector, Declaration};
use crate::csv::CsvDecoder;
use crate::file::files::{Files, Turn};
use crate::file::list::List;
use crate::file::paths::Paths;
use crate::file::records::{Decoder, Records};
use crate::file::text::TextReader;
use crate::format::Encoding;
use crate::json::JsonDecoder;

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
        let encoding = declaration.format()?.encoding()?;
        let paths = Paths::new(declaration.options.required("path")?)?;
        if declaration.options.boolean("follow", false)? {
            return Err(Error::unsupported("following a file as it grows is not supported yet")
                .with_hint("Leave out follow, or write follow = 'false': the file is read once, to its end."));
        }
        let source = FileSource { name: declaration.name.to_string(), schema: declaration.schema.clone(), encoding, paths };
        source.check()?;
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
}

impl FileSource {
    /// Tells what is wrong here rather than by a reader's thread: the statement is the place to say so.
    fn check(&self) -> Result<()> {
        let mut decoder = self.decoder()?;
        let mut files = List::open(&self.paths, false, &Position::default())?;
        match files.next()? {
            Turn::Open(opening) => Records::open(opening, &decoder)?.check(&mut decoder),
            _ => Ok(()),
        }
    }

    fn decoder(&self) -> Result<Decoder> {
        match &self.encoding {
            Encoding::Json => Ok(Decoder::Json(JsonDecoder::new(self.schema.clone())?)),
            Encoding::Csv(dialect) => Ok(Decoder::Csv(CsvDecoder::new(self.schema.clone(), dialect.clone())?)),
            Encoding::Parquet => Err(Error::unsupported("ENCODE PARQUET is not supported")),
        }
    }
}

impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finite(&self) -> bool {
        true
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let files = List::open(&self.paths, false, from)?;
        Ok(Box::new(TextReader::new(self.name.clone(), Box::new(files), self.decoder()?)))
    }
}

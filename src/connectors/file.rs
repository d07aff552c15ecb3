//! Connector `file`: one finite file of JSON lines on the server's machine, plain or gzip.

pub(crate) mod gunzip; // gzip that says how far it got
mod input; // opening a file, and what may be wrong with it
pub(crate) mod lines; // bytes into lines, in bounded memory
pub(crate) mod place; // where a reader stands, as text
mod reader; // lines into batches, dead letters and positions

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_common::error::{Error, Result};
use weir_common::source::{Position, Source, SourceReader, SourceRef};

use crate::connector::{Connector, Declaration};
use crate::file::input::Input;
use crate::file::reader::FileReader;
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
        declaration.format()?.check_plain_json()?;
        let path = declaration.options.required("path")?;
        if declaration.options.boolean("follow", false)? {
            return Err(Error::unsupported("following a file as it grows is not supported yet")
                .with_hint("Leave out follow, or write follow = 'false': the file is read once, to its end."));
        }
        if path.contains("://") {
            return Err(Error::unsupported(format!("path \"{path}\" is a URL, which is not supported"))
                .with_hint("Connector \"file\" reads files of the server's machine; write a plain path."));
        }
        if path.contains(['*', '?', '[']) {
            return Err(Error::unsupported(format!("path \"{path}\" is a pattern, which is not supported yet"))
                .with_hint("Name one file; create one source for each, and combine them in a view with UNION ALL."));
        }
        // Both fail here rather than in a reader's thread: the statement is the place to say so.
        JsonDecoder::new(declaration.schema.clone())?;
        Input::open(path)?;
        Ok(Arc::new(FileSource { name: declaration.name.to_string(), schema: declaration.schema.clone(), path: path.to_string() }))
    }
}

/// A file, declared as a source.
#[derive(Debug)]
struct FileSource {
    name: String,
    schema: SchemaRef,
    path: String,
}

impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finite(&self) -> bool {
        true
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let decoder = JsonDecoder::new(self.schema.clone())?;
        Ok(Box::new(FileReader::open(self.name.clone(), self.path.clone(), decoder, from)?))
    }
}

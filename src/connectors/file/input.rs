//! Opening a file: what may be wrong with a path, in Postgres words, and whether it is gzip.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use weir_common::error::{Error, Result, SqlState};

use crate::file::gunzip::Gunzip;
use crate::file::place::{HEAD_BYTES, Head};

/// Postgres' code for a file that the server may not read.
const INSUFFICIENT_PRIVILEGE: SqlState = SqlState("42501");

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The bytes of a file, decompressed.
pub(crate) enum Input {
    Plain(File),
    Gzip(Box<Gunzip<File>>),
}

impl Input {
    /// Opens a regular file; whether it is gzip is told by its first bytes, not by its name.
    pub(crate) fn open(path: &str) -> Result<Input> {
        let failed = |error| cannot_open(path, &error);
        // Asked before opening: to open a FIFO waits for a writer.
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{path}\" is a directory"))
                .with_hint("Connector \"file\" reads one file; name the file."));
        }
        if !metadata.is_file() {
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{path}\" is not a regular file")));
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head).map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok(if head == GZIP_MAGIC { Input::Gzip(Box::new(Gunzip::new(file))) } else { Input::Plain(file) })
    }

    /// How the file starts, as far as what has been read up to `bytes` bytes of its content vouches for.
    pub(crate) fn head(&self, bytes: u64) -> io::Result<Head> {
        match self {
            Input::Plain(file) => Head::of(file, bytes),
            Input::Gzip(gunzip) => Head::of(gunzip.get_ref(), HEAD_BYTES),
        }
    }

    /// Goes over the first `bytes` bytes of the content; false where there are fewer.
    pub(crate) fn skip(&mut self, bytes: u64) -> io::Result<bool> {
        match self {
            Input::Plain(file) => {
                file.seek(SeekFrom::Start(bytes))?;
                Ok(bytes <= file.metadata()?.len())
            }
            Input::Gzip(gunzip) => Ok(io::copy(&mut gunzip.by_ref().take(bytes), &mut io::sink())? == bytes),
        }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Plain(file) => file.read(out),
            Input::Gzip(gunzip) => gunzip.read(out),
        }
    }
}

fn cannot_open(path: &str, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            let here = std::env::current_dir().map_or_else(|_| String::from("its working directory"), |dir| dir.display().to_string());
            Error::new(SqlState::UNDEFINED_FILE, format!("could not open file \"{path}\": no such file"))
                .with_hint(format!("The server reads the file on its own machine; a relative path starts at {here}."))
        }
        ErrorKind::PermissionDenied => Error::new(INSUFFICIENT_PRIVILEGE, format!("could not open file \"{path}\": permission denied"))
            .with_hint("The server reads the file as the user it runs as."),
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("could not open file \"{path}\": {error}"))
        }
        _ => Error::new(SqlState::IO_ERROR, format!("could not open file \"{path}\": {error}")),
    }
}

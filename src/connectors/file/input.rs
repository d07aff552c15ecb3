//! The bytes of a file, decompressed, and what may be wrong with opening it, in Postgres' words.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use weir_common::error::{Error, SqlState};

use crate::file::gunzip::Gunzip;

/// Postgres' code for a file that the server may not read.
const INSUFFICIENT_PRIVILEGE: SqlState = SqlState("42501");

/// The first bytes of a gzip member.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a file of text is, as its first bytes tell and its name does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    /// Of a file with the content that it has now; `None` where that could become either.
    pub(crate) fn of(file: &File) -> io::Result<Option<Packing>> {
        let mut head = [0; GZIP_MAGIC.len()];
        let mut read = 0;
        while read < head.len() {
            match file.read_at(&mut head[read..], read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        Ok(match read {
            2 if head == GZIP_MAGIC => Some(Packing::Gzip),
            0 => None,
            1 if head[0] == GZIP_MAGIC[0] => None,
            _ => Some(Packing::Plain),
        })
    }
}

/// The bytes of a file, decompressed, up to its end or to where reading stops.
pub(crate) struct Input {
    bytes: Unpacked,
    left: u64,
}

/// The bytes of a file, decompressed.
enum Unpacked {
    Plain(FileBytes),
    Gzip(Box<Gunzip<FileBytes>>),
}

/// The bytes of a file from a place of its own: handles of one file share theirs.
struct FileBytes {
    file: File,
    at: u64,
}

impl Input {
    /// The content of a file from its `skip`-th byte on, up to the `until`-th; `None` where it has fewer than `skip`.
    pub(crate) fn open(file: File, packing: Packing, skip: u64, until: Option<u64>) -> io::Result<Option<Input>> {
        let left = until.map_or(u64::MAX, |until| until.saturating_sub(skip));
        Ok(Unpacked::open(file, packing, skip)?.map(|bytes| Input { bytes, left }))
    }

    /// Bytes of the file up to what was read last; 0 where it is packed.
    pub(crate) fn seen(&self) -> u64 {
        match &self.bytes {
            Unpacked::Plain(bytes) => bytes.at,
            Unpacked::Gzip(_) => 0,
        }
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(out.len(), |left| left.min(out.len()));
        let read = self.bytes.read(&mut out[..wanted])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Unpacked {
    fn open(file: File, packing: Packing, skip: u64) -> io::Result<Option<Unpacked>> {
        match packing {
            Packing::Plain => {
                let enough = skip <= file.metadata()?.len();
                Ok(enough.then_some(Unpacked::Plain(FileBytes { file, at: skip })))
            }
            Packing::Gzip => {
                let mut gunzip = Gunzip::new(FileBytes { file, at: 0 });
                let skipped = io::copy(&mut gunzip.by_ref().take(skip), &mut io::sink())?;
                Ok((skipped == skip).then(|| Unpacked::Gzip(Box::new(gunzip))))
            }
        }
    }
}

impl Read for Unpacked {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Unpacked::Plain(bytes) => bytes.read(out),
            Unpacked::Gzip(gunzip) => gunzip.read(out),
        }
    }
}

impl Read for FileBytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The error of a file that cannot be opened.
pub(crate) fn cannot_open(path: &str, error: &io::Error) -> Error {
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

/// The error of a file that cannot be read on.
pub(crate) fn cannot_read(path: &str, error: &io::Error) -> Error {
    Error::new(SqlState::IO_ERROR, format!("could not read file \"{path}\": {error}"))
}

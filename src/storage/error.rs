//! What a file can do wrong, in Postgres words and with its SQLSTATEs.

use std::io;
use std::path::Path;

use weir_common::error::{Error, SqlState};

/// `data_corrupted`: what is on disk is not what was written.
pub const DATA_CORRUPTED: SqlState = SqlState("XX001");
/// `disk_full`
pub const DISK_FULL: SqlState = SqlState("53100");
/// `insufficient_privilege`: also what Postgres says of a file system that is mounted read-only.
pub const INSUFFICIENT_PRIVILEGE: SqlState = SqlState("42501");
/// `object_in_use`
pub const OBJECT_IN_USE: SqlState = SqlState("55006");
/// `duplicate_file`
pub const DUPLICATE_FILE: SqlState = SqlState("58P02");

/// `could not create file "a/b": No space left on device`, with the code that Postgres gives it.
///
/// `what` is the verb and the kind of thing, such as `create file` or `fsync directory`.
pub fn file_error(what: &str, path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::*;
    let code = match error.kind() {
        NotFound => SqlState::UNDEFINED_FILE,
        AlreadyExists => DUPLICATE_FILE,
        PermissionDenied | ReadOnlyFilesystem => INSUFFICIENT_PRIVILEGE,
        StorageFull | QuotaExceeded => DISK_FULL,
        NotADirectory | IsADirectory | DirectoryNotEmpty => SqlState::WRONG_OBJECT_TYPE,
        OutOfMemory => SqlState::OUT_OF_MEMORY,
        _ => SqlState::IO_ERROR,
    };
    hinted(Error::new(code, format!("could not {what} \"{}\": {}", path.display(), reason(error))))
}

/// With what to do about it, where its code tells.
pub(crate) fn hinted(error: Error) -> Error {
    match error.sqlstate() {
        DISK_FULL => error.with_hint("Check free disk space."),
        INSUFFICIENT_PRIVILEGE => {
            error.with_hint("Weir needs to write there: check the owner and permissions, and how the disk is mounted.")
        }
        _ => error,
    }
}

/// The system's own words for an error, without the number that Rust adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_files_have_the_words_and_codes_of_postgres() {
        let of = |number| {
            let error = file_error("write to file", Path::new("/d/log/1.log"), &io::Error::from_raw_os_error(number));
            format!("{} {}", error.sqlstate().0, error.message())
        };
        assert_eq!(of(28), "53100 could not write to file \"/d/log/1.log\": No space left on device");
        assert_eq!(of(13), "42501 could not write to file \"/d/log/1.log\": Permission denied");
        assert_eq!(of(30), "42501 could not write to file \"/d/log/1.log\": Read-only file system");
        assert_eq!(of(5), "58030 could not write to file \"/d/log/1.log\": Input/output error");
        assert_eq!(of(2), "58P01 could not write to file \"/d/log/1.log\": No such file or directory");
    }
}

//! What a CREATE SOURCE may say, and how it is refused.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use weir_common::error::Error;

use super::{options, plain_json, schema, written};
use crate::SourceFormat;

fn refused(given: &[(&str, &str)]) -> Error {
    crate::source("s", schema("a integer"), &plain_json(), &options(given)).unwrap_err()
}

#[track_caller]
fn check(error: Error, sqlstate: &str, message: &str, hint: &str) {
    assert_eq!((error.sqlstate().0, error.message()), (sqlstate, message));
    assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
}

#[test]
fn connector_is_required_and_known() {
    check(refused(&[("path", "x")]), "22023", "option \"connector\" is required", "connector = 'file'");
    check(refused(&[("connector", "kafka")]), "0A000", "connector \"kafka\" is not supported", "Known connectors: \"file\", \"nexmark\".");
}

#[test]
fn options_are_known_required_and_sensible() {
    let file = ("connector", "file");
    check(refused(&[file]), "22023", "option \"path\" is required for connector \"file\"", "path = '..'");
    check(refused(&[file, ("path", "")]), "22023", "option \"path\" must not be empty", "");
    check(
        refused(&[file, ("pth", "x")]),
        "22023",
        "unknown option \"pth\" for connector \"file\"",
        "Perhaps you meant the option \"path\".",
    );
    check(refused(&[file, ("path", "x"), ("topic", "t")]), "22023", "unknown option \"topic\" for connector \"file\"", "path, follow");
    let message = "invalid value for boolean option \"follow\": \"maybe\"";
    check(refused(&[file, ("path", "x"), ("follow", "maybe")]), "22023", message, "'true' or 'false'");
    let rows = written(b"");
    let path = rows.path().to_str().unwrap();
    let given = options(&[file, ("path", path), ("follow", "false")]);
    let source = crate::source("s", schema("a integer"), &plain_json(), &given).unwrap();
    assert!(source.finite());
}

#[test]
fn only_plain_formats() {
    let rows = written(b"");
    let given = options(&[("connector", "file"), ("path", rows.path().to_str().unwrap())]);
    let source = |format: &str, encode: &str| {
        crate::source(
            "s",
            schema("a integer"),
            &SourceFormat { format: format.into(), encode: encode.into(), options: options(&[]) },
            &given,
        )
    };
    assert!(source("plain", "Json").is_ok());
    check(source("UPSERT", "JSON").unwrap_err(), "0A000", "FORMAT UPSERT is not supported", "FORMAT PLAIN ENCODE JSON, CSV or PARQUET");
    check(source("PLAIN", "avro").unwrap_err(), "0A000", "ENCODE AVRO is not supported", "FORMAT PLAIN ENCODE JSON, CSV or PARQUET");
}

#[test]
fn paths_are_checked_when_the_source_is_created() {
    let path = |path: &str| refused(&[("connector", "file"), ("path", path)]);
    let message = "could not open file \"no/such.jsonl\": no such file";
    check(path("no/such.jsonl"), "58P01", message, &std::env::current_dir().unwrap().display().to_string());
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().to_str().unwrap();
    check(path(name), "42809", &format!("\"{name}\" is a directory"), &format!("'{name}/*'"));
    check(path("/dev/null"), "42809", "\"/dev/null\" is not a regular file", "");
    check(path("data/*.none"), "58P01", "no file matches \"data/*.none\"", "follow = 'true'");
    check(path("data/[x"), "22023", "path \"data/[x\" is not a pattern: invalid range pattern at character 6", "[[]");
    check(path("s3://b/k"), "0A000", "path \"s3://b/k\" is a URL, which is not supported", "plain path");
    assert_eq!(path("a\0b").sqlstate().0, "22023");
    let below = written(b"{}");
    let below = format!("{}/x", below.path().display());
    assert_eq!(path(&below).sqlstate().0, "58P01");

    let secret = written(b"{}");
    std::fs::set_permissions(secret.path(), Permissions::from_mode(0o000)).unwrap();
    // root reads everything
    if std::fs::File::open(secret.path()).is_err() {
        let name = secret.path().to_str().unwrap();
        check(path(name), "42501", &format!("could not open file \"{name}\": permission denied"), "user it runs as");
    }
}

#[test]
fn a_file_that_went_away_is_an_error_of_open() {
    let rows = written(b"{}");
    let source = super::file(rows.path(), "a integer").unwrap();
    drop(rows);
    assert_eq!(source.open(&Default::default()).err().unwrap().sqlstate().0, "58P01");
}

#[test]
fn types_without_a_json_form_are_refused() {
    let rows = written(b"");
    let error = super::file(rows.path(), "a integer;b regclass").unwrap_err();
    check(error, "0A000", "column \"b\" of type regclass cannot be read from JSON", "");
}

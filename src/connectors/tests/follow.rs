//! Files that are followed: what is appended, new ones, truncation, rotation, and going on where another reader stood.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use weir_common::error::Result;
use weir_common::source::{Position, Read, SourceReader, SourceRef};

use super::{encoded, gzipped, options, plain_json, schema, texts};
use crate::SourceFormat;

/// Looks for more after which a test gives up.
const LOOKS_MAX: usize = 300;

fn follow(path: &Path, columns: &str, format: &SourceFormat) -> Result<SourceRef> {
    let given = [("connector", "file"), ("path", path.to_str().unwrap()), ("follow", "true")];
    crate::source("s", schema(columns), format, &options(&given))
}

/// A reader, with what it has read.
struct Following {
    source: SourceRef,
    reader: Box<dyn SourceReader>,
    rows: Vec<String>,
    dead: Vec<String>,
    position: Position,
}

impl Following {
    fn new(source: SourceRef) -> Following {
        assert!(!source.finite() && source.catches_up());
        let reader = source.open(&Position::default()).unwrap();
        Following { source, reader, rows: vec![], dead: vec![], position: Position::default() }
    }

    fn json(path: &Path) -> Following {
        Following::new(follow(path, "a integer", &plain_json()).unwrap())
    }

    /// Reads until it is told that there is nothing for now.
    fn catch_up(&mut self) {
        loop {
            match self.reader.next().unwrap() {
                Read::Batch(batch) => {
                    self.rows.extend(texts(&batch.rows));
                    self.dead.extend(batch.dead.into_iter().map(|letter| letter.payload));
                    self.position = batch.position;
                }
                Read::Idle => return,
                other => panic!("files that are followed do not say {other:?}"),
            }
        }
    }

    /// Reads until there are as many rows as expected, and a look more.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        for _ in 0..LOOKS_MAX {
            self.catch_up();
            if self.rows.len() >= expected.len() {
                break;
            }
        }
        self.catch_up();
        assert_eq!(self.rows, expected);
        assert!(self.dead.is_empty(), "{:?}", self.dead);
    }

    /// Goes on with another reader where this one stands.
    fn reopen(&mut self) {
        self.reader = self.source.open(&self.position).unwrap();
    }
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

fn row(n: impl std::fmt::Display) -> String {
    format!("{{\"a\":{n}}}\n")
}

#[test]
fn what_is_appended_is_read_when_its_line_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    fs::write(&path, row(1)).unwrap();
    let mut following = Following::json(&path);
    following.expect(&["1"]);
    append(&path, row(2) + "{\"a\":");
    following.expect(&["1", "2"]);
    append(&path, "3");
    following.expect(&["1", "2"]);
    following.reopen();
    append(&path, "}\r\n\n");
    following.expect(&["1", "2", "3"]);
    for n in 4..1000 {
        append(&path, row(n));
    }
    following.expect(&(1..1000).map(|n| n.to_string()).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_file_may_come_later() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["log", "in/*.json"] {
        let path = directory.path().join(name);
        let mut following = Following::json(&path);
        following.expect(&[]);
        let file = if name == "log" { path } else { path.with_file_name("a.json") };
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        append(&file, row(1));
        following.expect(&["1"]);
    }
}

#[test]
fn files_come_in_any_order_and_grow_at_any_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    append(&file("b"), row(1));
    append(&file("d"), row(2));
    let mut following = Following::json(&file("*"));
    following.expect(&["1", "2"]);
    append(&file("c"), row(3));
    following.expect(&["1", "2", "3"]);
    append(&file("a"), row(4));
    following.expect(&["1", "2", "3", "4"]);
    append(&file("b"), row(5));
    following.expect(&["1", "2", "3", "4", "5"]);
    // Those that are new, in the order of their names, and then what has been appended.
    append(&file("d"), row(8));
    append(&file("e"), row(7));
    append(&file("aa"), row(6));
    following.reopen();
    following.expect(&["1", "2", "3", "4", "5", "6", "7", "8"]);
    // A file without a complete line keeps nobody waiting.
    append(&file("a"), "{\"a\":1");
    append(&file("z"), row(9));
    following.expect(&["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    append(&file("a"), "0}\n");
    following.expect(&["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
}

#[test]
fn a_truncated_file_is_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&path, row(10) + &row(20) + "{\"a\"");
    let mut following = Following::json(&path);
    following.expect(&["10", "20"]);
    fs::write(&path, row(3)).unwrap();
    following.expect(&["10", "20", "3"]);
    // As long as before, and longer.
    fs::write(&path, row(4)).unwrap();
    following.expect(&["10", "20", "3", "4"]);
    fs::write(&path, row(5) + &row(6)).unwrap();
    following.expect(&["10", "20", "3", "4", "5", "6"]);
    fs::write(&path, "").unwrap();
    following.expect(&["10", "20", "3", "4", "5", "6"]);
    following.reopen();
    append(&path, row(7));
    following.expect(&["10", "20", "3", "4", "5", "6", "7"]);
}

#[test]
fn a_rotated_file_is_read_to_its_end_before_the_one_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&path, row(1));
    let mut following = Following::json(&path);
    following.expect(&["1"]);
    append(&path, row(2));
    fs::rename(&path, directory.path().join("log.1")).unwrap();
    append(&path, row(4));
    // Who writes has not noticed yet.
    append(&directory.path().join("log.1"), row(3));
    following.expect(&["1", "2", "3", "4"]);
    append(&directory.path().join("log.1"), row(5));
    following.expect(&["1", "2", "3", "4", "5"]);
    // Rotated while nobody reads: the old file is found beside the new one.
    append(&path, row(6));
    fs::rename(directory.path().join("log.1"), directory.path().join("log.2")).unwrap();
    fs::rename(&path, directory.path().join("log.1")).unwrap();
    append(&path, row(7));
    following.reopen();
    following.expect(&["1", "2", "3", "4", "5", "6", "7"]);
    // Removed, and another one made.
    append(&path, row(8));
    following.expect(&["1", "2", "3", "4", "5", "6", "7", "8"]);
    fs::remove_file(&path).unwrap();
    following.expect(&["1", "2", "3", "4", "5", "6", "7", "8"]);
    append(&path, row(8));
    following.expect(&["1", "2", "3", "4", "5", "6", "7", "8", "8"]);
}

#[test]
fn a_file_that_only_changes_its_name_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    append(&file("log"), row(1));
    let mut following = Following::json(&file("log*"));
    following.expect(&["1"]);
    append(&file("log"), row(2));
    fs::rename(file("log"), file("log.1")).unwrap();
    append(&file("log"), row(3));
    following.expect(&["1", "2", "3"]);
    following.reopen();
    fs::rename(file("log.1"), file("log.2")).unwrap();
    fs::rename(file("log"), file("log.1")).unwrap();
    append(&file("log"), row(4));
    following.expect(&["1", "2", "3", "4"]);
}

#[test]
fn packed_files_are_read_once_and_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::write(file("a.gz"), gzipped(row(1).as_bytes())).unwrap();
    append(&file("b"), row(2));
    let mut following = Following::json(&file("*"));
    for _ in 0..LOOKS_MAX {
        following.catch_up();
        if following.rows.len() == 2 {
            break;
        }
    }
    following.rows.sort();
    following.expect(&["1", "2"]);
    // What is appended to it is not read.
    append(&file("a.gz"), gzipped(row(100).as_bytes()));
    append(&file("b"), row(3));
    following.expect(&["1", "2", "3"]);
    following.reopen();
    fs::write(file("new"), gzipped((row(4) + "{\"a\":5}").as_bytes())).unwrap();
    following.expect(&["1", "2", "3", "4", "5"]);
}

#[test]
fn csv_waits_for_its_header_and_for_open_quotes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    append(&path, "b,");
    let source = follow(&path, "a integer;b text", &encoded("CSV", &[("header", "true")])).unwrap();
    let mut following = Following::new(source);
    following.expect(&[]);
    append(&path, "a\nx,1\n\"y");
    following.expect(&["1|x"]);
    append(&path, "\nz");
    following.expect(&["1|x"]);
    following.reopen();
    append(&path, "\",2\n");
    following.expect(&["1|x", "2|y\nz"]);
}

#[test]
fn more_files_than_are_kept_open() {
    let directory = tempfile::tempdir().unwrap();
    let file = |n: usize| directory.path().join(format!("{n:03}"));
    for n in 0..200 {
        append(&file(n), row(n));
    }
    let mut following = Following::json(&directory.path().join("*"));
    let mut expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let expect =
        |following: &mut Following, expected: &[String]| following.expect(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    expect(&mut following, &expected);
    assert!(following.position.0.len() < 64 * (directory.path().display().to_string().len() + 50), "{}", following.position.0);
    for n in [5, 70, 199] {
        append(&file(n), row(1000 + n));
        expected.push((1000 + n).to_string());
        expect(&mut following, &expected);
    }
    append(&file(200), row(200));
    append(&file(150), row(1150));
    following.reopen();
    expected.extend(["200", "1150"].map(String::from));
    expect(&mut following, &expected);
}

/// Files change in random ways while readers come and go; what is read is what was written.
#[test]
fn nothing_is_lost_and_nothing_is_read_twice() {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| -> PathBuf { directory.path().join(name) };
    let mut following = Following::json(&file("*.log"));
    let mut written = 0;
    // Files with a line that is not complete, and what it lacks.
    let mut open: Vec<(String, String)> = Vec::new();
    for step in 0..150 {
        let name = format!("{}.log", random.alphabetic());
        let busy = open.iter().any(|(other, _)| *other == name);
        match random.u32(..12) {
            0..4 if !busy => {
                for _ in 0..random.u32(..20) {
                    append(&file(&name), row(written));
                    written += 1;
                }
            }
            4 if !busy => {
                let row = row(written);
                let cut = random.usize(1..row.len());
                append(&file(&name), &row[..cut]);
                open.push((name, row[cut..].to_string()));
                written += 1;
            }
            5 | 6 if !open.is_empty() => {
                let (name, rest) = open.swap_remove(random.usize(..open.len()));
                append(&file(&name), rest);
            }
            7 if file(&name).exists() && !busy => {
                let other = if random.bool() { format!("{step}.log") } else { format!("{name}.{step}") };
                // What has lost its name has to be known to be read.
                following.catch_up_with(&file("*.log"));
                fs::rename(file(&name), file(&other)).unwrap();
            }
            8 => {
                fs::write(file("packed.tmp"), gzipped(row(written).as_bytes())).unwrap();
                fs::rename(file("packed.tmp"), file(&format!("{step}.gz.log"))).unwrap();
                written += 1;
            }
            9 => following.reopen(),
            _ => following.catch_up(),
        }
    }
    for (name, rest) in open {
        append(&file(&name), rest);
    }
    for _ in 0..LOOKS_MAX {
        following.catch_up();
        if following.rows.len() >= written {
            break;
        }
    }
    following.catch_up();
    let mut rows: Vec<usize> = following.rows.iter().map(|row| row.parse().unwrap()).collect();
    rows.sort();
    assert_eq!(rows, (0..written).collect::<Vec<_>>(), "seed {seed}");
    assert!(following.dead.is_empty(), "{:?}", following.dead);
}

/// What lies between two positions is what was read between them, whatever has grown since.
#[test]
fn what_lies_between_two_positions() {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut following = Following::json(&directory.path().join("*.log"));
    let mut stands = vec![(following.position.clone(), 0)];
    let mut written = 0;
    for step in 0..60 {
        for _ in 0..random.u32(1..4) {
            let name = directory.path().join(format!("{}.log", ["a", "b", "c"][random.usize(..3)]));
            // Blank lines are between rows, and belong to no row.
            append(&name, format!("{}{}", row(written), "\n".repeat(random.usize(..3))));
            written += 1;
        }
        if random.u32(..8) == 0 {
            let rows: String = (0..3).map(|more| row(written + more)).collect();
            fs::write(directory.path().join("packed"), gzipped(rows.as_bytes())).unwrap();
            fs::rename(directory.path().join("packed"), directory.path().join(format!("{step}.gz.log"))).unwrap();
            written += 3;
        }
        following.catch_up();
        stands.push((following.position.clone(), following.rows.len()));
    }
    for (at, (from, first)) in stands.iter().enumerate() {
        let (to, end) = &stands[random.usize(at..stands.len())];
        if first == end {
            continue;
        }
        let mut between = following.source.between(from, to).unwrap().expect("files may grow side by side");
        let mut found = Vec::new();
        loop {
            match between.next().unwrap() {
                Read::Batch(batch) => found.extend(texts(&batch.rows)),
                Read::Idle => {}
                Read::End => break,
                other => panic!("files do not say {other:?}"),
            }
        }
        let mut expected = following.rows[*first..*end].to_vec();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "seed {seed}: from {from:?} to {to:?}");
    }
    let (from, to) = (Position::default(), following.position.clone());
    fs::remove_file(directory.path().join("a.log")).unwrap();
    let error = following.source.between(&from, &to).map(drop).unwrap_err();
    assert!(error.message().contains("a.log\" is gone"), "{error}");
}

impl Following {
    /// Reads until every file is known to the reader: each was looked at after it was made.
    fn catch_up_with(&mut self, pattern: &Path) {
        let files = glob::glob(pattern.to_str().unwrap()).unwrap().flatten().filter(|path| path.metadata().unwrap().len() > 0).count();
        for _ in 0..LOOKS_MAX {
            self.catch_up();
            let known = self.position.0.split(' ').filter(|place| !place.starts_with("<=")).count();
            if known >= files {
                return;
            }
        }
    }
}

//! Several files as one source: their order, and what may be wrong with them.

use std::path::Path;

use weir_common::source::{Position, Read, SourceRef};

use super::{batches, file, gzipped, rows};

fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    directory
}

fn source(directory: &Path, pattern: &str) -> SourceRef {
    file(&directory.join(pattern), "a integer").unwrap()
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let packed = gzipped(b"{\"a\":3}\n{\"a\":4}");
    let files: [(&str, &[u8]); 9] = [
        ("b.json", b"{\"a\":2}"),
        ("a.json", b"{\"a\":1}\n"),
        ("c.json", &packed),
        ("d.json", b""),
        ("z.json", b"no\n{\"a\":6}"),
        ("e.json/inside.json", b"{\"a\":100}"),
        (".hidden.json", b"{\"a\":100}"),
        ("other.csv", b"{\"a\":100}"),
        ("f.json", b"\xEF\xBB\xBF{\"a\":5}"),
    ];
    let directory = directory(&files);
    let (read, dead) = rows(&source(directory.path(), "*.json"));
    assert_eq!(read, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(dead[0].partition.as_deref(), directory.path().join("z.json").to_str());
    assert_eq!(dead[0].offset, Some(1));
    assert_eq!(rows(&source(directory.path(), "**/*.json")).0, ["1", "2", "3", "4", "100", "5", "6"]);
    assert_eq!(rows(&source(directory.path(), "[bf].jso?")).0, ["2", "5"]);
    assert_eq!(rows(&source(directory.path(), "[!a-f].json")).0, ["6"]);
}

#[test]
fn small_files_share_batches() {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..300 {
        let lines: String = (0..100).map(|line| format!("{{\"a\":{}}}\n", 100 * n + line)).collect();
        std::fs::write(directory.path().join(format!("{n:03}")), lines).unwrap();
    }
    let source = source(directory.path(), "*");
    let read = batches(&source);
    assert_eq!(read.iter().map(|batch| batch.rows.num_rows()).collect::<Vec<_>>(), [8192, 8192, 8192, 5424]);
    let (rows, _) = rows(&source);
    assert_eq!(rows, (0..30_000).map(|n| n.to_string()).collect::<Vec<_>>());
    for batch in read {
        assert!(batch.position.0.len() < directory.path().display().to_string().len() + 40, "{:?}", batch.position);
    }
}

#[test]
fn a_file_that_cannot_be_opened_stops_the_source() {
    let directory = directory(&[("a", b"{\"a\":1}\n"), ("b", b"{\"a\":2}\n"), ("c", b"{\"a\":3}\n")]);
    let source = source(directory.path(), "*");
    let mut reader = source.open(&Position::default()).unwrap();
    std::fs::remove_file(directory.path().join("b")).unwrap();
    let Read::Batch(batch) = reader.next().unwrap() else { panic!("no rows") };
    assert_eq!(batch.rows.num_rows(), 1);
    for _ in 0..2 {
        let error = reader.next().unwrap_err();
        let path = directory.path().join("b");
        assert_eq!(
            (error.sqlstate().0, error.message()),
            ("58P01", format!("could not open file \"{}\": no such file", path.display()).as_str())
        );
    }
}

#[test]
fn characters_of_patterns_can_be_part_of_a_name() {
    let directory = directory(&[("a[1]*.json", b"{\"a\":1}\n"), ("a1.json", b"{\"a\":2}\n")]);
    assert_eq!(rows(&source(directory.path(), "a[[]1][*].json")).0, ["1"]);
    assert_eq!(rows(&source(directory.path(), "a[1].json")).0, ["2"]);
}

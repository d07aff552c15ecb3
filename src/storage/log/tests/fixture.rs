//! Files that an earlier version wrote, and every later one must read.

use super::*;

#[test]
fn a_log_of_format_1_is_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log-1");
    // Opening writes; the fixture itself stays as it is.
    let copy = tempfile::tempdir().unwrap();
    for name in RealFiles.list(&fixture).unwrap() {
        std::fs::copy(fixture.join(&name), copy.path().join(&name)).unwrap();
    }
    let (log, recovered) = Log::open(Arc::new(RealFiles), copy.path(), options()).unwrap();
    assert_eq!((recovered.first, recovered.last, recovered.records, recovered.segments), (Some(1), Some(12), 12, 2));
    assert_eq!(recovered.cut, None);
    assert_eq!(numbers(&log, 1), (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_log_is_written_as_in_the_fixture() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log-1");
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    write(&mut log, 1..=12);
    if std::env::var_os("WEIR_WRITE_FIXTURE").is_some() {
        std::fs::create_dir_all(&fixture).unwrap();
        for name in names(&files) {
            std::fs::write(fixture.join(&name), files.read(&dir().join(&name)).unwrap()).unwrap();
        }
    }
    assert_eq!(names(&files), RealFiles.list(&fixture).unwrap());
    for name in names(&files) {
        let same = files.read(&dir().join(&name)).unwrap() == RealFiles.read(&fixture.join(&name)).unwrap();
        assert!(same, "{name}: a change of the format needs a new version and a new fixture");
    }
}

#[test]
fn a_log_of_a_newer_format_is_refused_with_a_sentence() {
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    write(&mut log, [1]);
    let path = dir().join(format::file_name(1));
    let mut header = files.read(&path).unwrap()[..64].to_vec();
    header[12] = 2;
    let checksum = crc32c::crc32c(&header[12..]);
    header[8..12].copy_from_slice(&checksum.to_le_bytes());
    files.open_write(&path).unwrap().write_all_at(&header, 0).unwrap();
    let error = open(&files).err().unwrap();
    assert_eq!(error.sqlstate().0, "55000");
    assert_eq!(error.message(), "log file \"/log/00000000000000000001.log\" has format 2, and this version of Weir knows format 1");
}

//! Batches, dead letters and positions of a file.

use weir_common::dead_letter::Reason;
use weir_common::limits::{BATCH_ROWS_MAX, LINE_BYTES_MAX};

use super::{batches, file, gzipped, rows, written};

#[test]
fn rows_and_dead_letters_with_their_lines() {
    let written = written(b"\xEF\xBB\xBF{\"a\": 1, \"b\": \"x\"}\r\n\r\n{\"a\": \"abc\"}\n{\"a\": 3\n\n{\"b\": \"z\"}");
    let path = written.path().to_str().unwrap();
    let source = file(written.path(), "a integer;b text").unwrap();
    let (rows, dead) = rows(&source);
    assert_eq!(rows, ["1|x", "NULL|z"]);
    let letters: Vec<_> = dead.iter().map(|letter| (letter.offset.unwrap(), letter.error.as_str(), letter.payload.as_str())).collect();
    assert_eq!(
        letters,
        [
            (3, "column \"a\": \"abc\" is not an integer", "{\"a\": \"abc\"}"),
            (4, "the record breaks off: expected ',' or '}' at byte 8", "{\"a\": 3"),
        ]
    );
    for letter in &dead {
        assert_eq!((letter.relation.as_str(), letter.reason, letter.partition.as_deref()), ("s", Reason::Decode, Some(path)));
        assert_eq!(letter.time_micros, 0);
    }
}

#[test]
fn batches_are_full_and_positions_tell_them_apart() {
    let lines: String = (0..2 * BATCH_ROWS_MAX + 5).map(|n| format!("{{\"a\":{n}}}\n")).collect();
    let plain = written(lines.as_bytes());
    let source = file(plain.path(), "a integer").unwrap();
    let read = batches(&source);
    assert_eq!(read.iter().map(|batch| batch.rows.num_rows()).collect::<Vec<_>>(), [BATCH_ROWS_MAX, BATCH_ROWS_MAX, 5]);
    let mut behind = 0;
    for batch in &read {
        behind += batch.bytes;
        let lines = lines[..behind as usize].lines().count();
        let position = format!("{}:{behind}:{lines}:", plain.path().display());
        assert!(batch.position.0.starts_with(&position), "{:?} is at {position}", batch.position);
    }
    assert_eq!(read.iter().map(|batch| batch.bytes).sum::<u64>(), lines.len() as u64);

    // Another reader of the same rows, compressed, cuts the same batches.
    let other = written(&gzipped(lines.as_bytes()));
    let cuts =
        |batches: &[weir_common::source::SourceBatch]| batches.iter().map(|batch| (batch.rows.clone(), batch.bytes)).collect::<Vec<_>>();
    assert_eq!(cuts(&batches(&file(other.path(), "a integer").unwrap())), cuts(&read));
}

#[test]
fn nothing_but_bad_lines_still_comes_in_batches() {
    let written = written("no\n".repeat(BATCH_ROWS_MAX + 1).as_bytes());
    let read = batches(&file(written.path(), "a integer").unwrap());
    assert_eq!(read.iter().map(|batch| batch.dead.len()).collect::<Vec<_>>(), [BATCH_ROWS_MAX, 1]);
    assert_eq!(read[1].dead[0].offset, Some(BATCH_ROWS_MAX as i64 + 1));
}

#[test]
fn long_lines_make_small_batches() {
    let line = format!("{{\"b\":\"{}\"}}\n", "x".repeat(1 << 20));
    let written = written(line.repeat(10).as_bytes());
    let read = batches(&file(written.path(), "b text").unwrap());
    assert_eq!(read.iter().map(|batch| batch.rows.num_rows()).collect::<Vec<_>>(), [4, 4, 2]);
}

#[test]
fn a_line_that_is_too_long_is_one_dead_letter() {
    let long = format!("{{\"b\":\"{}\"}}", "x".repeat(100 << 20));
    for bytes in [format!("{{\"b\":\"1\"}}\n{long}\n{{\"b\":\"3\"}}\n").into_bytes()] {
        for written in [written(&bytes), written(&gzipped(&bytes))] {
            let (rows, dead) = rows(&file(written.path(), "b text").unwrap());
            assert_eq!(rows, ["1", "3"]);
            assert_eq!(dead.len(), 1);
            assert_eq!((dead[0].reason, dead[0].offset), (Reason::TooLong, Some(2)));
            assert_eq!(dead[0].error, format!("the line has {} bytes, more than {LINE_BYTES_MAX}", long.len()));
            assert_eq!(dead[0].payload, long[..1024]);
        }
    }
}

#[test]
fn an_empty_file_is_at_its_end() {
    for bytes in [&b""[..], b"\n\n", b"\xEF\xBB\xBF"] {
        let written = written(bytes);
        assert!(batches(&file(written.path(), "a integer").unwrap()).is_empty());
    }
}

#[test]
fn the_flights() {
    let Ok(path) = std::env::var("WEIR_FLIGHTS") else {
        return eprintln!("skipped: WEIR_FLIGHTS does not name the flights");
    };
    let columns = "sched_dep timestamp without time zone;dep timestamp without time zone;carrier text;flight integer;tailnum text;\
        origin text;dest text;dep_delay double precision;arr_delay double precision;air_time double precision;distance integer";
    let (rows, dead) = rows(&file(path.as_ref(), columns).unwrap());
    assert_eq!((rows.len(), dead.len()), (336_776, 0));
    assert_eq!(rows[0], "2013-01-01T05:15:00|2013-01-01T05:17:00|UA|1545|N14228|EWR|IAH|2.0|11.0|227.0|1400");
}

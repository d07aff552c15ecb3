//! Gzip: members, damage, and what is read before it.

use std::io::Read;

use weir_common::dead_letter::Reason;

use super::{file, gzipped, rows, written};
use crate::file::gunzip::{Damage, Gunzip};

/// What can be inflated, and what is wrong then.
fn inflate(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut out = Vec::new();
    let failure = Gunzip::new(bytes).read_to_end(&mut out).err();
    (out, failure.map(|failure| Damage::of(&failure).expect("damage").to_string()))
}

/// Lines that compress to about a third.
fn text(lines: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..lines).flat_map(|n| format!("{{\"a\":{n},\"b\":{}}}\n", random.u32(..)).into_bytes()).collect()
}

#[test]
fn one_member_or_many() {
    let text = text(50_000);
    assert_eq!(inflate(&gzipped(&text)), (text.clone(), None));
    let members: Vec<u8> = text.chunks(60_000).flat_map(gzipped).collect();
    assert_eq!(inflate(&members), (text.clone(), None));
    let with_empty_ones = [gzipped(b""), gzipped(&text), gzipped(b""), gzipped(b"")].concat();
    assert_eq!(inflate(&with_empty_ones), (text, None));
    assert_eq!(inflate(&gzipped(b"")), (vec![], None));
}

#[test]
fn every_cut_gives_a_prefix_and_where_it_breaks_off() {
    let text = text(300);
    let whole = [gzipped(&text), gzipped(b"tail")].concat();
    let first = gzipped(&text).len();
    let mut longest = 0;
    for cut in 1..whole.len() {
        let (out, damage) = inflate(&whole[..cut]);
        assert!(out.len() >= longest && [&text[..], b"tail"].concat().starts_with(&out), "cut at {cut}");
        longest = out.len();
        let expected = (cut != first).then(|| format!("the gzip file breaks off at byte {cut}"));
        assert_eq!(damage, expected);
    }
    assert_eq!(longest, text.len() + 4);
}

#[test]
fn corrupt_bytes_do_not_take_the_bytes_before_them() {
    let text = text(100_000);
    let mut bytes = gzipped(&text);
    let middle = bytes.len() / 2;
    // A stored block whose length and its complement do not agree cannot be taken for anything else.
    bytes[middle..middle + 64].fill(0xFF);
    let (out, damage) = inflate(&bytes);
    let same = out.iter().zip(&text).take_while(|(left, right)| left == right).count();
    assert!(same > text.len() * 2 / 5, "{same} of {}", text.len());
    assert!(damage.unwrap().starts_with("the gzip file is corrupt at byte "));
}

#[test]
fn a_wrong_checksum_and_garbage_behind_a_member_are_damage() {
    let mut bytes = gzipped(b"hello");
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let (out, damage) = inflate(&bytes);
    assert_eq!(out, b"hello");
    assert!(damage.unwrap().starts_with("the gzip file is corrupt"));
    let (out, damage) = inflate(&[gzipped(b"hello"), b"garbage".to_vec()].concat());
    assert_eq!(out, b"hello");
    assert!(damage.unwrap().starts_with("the gzip file is corrupt"));
}

#[test]
fn told_by_its_first_bytes() {
    // no name ends in .gz here
    let unnamed = written(&gzipped(b"{\"a\":1}\n{\"a\":2}"));
    assert_eq!(rows(&file(unnamed.path(), "a integer").unwrap()).0, ["1", "2"]);
    for (bytes, letters) in [(&b""[..], 0), (b"\x1f", 1), (b"\x1f\x8b", 1)] {
        let written = written(bytes);
        let (rows, dead) = rows(&file(written.path(), "a integer").unwrap());
        assert_eq!((rows.len(), dead.len()), (0, letters));
    }
}

#[test]
fn a_cut_file_is_one_dead_letter_behind_its_rows() {
    let bytes = gzipped(&text(20_000));
    let cut = &bytes[..bytes.len() / 2];
    let readable = inflate(cut).0;
    let complete = readable.iter().filter(|byte| **byte == b'\n').count();
    let tail = &readable[readable.iter().rposition(|byte| *byte == b'\n').unwrap() + 1..];
    let written = written(cut);
    let (rows, dead) = rows(&file(written.path(), "a integer").unwrap());
    assert_eq!(rows.len(), complete);
    assert_eq!(rows.last().unwrap(), &(complete - 1).to_string());
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].reason, dead[0].offset), (Reason::Truncated, Some(complete as i64 + 1)));
    assert_eq!(dead[0].error, format!("the gzip file breaks off at byte {}", cut.len()));
    assert_eq!(dead[0].payload.as_bytes(), tail);
}

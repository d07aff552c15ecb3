//! Reading on from where another reader stood: the same rows and dead letters follow.

use weir_common::dead_letter::DeadLetter;
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::origins::Origin;
use weir_common::source::{Position, SourceBatch, SourceRef};

use super::{batches, batches_from, csv, file, gzipped, texts, written};

fn flat(batches: &[SourceBatch]) -> (Vec<(String, Origin)>, Vec<DeadLetter>) {
    let rows = batches.iter().flat_map(|batch| texts(&batch.rows).into_iter().zip(origins(batch))).collect();
    (rows, batches.iter().flat_map(|batch| batch.dead.clone()).collect())
}

/// Where each row of a batch comes from.
fn origins(batch: &SourceBatch) -> Vec<Origin> {
    let origins = batch.origins.as_ref().expect("files tell where rows come from");
    assert_eq!(origins.len(), batch.rows.num_rows());
    (0..origins.len()).map(|row| origins.get(row)).collect()
}

/// Holds what follows each position against what followed it in the first reading.
#[track_caller]
pub(super) fn check(source: &SourceRef) {
    let all = batches(source);
    assert!(all.len() > 2, "{} batches", all.len());
    for (at, batch) in all.iter().enumerate() {
        let rest = batches_from(source, &batch.position);
        assert_eq!(flat(&rest), flat(&all[at + 1..]), "behind {:?}", batch.position);
        let positions = |batches: &[SourceBatch]| batches.iter().map(|batch| batch.position.clone()).collect::<Vec<_>>();
        assert_eq!(positions(&rest), positions(&all[at + 1..]));
    }
}

fn refused(source: &SourceRef, position: &str) -> String {
    let error = source.open(&Position(position.to_string())).err().expect("an error");
    assert_eq!(error.sqlstate().0, "22023");
    error.message().to_string()
}

/// Lines of any kind: rows, blank lines, and what is no row.
pub(super) fn lines(random: &mut fastrand::Rng, count: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..count {
        let line = match random.u32(..20) {
            0 => String::new(),
            1 => "no".to_string(),
            2 => format!("{{\"a\":{n},\"b\":\"{}\"}}", "x".repeat(random.usize(..5000))),
            _ => format!("{{\"a\":{n}}}"),
        };
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(if random.bool() { b"\n" } else { b"\r\n" });
    }
    text
}

#[test]
fn lines_go_on_behind_any_batch() {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let text = lines(&mut random, 4 * BATCH_ROWS_MAX);
    let packed = gzipped(&text);
    for bytes in [&text[..], &text[..text.len() - 5], &packed, &packed[..packed.len() * 4 / 5]] {
        let written = written(bytes);
        let source = file(written.path(), "a integer;b text").unwrap();
        check(&source);
        // Each row has the number of its line.
        let name = written.path().to_str().unwrap();
        for (row, Origin { partition, offset }) in flat(&batches(&source)).0 {
            let number: i64 = row.split('|').next().unwrap().parse().unwrap();
            assert_eq!((partition.as_deref(), offset), (Some(name), Some(number + 1)), "{row}");
        }
    }
}

#[test]
fn csv_goes_on_behind_any_batch() {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = b"b,z,a\n".to_vec();
    for n in 0..3 * BATCH_ROWS_MAX {
        let line = match random.u32(..20) {
            0 => String::new(),
            1 => "1,2".to_string(),
            2 => format!("\"{}\"\n\n\",x,{n}", "y\n".repeat(random.usize(..20))),
            3 => format!("\"stray,x,{n}"),
            _ => format!("b,x,{n}"),
        };
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    let packed = gzipped(&text);
    for bytes in [&text[..], &packed, &packed[..packed.len() * 4 / 5]] {
        let written = written(bytes);
        check(&csv(written.path(), "a integer;b text", &[("header", "true")]).unwrap());
    }
}

#[test]
fn many_files_go_on_behind_any_batch() {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    for n in 0..60 {
        let count = random.usize(..1000);
        let mut bytes = lines(&mut random, count);
        if random.bool() {
            bytes = gzipped(&bytes);
            bytes.truncate(bytes.len() - random.usize(..2) * 9);
        }
        std::fs::write(directory.path().join(format!("part {n:02} of <60%>.json")), bytes).unwrap();
    }
    check(&file(&directory.path().join("*.json"), "a integer;b text").unwrap());
}

#[test]
fn a_position_of_something_else_is_refused() {
    let text = "{\"a\":1}\n".repeat(BATCH_ROWS_MAX + 1);
    let rows = written(text.as_bytes());
    let source = file(rows.path(), "a integer").unwrap();
    let position = batches(&source)[0].position.0.clone();
    let path = rows.path().display();
    for strange in [
        "x",
        "5",
        ":::",
        "<=a",
        "a:1:1:00000000 b:1:1:00000000",
        &format!("{path}:x:1:00000000"),
        &format!("{path}:8:1"),
        &format!("{path}:8:1:zz"),
    ] {
        let why = refused(&source, strange);
        assert!(["it is not a position of connector \"file\"", "of files that are followed"].iter().any(|end| why.ends_with(end)), "{why}");
    }
    let other = written(text.as_bytes());
    let elsewhere = file(other.path(), "a integer").unwrap();
    assert!(refused(&elsewhere, &position).contains("is not among those of"));

    std::fs::write(rows.path(), &text[..100]).unwrap();
    assert_eq!(refused(&source, &position), format!("cannot continue at position \"{position}\": the file is shorter"));
    std::fs::write(rows.path(), text.replace('1', "2")).unwrap();
    assert_eq!(refused(&source, &position), format!("cannot continue at position \"{position}\": another file is in its place"));
}

//! The decoder against arrow-json: equal where both should agree, and why it is not arrow-json.

use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;

use super::{schema, texts};
use crate::JsonDecoder;

const COLUMNS: &str =
    "a integer;b bigint;c double precision;d text;e timestamp without time zone;f boolean;g integer[];h date;i numeric(12,3)";

fn theirs(columns: &str, lines: &str) -> Option<RecordBatch> {
    let mut decoder = ReaderBuilder::new(schema(columns)).with_batch_size(10_000).build_decoder().unwrap();
    decoder.decode(lines.as_bytes()).ok()?;
    decoder.flush().ok()?
}

fn ours(columns: &str, lines: &str) -> RecordBatch {
    let mut decoder = JsonDecoder::new(schema(columns)).unwrap();
    for line in lines.lines() {
        assert_eq!(decoder.decode(line.as_bytes()), Ok(()), "{line}");
    }
    decoder.finish().unwrap()
}

#[test]
fn random_records_are_the_same_rows() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lines = String::new();
    for _ in 0..5_000 {
        let mut members = vec![
            format!("\"a\": {}", random.i32(..)),
            format!("\"b\":{}", random.i64(..)),
            format!("\"c\": {}", (random.f64() - 0.5) * 10f64.powi(random.i32(-20..20))),
            format!(
                "\"d\":\"{}\"",
                random.choice(["", "UA", "N14228", "\\u00e9\\t\\\"", "größe", "a longer text than eight bytes"]).unwrap()
            ),
            format!(
                "\"e\": \"{}-{:02}-{:02} {:02}:{:02}:{:02}\"",
                random.u32(1900..2100),
                random.u32(1..13),
                random.u32(1..29),
                random.u32(..24),
                random.u32(..60),
                random.u32(..60)
            ),
            format!("\"f\":{}", random.bool()),
            format!("\"g\":[{}, null]", random.i16(..)),
            format!("\"h\":\"{}-{:02}-{:02}\"", random.u32(1900..2100), random.u32(1..13), random.u32(1..29)),
            format!("\"i\":{}.{}", random.i32(-9999..9999), random.u8(..100)),
            "\"z\": {\"a\": [1, \"x\"]}".to_string(),
        ];
        if random.u8(..4) == 0 {
            random.shuffle(&mut members);
        }
        members.truncate(random.usize(5..=members.len()));
        lines += &format!("{{{}}}\n", members.join(", "));
    }
    let (theirs, ours) = (theirs(COLUMNS, &lines).unwrap(), ours(COLUMNS, &lines));
    assert_eq!(texts(&theirs), texts(&ours), "seed {seed}");
    assert_eq!(theirs, ours, "seed {seed}");
}

/// If one of these fails after an update of Arrow, arrow-json may have become what is needed here.
#[test]
fn what_arrow_json_takes_and_we_refuse() {
    for (columns, line) in [
        ("c integer", "{\"c\": 1.9}"),
        ("c bigint", "{\"c\": 9007199254740993.5}"),
        ("c timestamp without time zone", "{\"c\": 12}"),
        ("c text", "{\"c\": \"a\\u0000b\"}"),
        ("c double precision", "{\"c\": 1e400}"),
        ("c integer", "{\"c\": 1,, \"d\": 2}"),
        ("c integer", "{\"c\": 1 \"d\": 2}"),
        ("c integer", "{\"c\": 1, \"d\": 1-2}"),
        ("c text", "{\"c\": \"a\tb\"}"),
        ("c integer", "{\"c\": 1} {\"c\": 2}"),
    ] {
        assert!(theirs(columns, &format!("{line}\n")).is_some(), "{line}");
        assert!(JsonDecoder::new(schema(columns)).unwrap().decode(line.as_bytes()).is_err(), "{line}");
    }
}

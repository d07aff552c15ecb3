//! Which lines are records: exactly those that are one JSON object, held to serde_json on random text.

use serde_json::Value;

use super::schema;
use crate::JsonDecoder;

fn decoder() -> JsonDecoder {
    JsonDecoder::new(schema("a integer;b text")).unwrap()
}

#[track_caller]
fn refused(line: &str, error: &str) {
    assert_eq!(decoder().decode(line.as_bytes()), Err(error.to_string()), "{line}");
}

#[test]
fn what_is_not_one_object_is_refused() {
    let mut decoder = decoder();
    for line in ["{}", " { } ", "{\"a\":1}", "\t{\"a\" : 1 , \"x\" : [ 1 , { } ] }\r", "{\"x\":-0.5e+10,\"y\":\"\\ud83d\\ude00\"}"] {
        assert_eq!(decoder.decode(line.as_bytes()), Ok(()), "{line}");
    }
    assert_eq!(decoder.rows(), 5);
    refused("{\"a\":1", "the record breaks off: expected ',' or '}' at byte 7");
    refused("{\"a", "the record breaks off: expected the end of a string at byte 4");
    refused("\"b\":2}", "the record is not a JSON object: expected '{' at byte 1, found \"b\":2}");
    refused("[1]", "the record is not a JSON object: expected '{' at byte 1, found [1]");
    refused("1", "the record is not a JSON object: expected '{' at byte 1, found 1");
    refused("null", "the record is not a JSON object: expected '{' at byte 1, found null");
    refused("{}{}", "the record is not a JSON object: expected nothing behind the object at byte 3, found {}");
    refused("{\"a\":1} {\"a\":2}", "the record is not a JSON object: expected nothing behind the object at byte 9, found {\"a\":2}");
    refused("{\"a\":1,}", "the record is not a JSON object: expected a key at byte 8, found }");
    refused("{,\"a\":1}", "the record is not a JSON object: expected a key at byte 2, found ,\"a\":1}");
    refused("{\"a\":1 \"b\":2}", "the record is not a JSON object: expected ',' or '}' at byte 8, found \"b\":2}");
    refused("{\"a\" 1}", "the record is not a JSON object: expected ':' at byte 6, found 1}");
    refused("{a:1}", "the record is not a JSON object: expected a key at byte 2, found a:1}");
    refused("{\"a\":01}", "the record is not a JSON object: expected ',' or '}' at byte 7, found 1}");
    refused("{\"a\":1.}", "the record is not a JSON object: expected a digit at byte 8, found }");
    refused("{\"a\":+1}", "the record is not a JSON object: expected a value at byte 6, found +1}");
    refused("{\"a\":NaN}", "the record is not a JSON object: expected a value at byte 6, found NaN}");
    refused("{\"a\":nul}", "the record is not a JSON object: expected a value at byte 6, found nul}");
    refused(
        "{\"b\":\"x\ty\"}",
        "the record is not a JSON object: expected an escape in place of a control character at byte 8, found \ty\"}",
    );
    refused("{\"b\":\"\\x\"}", "the record is not a JSON object: expected an escape at byte 7, found \\x\"}");
    refused(
        "{\"b\":\"\\u12g4\"}",
        "the record is not a JSON object: expected an escape of four hexadecimal digits at byte 7, found \\u12g4\"}",
    );
    for lone in ["\\ud83d", "\\ud83dx", "\\ude00", "\\ud83d\\u0041", "\\ud83d\\n", "\\ud83d\\u12"] {
        let error = decoder.decode(format!("{{\"b\":\"{lone}\"}}").as_bytes()).unwrap_err();
        assert!(error.contains("expected a pair of surrogates at byte 7"), "{error}");
    }
    assert_eq!(decoder.decode(b"{\"b\":\"\xFF\"}"), Err("invalid UTF-8 at byte 7".into()));
    assert_eq!(decoder.rows(), 5);
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(decoder().decode(nested(127).as_bytes()), Ok(()));
    let error = decoder().decode(nested(128).as_bytes()).unwrap_err();
    assert!(error.contains("expected less nesting at byte 133, found []]]"), "{error}");
    // A million brackets must not use a million stack frames, where they are refused and where they are quoted.
    for column in ["a", "b", "x"] {
        assert!(decoder().decode(format!("{{\"{column}\":{}", "[{\"y\":".repeat(1_000_000)).as_bytes()).is_err());
    }
}

/// JSON, mostly; then with a few bytes changed.
fn random_line(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut line = Vec::new();
    object(random, 0, &mut line);
    for _ in 0..random.usize(..4).saturating_sub(1) {
        let at = random.usize(..line.len());
        let byte = *random.choice(b"{}[]\",:\\u0019.eE+-tfn \t\x00\x1f\xc3\xa9\xff").unwrap();
        match random.u8(..4) {
            0 => drop(line.remove(at)),
            1 => line[at] = byte,
            2 => line.insert(at, byte),
            _ => line.truncate(at + 1),
        }
    }
    if random.u8(..20) == 0 {
        object(random, 2, &mut line);
    }
    line
}

fn object(random: &mut fastrand::Rng, depth: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for n in 0..random.usize(..5) {
        if n > 0 {
            out.push(b',');
        }
        space(random, out);
        let key = *random.choice(&["a", "b", "x", "y\\u0061", "\\u0061", "long key with spaces", "é"]).unwrap();
        out.extend(format!("\"{key}\"").bytes());
        space(random, out);
        out.push(b':');
        value(random, depth + 1, out);
        space(random, out);
    }
    out.push(b'}');
}

fn value(random: &mut fastrand::Rng, depth: usize, out: &mut Vec<u8>) {
    space(random, out);
    match random.u8(..if depth > 3 { 6 } else { 9 }) {
        0 => out.extend(b"null"),
        1 => out.extend(if random.bool() { &b"true"[..] } else { b"false" }),
        2 => out.extend(random.i32(..).to_string().bytes()),
        3 => out.extend(*random.choice(&[&b"0"[..], b"-0", b"1.5", b"1e3", b"-2.5E-3", b"12345678901234567890", b"0.0e0"]).unwrap()),
        4 | 5 => {
            let text = *random
                .choice(&["", "x", "N14228", "a \\\"quote\\\"", "\\u00e9\\n\\/", "\\ud83d\\ude00", "tüv", "\\ud83d", "\\u0000"])
                .unwrap();
            out.extend(format!("\"{text}\"").bytes());
        }
        6 => object(random, depth, out),
        _ => {
            out.push(b'[');
            for n in 0..random.usize(..4) {
                if n > 0 {
                    out.push(b',');
                }
                value(random, depth + 1, out);
            }
            out.push(b']');
        }
    }
}

fn space(random: &mut fastrand::Rng, out: &mut Vec<u8>) {
    out.extend(*random.choice(&[&b""[..], b"", b" ", b"\t \r"]).unwrap());
}

#[test]
fn random_lines_are_records_iff_serde_json_says_so() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    // No declared column is in the lines: only the grammar decides.
    let mut decoder = JsonDecoder::new(schema("nothing integer")).unwrap();
    let mut kept = 0;
    for _ in 0..100_000 {
        let line = random_line(&mut random);
        let ours = decoder.decode(&line);
        // serde_json has no number beyond a double's range; whether the line is JSON does not depend on that.
        let theirs = serde_json::from_slice::<Value>(&line);
        if theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range")) {
            continue;
        }
        let theirs = theirs.is_ok_and(|value| value.is_object());
        assert_eq!(ours.is_ok(), theirs, "seed {seed}: {:?}: {ours:?}", String::from_utf8_lossy(&line));
        kept += theirs as usize;
    }
    assert!((20_000..90_000).contains(&kept), "{kept} of 100000 is no test");
}

#[test]
fn text_is_what_serde_json_reads() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let line = random_line(&mut random);
        let Ok(Value::Object(members)) = serde_json::from_slice(&line) else { continue };
        let mut decoder = JsonDecoder::new(schema("b text")).unwrap();
        let expected = match members.get("b") {
            None | Some(Value::Null) => Some("NULL"),
            Some(Value::String(text)) if !text.contains('\0') => Some(text.as_str()),
            Some(_) => None,
        };
        // Of equal keys the last counts, but each must be a value of the column.
        match (decoder.decode(&line), expected) {
            (Ok(()), expected) => assert_eq!(super::texts(&decoder.finish().unwrap()), [expected.unwrap()], "seed {seed}"),
            (Err(error), Some(_)) => assert!(line.windows(3).filter(|key| key == b"\"b\"").count() > 1, "seed {seed}: {error}"),
            (Err(_), None) => {}
        }
    }
}

#[test]
fn what_is_a_row_does_not_depend_on_where_batches_are_cut() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let lines: Vec<_> = (0..5_000).map(|_| random_line(&mut random)).collect();
    let mut whole = JsonDecoder::new(schema("a double precision;b text;x jsonb")).unwrap();
    let mut cut = JsonDecoder::new(schema("a double precision;b text;x jsonb")).unwrap();
    let mut rows = Vec::new();
    for line in &lines {
        let verdict = whole.decode(line);
        assert_eq!(verdict, cut.decode(line), "seed {seed}");
        // A decoder that has seen nothing else says the same.
        assert_eq!(verdict, JsonDecoder::new(schema("a double precision;b text;x jsonb")).unwrap().decode(line), "seed {seed}");
        if random.u8(..5) == 0 {
            rows.extend(super::texts(&cut.finish().unwrap()));
        }
    }
    rows.extend(super::texts(&cut.finish().unwrap()));
    assert_eq!(super::texts(&whole.finish().unwrap()), rows, "seed {seed}");
}

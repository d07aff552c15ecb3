//! Which values fit which types, and what they become.

use super::{schema, texts};
use crate::JsonDecoder;

/// What a value becomes in a column of a type, or why it does not.
fn read(ty: &str, value: &str) -> Result<String, String> {
    let mut decoder = JsonDecoder::new(schema(&format!("c {ty}"))).unwrap();
    // The rows around it must not change.
    decoder.decode(b"{}").unwrap();
    let result = decoder.decode(format!("{{\"c\": {value} }}").as_bytes());
    decoder.decode(b"{\"c\":null}").unwrap();
    let mut rows = texts(&decoder.finish().unwrap());
    assert_eq!((rows.remove(0).as_str(), rows.pop().unwrap().as_str()), ("NULL", "NULL"));
    assert_eq!(rows.len(), result.is_ok() as usize);
    result.map(|()| rows.remove(0))
}

#[track_caller]
fn becomes(ty: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        assert_eq!(read(ty, value).as_deref(), Ok(*expected), "{value} as {ty}");
    }
}

#[track_caller]
fn refused(ty: &str, reason: &str, values: &[&str]) {
    for value in values {
        assert_eq!(read(ty, value), Err(format!("column \"c\": {value} {reason}")), "{value} as {ty}");
    }
}

#[test]
fn integers() {
    becomes("integer", &[("0", "0"), ("-0", "0"), ("2147483647", "2147483647"), ("-2147483648", "-2147483648"), ("null", "NULL")]);
    becomes("integer", &[("1.0", "1"), ("1e3", "1000"), ("-120e-1", "-12"), ("0.0e99", "0"), ("0e-99999999999999999999", "0")]);
    becomes("integer", &[("\"12\"", "12"), ("\" -7 \"", "-7"), ("\"+7\"", "7"), ("\"\\u0031\"", "1")]);
    becomes("bigint", &[("9223372036854775807", "9223372036854775807"), ("-9223372036854775808", "-9223372036854775808")]);
    becomes("bigint", &[("9007199254740993", "9007199254740993"), ("9007199254740993.0", "9007199254740993")]);
    let kind = "is not an integer";
    refused("integer", kind, &["1.9", "1.5", "1e-1", "\"abc\"", "\"\"", "\"1.0\"", "\"1 2\"", "\"-\"", "true", "[1]", "{\"x\":1}"]);
    refused("integer", "is out of range for type integer", &["2147483648", "-2147483649", "1e10", "1e400", "\"2147483648\""]);
    refused("smallint", "is out of range for type smallint", &["32768", "-32769", "99999999999999999999"]);
    refused(
        "bigint",
        "is out of range for type bigint",
        &["9223372036854775808", "-9223372036854775809", "1e19", "1e99999999999999999999"],
    );
}

#[test]
fn floats() {
    becomes("double precision", &[("2.0", "2.0"), ("0.1", "0.1"), ("-1.5e-3", "-0.0015"), ("-0", "-0.0"), ("1e308", "1e308")]);
    becomes(
        "double precision",
        &[("1", "1.0"), ("123456789012345678", "1.2345678901234568e17"), ("0.30000000000000004", "0.30000000000000004")],
    );
    becomes("double precision", &[("\"1.5\"", "1.5"), ("\"NaN\"", "NaN"), ("\"Infinity\"", "inf"), ("\"-inf\"", "-inf"), ("0e999", "0.0")]);
    becomes("real", &[("0.1", "0.1"), ("16777217", "16777216.0"), ("\"nan\"", "NaN")]);
    refused("double precision", "is not a number", &["\"abc\"", "\"\"", "\"1,5\"", "true", "[]"]);
    refused("double precision", "is out of range for type double precision", &["1e400", "-1e400", "1e-400", "\"1e400\""]);
    refused("real", "is out of range for type real", &["1e39", "1e-50"]);
}

#[test]
fn floats_are_the_nearest_doubles() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let digits: String = (0..random.usize(1..19)).map(|_| random.digit(10)).collect();
        let digits = match digits.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        let text = match random.u8(..3) {
            0 => digits.to_string(),
            1 => format!("-{digits}.{}", random.u32(..)),
            _ => format!("0.{}{digits}e{}", "0".repeat(random.usize(..4)), random.i32(-30..30)),
        };
        let expected: f64 = text.parse().unwrap();
        assert_eq!(crate::value::number::float8(text.as_bytes()), Ok(expected), "seed {seed}: {text}");
    }
}

#[test]
fn numerics_are_exact() {
    becomes("numeric(10,2)", &[("12.34", "12.34"), ("\"12.34\"", "12.34"), ("0.1", "0.10"), ("1e3", "1000.00"), ("-0.005", "-0.01")]);
    becomes("numeric(10,2)", &[("0.004999999", "0.00"), ("12345678.999", "12345679.00"), ("\" .5 \"", "0.50"), ("\"5.\"", "5.00")]);
    becomes(
        "numeric(38,0)",
        &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"), ("1e37", &format!("1{}", "0".repeat(37)))],
    );
    becomes(
        "numeric",
        &[("0.1234567890123456", "0.1234567890123456"), ("\"-1e-16\"", "-0.0000000000000001"), ("0e99999", "0.0000000000000000")],
    );
    // Without a scale nothing is rounded away.
    becomes("numeric", &[("0.12345678901234560", "0.1234567890123456"), ("1234567890123456789e-16", "123.4567890123456789")]);
    refused(
        "numeric",
        "has more than 16 decimals, which type numeric without a precision cannot hold",
        &["0.12345678901234567", "\"1e-17\"", "0.30000000000000004", "-5.00000000000000000000000000000000000000001"],
    );
    becomes("numeric(38,16)", &[("0.12345678901234567", "0.1234567890123457")]);
    refused("numeric(5,2)", "is out of range for type numeric(5,2)", &["1000", "999.995", "1e400", "\"-1000.00\""]);
    refused(
        "numeric(10,2)",
        "is not a number",
        &["\"abc\"", "\"\"", "\".\"", "\"e5\"", "\"1e\"", "\"NaN\"", "\"1.2.3\"", "\"--1\"", "false"],
    );
}

#[test]
fn text_is_only_strings() {
    becomes("text", &[("\"\"", ""), ("\"a\\n\\u00e9\\ud83d\\ude00\\/\"", "a\né😀/"), ("\"größe\"", "größe"), ("null", "NULL")]);
    refused("text", "is not a string", &["12", "1.5", "true", "{\"a\":1}", "[\"a\"]"]);
    refused("text", "has a NUL character, which type text cannot hold", &["\"a\\u0000b\"", "\"\\u0000\""]);
    becomes("character varying(3)", &[("\"abc\"", "abc"), ("\"äöü\"", "äöü"), ("\"abc  \"", "abc")]);
    refused("character varying(3)", "is too long for type character varying(3)", &["\"abcd\"", "\"äöü \\u00e4\""]);
    becomes("character(3)", &[("\"ab\"", "ab"), ("\"ab     \"", "ab")]);
    refused("character(3)", "is too long for type character(3)", &["\"abcd\""]);
}

#[test]
fn booleans() {
    becomes("boolean", &[("true", "true"), ("false", "false"), ("\"t\"", "true"), ("\"OFF\"", "false"), ("null", "NULL")]);
    refused("boolean", "is not a boolean", &["1", "0", "\"\"", "\"maybe\"", "[true]"]);
}

#[test]
fn json_keeps_its_text() {
    let cases = [
        ("{\"a\" : [1, 2.50, null]}", "{\"a\" : [1, 2.50, null]}"),
        ("\"x\\n\"", "\"x\\n\""),
        ("1e400", "1e400"),
        ("true", "true"),
        ("null", "NULL"),
    ];
    becomes("json", &cases);
    becomes("jsonb", &[("{\"b\" : [1, 2.50,null], \"a\":1e2}", "{\"a\": 100, \"b\": [1, 2.50, null]}"), ("null", "NULL")]);
    refused("jsonb", "is out of range for type jsonb", &["1e200000"]);
    becomes("json", &[("\"\\u0000\"", "\"\\u0000\"")]);
    becomes("jsonb", &[("\"\\\\u0000\"", "\"\\\\u0000\"")]);
    refused("jsonb", "has a NUL character, which type jsonb cannot hold", &["\"\\u0000\"", "{\"a\":[\"\\\\\\u0000\"]}"]);
    assert!(read("json", "{\"a\":}").unwrap_err().starts_with("the record is not a JSON object: expected a value"));
}

#[test]
fn bytes_and_uuids() {
    becomes("bytea", &[("\"\\\\x0aFF\"", "0aff"), ("\"\\\\x\"", "")]);
    refused(
        "bytea",
        "is not a bytea in hex, such as \"\\\\x0aff\"",
        &["\"hello\"", "\"\\\\x0\"", "\"\\\\xzz\"", "\"\\\\x00zz\"", "1", "\"\""],
    );
    let uuid = "a0eebc999c0b4ef8bb6d6bb9bd380a11";
    for form in
        ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", uuid, "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"]
    {
        becomes("uuid", &[(&format!("\"{form}\""), uuid)]);
    }
    refused(
        "uuid",
        "is not a UUID",
        &["\"\"", "\"a0eebc99\"", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g\"", "\"{a0eebc999c0b4ef8bb6d6bb9bd380a11\"", "7"],
    );
}

#[test]
fn intervals() {
    becomes("interval", &[("\"1 year 2 mons -3 days 04:05:06.7\"", &read("interval", "\"P1Y2M-3DT4H5M6.7S\"").unwrap())]);
    becomes("interval", &[("\"14 months -3days 245 minutes 6700 ms\"", &read("interval", "\"P1Y2M-3DT4H5M6.7S\"").unwrap())]);
    becomes("interval", &[("\"1.5 days\"", &read("interval", "\"1 day 12:00\"").unwrap())]);
    becomes("interval", &[("\"1.5 weeks\"", &read("interval", "\"10 days 12:00:00\"").unwrap())]);
    becomes("interval", &[("\"-00:00:01.5\"", &read("interval", "\"-1500 milliseconds\"").unwrap())]);
    becomes("interval", &[("\"5\"", &read("interval", "\"5 seconds\"").unwrap())]);
    becomes("interval", &[("\"1.5 months\"", &read("interval", "\"1 month 15 days\"").unwrap())]);
    let kind = "is not an interval";
    refused(
        "interval",
        kind,
        &[
            "\"\"",
            "\"P\"",
            "\"1 fortnight\"",
            "\"1:2:3:4\"",
            "\"1:-2\"",
            "\"day\"",
            "5",
            "\"P1H\"",
            "\"00:61\"",
            "\"99999999999999999999 days\"",
        ],
    );
    refused("interval", "is out of range for type interval", &["\"3000000000 months\"", "\"9999999999 hours\""]);
}

#[test]
fn arrays() {
    becomes("integer[]", &[("[1, null, 3]", "[1, , 3]"), ("[]", "[]"), ("null", "NULL"), ("[\"4\"]", "[4]")]);
    becomes("text[]", &[("[\"a\\n\",\"\"]", "[a\n, ]")]);
    becomes("jsonb[]", &[("[{\"a\": 1}, 2]", "[{\"a\": 1}, 2]")]);
    refused("integer[]", "is not an array", &["1", "\"{1,2}\"", "{\"0\":1}", "true"]);
    assert_eq!(read("integer[]", "[1, \"x\"]"), Err("column \"c\": \"x\" is not an integer".into()));
    assert!(read("integer[]", "[1,]").is_err() && read("integer[]", "[1").is_err() && read("integer[]", "[1 2]").is_err());
}

#[test]
fn keys() {
    let mut decoder = JsonDecoder::new(schema("a integer;B text;é integer;q\"q integer")).unwrap();
    let lines = [
        (r#"{"a":1,"B":"x","é":2,"q\"q":3}"#, "1|x|2|3"),
        (r#"{"A":1,"b":"x","e":2}"#, "NULL|NULL|NULL|NULL"),
        (r#"{"B":"x","a":1}"#, "1|x|NULL|NULL"),
        (r#"{"\u0061":1,"\u00e9":2}"#, "1|NULL|2|NULL"),
        // Of equal keys the last counts.
        (r#"{"a":1,"B":"x","a":2,"B":null,"a":3}"#, "3|NULL|NULL|NULL"),
        (r#"{"extra":{"a":9},"a":1,"more":[{"a":8}],"B":"y"}"#, "1|y|NULL|NULL"),
        (r#"{}"#, "NULL|NULL|NULL|NULL"),
    ];
    for (line, _) in lines {
        assert_eq!(decoder.decode(line.as_bytes()), Ok(()), "{line}");
    }
    assert_eq!(texts(&decoder.finish().unwrap()), lines.map(|(_, row)| row));
    // A value is refused also where a later one of the same key would fit.
    assert!(decoder.decode(br#"{"a":"x","a":1}"#).is_err());
}

#[test]
fn many_and_changing_keys_are_found() {
    let columns: Vec<String> = (0..400).map(|n| format!("c{n} integer")).collect();
    let mut decoder = JsonDecoder::new(schema(&columns.join(";"))).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200 {
        let mut keys: Vec<usize> = (0..500).filter(|_| random.u8(..3) > 0).collect();
        random.shuffle(&mut keys);
        let members: Vec<String> = keys.iter().map(|key| format!("\"c{key}\":{key}")).collect();
        decoder.decode(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
        let row = texts(&decoder.finish().unwrap()).remove(0);
        for (column, value) in row.split('|').enumerate() {
            let expected = if keys.contains(&column) { column.to_string() } else { "NULL".into() };
            assert_eq!(value, expected);
        }
    }
}

#[test]
fn long_values_are_cut_in_errors() {
    let error = read("integer", &format!("\"{}\"", "é".repeat(1000))).unwrap_err();
    assert_eq!(error, format!("column \"c\": \"{}... is not an integer", "é".repeat(63)));
}

#[test]
fn a_refused_record_leaves_no_trace() {
    let columns =
        "a integer;b text;c jsonb;d timestamp without time zone;e integer[];f uuid;g boolean;h numeric(9,2);i interval;z smallint";
    let good = r#"{"a":1,"b":"x","c":[1],"d":"2013-01-01 00:00:00","e":[1,2],"f":"a0eebc999c0b4ef8bb6d6bb9bd380a11","g":true,"h":1.5,"i":"1 day","z":1}"#;
    let mut clean = JsonDecoder::new(schema(columns)).unwrap();
    let mut other = JsonDecoder::new(schema(columns)).unwrap();
    for n in 0..100 {
        clean.decode(good.as_bytes()).unwrap();
        other.decode(good.as_bytes()).unwrap();
        // Cut anywhere, and wrong in the last column.
        assert!(other.decode(&good.as_bytes()[..n]).is_err());
        assert!(other.decode(good.replace("\"z\":1", "\"z\":\"x\"").as_bytes()).is_err());
        assert!(other.decode(good.replace("[1,2]", "[1,2,{}]").as_bytes()).is_err());
    }
    assert_eq!(clean.finish().unwrap(), other.finish().unwrap());
}

#[test]
fn no_columns_are_rows_all_the_same() {
    let mut decoder = JsonDecoder::new(std::sync::Arc::new(arrow::datatypes::Schema::empty())).unwrap();
    decoder.decode(b"{\"a\":1}").unwrap();
    assert_eq!(decoder.finish().unwrap().num_rows(), 1);
    assert_eq!(decoder.finish().unwrap().num_rows(), 0);
}

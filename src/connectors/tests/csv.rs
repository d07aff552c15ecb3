//! Fields, values and records of CSV.

use weir_common::dead_letter::Reason;
use weir_common::limits::LINE_BYTES_MAX;

use super::{csv, gzipped, rows, written};

/// Rows, and the line, reason and payload of each dead letter.
fn read(bytes: &[u8], columns: &str, given: &[(&str, &str)]) -> (Vec<String>, Vec<(i64, String, String)>) {
    let written = written(bytes);
    let (rows, dead) = rows(&csv(written.path(), columns, given).unwrap());
    let letter = |letter: weir_common::dead_letter::DeadLetter| {
        assert_eq!((letter.relation.as_str(), letter.partition.as_deref()), ("s", written.path().to_str()));
        (letter.offset.unwrap(), letter.error, letter.payload)
    };
    (rows, dead.into_iter().map(letter).collect())
}

#[track_caller]
fn becomes(text: &str, columns: &str, given: &[(&str, &str)], expected: &[&str]) {
    let (rows, dead) = read(text.as_bytes(), columns, given);
    assert_eq!(rows, expected);
    assert!(dead.is_empty(), "{dead:?}");
}

/// One record that is refused, among others that are not.
#[track_caller]
fn refused(record: &str, columns: &str, given: &[(&str, &str)], good: &str, error: &str) {
    let (rows, dead) = read(format!("{good}\n{record}\n{good}\n").as_bytes(), columns, given);
    assert_eq!(rows.len(), 2, "{rows:?} {dead:?}");
    assert_eq!(dead, [(2, error.to_string(), record.to_string())]);
}

fn refused_create(columns: &str, text: &str, given: &[(&str, &str)], sqlstate: &str, message: &str) {
    let written = written(text.as_bytes());
    let error = csv(written.path(), columns, given).unwrap_err();
    let path = written.path().display().to_string();
    assert_eq!((error.sqlstate().0, error.message().replace(&path, "F").as_str()), (sqlstate, message));
}

#[test]
fn fields_by_place() {
    becomes("1,a\n2,b\r\n3,c", "a integer;b text", &[], &["1|a", "2|b", "3|c"]);
    becomes("1, a b \n", "a integer;b text", &[], &["1| a b "]);
    becomes(" 1 ,x\n", "a integer;b text", &[], &["1|x"]);
    becomes("1;a,b\n", "a integer;b text", &[("delimiter", ";")], &["1|a,b"]);
    becomes("1\ta\n", "a integer;b text", &[("delimiter", "\\t")], &["1|a"]);
    becomes("\t\n", "a integer;b text", &[("delimiter", "\t")], &["NULL|NULL"]);
    becomes("\n1,a\n\n\r\n2,b\n\n", "a integer;b text", &[], &["1|a", "2|b"]);
    becomes("a\n\nb\n", "a text", &[], &["a", "NULL", "b"]);
    becomes("\u{feff}1,\u{feff}a\n", "a integer;b text", &[], &["1|\u{feff}a"]);
}

#[test]
fn quotes() {
    becomes("\"1\",\"a,b\"\n", "a integer;b text", &[], &["1|a,b"]);
    becomes("1,\"say \"\"hi\"\"\"\n", "a integer;b text", &[], &["1|say \"hi\""]);
    becomes("1,\"\"\n2,\"\"\"\"\n", "a integer;b text", &[], &["1|", "2|\""]);
    becomes("\"a\nb\r\n\nc\",1\nd,2\n", "a text;b integer", &[], &["a\nb\r\n\nc|1", "d|2"]);
    becomes("1,'a,\"b'\n", "a integer;b text", &[("quote", "'")], &["1|a,\"b"]);
    becomes("1,\"a\\\"b\\\\c\\d\"\n", "a integer;b text", &[("escape", "\\")], &["1|a\"b\\c\\d"]);
    becomes("1,\"a\\\\\",2\n1,\"a\\\"\n\",2\n", "a integer;b text;c integer", &[("escape", "\\")], &["1|a\\|2", "1|a\"\n|2"]);
    becomes("1,5\" pipe\n2,\"\n", "a integer;b text", &[("quote", "")], &["1|5\" pipe", "2|\""]);
}

#[test]
fn null_is_what_stands_without_quotes() {
    becomes(",\n\"\",\"\"\n", "a text;b text", &[], &["NULL|NULL", "|"]);
    becomes(",\n", "a integer;b boolean", &[], &["NULL|NULL"]);
    becomes("\\N,\"\\N\"\n,\n", "a text;b text", &[("null", "\\N")], &["NULL|\\N", "|"]);
    becomes("NA,1\n2,NA\n", "a integer;b integer", &[("null", "NA")], &["NULL|1", "2|NULL"]);
    refused("\"\",1", "a integer;b integer", &[], "1,1", "column \"a\": \"\" is not an integer");
}

#[test]
fn values_of_all_types() {
    becomes(
        "t,1,-2,3,1.5,-2.5e3,12.345,x\nFALSE,+1,+2,9223372036854775807,nan,-Infinity,1e3,y\n",
        "a boolean;b smallint;c integer;d bigint;e real;f double precision;g numeric(10,2);h text",
        &[],
        &["true|1|-2|3|1.5|-2500.0|12.35|x", "false|1|2|9223372036854775807|NaN|-inf|1000.00|y"],
    );
    becomes(
        "2020-02-29,10:11:12.5,2020-02-29 10:11:12,2020-02-29T10:11:12.123Z,1 day,\\xff00,f0e1d2c3-b4a5-9687-7869-5a4b3c2d1e0f\n",
        "a date;b time;c timestamp;d timestamp;e interval;f bytea;g uuid",
        &[],
        &["2020-02-29|10:11:12.500|2020-02-29T10:11:12|2020-02-29T10:11:12.123|1 days|ff00|f0e1d2c3b4a5968778695a4b3c2d1e0f"],
    );
    becomes(
        "\"{\"\"a\"\": [1, 2]}\",abc  ,abc   \n12,ab,x\n",
        "a jsonb;b varchar(3);c character(5)",
        &[],
        &["{\"a\": [1, 2]}|abc|abc", "12|ab|x"],
    );
}

#[test]
fn records_that_are_refused() {
    let columns = "a integer;b text;c varchar(3)";
    let check = |record: &str, error: &str| refused(record, columns, &[], "1,x,y", error);
    check("x,b,c", "column \"a\": \"x\" is not an integer");
    check("1.5,b,c", "column \"a\": \"1.5\" is not an integer");
    check("99999999999,b,c", "column \"a\": \"99999999999\" is out of range for type integer");
    check("1,b,abcd", "column \"c\": \"abcd\" is too long for type character varying(3)");
    check("1,b", "missing data for column \"c\"");
    check("1", "missing data for column \"b\"");
    check("1,2,3,4,5", "extra data after last expected column: 5 fields, not 3");
    check("1,a\"b,c", "the record is not CSV: a quote inside of a field that does not start with one, at byte 4");
    check("1,\"a\"b,c", "the record is not CSV: text behind a closing quote, at byte 6");
    check("a,b,c", "column \"a\": \"a\" is not an integer; if it is a header, say header = 'true'");
    refused("{a", "a json", &[], "1", "column \"a\": \"{a\" is not JSON");
    let (rows, dead) = read(b"1,x\n1,\xff\n2,\0\n3,y\n", "a integer;b text", &[]);
    assert_eq!(rows, ["1|x", "3|y"]);
    let letters: Vec<_> = dead.iter().map(|(line, error, _)| (*line, error.as_str())).collect();
    assert_eq!(letters, [(2, "invalid UTF-8 at byte 3"), (3, "a NUL character at byte 3")]);
}

#[test]
fn a_stray_quote_costs_its_line() {
    // Closed by a quote further down, so that text follows a closing quote.
    let text = "1,a\n2,\"b\n3,c\n4,\"d\"\n5,e\n";
    let (rows, dead) = read(text.as_bytes(), "a integer;b text", &[]);
    assert_eq!(rows, ["1|a", "3|c", "4|d", "5|e"]);
    assert_eq!(dead, [(2, "the record is not CSV: text behind a closing quote, at byte 13".into(), "2,\"b".into())]);
    // Never closed.
    let (rows, dead) = read(b"1,a\n2,\"b\n3,c\n4,d", "a integer;b text", &[]);
    assert_eq!(rows, ["1|a", "3|c", "4|d"]);
    assert_eq!(dead, [(2, "the record is not CSV: a quote that is never closed".into(), "2,\"b".into())]);
    // A record of several lines that is well formed is refused as one.
    let (rows, dead) = read(b"1,a\nx,\"b\nc\"\n3,c\n", "a integer;b text", &[]);
    assert_eq!(rows, ["1|a", "3|c"]);
    assert_eq!(dead, [(2, "column \"a\": \"x\" is not an integer".into(), "x,\"b\nc\"".into())]);
}

#[test]
fn a_quote_is_closed_within_the_limit() {
    let line = format!("{}\n", "z".repeat(99));
    let text = format!("1,\"{}2,b\n", line.repeat(LINE_BYTES_MAX / 100 + 2));
    let (rows, dead) = read(text.as_bytes(), "a integer;b text", &[]);
    assert_eq!(rows, ["2|b"]);
    assert_eq!(dead.len(), LINE_BYTES_MAX / 100 + 2);
    assert_eq!(dead[0].1, "the record is not CSV: a quote that is not closed within 16777216 bytes");
    assert_eq!(
        (dead[1].0, dead[1].1.as_str()),
        (2, "column \"a\": \"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz...\" is not an integer")
    );
    let long = format!("1,{}\n2,b\n", "y".repeat(LINE_BYTES_MAX));
    let written = written(long.as_bytes());
    let (kept, letters) = rows_of(&written);
    assert_eq!(kept, ["2|b"]);
    assert_eq!((letters[0].reason, letters[0].offset), (Reason::TooLong, Some(1)));
}

fn rows_of(file: &tempfile::NamedTempFile) -> (Vec<String>, Vec<weir_common::dead_letter::DeadLetter>) {
    rows(&csv(file.path(), "a integer;b text", &[]).unwrap())
}

#[test]
fn fields_by_the_names_of_a_header() {
    let header = &[("header", "true")];
    becomes("b,a\nx,1\ny,2\n", "a integer;b text", header, &["1|x", "2|y"]);
    becomes("a,z,b\n1,skipped,x\n", "a integer;b text", header, &["1|x"]);
    becomes("z,b\n1,x\n", "a integer;b text", header, &["NULL|x"]);
    becomes("\"b\",\"a\"\r\nx,1\r\n", "a integer;b text", header, &["1|x"]);
    becomes("\u{feff}a,b\n1,x\n", "a integer;b text", header, &["1|x"]);
    becomes("a;b\n1;x\n", "a integer;b text", &[("header", "true"), ("delimiter", ";")], &["1|x"]);
    becomes("a\n1\n\n2\n", "a integer;b text", header, &["1|NULL", "NULL|NULL", "2|NULL"]);
    becomes("a,b\n", "a integer;b text", header, &[]);
    becomes("", "a integer;b text", header, &[]);
    becomes("\"x\ny\",a\n\"\n\",1\n", "a integer", header, &["1"]);
    let (rows, dead) = read(b"z,b,a\n1,x\n1,x,2,3\n1,x,3\n", "a integer;b text", header);
    assert_eq!(rows, ["3|x"]);
    assert_eq!(dead[0], (2, "missing data for column \"a\"".into(), "1,x".into()));
    assert_eq!(dead[1].1, "extra data after last expected column: 4 fields, not 3");
}

#[test]
fn headers_that_are_refused() {
    let header = &[("header", "true")];
    refused_create("a integer;b text", "x,y\n1,2\n", header, "22P04", "file \"F\": the CSV header names none of the columns");
    refused_create("a integer;b text", "a,b,a\n", header, "22P04", "file \"F\": the CSV header names column \"a\" twice");
    refused_create("a integer", "a,\"b\"c\n", header, "22P04", "file \"F\": the CSV header has text behind a closing quote");
    refused_create("a integer[]", "", &[], "0A000", "column \"a\" of type integer[] cannot be read from CSV");
}

#[test]
fn options_are_checked() {
    let check = |given: &[(&str, &str)], message: &str| refused_create("a integer", "", given, "22023", message);
    check(&[("headr", "true")], "unknown option \"headr\" for ENCODE CSV");
    check(&[("header", "perhaps")], "invalid value for boolean option \"header\": \"perhaps\"");
    check(&[("delimiter", "::")], "CSV delimiter must be a single one-byte character");
    check(&[("delimiter", "")], "CSV delimiter must be a single one-byte character");
    check(&[("delimiter", "\u{e9}")], "CSV delimiter must be a single one-byte character");
    check(&[("delimiter", "\n")], "CSV delimiter cannot be newline or carriage return");
    check(&[("delimiter", "\"")], "CSV delimiter and quote must be different");
    check(&[("quote", ",")], "CSV delimiter and quote must be different");
    check(&[("escape", ",")], "CSV delimiter and escape must be different");
    check(&[("quote", ""), ("escape", "\\")], "CSV escape needs a quote");
    check(&[("null", "a,b")], "CSV delimiter character must not appear in the null specification");
    check(&[("null", "\"")], "CSV quote character must not appear in the null specification");
    check(&[("null", "\n")], "CSV null representation cannot use newline or carriage return");
}

#[test]
fn gzip_too() {
    let written = written(&gzipped(b"b,a\nx,1\n"));
    assert_eq!(rows(&csv(written.path(), "a integer;b text", &[("header", "true")]).unwrap()).0, ["1|x"]);
}

/// Random tables, written in random ways, come back as they were.
#[test]
fn what_is_written_is_read() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let delimiter = [b',', b';', b'\t', b'|'][random.usize(..4)];
        let quote = *random.choice(b"\"'").unwrap();
        let escape = *random.choice(&[quote, b'\\']).unwrap();
        let width = random.usize(1..5);
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..random.usize(..20) {
            let values: Vec<Option<String>> = (0..width)
                .map(|_| {
                    let letters = ["a", "\u{e9}", ",", ";", "\t", "|", "\"", "'", "\\", "\n", "\r\n", " "];
                    random.bool().then(|| (0..random.usize(..6)).map(|_| letters[random.usize(..letters.len())]).collect())
                })
                .collect();
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    text.push(delimiter);
                }
                let Some(value) = value else { continue };
                let special = value.bytes().any(|byte| [delimiter, quote, b'\n', b'\r'].contains(&byte));
                if special || value.is_empty() || random.bool() {
                    text.push(quote);
                    for byte in value.bytes() {
                        if byte == quote || byte == escape {
                            text.push(escape);
                        }
                        text.push(byte);
                    }
                    text.push(quote);
                } else {
                    text.extend_from_slice(value.as_bytes());
                }
            }
            text.extend_from_slice(random.choice([&b"\n"[..], b"\r\n"]).unwrap());
            // A row of several NULLs is no blank line, for it has delimiters.
            expected.push(values.iter().map(|value| value.clone().unwrap_or("NULL".into())).collect::<Vec<_>>().join("|"));
        }
        let columns: Vec<String> = (0..width).map(|column| format!("c{column} text")).collect();
        let character = |byte: u8| char::from(byte).to_string();
        let given = [("delimiter", character(delimiter)), ("quote", character(quote)), ("escape", character(escape))];
        let given: Vec<_> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (rows, dead) = read(&text, &columns.join(";"), &given);
        assert!(dead.is_empty(), "{dead:?} in {:?}", String::from_utf8_lossy(&text));
        assert_eq!(rows, expected, "{:?}", String::from_utf8_lossy(&text));
    }
}

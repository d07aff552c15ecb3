//! COPY's formats: text, csv, binary.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use weir_common::error::Result;
use weir_common::types::PgType;

use super::texts;
use crate::value::copy::reader::CopyReader;
use crate::value::copy::writer::CopyWriter;
use crate::value::copy::{Columns, CopyFormat, CopyHeader, CopyKind};
use crate::value::settings::TextSettings;

/// Reads a COPY in pieces of every size; they must all give the same.
fn copy(format: &CopyFormat, data: &[u8]) -> Result<Vec<String>> {
    let columns = [("carrier", PgType::Text), ("name", PgType::Text), ("n", PgType::Int4)].map(|(name, ty)| (name.to_string(), ty));
    let mut first = None;
    for size in [data.len().max(1), 1, 2, 3, 7] {
        let mut reader = CopyReader::new(format.clone(), "airlines", &columns, &TextSettings::default())?;
        let result = data.chunks(size).try_for_each(|chunk| reader.feed(chunk)).and_then(|()| reader.finish());
        let result = result.map(|()| {
            let columns = reader.take();
            let shown = |column: &ArrayRef, row| {
                let shown = texts(Field::new("x", column.data_type().clone(), true), column.slice(row, 1), &TextSettings::default());
                shown.concat()
            };
            (0..columns[0].len())
                .map(|row| columns.iter().map(|column| shown(column, row)).collect::<Vec<_>>().join("|"))
                .collect::<Vec<_>>()
        });
        let describe = |result: &Result<Vec<String>>| format!("{result:?} {:?}", result.as_ref().err().and_then(|error| error.context()));
        match &first {
            None => first = Some(result),
            Some(first) => assert_eq!(describe(first), describe(&result), "in pieces of {size}"),
        }
    }
    first.unwrap()
}

#[track_caller]
fn copy_refused(format: &CopyFormat, data: &[u8], message: &str, context: &str) {
    let error = copy(format, data).unwrap_err();
    assert_eq!((error.message(), error.context().unwrap_or_default()), (message, context));
}

#[test]
fn copy_from_text() {
    let format = CopyFormat::new(CopyKind::Text);
    assert_eq!(copy(&format, b"a\tb\\tc\\x41\\101\\q\\\\N\t1\n\\N\t\t\\N\n").unwrap(), ["a|b\tcAAq\\N|1", "NULL||NULL"]);
    assert_eq!(copy(&format, b"a\tb\t1\r\nc\td\t2\r\n").unwrap(), ["a|b|1", "c|d|2"]);
    assert_eq!(copy(&format, b"a\tb\t1\n\\.\nrubbish").unwrap(), ["a|b|1"]);
    assert_eq!(copy(&format, b"a\tb\\\nc\t1").unwrap(), ["a|b\nc|1"]);
    assert_eq!(copy(&format, b"").unwrap(), [""; 0]);
    copy_refused(&format, b"a\n", "missing data for column \"name\"", "COPY airlines, line 1: \"a\"");
    copy_refused(&format, b"a\tb\t1\na\tb\tc\td\n", "extra data after last expected column", "COPY airlines, line 2: \"a\tb\tc\td\"");
    copy_refused(&format, b"a\tb\tx\n", "invalid input syntax for type integer: \"x\"", "COPY airlines, line 1, column n: \"x\"");
    copy_refused(&format, b"a\tb\t1\na\rb\n", "literal carriage return found in data", "COPY airlines, line 2");
    copy_refused(&format, b"\\.x\n", "end-of-copy marker corrupt", "COPY airlines, line 1: \"\\.x\"");
    copy_refused(
        &format,
        b"\\xff\tb\t1\n",
        "invalid byte sequence for encoding \"UTF8\": 0xff",
        "COPY airlines, line 1, column carrier: \"\u{fffd}\"",
    );
}

#[test]
fn copy_from_csv() {
    let mut format = CopyFormat::new(CopyKind::Csv);
    assert_eq!(copy(&format, b"a,\"b\nc, \"\"d\"\"\",1\r\nx,,\r\n").unwrap(), ["a|b\nc, \"d\"|1", "x|NULL|NULL"]);
    assert_eq!(copy(&format, b"a,\"\",\nb, c ,2").unwrap(), ["a||NULL", "b| c |2"]);
    assert_eq!(copy(&format, b"a,b\"c,\"d,2\n").unwrap(), ["a|bc,d|2"]);
    copy_refused(&format, b"a,b,1\nb,\"open,2\n", "unterminated CSV quoted field", "COPY airlines, line 3: \"b,\"open,2\n\"");
    copy_refused(&format, b"a,\"b\nc\",x\n", "invalid input syntax for type integer: \"x\"", "COPY airlines, line 2, column n: \"x\"");
    copy_refused(&format, b"a,b\n", "missing data for column \"n\"", "COPY airlines, line 1: \"a,b\"");
    format.header = CopyHeader::Match;
    assert_eq!(copy(&format, b"carrier,name,n\na,b,1\n").unwrap(), ["a|b|1"]);
    let mismatch = "column name mismatch in header line field 2: got \"nam\", expected \"name\"";
    copy_refused(&format, b"carrier,nam,n\n", mismatch, "COPY airlines, line 1: \"carrier,nam,n\"");
    copy_refused(
        &format,
        b"carrier,name\n",
        "wrong number of fields in header line: got 2, expected 3",
        "COPY airlines, line 1: \"carrier,name\"",
    );
    format = CopyFormat { escape: b'\\', null: "nil".to_string(), header: CopyHeader::On, ..CopyFormat::new(CopyKind::Csv) };
    assert_eq!(copy(&format, b"h\n\"a\\\"b\\\\\",nil,1\n").unwrap(), ["a\"b\\|NULL|1"]);
    format = CopyFormat::new(CopyKind::Csv);
    format.force_not_null = Columns::Only(vec!["name".to_string()]);
    format.force_null = Columns::Only(vec!["n".to_string()]);
    assert_eq!(copy(&format, b"z,,\"\"\n").unwrap(), ["z||NULL"]);
}

#[test]
fn copy_round_trips() {
    let schema = Arc::new(Schema::new(vec![PgType::Text.field("carrier"), PgType::Text.field("name"), PgType::Int4.field("n")]));
    let a = StringArray::from(vec![Some("a\\b\tc\nd\re"), None, Some("\\N"), Some(""), Some("\\."), Some("\"q\", x")]);
    let b = StringArray::from(vec![Some("\u{8}\u{c}\u{b}"), Some("ü"), None, Some("NULL"), Some("nil"), Some("'")]);
    let n = Int32Array::from(vec![Some(1), None, Some(-3), Some(4), Some(5), Some(6)]);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(a), Arc::new(b), Arc::new(n)]).unwrap();
    let expected = ["a\\b\tc\nd\re|\u{8}\u{c}\u{b}|1", "NULL|ü|NULL", "\\N|NULL|-3", "|NULL|4", "\\.|nil|5", "\"q\", x|'|6"];
    for kind in [CopyKind::Text, CopyKind::Csv, CopyKind::Binary] {
        for header in [CopyHeader::Off, CopyHeader::On] {
            if kind == CopyKind::Binary && header == CopyHeader::On {
                continue;
            }
            let format = CopyFormat { header, ..CopyFormat::new(kind) };
            let mut writer = CopyWriter::new(format.clone(), schema.clone(), &TextSettings::default()).unwrap();
            let mut data: Vec<u8> = writer.header().iter().flatten().copied().collect();
            let rows = writer.rows(&batch).unwrap();
            assert_eq!(rows.len(), 6);
            data.extend(rows.iter().flatten().chain(writer.trailer().iter().flatten()));
            assert_eq!(copy(&format, &data).unwrap(), expected, "{kind:?}");
        }
    }
    let format = CopyFormat { force_quote: Columns::All, header: CopyHeader::On, ..CopyFormat::new(CopyKind::Csv) };
    let mut writer = CopyWriter::new(format, schema, &TextSettings::default()).unwrap();
    assert_eq!(writer.header().unwrap(), "carrier,name,n\n");
    assert_eq!(writer.rows(&batch.slice(1, 1)).unwrap(), [",\"ü\",\n"]);
}

#[test]
fn copy_options_that_contradict() {
    let check = |change: &dyn Fn(&mut CopyFormat), kind, from| {
        let mut format = CopyFormat::new(kind);
        change(&mut format);
        format.check(from).unwrap_err().message().to_string()
    };
    assert_eq!(check(&|f| f.quote = b',', CopyKind::Csv, true), "COPY delimiter and quote must be different");
    assert_eq!(check(&|f| f.null = "a,b".into(), CopyKind::Csv, true), "COPY delimiter must not appear in the NULL specification");
    assert_eq!(check(&|f| f.quote = b'x', CopyKind::Text, true), "COPY quote available only in CSV mode");
    assert_eq!(check(&|f| f.delimiter = b'a', CopyKind::Text, true), "COPY delimiter cannot be \"a\"");
    assert_eq!(check(&|f| f.force_quote = Columns::All, CopyKind::Csv, true), "COPY force quote only available using COPY TO");
    assert_eq!(check(&|f| f.header = CopyHeader::On, CopyKind::Binary, true), "cannot specify HEADER in BINARY mode");
    assert_eq!(CopyFormat::single_byte("delimiter", "ab").unwrap_err().message(), "COPY delimiter must be a single one-byte character");
    assert_eq!(CopyFormat::single_byte("quote", "|").unwrap(), b'|');
}

#[test]
fn copy_from_binary() {
    let format = CopyFormat::new(CopyKind::Binary);
    let head = |flags: u32, extension: &[u8]| {
        [b"PGCOPY\n\xff\r\n\0", &flags.to_be_bytes()[..], &(extension.len() as u32).to_be_bytes(), extension].concat()
    };
    let row = |fields: &[Option<&[u8]>]| {
        let mut row = (fields.len() as i16).to_be_bytes().to_vec();
        for field in fields {
            row.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
            row.extend(field.unwrap_or_default());
        }
        row
    };
    let field = |text: &'static str| Some(text.as_bytes());
    let (header, end) = (head(0, b""), [0xff, 0xff]);
    let (one, two) = (row(&[field("AA"), field("Ame\0"), None]), row(&[field("UA"), None, Some(&[0, 0, 1, 2])]));
    let of = |parts: &[&[u8]]| parts.concat();
    assert_eq!(copy(&format, &of(&[&header, &two, &two, &end])).unwrap(), ["UA|NULL|258", "UA|NULL|258"]);
    assert_eq!(copy(&format, &of(&[&head(5, b"more"), &two, &end])).unwrap(), ["UA|NULL|258"]);
    // Without a trailer, as Postgres takes it; but not in the middle of a row.
    assert_eq!(copy(&format, &of(&[&header, &two])).unwrap(), ["UA|NULL|258"]);
    assert_eq!(copy(&format, &header).unwrap(), [""; 0]);
    copy_refused(&format, b"", "COPY file signature not recognized", "");
    copy_refused(&format, b"carrier,name,n\n", "COPY file signature not recognized", "");
    copy_refused(&format, &header[..13], "invalid COPY file header (missing flags)", "");
    copy_refused(&format, &header[..17], "invalid COPY file header (missing length)", "");
    copy_refused(&format, &head(0, b"more")[..21], "invalid COPY file header (wrong length)", "");
    copy_refused(&format, &head(1 << 16, b""), "invalid COPY file header (WITH OIDS)", "");
    copy_refused(&format, &head(1 << 20, b""), "unrecognized critical flags in COPY file header", "");
    copy_refused(&format, &of(&[&header, &[0]]), "unexpected EOF in COPY data", "COPY airlines, line 1, column carrier");
    copy_refused(&format, &of(&[&header, &two, &two[..9]]), "unexpected EOF in COPY data", "COPY airlines, line 2, column name");
    copy_refused(&format, &of(&[&header, &[0, 2]]), "row field count is 2, expected 3", "COPY airlines, line 1");
    copy_refused(&format, &of(&[&header, &[0xff, 0xfe]]), "row field count is -2, expected 3", "COPY airlines, line 1");
    copy_refused(&format, &of(&[&header, &[0, 3, 0xff, 0, 0, 0]]), "invalid field size", "COPY airlines, line 1, column carrier");
    copy_refused(&format, &of(&[&header, &two, &end, b"x"]), "received copy data after EOF marker", "COPY airlines, line 2");
    let short = row(&[field("AA"), None, Some(&[0, 1])]);
    let message = "incorrect binary data format for type integer";
    copy_refused(&format, &of(&[&header, &two, &short]), message, "COPY airlines, line 2, column n");
    let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
    copy_refused(&format, &of(&[&header, &one]), message, "COPY airlines, line 1, column name");
}

#[test]
fn a_copy_has_a_limit() {
    let columns = [("carrier".to_string(), PgType::Text)];
    let reader = CopyReader::new(CopyFormat::new(CopyKind::Text), "airlines", &columns, &TextSettings::default()).unwrap();
    let mut reader = reader.with_limit(2 << 20);
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let fed = (0..).find_map(|lines| reader.feed(&line).err().map(|error| (lines, error))).unwrap();
    assert_eq!((fed.0, fed.1.message()), (2048, "COPY takes at most 2 MB at once"));
}

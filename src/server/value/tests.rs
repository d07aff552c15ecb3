//! Values as Postgres 15 has them: the vectors were made by its own `*_send` and `*_out`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use bytes::BytesMut;
use weir_common::datetime::{Customs, DateOrder};
use weir_common::error::Result;
use weir_common::types::{PG_TYPE_KEY, PgType};

use crate::value::column::ColumnParser;
use crate::value::rows::{Format, RowEncoder};
use crate::value::settings::{ByteaOutput, IntervalStyle, TextSettings};
use weir_common::timezone::TimeZone;

mod copy; // COPY's formats

fn parse(ty: &PgType, text: &str, settings: &TextSettings) -> Result<ArrayRef> {
    let mut parser = ColumnParser::new(ty, settings);
    parser.append(Some(text.as_bytes()))?;
    Ok(parser.finish())
}

fn encode(field: Field, array: ArrayRef, format: Format, settings: &TextSettings) -> Result<Vec<Option<Vec<u8>>>> {
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![array])?;
    let encoder = RowEncoder::new(&schema, &batch, &[format], settings)?;
    let column = &encoder.columns()[0];
    let rows = (0..batch.num_rows()).map(|row| {
        let mut out = BytesMut::new();
        (!column.is_null(row)).then(|| column.put(row, &mut out).map(|()| out.to_vec())).transpose()
    });
    rows.collect()
}

fn texts(field: Field, array: ArrayRef, settings: &TextSettings) -> Vec<String> {
    let encoded = encode(field, array, Format::Text, settings).unwrap();
    encoded.into_iter().map(|value| value.map_or("NULL".to_string(), |value| String::from_utf8(value).unwrap())).collect()
}

/// Of an array without a type of its own.
fn plain(array: impl Array + 'static) -> Vec<String> {
    texts(Field::new("x", array.data_type().clone(), true), Arc::new(array), &TextSettings::default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text reads as the value that has these bytes, and both write it again.
#[track_caller]
fn vector(ty: &str, text: &str, canonical: &str, bytes: &str) {
    let (ty, settings) = (PgType::parse(ty).unwrap(), TextSettings::default());
    let array = parse(&ty, text, &settings).unwrap();
    assert_eq!(texts(ty.field("x"), array.clone(), &settings), [canonical]);
    let binary = encode(ty.field("x"), array.clone(), Format::Binary, &settings).unwrap().remove(0).unwrap();
    assert_eq!(hex(&binary), bytes, "{canonical}");
    let mut parser = ColumnParser::new(&ty, &settings);
    parser.append_binary(Some(&binary)).unwrap();
    assert_eq!(&parser.finish(), &array, "{canonical} from its bytes");
}

#[track_caller]
fn refused(ty: &str, text: &str, sqlstate: &str, message: &str) {
    let error = parse(&PgType::parse(ty).unwrap(), text, &TextSettings::default()).unwrap_err();
    assert_eq!((error.sqlstate().0, error.message()), (sqlstate, message));
}

#[test]
fn vectors() {
    vector("boolean", " yes ", "t", "01");
    vector("smallint", "-2", "-2", "fffe");
    vector("integer", "258", "258", "00000102");
    vector("integer", "0x1_0", "16", "00000010");
    vector("bigint", "-9223372036854775808", "-9223372036854775808", "8000000000000000");
    vector("oid", "4294967295", "4294967295", "ffffffff");
    vector("real", "1234567", "1.234567e+06", "4996b438");
    vector("double precision", "-0.1", "-0.1", "bfb999999999999a");
    vector("text", "hü", "hü", "68c3bc");
    vector("\"char\"", "r", "r", "72");
    vector("jsonb", "{\"a\": 1}", "{\"a\": 1}", "017b2261223a20317d");
    vector("bytea", "\\x68c3bc", "\\x68c3bc", "68c3bc");
    vector("uuid", "{A0EEBC99-9C0B4EF8-BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11");
    vector("date", "2026-11-20", "2026-11-20", "0000265c");
    vector("date", "infinity", "infinity", "7fffffff");
    vector("date", "-infinity", "-infinity", "80000000");
    vector("time", "12:34:56.789", "12:34:56.789", "0000000a8be62608");
    vector("timestamp", "2000-01-01 00:00:01", "2000-01-01 00:00:01", "00000000000f4240");
    vector("timestamptz", "1999-12-31 23:59:59Z", "1999-12-31 23:59:59+00", "fffffffffff0bdc0");
    vector("timestamp", "infinity", "infinity", "7fffffffffffffff");
    vector("timestamptz", "-infinity", "-infinity", "8000000000000000");
    vector("timestamp", "0044-03-15 BC", "0044-03-15 00:00:00 BC", "ff1af9deec5b2000");
    vector("timestamp", "12345-06-07T08:09:10.5", "12345-06-07 08:09:10.5", "0487db002981b6a0");
    vector("interval", "1 mon 2 days 3 s", "1 mon 2 days 00:00:03", "00000000002dc6c00000000200000001");
    vector("numeric(2,1)", "1.5", "1.5", "000200000000000100011388");
    vector("numeric(8,3)", "-12345.678", "-12345.678", "0003000140000003000109291a7c");
    vector("numeric(5,0)", "10000", "10000", "00010001000000000001");
    vector("numeric(5,5)", "0.00010", "0.00010", "0001ffff000000050001");
    vector("numeric(5,0)", "0", "0", "0000000000000000");
    vector("integer[]", "{1,NULL,3}", "{1,NULL,3}", "00000001000000010000001700000003000000010000000400000001ffffffff0000000400000003");
    vector("text[]", "{}", "{}", "000000000000000000000019");
    vector("int2vector", "1 2", "1 2", "0000000100000000000000150000000200000000000000020001000000020002");
}

#[test]
fn what_is_refused() {
    refused("integer", "abc", "22P02", "invalid input syntax for type integer: \"abc\"");
    refused("integer", "1_", "22P02", "invalid input syntax for type integer: \"1_\"");
    refused("integer", "99999999999", "22003", "value \"99999999999\" is out of range for type integer");
    refused("oid", "4294967296", "22003", "value \"4294967296\" is out of range for type oid");
    refused("boolean", "o", "22P02", "invalid input syntax for type boolean: \"o\"");
    refused("double precision", "1e400", "22003", "\"1e400\" is out of range for type double precision");
    refused("real", "1e-50", "22003", "\"1e-50\" is out of range for type real");
    refused("numeric(3,1)", "99.95", "22003", "numeric field overflow");
    refused("numeric", "1e22", "22003", "value overflows numeric format");
    refused("numeric", "NaN", "0A000", "numeric cannot hold NaN");
    refused("varchar(3)", "abcd", "22001", "value too long for type character varying(3)");
    refused("date", "2026-02-30", "22008", "date/time field value out of range: \"2026-02-30\"");
    refused("date", "abc", "22007", "invalid input syntax for type date: \"abc\"");
    refused("date", "today", "0A000", "date/time value \"today\" is not supported as input");
    refused("timestamptz", "2026-01-01 00:00 Foo/Bar", "22023", "time zone \"foo/bar\" not recognized");
    refused("timestamp", "294277-01-01", "22008", "timestamp out of range: \"294277-01-01\"");
    refused("interval", "1 foo", "22007", "invalid input syntax for type interval: \"1 foo\"");
    refused("uuid", "a0e", "22P02", "invalid input syntax for type uuid: \"a0e\"");
    refused("bytea", "\\x1", "22023", "invalid hexadecimal data: odd number of digits");
    refused("json", "{a: 1}", "22P02", "invalid input syntax for type json");
    refused("text[]", "{a,b", "22P02", "malformed array literal: \"{a,b\"");
    refused("text", "a\0b", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00");
    let swapped = parse(&PgType::Date, "20/11/2026", &TextSettings::default()).unwrap_err();
    assert_eq!(swapped.hint(), Some("Perhaps you need a different \"datestyle\" setting."));
    let mut parser = ColumnParser::new(&PgType::Text, &TextSettings::default());
    let error = parser.append(Some(b"a\xffb")).unwrap_err();
    assert_eq!(error.message(), "invalid byte sequence for encoding \"UTF8\": 0xff");
    assert_eq!(parser.append_binary(Some(b"\xc3")).unwrap_err().sqlstate().0, "22021");
    let mut parser = ColumnParser::new(&PgType::Int4, &TextSettings::default());
    assert_eq!(parser.append_binary(Some(b"\0")).unwrap_err().sqlstate().0, "22P03");
    let mut parser = ColumnParser::new(&PgType::Array(Box::new(PgType::Int4)), &TextSettings::default());
    assert!(parser.append(Some(b"{1,x}")).is_err());
    parser.append(Some(b"{2}")).unwrap();
    parser.append(None).unwrap();
    assert_eq!(plain(parser.finish().as_list::<i32>().clone()), ["{2}", "NULL"]);
}

#[test]
fn floats() {
    let cases = [
        (1e20, "1e+20"),
        (1e15, "1e+15"),
        (1e14, "100000000000000"),
        (123456789012345680.0, "1.2345678901234568e+17"),
        (1e-5, "1e-05"),
        (0.0001, "0.0001"),
        (-0.0, "-0"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (5e-324, "5e-324"),
        (-1234.5, "-1234.5"),
        (100.0, "100"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ];
    let array = Float64Array::from_iter_values(cases.iter().map(|case| case.0));
    assert_eq!(plain(array.clone()), cases.map(|case| case.1));
    let short = TextSettings { extra_float_digits: 0, ..TextSettings::default() };
    let array = Float64Array::from(vec![0.1 + 0.2, 1e15, 123456.789, 1e-7]);
    assert_eq!(texts(PgType::Float8.field("x"), Arc::new(array), &short), ["0.3", "1e+15", "123456.789", "1e-07"]);
    assert_eq!(plain(Float16Array::from(vec![half(1.5)])), ["1.5"]);
}

fn half(value: f32) -> <Float16Type as ArrowPrimitiveType>::Native {
    <Float16Type as ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn every_unit_of_time() {
    assert_eq!(plain(TimestampSecondArray::from(vec![-1])), ["1969-12-31 23:59:59"]);
    assert_eq!(plain(TimestampMillisecondArray::from(vec![1])), ["1970-01-01 00:00:00.001"]);
    assert_eq!(
        plain(TimestampNanosecondArray::from(vec![1499, 1500, -1500])),
        ["1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000002", "1969-12-31 23:59:59.999998"]
    );
    assert_eq!(plain(TimestampSecondArray::from(vec![0]).with_timezone("Europe/Berlin")), ["1970-01-01 00:00:00+00"]);
    assert_eq!(plain(Date64Array::from(vec![-1, 86_400_000])), ["1969-12-31", "1970-01-02"]);
    assert_eq!(plain(Time32SecondArray::from(vec![86_399])), ["23:59:59"]);
    assert_eq!(plain(Time32MillisecondArray::from(vec![1])), ["00:00:00.001"]);
    assert_eq!(plain(Time64NanosecondArray::from(vec![1_000])), ["00:00:00.000001"]);
    assert_eq!(plain(DurationSecondArray::from(vec![-90_000])), ["-25:00:00"]);
    assert_eq!(plain(DurationNanosecondArray::from(vec![1_500_000_000])), ["00:00:01.5"]);
    assert_eq!(plain(IntervalYearMonthArray::from(vec![-14])), ["-1 years -2 mons"]);
    assert_eq!(plain(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -1000)])), ["1 day -00:00:01"]);
    let interval = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(-14, 3, -14_706_000_000_000)]);
    let shown = |interval_style| {
        let settings = TextSettings { interval_style, ..TextSettings::default() };
        texts(PgType::Interval.field("x"), Arc::new(interval.clone()), &settings).remove(0)
    };
    assert_eq!(shown(IntervalStyle::Postgres), "-1 years -2 mons +3 days -04:05:06");
    assert_eq!(shown(IntervalStyle::PostgresVerbose), "@ 1 year 2 mons -3 days 4 hours 5 mins 6 secs ago");
    assert_eq!(shown(IntervalStyle::Iso8601), "P-1Y-2M3DT-4H-5M-6S");
}

#[test]
fn zones() {
    let noon = |zone: &str, month: i64| {
        let settings =
            TextSettings { customs: Customs { zone: TimeZone::parse(zone).unwrap(), ..Customs::default() }, ..TextSettings::default() };
        let array = TimestampMicrosecondArray::from(vec![month * 30 * 86_400_000_000]).with_timezone("UTC");
        texts(PgType::Timestamptz.field("x"), Arc::new(array), &settings).remove(0)
    };
    assert_eq!(noon("europe/berlin", 600), "2019-04-14 02:00:00+02");
    assert_eq!(noon("Europe/Berlin", 606), "2019-10-11 02:00:00+02");
    assert_eq!(noon("America/St_Johns", 609), "2020-01-08 20:30:00-03:30");
    assert_eq!(noon("Europe/Paris", -1000), "1887-11-12 00:09:21+00:09:21");
    assert_eq!(noon("-5.5", 0), "1969-12-31 18:30:00-05:30");
    assert_eq!(noon("GMT-2", 0), "1970-01-01 02:00:00+02");
    assert_eq!(TimeZone::parse("+2").unwrap().name(), "<+02>-02");
    assert_eq!(TimeZone::parse("<+02>-02").unwrap().offset_at(0), 7200);
    assert_eq!(TimeZone::parse("utc").unwrap().name(), "UTC");
    assert_eq!(TimeZone::parse("Mars/Olympus"), None);
    assert_eq!(TimeZone::parse(""), None);
    // The hour that comes twice is winter's, the one that never comes is winter's too.
    let berlin = TextSettings {
        customs: Customs { zone: TimeZone::parse("Europe/Berlin").unwrap(), ..Customs::default() },
        ..TextSettings::default()
    };
    let again = |text: &str| texts(PgType::Timestamptz.field("x"), parse(&PgType::Timestamptz, text, &berlin).unwrap(), &berlin).remove(0);
    assert_eq!(again("2026-10-25 02:30:00"), "2026-10-25 02:30:00+01");
    assert_eq!(again("2026-03-29 02:30:00"), "2026-03-29 03:30:00+02");
    let dmy = TextSettings { customs: Customs { order: DateOrder::Dmy, ..Customs::default() }, ..TextSettings::default() };
    assert_eq!(plain(parse(&PgType::Date, "02/01/2003", &dmy).unwrap().as_primitive::<Date32Type>().clone()), ["2003-01-02"]);
}

#[test]
fn numerics() {
    let tagged = |text: &str| PgType::Numeric(None).field("x").with_metadata(HashMap::from([(PG_TYPE_KEY.to_string(), text.to_string())]));
    let array: ArrayRef = Arc::new(Decimal128Array::from(vec![12_500, -1, 0, 10_000]).with_precision_and_scale(38, 4).unwrap());
    let with = |field: Field| texts(field.with_data_type(array.data_type().clone()), array.clone(), &TextSettings::default());
    assert_eq!(with(tagged("numeric")), ["1.25", "-0.0001", "0", "1"]);
    assert_eq!(with(tagged("numeric(38,4)")), ["1.2500", "-0.0001", "0.0000", "1.0000"]);
    assert_eq!(with(Field::new("x", DataType::Null, true)), ["1.2500", "-0.0001", "0.0000", "1.0000"]);
    let wide = i256::from_string("1234567890123456789012345678901234567890123456789012345678901234567890").unwrap();
    assert_eq!(
        plain(Decimal256Array::from(vec![wide, i256::MINUS_ONE]).with_precision_and_scale(76, 10).unwrap()),
        ["123456789012345678901234567890123456789012345678901234567890.1234567890", "-0.0000000001"]
    );
    assert_eq!(plain(Decimal128Array::from(vec![12, 0]).with_precision_and_scale(5, -2).unwrap()), ["1200", "0"]);
    assert_eq!(plain(Decimal32Array::from(vec![-5]).with_precision_and_scale(5, 2).unwrap()), ["-0.05"]);
    assert_eq!(
        plain(Decimal128Array::from(vec![i128::MIN]).with_precision_and_scale(38, 0).unwrap()),
        ["-170141183460469231731687303715884105728"]
    );
    let binary =
        |field: Field, array: ArrayRef| hex(&encode(field, array, Format::Binary, &TextSettings::default()).unwrap().remove(0).unwrap());
    // The scale of 1.25 is what is shown of it.
    assert_eq!(binary(tagged("numeric").with_data_type(array.data_type().clone()), array.slice(0, 1)), "0002000000000002000109c4");
    assert_eq!(
        binary(Field::new("x", DataType::UInt64, true), Arc::new(UInt64Array::from(vec![u64::MAX]))),
        "00050004000000000734".to_string() + "1a5802e103bb064f"
    );
    assert_eq!(plain(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
}

#[test]
fn every_layout() {
    assert_eq!(
        plain(StringViewArray::from(vec![Some("a"), None, Some("a long string that is not inlined")])),
        ["a", "NULL", "a long string that is not inlined"]
    );
    assert_eq!(plain(LargeStringArray::from(vec!["x"])), ["x"]);
    let dictionary: DictionaryArray<Int8Type> = vec![Some("b"), None, Some("a"), Some("b")].into_iter().collect();
    assert_eq!(plain(dictionary), ["b", "NULL", "a", "b"]);
    assert_eq!(plain(NullArray::new(2)), ["NULL", "NULL"]);
    assert_eq!(plain(BinaryViewArray::from(vec![b"\x00\xff".as_slice()])), ["\\x00ff"]);
    let escape = TextSettings { bytea_output: ByteaOutput::Escape, ..TextSettings::default() };
    assert_eq!(texts(PgType::Bytea.field("x"), Arc::new(BinaryArray::from(vec![b"a\\\x01".as_slice()])), &escape), ["a\\\\\\001"]);
    let (a, b) = (Int32Array::from(vec![Some(1), None]), StringArray::from(vec!["a", "b c\"\\"]));
    let fields = Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
    let record = StructArray::new(fields, vec![Arc::new(a), Arc::new(b)], None);
    assert_eq!(plain(record.clone()), ["(1,a)", "(,\"b c\"\"\\\\\")"]);
    let field = Field::new("x", record.data_type().clone(), true);
    let bytes = encode(field, Arc::new(record), Format::Binary, &TextSettings::default()).unwrap();
    assert_eq!(hex(bytes[0].as_ref().unwrap()), "00000002000000170000000400000001000000190000000161");
    let strings = StringArray::from(vec![Some("a"), None, Some("b c"), Some(""), Some("null"), Some("{\"\\}")]);
    let list = ListArray::new(Arc::new(Field::new("item", DataType::Utf8, true)), OffsetBuffer::from_lengths([6]), Arc::new(strings), None);
    assert_eq!(plain(list), ["{a,NULL,\"b c\",\"\",\"null\",\"{\\\"\\\\}\"}"]);
    // Lists of lists are arrays of two dimensions.
    let inner = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2)]), Some(vec![Some(3), Some(4)])]);
    let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
    let outer = ListArray::new(item, OffsetBuffer::from_lengths([2, 1]), Arc::new(inner.clone()), None);
    assert_eq!(plain(outer.clone()), ["{{1},{2}}", "{{3,4}}"]);
    let field = Field::new("x", outer.data_type().clone(), true);
    let bytes = encode(field.clone(), Arc::new(outer), Format::Binary, &TextSettings::default()).unwrap();
    let dimensions = "00000002000000000000001700000002000000010000000100000001";
    assert_eq!(hex(bytes[0].as_ref().unwrap()), format!("{dimensions}00000004000000010000000400000002"));
    let item = Arc::new(Field::new("item", inner.data_type().clone(), true));
    let ragged = ListArray::new(item, OffsetBuffer::from_lengths([3]), Arc::new(inner), None);
    assert_eq!(encode(field, Arc::new(ragged), Format::Binary, &TextSettings::default()).unwrap_err().sqlstate().0, "2202E");
    // A type without bytes of its own says so.
    let error = encode(PgType::Regclass.field("x"), Arc::new(StringArray::from(vec!["t"])), Format::Binary, &TextSettings::default());
    assert_eq!(error.unwrap_err().message(), "no binary output function available for type regclass");
    let wide = encode(
        PgType::Int4
            .field("x")
            .with_data_type(DataType::Int64)
            .with_metadata(HashMap::from([(PG_TYPE_KEY.to_string(), "integer".to_string())])),
        Arc::new(Int64Array::from(vec![1 << 40])),
        Format::Binary,
        &TextSettings::default(),
    );
    assert_eq!(wide.unwrap_err().message(), "integer out of range");
}

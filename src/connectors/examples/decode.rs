//! What reading costs, step by step: `cargo run --release -p weir-connectors --example decode -- [flights.jsonl.gz]`.
//!
//! Bids of the shape of Nexmark's are made here; the flights are read from a file, if one is given. Times are CPU time of this thread,
//! the best of some runs, so that other work on the machine matters little.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use flate2::read::MultiGzDecoder;
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::source::Read::Batch;
use weir_common::types::PgType;
use weir_connectors::{JsonDecoder, SourceFormat, source};

const BIDS: usize = 300_000;
const RUNS: usize = 5;

fn main() {
    let json = bids_as_json();
    println!("{BIDS} bids as JSON, {} bytes a row; ns of CPU a row", json.len() / BIDS);
    print(BIDS, through_a_file(&json, &bids(), "JSON", BIDS), "the source: lines, decode");
    print(BIDS, decode_json(&json, &bids()), "decode alone");
    print(BIDS, arrow_json(&json, &bids()), "arrow-json alone, for comparison");

    let csv = bids_as_csv();
    println!("{BIDS} bids as CSV, {} bytes a row; ns of CPU a row", csv.len() / BIDS);
    print(BIDS, through_a_file(&csv, &bids(), "CSV", BIDS), "the source: lines, decode");
    print(BIDS, arrow_csv(&csv, &bids()), "arrow-csv alone, for comparison");

    let Some(path) = std::env::args().nth(1) else { return };
    let mut text = Vec::new();
    let inflate = best(|| {
        text.clear();
        MultiGzDecoder::new(std::fs::File::open(&path).expect("a file")).read_to_end(&mut text).expect("gzip");
    });
    let rows = text.iter().filter(|byte| **byte == b'\n').count();
    println!("{rows} flights as JSON, {} bytes a row; ns of CPU a row", text.len() / rows);
    print(rows, inflate, "gunzip alone (flate2)");
    print(rows, through(&path, &flights(), "JSON", rows), "the source: gunzip, lines, decode");
    print(rows, decode_json(&text, &flights()), "decode alone");
    print(rows, arrow_json(&text, &flights()), "arrow-json alone, for comparison");
}

fn print(rows: usize, nanos: u64, what: &str) {
    println!("{:>6}  {what}", nanos / rows as u64);
}

/// Nanoseconds of reading a text as a file of a source.
fn through_a_file(text: &[u8], schema: &SchemaRef, encode: &str, rows: usize) -> u64 {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    through(file.path().to_str().expect("UTF-8"), schema, encode, rows)
}

fn through(path: &str, schema: &SchemaRef, encode: &str, rows: usize) -> u64 {
    let options = BTreeMap::from([("connector".to_string(), "file".to_string()), ("path".to_string(), path.to_string())]);
    let format = SourceFormat { format: "PLAIN".into(), encode: encode.into(), options: BTreeMap::new() };
    let source = source("s", schema.clone(), &format, &options).expect("a source");
    best(|| {
        let mut read = 0;
        let mut reader = source.open(&Default::default()).expect("a reader");
        while let Batch(batch) = reader.next().expect("a batch") {
            assert!(batch.dead.is_empty(), "{:?}", batch.dead);
            read += batch.rows.num_rows();
        }
        assert_eq!(read, rows);
    })
}

fn decode_json(text: &[u8], schema: &SchemaRef) -> u64 {
    best(|| {
        let mut decoder = JsonDecoder::new(schema.clone()).expect("a decoder");
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text) {
            decoder.decode(&text[start..end]).expect("a row");
            start = end + 1;
            if decoder.rows() == BATCH_ROWS_MAX {
                decoder.finish().expect("a batch");
            }
        }
    })
}

fn arrow_json(text: &[u8], schema: &SchemaRef) -> u64 {
    best(|| {
        let mut decoder = ReaderBuilder::new(schema.clone()).with_batch_size(BATCH_ROWS_MAX).build_decoder().expect("a decoder");
        let mut rest = text;
        while !rest.is_empty() {
            rest = &rest[decoder.decode(rest).expect("rows")..];
            decoder.flush().expect("a batch");
        }
    })
}

fn arrow_csv(text: &[u8], schema: &SchemaRef) -> u64 {
    best(|| {
        let reader = arrow::csv::ReaderBuilder::new(schema.clone()).with_batch_size(BATCH_ROWS_MAX).build(text).expect("a reader");
        assert_eq!(reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>(), BIDS);
    })
}

/// One bid's values as text.
struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: &'static str,
    url: String,
    date_time: String,
    extra: String,
}

fn each_bid(mut with: impl FnMut(Bid)) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut letters = |count: usize| (0..count).map(|_| random.lowercase()).collect::<String>();
    let texts: Vec<String> = (0..1000).map(|_| letters(100)).collect();
    for n in 0..BIDS {
        let millis = 1_436_918_400_000 + n as u64 / 10;
        let (second, milli) = (millis / 1000 % 60, millis % 1000);
        let (minute, hour) = (millis / 60_000 % 60, millis / 3_600_000 % 24);
        let text = &texts[random.usize(..texts.len())];
        with(Bid {
            auction: 1000 + random.u64(..10_000_000),
            bidder: 1000 + random.u64(..1_000_000),
            price: 10u64.pow(random.u32(2..7)) + random.u64(..100),
            channel: ["Apple", "Google", "Facebook", "Baidu", "channel-1234"][random.usize(..5)],
            url: format!("https://www.nexmark.com/{}/{}/{}/item.htm?query=1", &text[..4], &text[4..9], &text[9..13]),
            date_time: format!("2015-07-15 {hour:02}:{minute:02}:{second:02}.{milli:03}"),
            extra: text[..random.usize(40..90)].to_string(),
        });
    }
}

fn bids_as_json() -> Vec<u8> {
    let mut text = String::new();
    each_bid(|bid| {
        let Bid { auction, bidder, price, channel, url, date_time, extra } = bid;
        write!(text, "{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\"{channel}\",").expect("room");
        writeln!(text, "\"url\":\"{url}\",\"date_time\":\"{date_time}\",\"extra\":\"{extra}\"}}").expect("room");
    });
    text.into_bytes()
}

fn bids_as_csv() -> Vec<u8> {
    let mut text = String::new();
    each_bid(|bid| {
        let Bid { auction, bidder, price, channel, url, date_time, extra } = bid;
        writeln!(text, "{auction},{bidder},{price},{channel},{url},{date_time},{extra}").expect("room");
    });
    text.into_bytes()
}

fn bids() -> SchemaRef {
    use PgType::{Int8, Text, Timestamp};
    let columns =
        [("auction", Int8), ("bidder", Int8), ("price", Int8), ("channel", Text), ("url", Text), ("date_time", Timestamp), ("extra", Text)];
    Arc::new(Schema::new(columns.map(|(name, ty)| ty.field(name)).to_vec()))
}

fn flights() -> SchemaRef {
    use PgType::{Float8, Int4, Text, Timestamp};
    let columns = [
        ("sched_dep", Timestamp),
        ("dep", Timestamp),
        ("carrier", Text),
        ("flight", Int4),
        ("tailnum", Text),
        ("origin", Text),
        ("dest", Text),
        ("dep_delay", Float8),
        ("arr_delay", Float8),
        ("air_time", Float8),
        ("distance", Int4),
    ];
    Arc::new(Schema::new(columns.map(|(name, ty)| ty.field(name)).to_vec()))
}

/// Nanoseconds of this thread's CPU time, the best of some runs.
fn best(mut work: impl FnMut()) -> u64 {
    (0..RUNS).map(|_| cpu_nanos(&mut work)).min().expect("some runs")
}

fn cpu_nanos(work: &mut impl FnMut()) -> u64 {
    let now = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).expect("nanoseconds")
    };
    let start = now();
    work();
    now() - start
}
